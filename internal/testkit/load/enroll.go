package load

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"golang.org/x/sync/errgroup"

	"kioskfleet/internal/pki"
	"kioskfleet/internal/protocol"
)

// Identity is what an enrolled kiosk has.
type Identity struct {
	Serial string
	Broker string // mqtts://host:port
	TLS    *tls.Config
	Key    []byte // PEM
	Answer protocol.EnrollResponse
}

// enrollments is how many kiosks enrol at a time.
const enrollments = 16

// Enroll enrols the serials at the address of admin, as kiosks do. A development token registers them
// as well. The identities are in the order of the serials.
func Enroll(ctx context.Context, adminURL, token string, serials []string) ([]Identity, error) {
	out := make([]Identity, len(serials))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(enrollments)
	transport := &http.Transport{MaxIdleConnsPerHost: enrollments}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for i, serial := range serials {
		group.Go(func() (err error) {
			out[i], err = enroll(ctx, client, adminURL, token, serial)
			return err
		})
	}
	return out, group.Wait()
}

func enroll(ctx context.Context, client *http.Client, adminURL, token, serial string) (Identity, error) {
	id := Identity{Serial: serial}
	fail := func(err error) (Identity, error) { return id, fmt.Errorf("enrol %s: %w", serial, err) }
	key, err := pki.NewKey()
	if err != nil {
		return fail(err)
	}
	csr, err := pki.NewCSR(key, serial)
	if err != nil {
		return fail(err)
	}
	body, err := json.Marshal(protocol.EnrollRequest{Token: token, Serial: serial, CSR: string(csr)})
	if err != nil {
		return fail(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, adminURL+protocol.EnrollPath, bytes.NewReader(body))
	if err != nil {
		return fail(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return fail(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return fail(err)
	}
	if res.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("status %d: %s", res.StatusCode, text))
	}
	if err := json.Unmarshal(text, &id.Answer); err != nil {
		return fail(err)
	}
	if id.Key, err = pki.EncodeKey(key); err != nil {
		return fail(err)
	}
	cert, err := tls.X509KeyPair([]byte(id.Answer.Certificate), id.Key)
	if err != nil {
		return fail(err)
	}
	roots, err := pki.Pool([]byte(id.Answer.Chain))
	if err != nil {
		return fail(err)
	}
	id.TLS = pki.ClientTLS(cert, roots)
	if len(id.Answer.Brokers) == 0 {
		return fail(fmt.Errorf("the answer names no broker"))
	}
	id.Broker = id.Answer.Brokers[0]
	return id, nil
}
