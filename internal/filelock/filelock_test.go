//go:build unix

package filelock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestOneAtATimeHasTheLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	var where *fs.PathError
	if f, err := Try(path); !errors.Is(err, ErrHeld) || !errors.As(err, &where) || where.Path != path {
		t.Fatalf("while it is held: %v, %v", f, err)
	}

	waited := make(chan *os.File)
	go func() {
		f, err := Take(path)
		if err != nil {
			t.Error(err)
		}
		waited <- f
	}()
	select {
	case <-waited:
		t.Fatal("two have the lock")
	default:
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := <-waited
	if f, err := Try(path); !errors.Is(err, ErrHeld) {
		t.Fatalf("while the second has it: %v, %v", f, err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := Try(path)
	if err != nil {
		t.Fatalf("when nobody has it: %v", err)
	}
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestALockInAFolderThatIsNotThere(t *testing.T) {
	if f, err := Take(filepath.Join(t.TempDir(), "none", "lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v, %v", f, err)
	}
}
