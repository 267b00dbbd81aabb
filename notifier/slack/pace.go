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
	// callsPerSecond is how often Slack lets an app call one of the methods by which it changes and finds messages, whatever the channel:
	// 50 times a minute (its "tier 3"), and a few more at once.
	callsPerSecond, calls = 0.8, 8
	// spared is how many of those calls are kept for changes that are more than numbers.
	spared = 4
)

// The methods of Slack's that are paced.
const (
	methodPost, methodChange     = "chat.postMessage", "chat.update"
	methodHistory, methodReplies = "conversations.history", "conversations.replies"
)

// pace keeps to what Slack allows in one channel. Whoever holds it is the only one who says anything there, so that nothing is
// said twice.
type pace struct {
	holder chan struct{}
	post   *rate.Limiter
	// quiet is until when nothing is brought up to date there, since Slack refused it; failures how often that was in a row, and
	// logged what was said of it last. They are the holder's, as is refused: what was said last of events that Slack refused.
	quiet           time.Time
	failures        int
	logged, refused string
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

// paces are those of all channels, and of the methods that Slack limits for all channels together.
type paces struct {
	methods map[string]*rate.Limiter

	mu       sync.Mutex
	channels map[string]*pace
	// rests are until when Slack wants to be left alone, by method, and by channel where it limits each.
	rests map[string]time.Time
}

func newPaces() *paces {
	p := &paces{methods: map[string]*rate.Limiter{}, channels: map[string]*pace{}, rests: map[string]time.Time{}}
	for _, method := range []string{methodChange, methodHistory, methodReplies} {
		p.methods[method] = rate.NewLimiter(callsPerSecond, calls)
	}
	return p
}

func (p *paces) of(channel string) *pace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.channels[channel] == nil {
		p.channels[channel] = &pace{holder: make(chan struct{}, 1), post: rate.NewLimiter(postsPerSecond, posts)}
	}
	return p.channels[channel]
}

// wait waits until a method may be called.
func (p *paces) wait(ctx context.Context, method, channel string) error {
	limiter := p.methods[method]
	if method == methodPost {
		limiter = p.of(channel).post
	}
	if limiter == nil {
		return nil
	}
	if err := limiter.Wait(ctx); err != nil {
		return fmt.Errorf("waiting for Slack's pace: %w", err)
	}
	return nil
}

// busy says that there is no room for changes that can wait.
func (p *paces) busy() bool { return p.methods[methodChange].Tokens() < spared }

// rest is how long a method is to be left alone still.
func (p *paces) rest(method, channel string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rests[limitOf(method, channel)].Sub(now)
}

// leave notes that Slack wants a method to be left alone.
func (p *paces) leave(method, channel string, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rests[limitOf(method, channel)] = until
}

// limitOf names what Slack limits: posts in each channel, all else over all channels.
func limitOf(method, channel string) string {
	if method == methodPost {
		return method + " " + channel
	}
	return method
}
