// Package protocol is the contract between kiosks and the platform: MQTT topics, the JSON messages
// on them, and the catalogue of known metrics. Both sides import it; it imports nothing of ours.
package protocol
