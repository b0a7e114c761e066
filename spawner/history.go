package main

import (
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"kioskfleet/internal/daemon"
	"kioskfleet/kiosk/enroll"
	"kioskfleet/spawner/history"
	"kioskfleet/spawner/roster"
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
				cfg.Count = n
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
	}, nil)}
}
