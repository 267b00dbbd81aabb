package load

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// recent is how much of the past the recent latencies cover, in seconds.
	recent = 10
	// seriesLength is how many seconds the series goes back.
	seriesLength = 900
	// maxFailures is how many failures are told one by one.
	maxFailures = 200
)

// Outcome is how a request ended.
type Outcome struct {
	// Version is the version that answered; empty if a proxy on the way did,
	// or nobody.
	Version string `json:"version"`
	// Status is the HTTP status, 0 without a reply.
	Status int `json:"status"`
	// Error is set if there was no complete reply.
	Error  string `json:"error,omitempty"`
	Tenant string `json:"tenant,omitempty"`
}

// Failed says whether a user would call it that.
func (o Outcome) Failed() bool { return o.Error != "" || o.Status >= 500 }

// FailedOnTheWay says whether it failed with no reply of the application:
// the mesh, or who steers it, is to blame.
func (o Outcome) FailedOnTheWay() bool { return o.Failed() && (o.Version == "" || o.Error != "") }

// Total is how many requests ended in one way.
type Total struct {
	Outcome
	Count int64 `json:"count"`
}

// Version is what is known about one version's replies; the one without a
// name is about requests that no version answered.
type Version struct {
	Version  string `json:"version"`
	Requests int64  `json:"requests"`
	Failed   int64  `json:"failed"`
	// Milliseconds from when the requests were due, of all and of the last
	// ten seconds.
	P50       float64 `json:"p50"`
	P99       float64 `json:"p99"`
	RecentP50 float64 `json:"recentP50"`
	RecentP99 float64 `json:"recentP99"`
	// RecentRequests and RecentFailed are of the last ten seconds.
	RecentRequests int64 `json:"recentRequests"`
	RecentFailed   int64 `json:"recentFailed"`

	FirstReply   time.Time  `json:"firstReply"`
	LastReply    time.Time  `json:"lastReply"`
	FirstFailure *time.Time `json:"firstFailure,omitempty"`
	LastFailure  *time.Time `json:"lastFailure,omitempty"`
}

// Second is what happened in one second, by when answers came.
type Second struct {
	At time.Time `json:"at"`
	// Requests and Failed by version.
	Requests map[string]int64 `json:"requests"`
	Failed   map[string]int64 `json:"failed,omitempty"`
	Dropped  int64            `json:"dropped,omitempty"`
}

// Failure is one failed request.
type Failure struct {
	Outcome
	At     time.Time `json:"at"`
	Detail string    `json:"detail,omitempty"`
}

// Stats are a snapshot of a run.
type Stats struct {
	Started time.Time `json:"started"`
	// Seconds since the start, until the end if the run is over.
	Seconds float64 `json:"seconds"`
	Done    bool    `json:"done"`
	// Sent requests have been answered, or failed, or are InFlight. Dropped
	// ones were never sent. Retried ones were sent again by the HTTP client.
	Sent     int64 `json:"sent"`
	InFlight int64 `json:"inFlight"`
	Dropped  int64 `json:"dropped"`
	Retried  int64 `json:"retried"`
	// Failed is FailedByVersion and FailedOnTheWay.
	Failed          int64     `json:"failed"`
	FailedByVersion int64     `json:"failedByVersion"`
	FailedOnTheWay  int64     `json:"failedOnTheWay"`
	Totals          []Total   `json:"totals"`
	Versions        []Version `json:"versions"`
	// Failures are the first that happened.
	Failures []Failure `json:"failures,omitempty"`
	// Series are the latest seconds, the oldest first.
	Series []Second `json:"series"`
}

// Version is what is known about the version; zero if it never answered.
func (s Stats) Version(name string) Version {
	i := slices.IndexFunc(s.Versions, func(v Version) bool { return v.Version == name })
	if i < 0 {
		return Version{Version: name}
	}
	return s.Versions[i]
}

// Stats are the counts so far.
func (g *Generator) Stats() Stats {
	out := g.record.stats(time.Now())
	out.InFlight = g.inFlight.Load()
	out.Sent += out.InFlight
	return out
}

type recorder struct {
	mu       sync.Mutex
	started  time.Time
	ended    time.Time
	drops    int64
	retried  int64
	totals   map[Outcome]int64
	versions map[string]*version
	failures []Failure
	series   []Second
	keep     bool
	requests []Request
}

type version struct {
	Version
	all    histogram
	second [recent]slot
}

// slot holds one second of a version's recent past.
type slot struct {
	at               int64
	requests, failed int64
	latency          histogram
}

func newRecorder(keep bool) *recorder {
	return &recorder{keep: keep, totals: map[Outcome]int64{}, versions: map[string]*version{}}
}

func (r *recorder) start(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.started = at
}

func (r *recorder) end(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = at
}

func (r *recorder) dropped(at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drops++
	r.at(at).Dropped++
}

// at is the entry of the series for a time; a time that is too long past is
// counted in the oldest.
func (r *recorder) at(t time.Time) *Second {
	t = t.Truncate(time.Second)
	for len(r.series) == 0 || r.series[len(r.series)-1].At.Before(t) {
		next := t
		if n := len(r.series); n > 0 {
			next = r.series[n-1].At.Add(time.Second)
		}
		r.series = append(r.series, Second{At: next, Requests: map[string]int64{}, Failed: map[string]int64{}})
	}
	r.series = r.series[max(0, len(r.series)-seriesLength):]
	back := int(r.series[len(r.series)-1].At.Sub(t) / time.Second)
	return &r.series[max(0, len(r.series)-1-back)]
}

func (r *recorder) done(due time.Time, request Request, retried bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o, now := request.Outcome, request.Done
	if r.keep {
		r.requests = append(r.requests, request)
	}
	r.totals[o]++
	if retried {
		r.retried++
	}
	v := r.versions[o.Version]
	if v == nil {
		v = &version{Version: Version{Version: o.Version, FirstReply: now}}
		r.versions[o.Version] = v
	}
	s := &v.second[now.Unix()%recent]
	if s.at != now.Unix() {
		*s = slot{at: now.Unix()}
	}
	second := r.at(now)
	v.Requests++
	s.requests++
	second.Requests[o.Version]++
	v.LastReply = now
	v.all.add(now.Sub(due))
	s.latency.add(now.Sub(due))
	if !o.Failed() {
		return
	}
	v.Failed++
	s.failed++
	second.Failed[o.Version]++
	if v.FirstFailure == nil {
		v.FirstFailure = &now
	}
	v.LastFailure = &now
	if len(r.failures) < maxFailures {
		f := Failure{Outcome: o, At: now}
		if err != nil {
			f.Detail = err.Error()
		}
		r.failures = append(r.failures, f)
	}
}

func (r *recorder) stats(now time.Time) Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Stats{Started: r.started, Done: !r.ended.IsZero(), Dropped: r.drops, Retried: r.retried, Failures: slices.Clone(r.failures)}
	switch {
	case out.Done:
		out.Seconds = r.ended.Sub(r.started).Seconds()
	case !r.started.IsZero():
		out.Seconds = now.Sub(r.started).Seconds()
	}
	for o, n := range r.totals {
		out.Totals = append(out.Totals, Total{o, n})
		out.Sent += n
		if o.Failed() {
			out.Failed += n
		}
		if o.FailedOnTheWay() {
			out.FailedOnTheWay += n
		}
	}
	out.FailedByVersion = out.Failed - out.FailedOnTheWay
	slices.SortFunc(out.Totals, func(a, b Total) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), a.Status-b.Status, cmp.Compare(a.Error, b.Error), cmp.Compare(a.Tenant, b.Tenant))
	})
	for _, name := range slices.Sorted(maps.Keys(r.versions)) {
		out.Versions = append(out.Versions, r.versions[name].snapshot(now))
	}
	for _, s := range r.series {
		s.Requests, s.Failed = maps.Clone(s.Requests), maps.Clone(s.Failed)
		out.Series = append(out.Series, s)
	}
	return out
}

func (v *version) snapshot(now time.Time) Version {
	out := v.Version
	out.P50, out.P99 = v.all.quantile(0.5), v.all.quantile(0.99)
	var late histogram
	for i := range v.second {
		if s := &v.second[i]; s.at > now.Unix()-recent {
			out.RecentRequests += s.requests
			out.RecentFailed += s.failed
			late.merge(&s.latency)
		}
	}
	out.RecentP50, out.RecentP99 = late.quantile(0.5), late.quantile(0.99)
	return out
}
