package detect

import "math"

const (
	logSteps = 7 // bits of the mantissa that are looked up
	logTable = 1 << logSteps
)

// logs are log10 of the middles of the table's steps of [1, 2), and inverses 1 over them.
var logs, inverses = func() (l, inverse [logTable]float64) {
	for i := range l {
		middle := 1 + (float64(i)+0.5)/logTable
		l[i], inverse[i] = math.Log10(middle), 1/middle
	}
	return l, inverse
}()

// log10 returns the decimal logarithm of a normal positive number, to about eight digits, in a third of the time that
// math.Log10 takes: a detector needs a dozen of them for each value.
func log10(x float64) float64 {
	bits := math.Float64bits(x)
	i := bits >> (52 - logSteps) & (logTable - 1)
	m := math.Float64frombits(bits&(1<<52-1) | 1023<<52)
	r := m*inverses[i] - 1
	return float64(int(bits>>52)-1023)*(math.Ln2/math.Ln10) + logs[i] + r*(1-r*(0.5-r*(1./3)))*math.Log10E
}
