package load

import (
	"slices"
	"time"
)

// Request is one request that has ended.
type Request struct {
	Outcome
	// Number is what the request said in its RequestHeader.
	Number int64
	// Sent is when it was handed to the network, Done when its answer had
	// come, or it had failed.
	Sent, Done time.Time
}

// Requests are all that have ended so far, in the order in which they did;
// none unless Options.Keep is set.
func (g *Generator) Requests() []Request {
	g.record.mu.Lock()
	defer g.record.mu.Unlock()
	return slices.Clone(g.record.requests)
}

// Within are the requests that were sent at or after a time and were done by
// another: what holds between the two holds for each of them.
func Within(requests []Request, from, to time.Time) []Request {
	var out []Request
	for _, r := range requests {
		if !r.Sent.Before(from) && !r.Done.After(to) {
			out = append(out, r)
		}
	}
	return out
}
