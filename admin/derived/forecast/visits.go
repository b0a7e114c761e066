package forecast

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"kioskfleet/admin/fleet"
)

// errands are the states of peripherals for which a person must go anyway.
var errands = []struct{ metric, state, need, text string }{
	{"peripherals.printer_status", "paper_jam", "paper", "clear the paper jam"},
	{"peripherals.printer_status", "offline", "paper", "look after the printer: it is out of paper or does not answer"},
	{"peripherals.printer_status", "low_ink", "ink", "bring an ink cartridge"},
	{"peripherals.cash_acceptor", "full", "cash", "empty the cash box"},
	{"peripherals.cash_acceptor", "error", "cash", "look after the cash acceptor"},
	{"peripherals.card_reader", "error", "card", "look after the card reader"},
}

// bring says what to bring, or to do, for each need.
var bring = map[string]string{
	"paper": "bring a paper roll",
	"ink":   "bring an ink cartridge",
	"cash":  "empty the cash box",
	"disk":  "tidy up the disk",
}

// Visits says what to bring where: for each site everything that is due within the horizon from now on, the site and
// in it the item that is due first in front. An empty site stands for all. Live gives the live state of a kiosk, whose
// troubles are due now; nil leaves them out.
//
// An item counts once for each kiosk and need: what has broken goes before what runs out.
func (f *Forecasts) Visits(now time.Time, horizon time.Duration, site string, kiosks []*fleet.Kiosk, live func(serial string) *fleet.Live) []fleet.Visit {
	bySite := map[string]*fleet.Visit{}
	for _, k := range kiosks {
		if site != "" && k.Site != site {
			continue
		}
		items := f.due(k.Serial, now, horizon, live)
		if len(items) == 0 {
			continue
		}
		v, ok := bySite[k.Site]
		if !ok {
			v = &fleet.Visit{Site: k.Site}
			bySite[k.Site] = v
		}
		v.Items = append(v.Items, items...)
	}
	out := []fleet.Visit{}
	for _, v := range bySite {
		slices.SortFunc(v.Items, func(a, b fleet.VisitItem) int {
			return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Serial, b.Serial), cmp.Compare(a.Need, b.Need))
		})
		v.Due = v.Items[0].Due
		out = append(out, *v)
	}
	slices.SortFunc(out, func(a, b fleet.Visit) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Site, b.Site)) })
	return out
}

// due returns the items of one kiosk.
func (f *Forecasts) due(serial string, now time.Time, horizon time.Duration, live func(string) *fleet.Live) []fleet.VisitItem {
	var items []fleet.VisitItem
	covered := map[string]bool{}
	if live != nil {
		if l := live(serial); l != nil && l.LastReading != nil {
			for _, e := range errands {
				if state, _ := l.LastReading.Text(e.metric); state == e.state && !covered[e.need] {
					level, _ := l.LastReading.Value("custom." + e.need + "_level")
					items = append(items, fleet.VisitItem{Serial: serial, Metric: e.metric, Need: e.need, Level: level, Due: now, Text: e.text})
					covered[e.need] = true
				}
			}
		}
	}
	for _, c := range f.Forecasts(serial) {
		need := kinds[kindOf(c.Metric)].need
		if covered[need] || c.Earliest > horizon.Hours()+now.Sub(c.At).Hours() {
			continue
		}
		due := c.At.Add(time.Duration(c.Earliest * float64(time.Hour)))
		if due.Before(now) {
			due = now
		}
		items = append(items, fleet.VisitItem{Serial: serial, Metric: c.Metric, Need: need, Level: c.Level, Due: due, Text: bring[need]})
	}
	return items
}

// Pack returns what to take along on a visit, in the order in which it is due, such as
// "2 paper rolls: SIM-KIOSK-003, SIM-KIOSK-007".
func Pack(v fleet.Visit) []string {
	var order []string
	serials := map[string][]string{}
	for _, item := range v.Items {
		if _, ok := serials[item.Text]; !ok {
			order = append(order, item.Text)
		}
		serials[item.Text] = append(serials[item.Text], item.Serial)
	}
	out := make([]string, 0, len(order))
	for _, text := range order {
		list := strings.Join(serials[text], ", ")
		n := len(serials[text])
		switch text {
		case bring["paper"]:
			out = append(out, fmt.Sprintf("%s: %s", counted(n, "paper roll"), list))
		case bring["ink"]:
			out = append(out, fmt.Sprintf("%s: %s", counted(n, "ink cartridge"), list))
		default:
			out = append(out, fmt.Sprintf("%s: %s", text, list))
		}
	}
	return out
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
