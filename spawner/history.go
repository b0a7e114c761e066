package main

import (
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"kioskfleet/internal/daemon"
	"kioskfleet/kiosk/device"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/kiosk/fault"
	"kioskfleet/spawner/history"
	"kioskfleet/spawner/roster"
	"kioskfleet/spawner/scenario"
)

// commands are the subcommands.
func commands(load daemon.Loader[Config]) []*cobra.Command {
	return []*cobra.Command{history.Command(func(cmd *cobra.Command) (*history.Spawner, error) {
		cfg, _, err := load(cmd)
		if err != nil {
			return nil, err
		}
		platform, err := enroll.NewPlatform(cfg.Admin.URL)
		if err != nil {
			return nil, err
		}
		return &history.Spawner{
			Kiosks: func(n int) ([]roster.Kiosk, error) {
				cfg.Count, cfg.Scenario = n, "" // a history asks its scenario itself who takes part
				if err := cfg.Validate(); err != nil {
					return nil, err
				}
				return cfg.kiosks()
			},
			SerialPrefix: cfg.SerialPrefix,
			Platform:     platform,
			Tokens:       enroll.Tokens{File: cfg.TokenFile, Text: cfg.Enrollment.Token, DataDir: cfg.DataDir},
			APIToken:     cfg.API.Token,
			DataDir:      cfg.DataDir,
			Logger:       func(w io.Writer) (*slog.Logger, error) { return cfg.Log.Logger(w) },
		}, nil
	}, readScenario)}
}

// readScenario reads a scenario for a history.
func readScenario(s *history.Spawner, file string, given []roster.Kiosk) (*history.Scenario, error) {
	sc, err := scenario.Load(file)
	if err != nil {
		return nil, err
	}
	kiosks, err := sc.Roster(s.SerialPrefix, given)
	if err != nil {
		return nil, err
	}
	return &history.Scenario{
		Name: sc.Name, Seed: sc.Seed, Start: sc.Start, Length: sc.Length(), Kiosks: kiosks, Fleets: sc.HasFleets(),
		Fate: func(start time.Time, seed uint64) func(roster.Kiosk) (*fault.Plan, []device.Condition) {
			sc := *sc
			sc.Seed = seed
			return sc.At(start, kiosks).Fate
		},
	}, nil
}
