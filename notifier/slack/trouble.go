package slack

import (
	"context"
	"errors"
	"time"
)

const (
	// firstRest and longestRest bound how long a channel is left alone while Slack is away. It is asked for again soon after it is back.
	firstRest, longestRest = time.Second, 30 * time.Second
	// hopelessRest is how often what Slack refuses is tried: somebody may have mended the app.
	hopelessRest = time.Minute
)

// trouble makes of an error in a channel how long to leave it alone. What is no trouble with Slack stays an error. It is said in the
// log once. The channel must be held.
func (a *App) trouble(ctx context.Context, p *pace, err error) (time.Duration, error) {
	if err == nil {
		if p.failures > 0 {
			a.o.Log.Info("Slack takes messages again")
		}
		p.failures, p.logged = 0, ""
		return 0, nil
	}
	if _, is := errors.AsType[*callError](err); !is || ctx.Err() != nil {
		return 0, err
	}
	// That Slack wants a rest was said when it said so.
	if why := advised(err); !resting(err) && p.logged != why.Error() {
		p.logged = why.Error()
		a.o.Log.Error(why, "telling people in Slack; it is tried again")
	}
	if ofMessage(err) {
		return hopelessRest, nil // The channel itself is all right.
	}
	p.failures++
	rest := limited(err)
	switch {
	case rest > 0:
	case mendable(err):
		rest = hopelessRest
	default:
		rest = min(firstRest<<min(p.failures-1, 5), longestRest)
	}
	p.quiet = a.o.Clock.Now().Add(rest)
	return rest, nil
}
