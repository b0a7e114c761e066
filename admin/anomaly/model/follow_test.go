package model_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/model"
)

// follow returns the versions of the first models that Follow applies.
func follow(t *testing.T, r *model.Registry, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []string
	r.Follow(ctx, time.Millisecond, slog.New(slog.DiscardHandler), func(f *model.File) {
		got = append(got, f.Version)
		if len(got) == n {
			cancel()
		}
	})
	if len(got) < n {
		t.Fatalf("applied %v", got)
	}
	return got
}

func TestTheServerNoticesWhatASubcommandPromotes(t *testing.T) {
	r, dir := open(t)
	a, b := add(t, r, 1), add(t, r, 2)
	elsewhere := model.Open(dir, time.Now)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var got []string
	r.Follow(ctx, time.Millisecond, slog.New(slog.DiscardHandler), func(f *model.File) {
		got = append(got, f.Version)
		var err error
		switch len(got) {
		case 1:
			_, err = elsewhere.Promote(ctx, a, "cli")
		case 2:
			_, err = elsewhere.Promote(ctx, b, "cli")
		case 3:
			_, err = elsewhere.Rollback(ctx, "cli")
		case 4:
			cancel()
		}
		if err != nil {
			t.Error(err)
		}
	})
	want := []string{model.BuiltIn, a, b, a}
	if len(got) != len(want) {
		t.Fatalf("applied %v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("applied %v, want %v", got, want)
		}
	}
}

// repack returns a file in which a text of the content is another one.
func repack(t *testing.T, file []byte, old, text string) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(plain, []byte(old)) {
		t.Fatalf("%s is not in %s", old, plain)
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(bytes.Replace(plain, []byte(old), []byte(text), 1)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
