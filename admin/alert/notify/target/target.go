// Package target delivers notifications: signed webhooks, Alertmanager, and mail, chat and others by shoutrrr. An
// error of a delivery says what the other side said, and never holds a secret of the target's address.
package target

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
	"kioskfleet/internal/protocol"
)

// Timeout is how long one attempt may take.
const Timeout = 10 * time.Second

// Message is one notification to deliver. Body is its JSON as it was stored: what is signed and sent.
type Message struct {
	Notification protocol.Notification
	Body         []byte
}

// Sender delivers to one target. Send returns within Timeout, earlier if ctx ends. It is not safe for concurrent
// use.
//
// Errors: *Failure.
type Sender interface {
	Send(ctx context.Context, m Message) error
}

// Refresher is a target that forgets what is not told again and again.
type Refresher interface {
	Refresh(ctx context.Context, standing []protocol.Notification) error
}

// Failure is a failed attempt.
type Failure struct {
	Text       string
	Final      bool          // it is of no use to try again
	RetryAfter time.Duration // the other side asks to be left alone for so long; 0: it does not
}

func (f *Failure) Error() string { return f.Text }

// New returns the sender of a target that Check has found good.
func New(t fleet.NotificationTarget, now func() time.Time) (Sender, error) {
	switch t.Kind {
	case fleet.TargetWebhook:
		return newWebhook(t, now), nil
	case fleet.TargetAlertmanager:
		return newAlertmanager(t, now), nil
	case fleet.TargetShoutrrr:
		return newShoutrrr(t)
	}
	return nil, fmt.Errorf("target %s: nothing is delivered to the kind %q", t.Name, t.Kind)
}

const (
	maxURL    = 2048
	maxSecret = 256
	minSecret = 16
)

// Check adds the faults of a target's address and secret to v.
func Check(v *fleet.Violations, t fleet.NotificationTarget) {
	if len(t.URL) > maxURL {
		v.Add("url", "has %d bytes, at most %d are allowed", len(t.URL), maxURL)
		return
	}
	if t.Kind != fleet.TargetWebhook && t.Secret != "" {
		v.Add("secret", "only a webhook has one")
	}
	switch t.Kind {
	case fleet.TargetWebhook:
		if n := len(t.Secret); n < minSecret || n > maxSecret {
			v.Add("secret", "must have %d to %d bytes; the receiver checks signatures with it", minSecret, maxSecret)
		}
		checkHTTP(v, t.URL)
	case fleet.TargetAlertmanager:
		checkHTTP(v, t.URL)
	case fleet.TargetShoutrrr:
		s, err := newShoutrrr(t)
		if err == nil {
			err = s.check()
		}
		if err != nil {
			v.Add("url", "%v", err)
		}
	}
}

func checkHTTP(v *fleet.Violations, address string) {
	u, err := url.Parse(address)
	switch {
	case err != nil: // the error would show the address
		v.Add("url", "is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		v.Add("url", "must begin with http:// or https://")
	case u.Hostname() == "":
		v.Add("url", "has no host")
	case u.Fragment != "":
		v.Add("url", "must not have a fragment (#)")
	}
}

// Redacted returns a target's address without anything that may be a secret, to be shown.
func Redacted(t fleet.NotificationTarget) string {
	u, err := url.Parse(t.URL)
	if err != nil || t.URL == "" {
		return ""
	}
	if t.Kind == fleet.TargetShoutrrr && u.Scheme != "smtp" {
		return u.Scheme + "://…" // a token may stand in the place of the host
	}
	out := u.Scheme + "://" + u.Host
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		out += "/…"
	}
	return out
}

// maxSaid bounds how much of another side's words is kept.
const maxSaid = 300

// clean makes a text fit to be shown: in one line, not long, and without what in the address may be secret.
func clean(text string, t fleet.NotificationTarget) string {
	for _, secret := range secrets(t) {
		text = strings.ReplaceAll(text, secret, "…")
	}
	text = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(text, "�"), func(r rune) bool { return r < ' ' || r == 0x7f }), " ")
	if len(text) > maxSaid {
		text = strings.ToValidUTF8(text[:maxSaid], "") + "…"
	}
	return text
}

// secrets lists everything in the address that must not be shown, as it is written there and as it is meant, the
// longest first.
func secrets(t fleet.NotificationTarget) []string {
	var out []string
	add := func(written string) {
		meant, err := url.PathUnescape(written)
		if err != nil {
			meant = written
		}
		query, err := url.QueryUnescape(written)
		if err != nil {
			query = written
		}
		for _, s := range []string{written, meant, query} {
			if len(s) >= 4 {
				out = append(out, s)
			}
		}
	}
	add(t.URL)
	add(t.Secret)
	_, rest, _ := strings.Cut(t.URL, "://")
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	if at := strings.LastIndex(authority, "@"); at >= 0 {
		user, password, _ := strings.Cut(authority[:at], ":")
		add(password)
		add(user)
		authority = authority[at+1:]
	}
	if t.Kind == fleet.TargetShoutrrr && !strings.HasPrefix(t.URL, "smtp:") {
		add(authority)
	}
	add(path)
	for segment := range strings.SplitSeq(path, "/") {
		if len(segment) >= 8 {
			add(segment)
		}
	}
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, _ := strings.Cut(pair, "="); !shown(t, name) {
			add(value)
		}
	}
	return longestFirst(out)
}

// shown reports whether a parameter of the address holds no secret: who mail is for helps to find a fault.
func shown(t fleet.NotificationTarget, name string) bool {
	return t.Kind == fleet.TargetShoutrrr && strings.HasPrefix(t.URL, "smtp:") && name != "password"
}

// failure returns err as a *Failure without secrets.
func failure(err error, t fleet.NotificationTarget) *Failure {
	var u *url.Error
	if errors.As(err, &u) { // it names the address
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Failure{Text: "no answer in time"}
	}
	return &Failure{Text: clean(err.Error(), t)}
}

func longestFirst(texts []string) []string {
	slices.SortFunc(texts, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(texts)
}
