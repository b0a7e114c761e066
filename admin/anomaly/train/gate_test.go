package train

import (
	"fmt"
	"testing"
	"time"

	"kioskfleet/admin/anomaly/model"
	"kioskfleet/admin/anomaly/watch"
	"kioskfleet/admin/fleet"
)

func options(m *memory) Options {
	from, to := m.span()
	return Options{From: from, To: to, MinKioskDays: 4, Watch: watch.Default(), Origin: fleet.ModelManual, Now: to}
}

var builtIn = &model.File{Model: fleet.Model{Version: model.BuiltIn}}

func TestZ(t *testing.T) {
	b := time.Now()
	m := made(12, 14, 1)
	fmt.Println("made", time.Since(b))
	b = time.Now()
	o, err := Make(t.Context(), m, builtIn, options(m))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(time.Since(b), o.Promote, o.Reason)
	for _, c := range o.File.Checks {
		fmt.Println(c)
	}
	fmt.Printf("%+v\n%+v\n", *o.File.Figures, *o.File.Against)
	d, err := o.File.Encode()
	fmt.Println(len(d), err, len(o.File.Prior))
}
