package prometheus

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/common/model"
)

const (
	// lookback is how old the last sample before a window may be. It is far longer than any scrape interval, so that a
	// counter whose scrapes failed for a while is not taken for a new one.
	lookback = time.Hour
	// portion is the longest range that one query asks for.
	portion = 15 * time.Minute
	// overlap of two queries, for samples that a server gets to show late.
	overlap = time.Minute
	// fresh is how long an answer is good for another who asks the same.
	fresh = 500 * time.Millisecond
	// forgotten is how long an unused window is kept.
	forgotten = 15 * time.Minute
)

// question is a selector and a window. The labels apart tell series of one group from each other.
type question struct {
	selector   string
	apart      []model.LabelName
	since, now time.Time
}

// seen is by how much the counters of a question grew.
type seen struct {
	series []*counter
	latest time.Time
}

func (s seen) sum() float64 {
	var sum float64
	for _, series := range s.series {
		sum += series.grown
	}
	return sum
}

type windowKey struct {
	address, selector string
	since             model.Time
}

// window is what has been added up of one question.
type window struct {
	// turn is held by the one who asks; a channel, so that waiting for it can be given up.
	turn   chan struct{}
	used   time.Time
	growth *growth
	based  bool
	until  model.Time
}

// grown answers a question, asking the server only for what is new.
func (p *Provider) grown(ctx context.Context, server *server, asked question) (seen, error) {
	since, now := model.TimeFromUnixNano(asked.since.UnixNano()), model.TimeFromUnixNano(asked.now.UnixNano())
	if now <= since {
		return seen{}, nil
	}
	window := p.window(windowKey{server.address, asked.selector, since}, asked.apart)
	select {
	case window.turn <- struct{}{}:
		defer func() { <-window.turn }()
	case <-ctx.Done():
		return seen{}, fmt.Errorf("waiting for another question to %s: %w", server.name, ctx.Err())
	}
	if !window.based {
		vector, err := server.vector(ctx, fmt.Sprintf("last_over_time(%s[%dms])", asked.selector, lookback.Milliseconds()), since)
		if err != nil {
			return seen{}, err
		}
		window.growth.base(vector)
		window.based = true
	}
	for now-window.until >= model.Time(fresh.Milliseconds()) || (window.until == since && now > since) {
		from := max(since, window.until.Add(-overlap))
		to := min(now, window.until.Add(portion))
		matrix, err := server.matrix(ctx, fmt.Sprintf("%s[%dms]", asked.selector, to-from), to)
		if err != nil {
			return seen{}, err
		}
		window.growth.add(matrix)
		window.until = to
	}
	return window.growth.seen(), nil
}

func (g *growth) seen() seen {
	result := seen{series: make([]*counter, 0, len(g.series))}
	for _, series := range g.series {
		snapshot := *series
		result.series = append(result.series, &snapshot)
	}
	if g.latest > 0 {
		result.latest = g.latest.Time()
	}
	return result
}

func (p *Provider) window(key windowKey, apart []model.LabelName) *window {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	now := p.clock.Now()
	if now.Sub(p.swept) >= forgotten/5 {
		p.swept = now
		for other, window := range p.windows {
			if now.Sub(window.used) >= forgotten {
				delete(p.windows, other)
			}
		}
	}
	found := p.windows[key]
	if found == nil {
		found = &window{turn: make(chan struct{}, 1), growth: newGrowth(key.since, apart), until: key.since}
		p.windows[key] = found
	}
	found.used = now
	return found
}
