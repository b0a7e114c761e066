package detect

// Config holds the constants of all detectors. There is one frozen set of them, Default; only whether trees are grown
// is a choice. Lengths in hours follow the clock, so that they mean the same at every sampling interval, and lengths in
// points bound them from below, where a point is longer than that.
type Config struct {
	// Trees adds half-space trees over the last values. They cost about as much time as all else together and find
	// shapes that repeat and then do not.
	Trees bool

	warm      float64 // points until evidence counts in full
	learnFrom float64 // points before the first is calibrated: the first guesses are no measure

	// Seasonal baseline.
	hourDays    float64 // memory of the mean and the spread of one hour, in days
	allDays     float64 // memory of the mean and the spread of all hours, in days
	shrink      float64 // points for which the mean of all hours stands in an hour's mean
	weekend     float64 // hours for which the mean of all days stands in the mean of a weekend's hour
	clip        float64 // spreads beyond which a value teaches no more
	slowHours   float64 // of the slow smoothing
	slowPoints  float64
	quickHours  float64 // of the quick smoothing
	quickPoints float64
	tailDays    float64 // memory of the calibration
	tailPoints  float64
	rare        float64 // evidence above which few values are learnt

	// Holt-Winters.
	alpha       float64 // of the level, for each point
	gamma       float64 // of the season, for each point while a bucket has at most gammaPoints
	gammaPoints float64

	// Range.
	rangePoints float64 // memory of how often there are new extremes
	rangeSize   float64 // how far beyond the range a new extreme is at first thought to be, in ranges
	rangeShape  float64 // of the tail of that: the larger, the lighter

	// Stuck.
	stillTimes float64 // longest run before that a run has to exceed
	stillShare float64 // of the usual innovation that a value may move and yet not move
	stillGrow  float64 // times the longest run that a single run can add

	// What the evidence of each weighs.
	weights [detectors]float64
	sum     float64 // share of the sum in the combination, beside the largest
	perDay  float64 // how much sampling more often than every five minutes asks for more evidence

	young       float64 // evidence more that is asked of the first value of all
	youngPoints float64 // points after which no more is asked

	// Hold-off.
	escalate   float64 // times what is held that evidence has to be to count in full, of all or of the detector that leads
	held       float64 // share of it that counts otherwise
	holdHours  float64 // time after which what is held is 1/e
	holdPoints float64
	holdShare  float64 // the same as a share of all points so far
}

// The detectors, in the order of Config.weights.
const (
	byLevel = iota
	bySlow
	byQuick
	byCourse
	byRange
	byStill
	byGone
	byTrees
	detectors
)

// Default returns the one configuration, which was fitted to half of the files of the Numenta benchmark and to
// faults in synthetic series, and frozen before it was judged on the others.
func Default() Config {
	return Config{
		warm: 250, learnFrom: 20,
		hourDays: 3.25, allDays: 12, shrink: 2.25, weekend: 2, clip: 6,
		slowHours: 2.9, slowPoints: 6, quickHours: 1. / 6, quickPoints: 2, tailDays: 12, tailPoints: 2000, rare: 3,
		alpha: 0.45, gamma: 0.2, gammaPoints: 6,
		rangePoints: 6800, rangeSize: 0.02, rangeShape: 4.7,
		stillTimes: 1.5, stillShare: 0.002, stillGrow: 3,
		weights: [detectors]float64{
			byLevel: 0.5, bySlow: 0.75, byQuick: 0.55, byCourse: 1, byRange: 1.2, byStill: 0.8, byGone: 1, byTrees: 0.2,
		},
		sum: 0.4, perDay: 0.12, young: 1, youngPoints: 2000,
		escalate: 1.2, held: 0.04, holdHours: 4.5, holdPoints: 60, holdShare: 0.14,
	}
}
