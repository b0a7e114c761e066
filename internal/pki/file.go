package pki

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// fileCheck is how often the files of a FileCertificate are looked at.
const fileCheck = 10 * time.Second

// FileCertificate is a certificate and key in files, read again when they change. When the new ones
// are bad, the old ones stay. It is safe for concurrent use.
type FileCertificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   [2]time.Time // modification times of what was last tried
	checked time.Time
}

// NewFileCertificate reads the files; at this first time bad ones are an error.
func NewFileCertificate(certFile, keyFile string, log *slog.Logger) (*FileCertificate, error) {
	f := &FileCertificate{certFile: certFile, keyFile: keyFile, log: log}
	if err := f.load(); err != nil {
		return nil, err
	}
	return f, nil
}

// Get returns the current certificate.
func (f *FileCertificate) Get() (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) > fileCheck {
		f.checked = now
		if f.times() != f.stamp {
			if err := f.load(); err != nil {
				f.log.Error("certificate not reloaded, the old one stays", "error", err)
				f.stamp = [2]time.Time{} // try again, for not every repair shows in the times: chmod does not
			}
		}
	}
	return f.current, nil
}

func (f *FileCertificate) load() error {
	f.stamp, f.checked = f.times(), time.Now()
	cert, err := tls.LoadX509KeyPair(f.certFile, f.keyFile)
	if err != nil {
		return fmt.Errorf("load %s and %s: %w", f.certFile, f.keyFile, err)
	}
	f.current = &cert
	return nil
}

func (f *FileCertificate) times() (out [2]time.Time) {
	for i, name := range []string{f.certFile, f.keyFile} {
		if info, err := os.Stat(name); err == nil {
			out[i] = info.ModTime()
		}
	}
	return out
}
