package journal

import "time"

const (
	// gatherFrom is how many records a second make it worth while to wait for more of them: a commit costs
	// the disk the same for one as for many, and many compress to a fraction.
	gatherFrom = 1000
	// gatherFor bounds how long the first record waits for others.
	gatherFor = 3 * time.Millisecond
	// gatherStep is how long nothing must come for the wait to end: then those who could have sent something
	// wait themselves.
	gatherStep = time.Millisecond
	// enough is how many records are enough.
	enough = 32
	// After aloneFrom gatherings in a row that brought nobody else, there is one publisher, who only waits
	// for himself. He is spared that for gatherPause.
	aloneFrom   = 8
	gatherPause = time.Second

	trafficWindow = 20 * time.Millisecond
)

// traffic follows how many records come.
type traffic struct {
	rate    float64 // records a second
	count   uint64  // since from
	from    time.Time
	alone   int // gatherings in a row that brought nobody
	spareTo time.Time
}

// note counts a batch that was taken, after a gathering or without one.
func (t *traffic) note(count uint64, gathered bool, now time.Time) {
	t.count += count
	if took := now.Sub(t.from); took >= trafficWindow {
		t.rate = float64(t.count) / took.Seconds()
		t.count, t.from = 0, now
	}
	switch {
	case !gathered:
	case count > 1:
		t.alone = 0
	default:
		if t.alone++; t.alone >= aloneFrom {
			t.alone, t.spareTo = 0, now.Add(gatherPause)
		}
	}
}

// gather lets more records share the coming commit while they come fast. It reports whether it waited.
func (j *Journal) gather() (waited bool) {
	began := time.Now()
	if j.traffic.rate < gatherFrom || began.Before(j.traffic.spareTo) {
		return false
	}
	for before := uint64(0); time.Since(began) < gatherFor; {
		j.mu.Lock()
		count, closed := j.pending.count, j.closed
		j.mu.Unlock()
		if count >= enough || count == before || closed {
			return waited
		}
		before, waited = count, true
		expected := time.Duration(float64(enough-count) / j.traffic.rate * float64(time.Second))
		time.Sleep(min(expected, gatherStep))
	}
	return waited
}
