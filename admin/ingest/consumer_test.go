package ingest

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"kioskfleet/admin/ingest/journal"
	"kioskfleet/internal/protocol"
)

// Backlogs come in large messages, from all kiosks at once after an outage.
func TestABatchIsBoundedInBytes(t *testing.T) {
	j, err := journal.Open(journal.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	r := record{kind: kindMessage, at: time.Now(), serial: "K-1", channel: protocol.ChannelTelemetry, payload: bytes.Repeat([]byte("x"), maxPayloadBytes)}
	const records = 40
	for range records {
		if _, err := j.Append(r.encode(nil)); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := j.Reader("x")
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	c := &consumer{reader: reader, log: slog.New(slog.DiscardHandler)}
	for seen := 0; seen < records; {
		batch, _, err := c.take(t.Context(), t.Context(), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if len(batch)*maxPayloadBytes > batchBytes+maxPayloadBytes {
			t.Fatalf("a batch of %d MB", len(batch)*maxPayloadBytes>>20)
		}
		seen += len(batch)
	}
}
func TestLongCheckpointsComeLessOften(t *testing.T) {
	c := &consumer{checkpointEvery: 10 * time.Second, checkpointLongest: time.Minute}
	if always := (&consumer{checkpointEvery: time.Second}).spacingAfter(20 * time.Second); always != time.Second {
		t.Errorf("where nothing else is said the next comes in %s", always)
	}
	for _, tt := range []struct {
		name       string
		took, want time.Duration
	}{
		{"of a few kiosks", 20 * time.Millisecond, 10 * time.Second},
		{"of a large fleet", 1200 * time.Millisecond, 36 * time.Second},
		{"on a disk that hangs", 20 * time.Second, time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := c.spacingAfter(tt.took); got != tt.want {
				t.Errorf("after %s the next comes in %s, want %s", tt.took, got, tt.want)
			}
		})
	}
}
