package fleet

import "time"

// Rollup is the packed summary of one metric of one kiosk on one day.
type Rollup struct {
	Metric, Serial string
	Day            int64 // days since 1970-01-01 in UTC
	Data           []byte
}

// RollupMark says that a day of a kiosk, or of all when Serial is empty, is to be made again from raw
// readings.
type RollupMark struct {
	Serial string
	Day    int64
	Late   bool // readings came that the rollup lacks

	// Version counts how often the mark was set; who has made the day again removes the version that it saw.
	Version int64
}

// RollupProgress says what is rolled up: everything from From up to Until. Up to Target it is being rolled
// up, or was when the process ended. All are zero before the first time.
type RollupProgress struct {
	From, Until, Target time.Time
}
