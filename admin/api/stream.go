package api

import (
	"encoding/json"
	"errors"
	"fmt"
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
	// heartbeatEvery keeps proxies from closing a quiet stream, and shows the client that it lives.
	heartbeatEvery = 15 * time.Second
	// writeTimeout ends a stream whose client has stopped reading.
	writeTimeout = 20 * time.Second
)

// streamTypes are the event names that a client may choose from.
var streamTypes = []string{"kiosk", "reading", "command", "removed", "alert", "incident", "job"}

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
	w := &sseWriter{response: c.Response(), control: http.NewResponseController(c.Response().Writer), server: s, wanted: wanted, sent: map[string]time.Time{}, later: map[string]struct{}{}}
	return w.run(c, client)
}

// sseWriter writes one client's stream.
type sseWriter struct {
	response *echo.Response
	control  *http.ResponseController
	server   *Server
	wanted   map[string]bool
	sent     map[string]time.Time // when a kiosk's reading last went out
	later    map[string]struct{}  // kiosks whose newest reading waits for its second to pass
}

func (w *sseWriter) run(c echo.Context, client *client) error {
	// The comment makes the headers go out, so that the client knows that it is connected.
	if err := w.write(": connected\n\n"); err != nil {
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
			err = w.write(": alive\n\n")
		case <-spaced.C:
			err = w.dueReadings()
		case <-client.wake:
			timer := time.NewTimer(coalesce)
			select {
			case <-timer.C:
			case <-c.Request().Context().Done():
				timer.Stop()
				return nil
			}
			d := client.take()
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

func (w *sseWriter) deliver(d delivery) error {
	if d.resync {
		if err := w.write("event: resync\ndata: {}\n\n"); err != nil {
			return err
		}
	}
	for _, serial := range d.removed {
		if err := w.event("removed", map[string]string{"serial": serial}); err != nil {
			return err
		}
	}
	for serial := range d.kiosks {
		k, err := w.server.cfg.Registry.Get(serial)
		if err != nil {
			continue // removed meanwhile
		}
		if err := w.event("kiosk", w.server.view(k)); err != nil {
			return err
		}
	}
	for _, command := range d.commands {
		if err := w.event("command", viewCommand(command)); err != nil {
			return err
		}
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
	for serial := range d.readings {
		w.later[serial] = struct{}{}
	}
	return w.dueReadings()
}

// dueReadings sends the newest reading of each kiosk that has one and got none in the last second.
func (w *sseWriter) dueReadings() error {
	now := time.Now()
	for serial := range w.later {
		if now.Sub(w.sent[serial]) < readingsEvery {
			continue
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
	return nil
}

func (w *sseWriter) event(name string, data any) error {
	if !w.wanted[name] {
		return nil
	}
	text, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("event %s: %w", name, err)
	}
	return w.write("event: " + name + "\ndata: " + string(text) + "\n\n")
}

func (w *sseWriter) write(text string) error {
	if err := w.control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := w.response.Write([]byte(text)); err != nil {
		return err
	}
	return w.control.Flush()
}
