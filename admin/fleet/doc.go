// Package fleet holds the domain's types: kiosks, readings, presence, verdicts, commands, people. It
// does no I/O and knows no store, broker or web; the packages beside it share these words.
package fleet
