// Package spelling tells how far a mistyped name is from the known ones, for errors that say what was
// probably meant.
package spelling

// Distance is how many bytes have to be put in, left out or changed to make b of a.
//
// Source: V. Levenshtein, Binary codes capable of correcting deletions, insertions and reversals, 1966; by
// the algorithm of Wagner and Fischer, with one row of their matrix.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// Nearest returns the known name with the least distance from name, the first of several, or empty if none is
// nearer than the limit.
func Nearest(name string, known []string, limit int) string {
	best := ""
	for _, k := range known {
		if d := Distance(name, k); d < limit {
			best, limit = k, d
		}
	}
	return best
}
