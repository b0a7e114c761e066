package embedded

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kioskfleet/admin/telemetry"
)

func TestRoomMustLastToBeTrusted(t *testing.T) {
	const mb = 1 << 20
	for name, tt := range map[string]struct {
		free  []int64 // at each look; the last one lasts
		error bool
		takes time.Duration
	}{
		"plenty":               {free: []int64{64 * mb}},
		"full":                 {free: []int64{7 * mb}, error: true},
		"little, but steady":   {free: []int64{9 * mb}, takes: 5 * roomPause},
		"taken again":          {free: []int64{30 * mb, 30 * mb, 0}, error: true, takes: 2 * roomPause},
		"more becomes free":    {free: []int64{9 * mb, 90 * mb}, takes: roomPause},
		"the system is silent": {free: []int64{-1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				look := 0
				began := time.Now()
				err := awaitRoom("folder", 4*mb, func(string) (int64, error) {
					free := tt.free[min(look, len(tt.free)-1)]
					look++
					if free < 0 {
						return 0, errors.New("unknown")
					}
					return free, nil
				})
				var later *telemetry.RetryAfterError
				if tt.error && (!errors.As(err, &later) || later.After <= 0 || !strings.Contains(err.Error(), "folder has only")) || !tt.error && err != nil {
					t.Errorf("error = %v", err)
				}
				if took := time.Since(began); took != tt.takes {
					t.Errorf("it took %s, want %s", took, tt.takes)
				}
			})
		})
	}
}
