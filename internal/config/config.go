// Package config fills a program's configuration struct: defaults < YAML file < environment <
// flags. It is strict: an unknown key in the file and a value that does not fit are errors that
// name the key. Viper is used here and nowhere else.
package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/pflag"
	"github.com/spf13/viper"

	"kioskfleet/internal/spelling"
)

// EnvPrefix starts the name of every environment variable of the platform.
const EnvPrefix = "KIOSKFLEET_"

// Validator is implemented by configuration structs that check themselves after loading.
type Validator interface {
	Validate() error
}

// field is one leaf of a configuration struct.
type field struct {
	key   string // dotted, as in http.addr
	flag  string
	short string
	usage string
	value reflect.Value
}

func (f field) env() string {
	return EnvPrefix + strings.ToUpper(strings.ReplaceAll(f.key, ".", "_"))
}

// RegisterFlags adds a flag for every leaf of the struct that dst points to: its key with hyphens,
// or the `flag` tag; `short` gives a one-letter form and `usage` the help text. The struct's current
// values are the defaults.
func RegisterFlags(fs *pflag.FlagSet, dst any) {
	for _, f := range fields(dst) {
		usage := f.usage + " (" + f.env() + ")"
		switch v := f.value.Interface().(type) {
		case bool:
			fs.BoolP(f.flag, f.short, v, usage)
		case int:
			fs.IntP(f.flag, f.short, v, usage)
		case int64:
			fs.Int64P(f.flag, f.short, v, usage)
		case float64:
			fs.Float64P(f.flag, f.short, v, usage)
		case time.Duration:
			fs.DurationP(f.flag, f.short, v, usage)
		case []string:
			fs.StringSliceP(f.flag, f.short, v, usage)
		default:
			fs.StringP(f.flag, f.short, fmt.Sprint(v), usage)
		}
	}
}

// Load fills the struct that dst points to, whose current values are the defaults. file may be
// empty; environ is os.Environ or a test's. It returns warnings for KIOSKFLEET_ variables that no
// key of this program has (programs share an environment), and an error that names the key at fault.
func Load(dst any, file string, environ []string, flags *pflag.FlagSet) (warnings []string, err error) {
	known := fields(dst)
	v := viper.New()
	if file != "" {
		v.SetConfigFile(file)
		if !strings.HasSuffix(file, ".yaml") && !strings.HasSuffix(file, ".yml") {
			v.SetConfigType("yaml")
		}
		if err := v.ReadInConfig(); err != nil {
			return nil, fmt.Errorf("read configuration %s: %w", file, err)
		}
		if err := checkKeys(v.AllKeys(), known); err != nil {
			return nil, fmt.Errorf("configuration %s: %w", file, err)
		}
	}
	env := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.HasPrefix(name, EnvPrefix) {
			env[name] = value
		}
	}
	origin := map[string]string{}
	for _, f := range known {
		if v.InConfig(f.key) {
			origin[f.key] = "in " + file
		}
		if value, ok := env[f.env()]; ok {
			v.Set(f.key, value)
			origin[f.key] = "in " + f.env()
			delete(env, f.env())
		}
		if flags != nil {
			if fl := flags.Lookup(f.flag); fl != nil && fl.Changed {
				value := any(fl.Value.String())
				if s, ok := fl.Value.(pflag.SliceValue); ok {
					value = s.GetSlice()
				}
				v.Set(f.key, value)
				origin[f.key] = "in --" + f.flag
			}
		}
	}
	for name := range env {
		warnings = append(warnings, fmt.Sprintf("environment variable %s is not known to this program", name))
	}
	slices.Sort(warnings)

	// Each key is decoded by itself, so that an error can say where the value came from.
	var faults []error
	for _, f := range known {
		if !v.IsSet(f.key) {
			continue
		}
		if err := decode(v.Get(f.key), f.value); err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", f.key, origin[f.key], err))
		}
	}
	if err := errors.Join(faults...); err != nil {
		return warnings, err
	}
	if val, ok := dst.(Validator); ok {
		if err := val.Validate(); err != nil {
			return warnings, err
		}
	}
	return warnings, nil
}

// Environ is the process's environment, for Load.
func Environ() []string { return os.Environ() }

func decode(value any, into reflect.Value) error {
	target := reflect.New(into.Type())
	dec, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:           target.Interface(),
		WeaklyTypedInput: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			durationHook,
			mapstructure.TextUnmarshallerHookFunc(),
			mapstructure.StringToSliceHookFunc(","),
		),
	})
	if err != nil {
		return err
	}
	if err := dec.Decode(value); err != nil {
		return plain(err, value, into.Type())
	}
	into.Set(target.Elem())
	return nil
}

// durationHook refuses bare numbers: 5 could be seconds or nanoseconds.
func durationHook(from, to reflect.Type, data any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() || from == to {
		return data, nil
	}
	s := fmt.Sprint(data)
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, fmt.Errorf("%q is not a duration such as 5s or 10m", s)
	}
	return d, nil
}

// plain shortens the decoder's message to what the user can act on: what a hook of ours said, or
// that the value does not fit.
func plain(err error, value any, want reflect.Type) error {
	msg := err.Error()
	if strings.Contains(msg, "cannot parse") || strings.Contains(msg, "expected type") {
		return fmt.Errorf("%v is not a valid %s", value, want)
	}
	if i := strings.LastIndex(msg, "error decoding '': "); i >= 0 {
		msg = msg[i+len("error decoding '': "):]
	}
	return errors.New(strings.TrimPrefix(msg, "'' "))
}

func checkKeys(got []string, known []field) error {
	var faults []error
	for _, key := range got {
		if slices.ContainsFunc(known, func(f field) bool { return f.key == key }) {
			continue
		}
		if near := nearest(key, known); near != "" {
			faults = append(faults, fmt.Errorf("unknown key %q, did you mean %q?", key, near))
		} else {
			faults = append(faults, fmt.Errorf("unknown key %q", key))
		}
	}
	return errors.Join(faults...)
}

func nearest(key string, known []field) string {
	keys := make([]string, len(known))
	for i, f := range known {
		keys[i] = f.key
	}
	return spelling.Nearest(key, keys, len(key)/3+2)
}

// fields lists the leaves of the struct that dst points to, in order of declaration. The `key` tag
// names a field; structs nest with a dot.
func fields(dst any) []field {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("config: %T is not a pointer to a struct", dst))
	}
	var out []field
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			sf := v.Type().Field(i)
			key := sf.Tag.Get("key")
			if key == "" {
				continue
			}
			key = prefix + key
			if sf.Type.Kind() == reflect.Struct {
				walk(key+".", v.Field(i))
				continue
			}
			flag := sf.Tag.Get("flag")
			if flag == "" {
				flag = strings.NewReplacer(".", "-", "_", "-").Replace(key)
			}
			out = append(out, field{key, flag, sf.Tag.Get("short"), sf.Tag.Get("usage"), v.Field(i)})
		}
	}
	walk("", v.Elem())
	return out
}
