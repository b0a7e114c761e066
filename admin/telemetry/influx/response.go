package influx

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// pointsPerChunk is how many points the server sends in one piece of its answer, and so about how many
// are in memory at once before they are reduced.
const pointsPerChunk = 10_000

// answer is one piece of the server's answer to a query, which is a row of JSON documents. R is what a
// row of values is read into.
type answer[R any] struct {
	Results []struct {
		Series []struct {
			Tags    map[string]string `json:"tags"`
			Columns []string          `json:"columns"`
			Values  []R               `json:"values"`
		} `json:"series"`
		Error string `json:"error"`
	} `json:"results"`
	Error string `json:"error"`
}

// query runs a statement that selects so many numbers, and passes each row to add: the serial it is grouped by,
// if it is, the time in Unix milliseconds, and the numbers, which add must not keep. Rows without one of
// the numbers are left out.
func (s *Store) query(ctx context.Context, statement string, numbers int, add func(serial string, ms int64, values []float64) error) error {
	var values []float64
	return ask(ctx, s, statement, func(piece *answer[[]*float64]) error { // milliseconds are exact in a float64
		for _, result := range piece.Results {
			for _, series := range result.Series {
				serial := series.Tags["serial"]
				for _, cells := range series.Values {
					if len(cells) != 1+numbers {
						return fmt.Errorf("influxdb: a row of its answer has %d columns, not %d", len(cells), 1+numbers)
					}
					if slices.Contains(cells, nil) {
						continue
					}
					values = values[:0]
					for _, cell := range cells[1:] {
						values = append(values, *cell)
					}
					if err := add(serial, int64(*cells[0]), values); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
}

// fields returns the fields of our measurement and their types.
func (s *Store) fields(ctx context.Context) (names, types []string, err error) {
	statement := "SHOW FIELD KEYS FROM " + quoteIdentifier(measurement)
	err = ask(ctx, s, statement, func(piece *answer[[2]string]) error {
		for _, result := range piece.Results {
			for _, series := range result.Series {
				for _, cells := range series.Values {
					names, types = append(names, cells[0]), append(types, cells[1])
				}
			}
		}
		return nil
	})
	return names, types, err
}

// column runs a statement and returns the strings of one column of its answer.
func (s *Store) column(ctx context.Context, statement, column string) ([]string, error) {
	var all []string
	err := ask(ctx, s, statement, func(piece *answer[[]any]) error {
		for _, result := range piece.Results {
			for _, series := range result.Series {
				i := slices.Index(series.Columns, column)
				for _, cells := range series.Values {
					if i < 0 || i >= len(cells) {
						continue
					}
					if text, ok := cells[i].(string); ok {
						all = append(all, text)
					}
				}
			}
		}
		return nil
	})
	return all, err
}

// ask sends a statement and passes each piece of the answer to take.
func ask[R any](ctx context.Context, s *Store, statement string, take func(*answer[R]) error) error {
	form := url.Values{
		"q":          {statement},
		"db":         {s.database},
		"epoch":      {"ms"},
		"chunked":    {"true"},
		"chunk_size": {strconv.Itoa(pointsPerChunk)},
	}
	if s.policy != "" {
		form.Set("rp", s.policy)
	}
	// In the body: a query that names a hundred kiosks is too long for the address in many proxies.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.http.ServerURL()+"query", strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	resp, err := s.exchange(req, "application/x-www-form-urlencoded")
	if err != nil {
		return refused(err)
	}
	defer resp.Body.Close()
	for pieces := json.NewDecoder(resp.Body); ; {
		var piece answer[R]
		if err := pieces.Decode(&piece); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return failed(ctx, fmt.Errorf("read the answer of influxdb: %w", err))
		}
		if err := piece.err(); err != nil {
			return err
		}
		if err := take(&piece); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func (a *answer[R]) err() error {
	message := a.Error
	for _, result := range a.Results {
		if message == "" {
			message = result.Error
		}
	}
	if message != "" {
		return fmt.Errorf("influxdb: %s", message)
	}
	return nil
}
