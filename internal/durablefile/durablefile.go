// Package durablefile writes small files so that a crash leaves the old content or the new one.
package durablefile

import (
	"fmt"
	"os"
	"path/filepath"
)

// File is one of several files of a folder.
type File struct {
	Name string
	Data []byte
	Mode os.FileMode
}

// Write replaces a file's content. When it returns nil, content and folder entry are on disk.
func Write(path string, data []byte, mode os.FileMode) error {
	dir, name := filepath.Split(path)
	return WriteAll(filepath.Clean(dir), File{name, data, mode})
}

// WriteAll replaces the contents of files of one folder. When it returns nil, all of it is on disk. A crash
// in between, or an error, leaves each with its old content or the new one: some may have changed and others
// not, whatever their order. After an error nothing half written is left to fill the disk.
func WriteAll(dir string, files ...File) (err error) {
	written := 0
	defer func() {
		for _, f := range files[:written] {
			if err != nil {
				_ = os.Remove(filepath.Join(dir, f.Name) + temporary) // it is not there if it took its place
			}
		}
	}()
	for _, f := range files {
		if err := write(filepath.Join(dir, f.Name)+temporary, f.Data, f.Mode); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(dir, f.Name), err)
		}
		written++
	}
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := os.Rename(path+temporary, path); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	if err := SyncDir(dir); err != nil {
		return fmt.Errorf("write into %s: %w", dir, err)
	}
	return nil
}

// temporary is how the name of a file ends that is being written.
const temporary = ".tmp"

// write brings a file's content to disk, not its folder entry; all of it or nothing.
func write(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(path) // what is left of it would fill the disk
	}
	return err
}

// SyncDir brings a folder's entries to disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
