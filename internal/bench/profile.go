package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kioskfleet/internal/testkit/load"
)

// profile is where admin spends its CPU under load: the top of a pprof profile by both orders.
type profile struct {
	Flat       string `json:"flat"`
	Cumulative string `json:"cumulative"`
	Problem    string `json:"problem,omitempty"` // why there is none
}

// profileLines is how long the tops are.
const profileLines = 20

// profileUnder profiles admin during a round of its own, which counts for nothing else.
func (b *bench) profileUnder(ctx context.Context, t *target, ids []load.Identity, window int) *profile {
	fail := func(err error) *profile { return &profile{Problem: err.Error()} }
	if t.platform.debug == "" {
		return &profile{Problem: "admin has no debug listener"}
	}
	ctx, cancel := context.WithTimeout(ctx, roundPatience)
	defer cancel()
	seconds := max(1, int(b.duration/time.Second))
	path := filepath.Join(b.dir, "admin.pprof")
	fetched := make(chan error, 1)
	go func() {
		if err := sleep(ctx, b.warmUp+time.Second); err != nil {
			fetched <- err
			return
		}
		fetched <- fetch(ctx, t.platform.debug+"/debug/pprof/profile?seconds="+strconv.Itoa(seconds), path)
	}()
	b.session++
	_, err := b.measure(ctx, t, loadOn{ids, window, "b" + strconv.Itoa(b.session)}, b.duration+2*time.Second)
	if fetchErr := <-fetched; err == nil {
		err = fetchErr
	}
	if err != nil {
		return fail(err)
	}
	var out profile
	for order, into := range map[string]*string{"-flat": &out.Flat, "-cum": &out.Cumulative} {
		text, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-top", order, "-nodecount="+strconv.Itoa(profileLines), b.admin, path).CombinedOutput()
		if err != nil {
			return fail(fmt.Errorf("go tool pprof: %w: %s", err, text))
		}
		*into = strings.TrimSpace(string(text))
	}
	return &out
}

// fetch stores what an address answers.
func fetch(ctx context.Context, address, path string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, res.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, res.Body)
	return err
}
