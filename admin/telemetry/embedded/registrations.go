package embedded

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// registrations remembers the metrics that the TSDB registers, because it leaves them registered
// when it is closed, and opening it again would then panic.
type registrations struct {
	to prometheus.Registerer // nil when nobody else wants the metrics

	mu         sync.Mutex // guards collectors
	collectors []prometheus.Collector
}

// registerer returns what to give the TSDB.
func (r *registrations) registerer() prometheus.Registerer { return r }

func (r *registrations) Register(c prometheus.Collector) error {
	if r.to != nil {
		if err := r.to.Register(c); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.collectors = append(r.collectors, c)
	return nil
}

func (r *registrations) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		if err := r.Register(c); err != nil {
			panic(err)
		}
	}
}

func (r *registrations) Unregister(c prometheus.Collector) bool {
	return r.to == nil || r.to.Unregister(c)
}

// undo unregisters everything.
func (r *registrations) undo() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.collectors {
		r.Unregister(c)
	}
	r.collectors = nil
}
