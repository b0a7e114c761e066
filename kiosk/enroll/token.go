package enroll

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kioskfleet/internal/protocol"
)

// ErrNoToken says that no place holds an enrolment token.
var ErrNoToken = errors.New("no enrolment token")

// Tokens says where to look for the enrolment token; the first place that is set wins. It is read
// anew each time, because a platform in development mode may write its token after the kiosk's start.
type Tokens struct {
	File    string // --token-file
	Text    string // KIOSKFLEET_ENROLLMENT_TOKEN
	DataDir string // holds spawner-token in development mode
}

// devTokenFile is what admin writes into its data folder in development mode.
const devTokenFile = "spawner-token"

// Find returns the token. Its errors name the place and never the token.
//
// Errors: ErrNoToken when nothing is set and there is no file in the data folder.
func (t Tokens) Find() (protocol.EnrollmentToken, error) {
	path, needed := t.File, true
	if path == "" && t.Text != "" {
		token, err := protocol.ParseEnrollmentToken(t.Text)
		if err != nil {
			return token, fmt.Errorf("enrollment.token: %w", err)
		}
		return token, nil
	}
	if path == "" {
		path, needed = filepath.Join(t.DataDir, devTokenFile), false
	}
	text, err := os.ReadFile(path)
	if err != nil {
		if !needed && errors.Is(err, fs.ErrNotExist) {
			return protocol.EnrollmentToken{}, fmt.Errorf("%w: give --token-file or KIOSKFLEET_ENROLLMENT_TOKEN, or start admin with --dev so that it writes %s", ErrNoToken, path)
		}
		return protocol.EnrollmentToken{}, fmt.Errorf("read the enrolment token: %w", err)
	}
	token, err := protocol.ParseEnrollmentToken(string(text))
	if err != nil {
		return token, fmt.Errorf("%s: %w", path, err)
	}
	return token, nil
}
