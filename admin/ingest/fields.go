package ingest

import (
	"bytes"
	"slices"
	"strings"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// field is a field of a group. All of them are collected before they are sorted, found to be different,
// and copied into slices of the right size.
type field struct {
	metric string
	rank   int // in the catalogue, or unranked
	kind   fieldKind
	value  float64
	text   string
}

type fieldKind byte

const (
	fieldNull fieldKind = iota // a sensor without a value right now
	fieldNumber
	fieldText
)

// fill sorts the fields and copies them into the reading.
func (d *decoder) fill(r *fleet.Reading) *refusal {
	if len(d.groups) > 1 {
		slices.SortFunc(d.groups, bytes.Compare)
		for i, name := range d.groups[1:] {
			if bytes.Equal(d.groups[i], name) {
				return refuse(reasonDuplicateKey, "%s comes twice", quote(name))
			}
		}
	}
	sortFields(d.fields)
	numbers := 0
	for i := range d.fields {
		if i > 0 && d.fields[i].compare(&d.fields[i-1]) == 0 {
			return refuse(reasonDuplicateKey, "%s comes twice", d.fields[i].metric)
		}
		f := &d.fields[i]
		if f.rank == unranked && f.kind != fieldNull && protocol.IsComputed(f.metric) {
			// It is for the platform to say. The rest of the reading is as good as ever.
			if f.kind == fieldText {
				d.texts--
			}
			f.kind = fieldNull
			d.reserved++
		}
		if f.kind == fieldNumber {
			numbers++
		}
	}
	if numbers > 0 {
		r.Values = make([]fleet.Value, 0, numbers)
	}
	if d.texts > 0 {
		r.Texts = make([]fleet.Text, 0, d.texts)
	}
	for i := range d.fields {
		switch f := &d.fields[i]; f.kind {
		case fieldNumber:
			r.Values = append(r.Values, fleet.Value{Metric: f.metric, Value: f.value})
		case fieldText:
			r.Texts = append(r.Texts, fleet.Text{Metric: f.metric, Text: f.text})
		}
	}
	return nil
}

func (f *field) compare(g *field) int {
	if f.rank != unranked && g.rank != unranked {
		return f.rank - g.rank
	}
	return strings.Compare(f.metric, g.metric)
}

// fewFields is up to where moving fields one by one is faster than anything clever.
const fewFields = 32

func sortFields(fields []field) {
	if len(fields) > fewFields {
		slices.SortFunc(fields, func(a, b field) int { return a.compare(&b) })
		return
	}
	for i := 1; i < len(fields); i++ {
		j := i
		for j > 0 && fields[i].compare(&fields[j-1]) < 0 {
			j--
		}
		if j < i {
			f := fields[i]
			copy(fields[j+1:i+1], fields[j:i])
			fields[j] = f
		}
	}
}
