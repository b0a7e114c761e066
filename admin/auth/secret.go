package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
)

// NewSecret returns 256 random bits as text, for tokens and cookies.
func NewSecret() string { return randomText(32) }

// NewID returns a short random identifier that is not secret.
func NewID() string { return strings.NewReplacer("-", "a", "_", "b").Replace(randomText(9)) }

func randomText(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// HashSecret returns what is stored of a secret. A plain SHA-256 is enough: unlike a password, the
// secret has 256 random bits and cannot be guessed.
func HashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

const apiTokenPrefix = "kfa1"

func formatAPIToken(id, secret string) string { return apiTokenPrefix + "." + id + "." + secret }

func parseAPIToken(text string) (id, secret string, err error) {
	parts := strings.Split(text, ".")
	if len(parts) != 3 || parts[0] != apiTokenPrefix || parts[1] == "" || parts[2] == "" {
		return "", "", errors.New("not an API token")
	}
	return parts[1], parts[2], nil
}
