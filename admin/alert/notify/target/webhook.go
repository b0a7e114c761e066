package target

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"kioskfleet/admin/fleet"
)

// The headers of a webhook.
const (
	HeaderDelivery  = "X-Kioskfleet-Delivery"
	HeaderTimestamp = "X-Kioskfleet-Timestamp"
	HeaderSignature = "X-Kioskfleet-Signature"
)

// Signature returns what HeaderSignature says of a body sent at a time (Unix seconds, as in HeaderTimestamp):
// v1= and the HMAC-SHA256 of time, a dot and the body, in hexadecimal. With the time in it a receiver can refuse
// what somebody has recorded and sends again later.
func Signature(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

type webhook struct{ poster }

func newWebhook(t fleet.NotificationTarget, now func() time.Time) *webhook {
	return &webhook{newPoster(t, now)}
}

func (w *webhook) Send(ctx context.Context, m Message) error {
	address, user := login(w.target.URL)
	timestamp := strconv.FormatInt(w.now().Unix(), 10)
	header := http.Header{}
	header.Set(HeaderDelivery, m.Notification.ID)
	header.Set(HeaderTimestamp, timestamp)
	header.Set(HeaderSignature, Signature(w.target.Secret, timestamp, m.Body))
	authorize(header, user)
	return w.post(ctx, address, m.Body, header)
}

func authorize(header http.Header, user *url.Userinfo) {
	if user == nil {
		return
	}
	password, _ := user.Password()
	header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
}
