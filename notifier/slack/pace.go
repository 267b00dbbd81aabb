package slack

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// postsPerSecond is how often Slack lets an app post in one channel; a few may come at once.
	postsPerSecond, posts = 1, 4
	// changesPerSecond is how often messages may be changed. Half of them are kept for what is more than numbers.
	changesPerSecond, changes, spared = 0.8, 8, 4
)

// pace keeps to what Slack allows in one channel. Whoever holds it is the only one who says anything there, so that nothing is
// said twice.
type pace struct {
	holder       chan struct{}
	post, change *rate.Limiter
	// quiet is until when nothing is brought up to date there, since Slack refused it; failures how often that was in a row, and
	// logged what was said of it last. They are the holder's.
	quiet    time.Time
	failures int
	logged   string
}

// hold waits for its turn.
func (p *pace) hold(ctx context.Context) error {
	select {
	case p.holder <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for others who talk in the channel: %w", ctx.Err())
	}
}

func (p *pace) letGo() { <-p.holder }

// busy says that there is no room for changes that can wait.
func (p *pace) busy() bool { return p.change.Tokens() < spared }

type paces struct {
	mu       sync.Mutex
	channels map[string]*pace
}

func (p *paces) of(channel string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.channels[channel] == nil {
		p.channels[channel] = &pace{
			holder: make(chan struct{}, 1),
			post:   rate.NewLimiter(postsPerSecond, posts), change: rate.NewLimiter(changesPerSecond, changes),
		}
	}
	return p.channels[channel]
}
