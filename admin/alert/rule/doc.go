// Package rule is the language of alert rules: conditions over what is known of a kiosk, checked when they are
// saved and compiled once, and an index that finds the rules of a kiosk without trying each.
package rule
