package fleet

import (
	"slices"
	"strings"
	"time"

	"kioskfleet/internal/protocol"
)

// Location is a place on Earth, WGS 84, in degrees.
type Location struct {
	Lat float64 `json:"lat"`
	Lng float64 `json:"lng"`
}

// Kiosk is a registered kiosk: what people decided about it, not what it reports.
type Kiosk struct {
	ID       int64 // small number given at registration; readings carry it as kiosk_id
	Serial   string
	Site     string
	Tags     []string // sorted, without repeats
	Model    string
	Timezone string    // IANA name; empty means UTC
	Location *Location // where it is assigned to stand; nil when nobody said
	// Generation is the lowest that a certificate of this kiosk may carry; a revocation adds one.
	Generation int64
	RevokedAt  *time.Time // when its certificates were revoked; nil once it has enrolled again
	EnrolledAt *time.Time // when it last fetched a certificate
	CreatedAt  time.Time
	UpdatedAt  time.Time // grows with each change, also when the clock is set back
}

// KioskPatch changes those fields of a kiosk that are not nil.
type KioskPatch struct {
	Site     *string
	Tags     *[]string
	Model    *string
	Timezone *string
	Location *Location
}

// Bounds of a kiosk's free-text fields, in bytes, and of its tags, in number.
const (
	maxSiteLength = 64
	maxTagLength  = 64
	maxTags       = 32
)

// Normalise trims the kiosk's texts and sorts its tags, then checks every field. It returns a
// *ValidationError that lists all faults.
func (k *Kiosk) Normalise() error {
	var v Violations
	k.Serial = strings.TrimSpace(k.Serial)
	if err := protocol.CheckSerial(k.Serial); err != nil {
		v.Add("serial", "%v", err)
	}
	k.Site = strings.TrimSpace(k.Site)
	if len(k.Site) > maxSiteLength {
		v.Add("site", "has %d bytes, at most %d are allowed", len(k.Site), maxSiteLength)
	}
	v.checkText("site", k.Site)
	k.Model = strings.TrimSpace(k.Model)
	if len(k.Model) > maxSiteLength {
		v.Add("model", "has %d bytes, at most %d are allowed", len(k.Model), maxSiteLength)
	}
	v.checkText("model", k.Model)
	tags := make([]string, 0, len(k.Tags))
	for _, t := range k.Tags {
		t = strings.TrimSpace(t)
		if t == "" || len(t) > maxTagLength {
			v.Add("tags", "tag %q must have 1 to %d bytes", t, maxTagLength)
			continue
		}
		v.checkText("tags", t)
		tags = append(tags, t)
	}
	slices.Sort(tags)
	k.Tags = slices.Compact(tags)
	if len(k.Tags) > maxTags {
		v.Add("tags", "%d tags, at most %d are allowed", len(k.Tags), maxTags)
	}
	if k.Timezone != "" {
		if _, err := time.LoadLocation(k.Timezone); err != nil || k.Timezone == "Local" {
			v.Add("timezone", "%q is not an IANA time zone such as Europe/Madrid", k.Timezone)
		}
	}
	if l := k.Location; l != nil {
		if !(l.Lat >= -90 && l.Lat <= 90) {
			v.Add("location.lat", "%v is not within -90 to 90 degrees", l.Lat)
		}
		if !(l.Lng >= -180 && l.Lng <= 180) {
			v.Add("location.lng", "%v is not within -180 to 180 degrees", l.Lng)
		}
	}
	return v.Err()
}

// Apply changes the kiosk by the patch; the caller normalises afterwards.
func (k *Kiosk) Apply(p KioskPatch) {
	if p.Site != nil {
		k.Site = *p.Site
	}
	if p.Tags != nil {
		k.Tags = *p.Tags
	}
	if p.Model != nil {
		k.Model = *p.Model
	}
	if p.Timezone != nil {
		k.Timezone = *p.Timezone
	}
	if p.Location != nil {
		k.Location = p.Location
	}
}
