package slack

import (
	"sync"

	"golang.org/x/time/rate"
)

const (
	// postsPerSecond is how often Slack lets an app post in one channel; a few may come at once.
	postsPerSecond, posts = 1, 4
	// changesPerSecond is how often messages may be changed.
	changesPerSecond, changes = 0.8, 8
)

// pace keeps to what Slack allows in one channel. Only one message of it is worked on at a time, so that nothing is said twice.
type pace struct {
	sync.Mutex
	post, change *rate.Limiter
}

type paces struct {
	mu       sync.Mutex
	channels map[string]*pace
}

func (p *paces) of(channel string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.channels[channel] == nil {
		p.channels[channel] = &pace{post: rate.NewLimiter(postsPerSecond, posts), change: rate.NewLimiter(changesPerSecond, changes)}
	}
	return p.channels[channel]
}
