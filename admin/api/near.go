package api

import (
	"cmp"
	"slices"
	"strings"

	"kioskfleet/internal/spelling"
)

// maxNear is how many names an answer proposes.
const maxNear = 3

// nearest returns the names that somebody may have meant, nearest first.
func nearest(name string, all []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	var found []candidate
	name = strings.ToLower(name)
	group, field, _ := strings.Cut(name, ".")
	for _, other := range all {
		d := spelling.Distance(name, other)
		// The right field in the wrong group is near, however long the group's name is.
		if otherGroup, otherField, _ := strings.Cut(other, "."); field == otherField {
			d = min(d, 1)
		} else if group == otherGroup {
			d = min(d, spelling.Distance(field, otherField))
		}
		if d <= max(2, len(name)/4) {
			found = append(found, candidate{other, d})
		}
	}
	slices.SortFunc(found, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.distance, b.distance), strings.Compare(a.name, b.name))
	})
	var out []string
	for _, c := range found[:min(maxNear, len(found))] {
		out = append(out, c.name)
	}
	return out
}
