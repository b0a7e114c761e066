package anomaly

import (
	"context"
	"time"

	"kioskfleet/admin/anomaly/watch"
)

// peersAfter is how long after the end of an hour kiosks are compared: by then readings have come that show that it is
// over, also from kiosks whose clocks are behind.
const peersAfter = 5 * time.Minute

// siblings are the kiosks of one model at one site.
type siblings struct{ model, site string }

// comparePeers compares each kiosk with its siblings, hour after hour, until ctx ends.
func (w *Watch) comparePeers(ctx context.Context) {
	for {
		now := w.cfg.Now()
		over := now.Add(-peersAfter).Truncate(time.Hour) // the end of the hour to look at
		w.compare(ctx, over.Add(-time.Hour))
		timer := time.NewTimer(over.Add(time.Hour + peersAfter).Sub(now))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

// compare compares all kiosks in the hour that begins at hour, those that were not yet. It goes over them twice, and
// holds each only while it looks at it.
func (w *Watch) compare(ctx context.Context, hour time.Time) {
	groups := map[siblings]*watch.Peers{}
	each := func(do func(e *entry, p *watch.Peers)) {
		for i := range w.shards {
			w.load(&w.shards[i])
			for _, one := range w.shards[i].all() {
				k, err := w.cfg.Kiosks.Get(one.serial)
				if err != nil || ctx.Err() != nil {
					continue
				}
				group := siblings{w.modelOf(k), k.Site}
				if groups[group] == nil {
					groups[group] = watch.NewPeers(hour)
				}
				one.mu.Lock()
				do(one.entry, groups[group])
				one.mu.Unlock()
			}
		}
	}
	each(func(e *entry, p *watch.Peers) { p.Add(e.kiosk) })
	each(func(e *entry, p *watch.Peers) {
		if ms := hour.UnixMilli(); e.peers < ms {
			e.kiosk.Compare(p)
			e.peers, e.changed = ms, true
		}
	})
}
