package detect

import "testing"

func TestOfRareValuesOneInFourIsLearnt(t *testing.T) {
	for _, tt := range []struct {
		name string
		rare []int
	}{
		{"to none", nil},
		{"to one", []int{byQuick}},
		{"to two", []int{byLevel, bySlow}},
		{"to three", []int{byLevel, bySlow, byQuick}},
		{"to all", []int{byLevel, bySlow, byQuick, byCourse}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m Metric
			var s sample
			for _, by := range tt.rare {
				s.rare |= 1 << by
			}
			const values = 400
			usual, rare := 0, 0 // times that a calibration learnt
			for range values {
				for by := byLevel; by <= byCourse; by++ {
					switch taught := m.teaches(&s, by); {
					case taught && s.rare>>by&1 == 1:
						rare++
					case taught:
						usual++
					}
				}
			}
			if want := values * len(tt.rare) / rareEach; rare != want {
				t.Errorf("%d rare values were learnt, want %d", rare, want)
			}
			if want := values * (byCourse + 1 - len(tt.rare)); usual != want {
				t.Errorf("%d usual values were learnt, want %d", usual, want)
			}
		})
	}
}
