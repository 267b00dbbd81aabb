package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/stack"
)

const (
	// look is how often the table is made anew.
	look = 200 * time.Millisecond
	// How long each part may take; with the start of the stack it is less
	// than 6 minutes.
	adoptTimeout    = 60 * time.Second
	promoteTimeout  = 180 * time.Second
	rollbackTimeout = 90 * time.Second
	// settle is how long the load runs between two commits.
	settle = 3 * time.Second
)

// The versions that are committed.
var (
	first = shop.Version{Name: "1"}
	good  = shop.Version{Name: "2"}
	bad   = shop.Version{Name: "3", ErrorRate: 0.05}
)

// demo is one run.
type demo struct {
	stack    *stack.Stack
	screen   *screen
	rate     float64
	keptLogs bool
	begun    time.Time

	observer   *observe.Observer
	repository *shop.Repository
	load       *load.Generator
	view       observe.View
	// The versions that the table compares, and the commit under way.
	incumbent, candidate, commit string
	// before is the incumbent's revision when that commit was made; empty for
	// the first.
	before string
}

// run is the demo, from the first commit to the summary.
func (d *demo) run(ctx context.Context) error {
	results, err := d.play(ctx)
	d.screen.end()
	if err != nil {
		if ctx.Err() == nil {
			d.explain()
		}
		return err
	}
	stats := d.load.Stats()
	d.screen.say(results.summary(stats, d.rate))
	history, err := d.history(ctx)
	d.screen.say(history + next)
	if err := errors.Join(results.judge(stats, d.rate), err); err != nil {
		d.tellLogs()
		return err
	}
	return nil
}

// play takes the versions live and says how that went.
func (d *demo) play(ctx context.Context) (results, error) {
	if err := d.open(ctx); err != nil {
		return results{}, err
	}
	if err := d.adopt(ctx); err != nil {
		return results{}, err
	}
	stop, err := d.startLoad(ctx)
	if err != nil {
		return results{}, err
	}
	defer stop()
	if err := d.keepShowing(ctx, settle); err != nil {
		return results{}, err
	}
	promoted, err := d.promote(ctx)
	if err != nil {
		return results{}, err
	}
	if err := d.keepShowing(ctx, settle); err != nil {
		return results{}, err
	}
	rolledBack, err := d.rollBack(ctx)
	if err != nil {
		return results{}, err
	}
	return results{promoted: promoted, rolledBack: rolledBack}, d.keepShowing(ctx, settle)
}

func (d *demo) open(ctx context.Context) error {
	var err error
	if d.repository, err = shop.Open(ctx, d.stack, address.ShopRepository); err != nil {
		return err
	}
	if err := shop.Follow(ctx, d.stack, address.ShopNamespace, address.ShopRepository); err != nil {
		return err
	}
	d.observer, err = observe.New(d.stack.Config, address.ShopNamespace, shop.Name, 80)
	return err
}

// adopt commits the first version and waits until Weighlock has it in hand.
func (d *demo) adopt(ctx context.Context) error {
	d.incumbent = first.Name
	if err := d.push(ctx, first, "Open the shop"); err != nil {
		return err
	}
	return d.until(ctx, "version 1 to serve and to be adopted", adoptTimeout, func(v observe.View) (bool, error) {
		return idle(v) && v.Route.InForce != nil && v.Route.InForce.Source.Kind == "TrafficSplit", nil
	})
}

// startLoad sends users' requests until stop is called, which waits for the
// last answers.
func (d *demo) startLoad(ctx context.Context) (stop func(), err error) {
	d.load, err = load.New(load.Options{URL: "http://" + address.Shop + "/", Rate: d.rate})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.load.Run(ctx) }()
	d.note("%.0f requests per second reach the shop from here on", d.rate)
	return func() {
		cancel()
		if err := <-done; err != nil {
			d.note("the load generator ended badly: %v", err)
		}
	}, nil
}

// promote commits the good version and waits until its rollout is over, the
// copy's deletion included.
func (d *demo) promote(ctx context.Context) (promoted, error) {
	out := promoted{version: good}
	if err := d.pushNext(ctx, good, "Version 2: a good one", &out.committed); err != nil {
		return out, err
	}
	err := d.until(ctx, "version 2 to be promoted", promoteTimeout, func(v observe.View) (bool, error) {
		if v.Progress == nil || v.Rollout == nil {
			return false, errors.New("the route or the Rollout of the shop is gone")
		}
		if v.Progress.Phase == observe.PhaseRolledBack {
			return false, fmt.Errorf("version 2 was rolled back: %s", v.Progress.Reason)
		}
		if v.Progress.Incumbent == d.before {
			return false, nil
		}
		if out.promoted.IsZero() {
			out.promoted = v.Progress.WrittenAt
		}
		if history := v.Rollout.Status.AnalysisHistory; len(history) > 0 {
			out.reason = history[len(history)-1].Message
		}
		return idle(v) && !v.Progress.OnCopy && len(v.Copies) == 0, nil
	})
	out.done = d.view.At
	return out, err
}

// rollBack commits the bad version and waits until it is gone.
func (d *demo) rollBack(ctx context.Context) (rolledBack, error) {
	out := rolledBack{version: bad}
	if err := d.pushNext(ctx, bad, "Version 3: fails one request in twenty", &out.committed); err != nil {
		return out, err
	}
	err := d.until(ctx, "version 3 to be rolled back", rollbackTimeout, func(v observe.View) (bool, error) {
		switch {
		case v.Progress == nil:
			return false, errors.New("the route of the shop is gone")
		case v.Progress.Incumbent != d.before:
			return false, errors.New("version 3 was promoted, with 5% errors")
		case v.Progress.Phase != observe.PhaseRolledBack:
			return false, nil
		}
		out.reason, out.written = v.Progress.Reason, v.Progress.WrittenAt
		service := shop.Name + "-" + v.Progress.Candidate
		if from, ok := v.InForceFrom(service, v.Progress.WrittenAt); ok && out.restored.IsZero() {
			out.restored = from
		}
		return !out.restored.IsZero() && len(v.Copies) == 0, nil
	})
	out.done = d.view.At
	return out, err
}

// pushNext commits the version that is tried against the one that serves.
func (d *demo) pushNext(ctx context.Context, version shop.Version, message string, at *time.Time) error {
	if d.candidate != "" {
		d.incumbent = d.candidate
	}
	d.candidate, d.before = version.Name, d.view.Progress.Incumbent
	*at = time.Now()
	return d.push(ctx, version, message)
}

func (d *demo) push(ctx context.Context, version shop.Version, message string) error {
	commit, err := d.repository.Commit(ctx, version, message)
	if err != nil {
		return err
	}
	d.commit = commit
	d.note("git: %.8s %s", commit, message)
	return nil
}

// note says what happened, with the time.
func (d *demo) note(format string, arguments ...any) {
	d.noteAt(time.Now(), format, arguments...)
}

func (d *demo) noteAt(at time.Time, format string, arguments ...any) {
	lines := wrapped(fmt.Sprintf(format, arguments...), sentenceIndent, d.screen.columns())
	d.screen.say(d.time(at) + "  " + strings.TrimSpace(strings.Join(lines, "\n")))
}

// time is how far into the demo a moment is.
func (d *demo) time(at time.Time) string {
	return fmt.Sprintf("%6.1fs", at.Sub(d.begun).Seconds())
}

func idle(v observe.View) bool {
	return v.Rollout != nil && v.Rollout.Status.State == "Idle" && v.Progress != nil && v.Progress.Phase == observe.PhaseServing
}
