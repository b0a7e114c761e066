package model

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/durablefile"
)

// Export writes a model's file elsewhere, for another machine. It does not write over a file.
//
// Errors: fleet.ErrNotFound; fleet.ErrExists; ErrDamaged; ErrForeign.
func (r *Registry) Export(_ context.Context, version, path string) error {
	if version == BuiltIn {
		return fleet.Invalid("version", "the built-in model has no file; every program has it")
	}
	if _, err := r.read(version); err != nil {
		return err
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s: %w", path, fleet.ErrExists)
		}
		return fmt.Errorf("export model %s: %w", version, err)
	}
	data, err := os.ReadFile(r.path(version))
	if err == nil {
		err = durablefile.Write(path, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("export model %s: %w", version, err)
	}
	return nil
}

// Import keeps a model's file that was exported elsewhere, as a candidate; as refused if it was refused there.
//
// Errors: fleet.ErrExists when it is here already; ErrDamaged; ErrForeign.
func (r *Registry) Import(_ context.Context, path, actor string) (fleet.Model, error) {
	f, err := readFile(path)
	if err != nil {
		return fleet.Model{}, fmt.Errorf("import: %w", err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fleet.Model{}, fmt.Errorf("import: %w", err)
	}
	e := newEntry(f, "imported; not judged on this fleet")
	e.Origin = fleet.ModelImported
	return r.add(e, data, actor, "import")
}
