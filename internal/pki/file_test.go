package pki

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pair is a certificate and its key in files whose times a test sets.
type pair struct {
	t         *testing.T
	ca        *Authority
	cert, key string
	at        time.Time // of the newest change
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	p := &pair{t: t, ca: open(t, t.TempDir()), cert: filepath.Join(dir, "c.pem"), key: filepath.Join(dir, "k.pem"), at: time.Unix(1_700_000_000, 0)}
	p.renew()
	return p
}

// renew puts a new certificate into the files and returns its serial number.
func (p *pair) renew() string {
	p.t.Helper()
	dir := p.t.TempDir()
	made, err := p.ca.ServerCertificate(dir, []string{"localhost"}, time.Now())
	if err != nil {
		p.t.Fatal(err)
	}
	p.copy(filepath.Join(dir, serverFile), p.cert)
	p.copy(filepath.Join(dir, serverKeyFile), p.key)
	return made.Leaf.SerialNumber.String()
}

func (p *pair) copy(from, to string) {
	p.t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(to, text)
}

func (p *pair) write(file string, text []byte) {
	p.t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.at = p.at.Add(time.Second)
	if err := os.Chtimes(file, p.at, p.at); err != nil {
		p.t.Fatal(err)
	}
}

func serialOf(t *testing.T, f *FileCertificate) string {
	t.Helper()
	c, err := f.Get()
	if err != nil || c == nil || c.Leaf == nil {
		t.Fatalf("certificate %v, %v", c, err)
	}
	return c.Leaf.SerialNumber.String()
}

func TestACertificateInFilesIsReadAgainWhenItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		first := p.renew()
		f, err := NewFileCertificate(p.cert, p.key, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if got := serialOf(t, f); got != first {
			t.Errorf("serial %s, want %s", got, first)
		}
		second := p.renew()
		time.Sleep(fileCheck)
		if got := serialOf(t, f); got != first {
			t.Error("the files are looked at with every connection")
		}
		time.Sleep(time.Nanosecond)
		if got := serialOf(t, f); got != second {
			t.Errorf("serial %s, want the new one", got)
		}
	})
}

func TestTheOldCertificateStaysWhileTheNewOneIsBad(t *testing.T) {
	tests := []struct {
		name   string
		damage func(*pair)
	}{
		{"an empty certificate", func(p *pair) { p.write(p.cert, nil) }},
		{"half a certificate", func(p *pair) {
			text, _ := os.ReadFile(p.cert)
			p.write(p.cert, text[:len(text)/2])
		}},
		{"a key that belongs to another", func(p *pair) {
			old, _ := os.ReadFile(p.key)
			p.renew()
			p.write(p.key, old)
		}},
		{"no key", func(p *pair) {
			if err := os.Remove(p.key); err != nil {
				p.t.Error(err)
			}
		}},
		{"neither", func(p *pair) {
			if err := os.Remove(p.key); err != nil {
				p.t.Error(err)
			}
			if err := os.Remove(p.cert); err != nil {
				p.t.Error(err)
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t)
				first := p.renew()
				var log strings.Builder
				f, err := NewFileCertificate(p.cert, p.key, slog.New(slog.NewTextHandler(&log, nil)))
				if err != nil {
					t.Fatal(err)
				}
				tt.damage(p)
				for range 3 {
					time.Sleep(fileCheck + 1)
					if got := serialOf(t, f); got != first {
						t.Fatalf("serial %s, want the old one", got)
					}
				}
				if !strings.Contains(log.String(), "the old one stays") || !strings.Contains(log.String(), p.cert) {
					t.Errorf("log = %s", log.String())
				}
				repaired := p.renew()
				time.Sleep(fileCheck + 1)
				if got := serialOf(t, f); got != repaired {
					t.Errorf("serial %s after the repair, want %s", got, repaired)
				}
			})
		})
	}
}

// A repair need not change the times of the files: access rights do not.
func TestABadCertificateIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t)
		f, err := NewFileCertificate(p.cert, p.key, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		second := p.renew()
		good, err := os.ReadFile(p.cert)
		if err != nil {
			t.Fatal(err)
		}
		p.write(p.cert, []byte("not yet"))
		time.Sleep(fileCheck + 1)
		serialOf(t, f)
		if err := os.WriteFile(p.cert, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(p.cert, p.at, p.at); err != nil {
			t.Fatal(err)
		}
		time.Sleep(fileCheck + 1)
		if got := serialOf(t, f); got != second {
			t.Error("a repair that does not show in the times is missed")
		}
	})
}

func TestBadFilesAreAnErrorAtTheStart(t *testing.T) {
	p := newPair(t)
	other := newPair(t)
	for name, files := range map[string][2]string{
		"no certificate": {p.cert + ".none", p.key}, "no key": {p.cert, p.key + ".none"},
		"swapped": {p.key, p.cert}, "of different pairs": {p.cert, other.key},
	} {
		if _, err := NewFileCertificate(files[0], files[1], slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), files[0]) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestIdentitiesAreReadStrictly(t *testing.T) {
	a := open(t, t.TempDir())
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	text, err := NewCSR(key, "x")
	if err != nil {
		t.Fatal(err)
	}
	csr, err := ParseCSR(text)
	if err != nil {
		t.Fatal(err)
	}
	for serial, ok := range map[string]bool{"K-1": true, "": false, "a/b": false, "+": false, "#": false, "admin": true, strings.Repeat("x", 65): false} {
		cert, err := a.SignKiosk(csr, serial, 0, time.Hour, time.Now())
		if err != nil {
			continue // not even signed
		}
		id, err := IdentityOf(cert)
		if (err == nil) != ok || ok && (id.Serial != serial || id.Platform) {
			t.Errorf("%q: %+v, %v", serial, id, err)
		}
	}
	cert, err := a.SignKiosk(csr, "K-1", 0, time.Hour, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for number, want := range map[string]int64{"": 0, "7": 7, "x": -1, "1.5": -1, "99999999999999999999": -1} {
		cert.Subject.SerialNumber = number
		if id, err := IdentityOf(cert); (err != nil) != (want < 0) || err == nil && id.Generation != want {
			t.Errorf("generation %q: %+v, %v", number, id, err)
		}
	}
}
