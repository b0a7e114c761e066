// Package configs builds the shipped rules and the table of verdicts into the program. The other files of this folder are for people: each explains
// the keys of one program.
package configs

import _ "embed"

// Alerts is alerts.yaml, the rules that the platform comes with.
//
//go:embed alerts.yaml
var Alerts []byte

// Verdicts is verdicts.yaml, the table of what a kiosk needs to serve.
//
//go:embed verdicts.yaml
var Verdicts []byte
