package matcher

import (
	"fmt"
	"path"

	"kioskfleet/admin/fleet"
)

// maxGlobs bounds each list of a scope.
const maxGlobs = 1000

// Covers reports whether the kiosk is in the scope: in each list that is not empty one glob fits.
func Covers(scope *fleet.RuleScope, k *fleet.Kiosk) bool {
	return fits(scope.Serials, k.Serial) && fits(scope.Sites, k.Site) && fits(scope.Models, k.Model) && fits(scope.Tags, k.Tags...)
}

func fits(globs []string, values ...string) bool {
	for _, glob := range globs {
		for _, value := range values {
			if ok, err := path.Match(glob, value); ok && err == nil {
				return true
			}
		}
	}
	return len(globs) == 0
}

// CheckScope adds the faults of a scope to v, under field.
func CheckScope(v *fleet.Violations, field string, scope *fleet.RuleScope) {
	for _, list := range []struct {
		name  string
		globs []string
	}{{"serials", scope.Serials}, {"sites", scope.Sites}, {"tags", scope.Tags}, {"models", scope.Models}} {
		if len(list.globs) > maxGlobs {
			v.Add(field+"."+list.name, "%d entries, at most %d are allowed", len(list.globs), maxGlobs)
			continue
		}
		for i, glob := range list.globs {
			place := fmt.Sprintf("%s.%s[%d]", field, list.name, i)
			if len(glob) > maxValueLength {
				v.Add(place, "has %d bytes, at most %d are allowed", len(glob), maxValueLength)
			} else if _, err := path.Match(glob, "x"); err != nil {
				v.Add(place, "%q is no glob such as terminal-*", glob)
			}
		}
	}
}
