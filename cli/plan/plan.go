// Package plan is the command that says beforehand how a Rollout will go. The controller's program and the plugin for kubectl both have it.
package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/weighlock/weighlock/analysis/forecast"
	"github.com/weighlock/weighlock/analysis/simulation"
)

// Options are what the flags of the command say.
type Options struct {
	file, name, output         string
	rate                       float64
	scrape                     time.Duration
	errors, badErrors, matched string
	latency                    string
	seed                       uint64

	service forecast.Service
}

// Bind adds the flags of the command.
func (o *Options) Bind(flags *pflag.FlagSet) {
	flags.StringVarP(&o.file, "filename", "f", "", "The file that holds the Rollout; - for standard input.")
	flags.StringVar(&o.name, "name", "", "The name of the Rollout, where the file holds several.")
	flags.Float64Var(&o.rate, "rps", 0, "How many requests users send per second.")
	flags.StringVar(&o.errors, "baseline-errors", "0.1%", "The share of requests that fail today.")
	flags.StringVar(&o.latency, "latency", "40ms/300ms", "How long requests take today: the median and the 99th percentile.")
	flags.DurationVar(&o.scrape, "scrape-interval", 15*time.Second, "How often Prometheus scrapes the mesh.")
	flags.StringVar(&o.badErrors, "bad-errors", "5%", "The share of a bad release's requests that fail.")
	flags.StringVar(&o.matched, "matched", "1%", "The share of requests that steps with match send to the candidate.")
	flags.StringVarP(&o.output, "output", "o", "table", "How it is written: table, json or yaml.")
	flags.Uint64Var(&o.seed, "seed", 1, "The seed of the simulation. The same one leads to the same forecast.")
}

// About says what the command does.
const About = `Say beforehand how a Rollout will go: how long a good release stays in each step, how small a regression is found there, and what a
bad release does to users. It tries the engine that will judge on simulated traffic; it asks no cluster.`

// Check tells what is wrong with how the command is called. It comes before Run.
func (o *Options) Check(flags *pflag.FlagSet) error {
	switch {
	case !slices.Contains([]string{"table", "json", "yaml"}, o.output):
		return fmt.Errorf("-o %s: write table, json or yaml", o.output)
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.file == "":
		return errors.New("-f is needed: the file that holds the Rollout")
	case !flags.Changed("rps"):
		return errors.New("--rps is needed: how many requests users send per second")
	}
	return o.readService()
}

// Run makes the forecast of the Rollout in the file, or in what in holds, and writes it.
func (o *Options) Run(in io.Reader, out io.Writer) error {
	if o.file == "-" {
		o.file = "standard input"
	} else {
		file, err := os.Open(o.file)
		if err != nil {
			return fmt.Errorf("reading the Rollout: %w", err)
		}
		defer file.Close()
		in = file
	}
	rollout, err := forecast.Read(in, o.name)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	made, err := forecast.Make(rollout, o.service, o.seed)
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	if o.output == "table" {
		return made.Write(out)
	}
	body, err := json.MarshalIndent(made, "", "  ")
	if err == nil && o.output == "yaml" {
		body, err = yaml.JSONToYAML(body)
	}
	if err == nil {
		_, err = io.WriteString(out, strings.TrimSuffix(string(body), "\n")+"\n")
	}
	if err != nil {
		return fmt.Errorf("writing the forecast: %w", err)
	}
	return nil
}

// readService reads the flags that tell of the service.
func (o *Options) readService() error {
	service := forecast.Service{Rate: o.rate, Scrape: o.scrape}
	var err error
	if service.Latency, err = parseLatency(o.latency); err != nil {
		return fmt.Errorf("--latency %s: %w", o.latency, err)
	}
	for _, share := range []struct {
		flag, text string
		into       *float64
	}{{"--baseline-errors", o.errors, &service.Errors}, {"--bad-errors", o.badErrors, &service.BadErrors}, {"--matched", o.matched, &service.Matched}} {
		if *share.into, err = parsePercent(share.text); err != nil {
			return fmt.Errorf("%s %s: %w", share.flag, share.text, err)
		}
	}
	o.service = service
	return service.Check()
}

// parsePercent reads a share such as 0.1%.
func parsePercent(text string) (float64, error) {
	number, found := strings.CutSuffix(text, "%")
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || !found || math.IsNaN(value) || value < 0 || value > 100 {
		return 0, errors.New("write a percentage such as 0.1%")
	}
	return value / 100, nil
}

// parseLatency reads a median and a 99th percentile such as 40ms/300ms.
func parseLatency(text string) (simulation.Latency, error) {
	first, second, _ := strings.Cut(text, "/")
	median, err := time.ParseDuration(first)
	p99, also := time.ParseDuration(second)
	if err != nil || also != nil || median <= 0 || p99 <= median {
		return simulation.Latency{}, errors.New("write the median and the 99th percentile, such as 40ms/300ms")
	}
	return simulation.LatencyOf(median, p99), nil
}
