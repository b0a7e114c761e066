package protocol

import (
	"errors"
	"strings"
)

// EnrollmentToken is the text that lets a kiosk fetch a certificate: kfe1.<id>.<secret>.<ca>. ID finds
// the token, Secret proves it, CA is the fingerprint of the platform's certificate authority
// (SHA-256, base64url), so that the kiosk can tell the right server.
type EnrollmentToken struct {
	ID     string
	Secret string
	CA     string
}

const enrollmentTokenPrefix = "kfe1"

// String returns the token's text. It is a secret: never log it.
func (t EnrollmentToken) String() string {
	return strings.Join([]string{enrollmentTokenPrefix, t.ID, t.Secret, t.CA}, ".")
}

// ParseEnrollmentToken reads a token's text; white space around it is ignored. The error never
// repeats the text.
func ParseEnrollmentToken(text string) (EnrollmentToken, error) {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) != 4 || parts[0] != enrollmentTokenPrefix || parts[1] == "" || parts[2] == "" || parts[3] == "" {
		return EnrollmentToken{}, errors.New("not an enrolment token: it should look like " + enrollmentTokenPrefix + ".<id>.<secret>.<ca fingerprint>")
	}
	return EnrollmentToken{ID: parts[1], Secret: parts[2], CA: parts[3]}, nil
}
