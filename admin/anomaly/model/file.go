// Package model keeps the fleet models: what was learnt of all kiosks together, so that a new one is guarded from
// its first hour. A model is one file, checksummed and portable between machines; the registry is a folder of them
// with an index that says which one is at work.
package model

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

// BuiltIn is the version of the model that comes with the program: it has no priors, and so every kiosk learns alone.
const BuiltIn = "built-in"

// Format is the version of the file format that this program reads and writes. Add one when an older program would
// misunderstand a newer file.
const Format = 1

// Errors of model files.
var (
	// ErrDamaged is a file that is cut short, changed or no model at all.
	ErrDamaged = errors.New("model file is damaged")
	// ErrForeign is a file of another format version.
	ErrForeign = errors.New("model file is of another version of this program")
)

// maxFileBytes and maxContentBytes bound a file as it lies on the disk and unpacked: a prior of 32 metrics is some
// 100 KB, and a small file may unpack to any size.
const (
	maxFileBytes    = 64 << 20
	maxContentBytes = 512 << 20
)

// File is a model with what it has learnt. Its Version, SHA256 and Bytes are set when it is encoded or decoded; State,
// Reason, ChangedAt and ChangedBy are the registry's and not in the file.
type File struct {
	fleet.Model
	// Prior is what is usual for kiosks of a model and site, by Key; nil for the built-in one.
	Prior map[string]*watch.Prior
	// Textures are how the sensors moved in what it was trained on, by Key and metric, for the next training to compare with.
	Textures map[string]map[string]Texture
}

// Texture is how a sensor moves, whatever its level: medians over the kiosks of a group. A season shifts the level and
// leaves the texture; a sensor that is dead, saturated or noisy loses it.
type Texture struct {
	Kiosks  int     `json:"kiosks"`
	Still   float64 `json:"still"`   // hours of the longest time without any change
	Moving  float64 `json:"moving"`  // share of the readings that differ from the one before
	Rough   float64 `json:"rough"`   // mean of |x − the one before|, in the metric's unit
	Spread  float64 `json:"spread"`  // standard deviation within a day, in the metric's unit
	AtLimit float64 `json:"atlimit"` // share of the readings that are exactly at the day's highest or lowest value
}

// Key names the prior of kiosks of a model at a site. An empty site means all sites, and both empty the whole fleet.
func Key(kioskModel, site string) string { return kioskModel + "|" + site }

// PriorFor returns the closest prior for a kiosk: of its model and site, of its model, of the fleet; nil when there is none.
func (f *File) PriorFor(kioskModel, site string) *watch.Prior {
	for _, key := range []string{Key(kioskModel, site), Key(kioskModel, ""), Key("", "")} {
		if p := f.Prior[key]; p != nil {
			return p
		}
	}
	return nil
}

// builtIn returns the model without priors.
func builtIn() *File {
	return &File{Model: fleet.Model{Version: BuiltIn, Origin: fleet.ModelBuiltIn}}
}

// envelope is the outer JSON object of a file. The checksum is over the bytes of the content as they stand there.
type envelope struct {
	Format  int             `json:"kioskfleet_model"`
	SHA256  string          `json:"sha256"`
	Content json.RawMessage `json:"content"`
}

type content struct {
	facts
	Prior    map[string]*watch.Prior       `json:"prior"`
	Textures map[string]map[string]Texture `json:"textures,omitempty"`
}

// Encode returns the file's bytes, gzipped JSON, and sets its Version, SHA256 and Bytes. The same content gives the
// same bytes.
func (f *File) Encode() ([]byte, error) {
	inner, err := json.Marshal(content{facts: factsOf(&f.Model), Prior: f.Prior, Textures: f.Textures})
	if err != nil {
		return nil, fmt.Errorf("encode model: %w", err)
	}
	sum := sha256.Sum256(inner)
	f.SHA256 = hex.EncodeToString(sum[:])
	outer, err := json.Marshal(envelope{Format, f.SHA256, inner})
	if err != nil {
		return nil, fmt.Errorf("encode model: %w", err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err = w.Write(outer)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, fmt.Errorf("encode model: %w", err)
	}
	f.CreatedAt = f.CreatedAt.UTC().Truncate(time.Second)
	f.Version = version(f.CreatedAt, f.SHA256)
	f.Bytes = int64(packed.Len())
	return packed.Bytes(), nil
}

// Decode reads a file's bytes.
//
// Errors: ErrDamaged, ErrForeign.
func Decode(data []byte) (*File, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	unpacked, err := io.ReadAll(io.LimitReader(z, maxContentBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if len(unpacked) > maxContentBytes {
		return nil, fmt.Errorf("%w: it unpacks to more than %d MB", ErrDamaged, maxContentBytes>>20)
	}
	var outer envelope
	if err := json.Unmarshal(unpacked, &outer); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	switch {
	case outer.Format == 0:
		return nil, fmt.Errorf("%w: it does not say that it is a model", ErrDamaged)
	case outer.Format != Format:
		return nil, fmt.Errorf("%w: it has format %d, this program reads %d; train a new model here", ErrForeign, outer.Format, Format)
	}
	sum := sha256.Sum256(outer.Content)
	if got := hex.EncodeToString(sum[:]); got != outer.SHA256 {
		return nil, fmt.Errorf("%w: its checksum is %.8s, and it says %.8s", ErrDamaged, got, outer.SHA256)
	}
	var inner content
	if err := json.Unmarshal(outer.Content, &inner); err != nil {
		return nil, fmt.Errorf("%w: what it has learnt cannot be read: %w", ErrForeign, err)
	}
	f := &File{Prior: inner.Prior, Textures: inner.Textures}
	inner.fill(&f.Model)
	f.SHA256, f.Bytes = outer.SHA256, int64(len(data))
	f.Version = version(f.CreatedAt, f.SHA256)
	return f, nil
}

// version names a model by when it was made and the begin of its checksum.
func version(at time.Time, sum string) string {
	return at.UTC().Format("m20060102-150405-") + sum[:8]
}
