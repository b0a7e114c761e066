package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"kioskfleet/admin/fleet"
)

const (
	// readingsEvery spaces the readings of one kiosk to one client.
	readingsEvery = time.Second
	// coalesce lets changes of the same moment travel together.
	coalesce = 20 * time.Millisecond
	// atOnce is how many kiosks and readings are written before what is more urgent is looked for.
	atOnce = 300
	// maxUnwritten is how many bytes of events are written together.
	maxUnwritten = 32 << 10
	// heartbeatEvery keeps proxies from closing a quiet stream, and shows the client that it lives.
	heartbeatEvery = 15 * time.Second
	// writeTimeout ends a stream whose client has stopped reading.
	writeTimeout = 20 * time.Second
)

// streamTypes are the event names that a client may choose from.
var streamTypes = []string{"kiosk", "reading", "command", "removed", "alert", "incident", "anomaly", "job"}

func (s *Server) stream(c echo.Context) error {
	wanted := map[string]bool{}
	for _, t := range strings.Split(c.QueryParam("types"), ",") {
		if t == "" {
			continue
		}
		if !slices.Contains(streamTypes, t) {
			return fleet.Invalid("types", "%q is unknown, use some of %s", t, strings.Join(streamTypes, ","))
		}
		wanted[t] = true
	}
	if len(wanted) == 0 {
		for _, t := range streamTypes {
			wanted[t] = true
		}
	}
	h := c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	c.Response().WriteHeader(http.StatusOK)

	client := s.cfg.Hub.join(c.QueryParam("serial"))
	defer s.cfg.Hub.leave(client)
	w := &sseWriter{
		response: c.Response(), control: http.NewResponseController(c.Response().Writer), server: s, client: client, wanted: wanted,
		changed: map[string]struct{}{}, sent: map[string]time.Time{}, later: map[string]struct{}{},
	}
	return w.run(c)
}

// sseWriter writes one client's stream.
type sseWriter struct {
	response *echo.Response
	control  *http.ResponseController
	server   *Server
	client   *client
	wanted   map[string]bool
	text     bytes.Buffer         // events that are not written yet
	changed  map[string]struct{}  // kiosks that changed and are not told of yet
	sent     map[string]time.Time // when a kiosk's reading last went out
	later    map[string]struct{}  // kiosks whose newest reading waits for its second to pass
}

func (w *sseWriter) run(c echo.Context) error {
	// The comment makes the headers go out, so that the client knows that it is connected.
	if err := w.say(": connected\n\n"); err != nil {
		return nil
	}
	heartbeat := time.NewTicker(heartbeatEvery)
	defer heartbeat.Stop()
	spaced := time.NewTicker(readingsEvery / 4)
	defer spaced.Stop()
	for {
		var err error
		select {
		case <-c.Request().Context().Done():
			return nil
		case <-heartbeat.C:
			// The session may have ended since, or the token may have been withdrawn.
			if _, err := w.server.whoIs(c); errors.Is(err, fleet.ErrUnauthorized) {
				return nil
			}
			err = w.say(": alive\n\n")
		case <-spaced.C:
			err = w.due()
		case <-w.client.wake:
			timer := time.NewTimer(coalesce)
			select {
			case <-timer.C:
			case <-c.Request().Context().Done():
				timer.Stop()
				return nil
			}
			d := w.client.take()
			if d.done {
				return nil
			}
			err = w.deliver(d)
		}
		if err != nil {
			return nil // the client went; there is nobody to tell
		}
	}
}

// deliver writes what waited for the client. What people act on goes first: in an outage, thousands of kiosks change
// in the same moment.
func (w *sseWriter) deliver(d delivery) error {
	if d.resync {
		w.text.WriteString("event: resync\ndata: {}\n\n")
	}
	for _, a := range d.alerts {
		if err := w.event("alert", viewAlert(a)); err != nil {
			return err
		}
	}
	for _, i := range d.incidents {
		if err := w.event("incident", viewIncident(i)); err != nil {
			return err
		}
	}
	for _, e := range d.anomalies {
		if err := w.event("anomaly", viewAnomalyEvent(e)); err != nil {
			return err
		}
	}
	for _, command := range d.commands {
		if err := w.event("command", viewCommand(command)); err != nil {
			return err
		}
	}
	for _, serial := range d.removed {
		delete(w.changed, serial)
		delete(w.later, serial)
		if err := w.event("removed", map[string]string{"serial": serial}); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	if w.wanted["kiosk"] {
		maps.Copy(w.changed, d.kiosks)
	}
	if w.wanted["reading"] {
		maps.Copy(w.later, d.readings)
	}
	return w.due()
}

// due sends the kiosks that changed, and the newest reading of each kiosk that has one and got none in the last
// second. When there are many it sends some, and comes back for the others once it has looked for alerts.
func (w *sseWriter) due() error {
	left := atOnce
	for serial := range w.changed {
		if left--; left < 0 {
			break
		}
		delete(w.changed, serial)
		k, err := w.server.cfg.Registry.Get(serial)
		if err != nil {
			continue // removed meanwhile
		}
		if err := w.event("kiosk", w.server.view(k)); err != nil {
			return err
		}
	}
	now := time.Now()
	for serial := range w.later {
		if now.Sub(w.sent[serial]) < readingsEvery {
			continue
		}
		if left--; left < 0 {
			break
		}
		delete(w.later, serial)
		if _, err := w.server.cfg.Registry.Get(serial); err != nil {
			delete(w.sent, serial)
			continue
		}
		w.sent[serial] = now
		if r := w.server.cfg.Presence.Get(serial).LastReading; r != nil {
			if err := w.event("reading", liveReadingView{serial, viewReading(r)}); err != nil {
				return err
			}
		}
	}
	if left < 0 {
		w.client.rouse()
	}
	return w.flush()
}

// event adds an event that the client wants to what will be written.
func (w *sseWriter) event(name string, data any) error {
	if !w.wanted[name] {
		return nil
	}
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("event %s: %w", name, err)
	}
	w.text.WriteString("event: " + name + "\ndata: ")
	w.text.Write(text)
	w.text.WriteString("\n\n")
	if w.text.Len() < maxUnwritten {
		return nil
	}
	return w.flush()
}

// say writes a comment at once.
func (w *sseWriter) say(text string) error {
	w.text.WriteString(text)
	return w.flush()
}

// flush writes the events that wait.
func (w *sseWriter) flush() error {
	if w.text.Len() == 0 {
		return nil
	}
	if err := w.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := w.response.Write(w.text.Bytes()); err != nil {
		return err
	}
	w.text.Reset()
	return w.control.Flush()
}
