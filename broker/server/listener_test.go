package server

import "testing"

// A connection's certificate would take 2 KB for as long as it lives.
func TestConnectionsForgetTheirCertificates(t *testing.T) {
	w, _ := newIntegratorWorld(t)
	w.mustDial("K-1", nil)
	for _, cl := range w.server.mqtt.Clients.GetAll() {
		c, ok := cl.Net.Conn.(*conn)
		if !ok || c.identity.Serial != "K-1" {
			continue
		}
		state := c.ConnectionState()
		if len(state.PeerCertificates) == 0 || len(state.VerifiedChains) == 0 {
			t.Fatal("the handshake left no certificates")
		}
		for _, cert := range state.PeerCertificates {
			if cert != nil {
				t.Errorf("the certificate of %s is kept", cert.Subject)
			}
		}
		for _, chain := range state.VerifiedChains {
			for _, cert := range chain {
				if cert != nil {
					t.Errorf("the verified certificate of %s is kept", cert.Subject)
				}
			}
		}
		return
	}
	t.Fatal("no connection")
}
