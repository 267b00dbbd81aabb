package demo

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/shop"
)

// shown is how many failed requests are told one by one.
const shown = 10

// goal is how long after its first bad reply a bad version may still get
// requests, at the default rate.
const goal = 30 * time.Second

// promoted is how the good version went. Its reason is the last sentence that
// was said of it.
type promoted struct {
	version                   shop.Version
	reason                    string
	committed, promoted, done time.Time
}

// rolledBack is how the bad version went. Restored is when Envoy had taken that
// all requests go to the version before, written when Weighlock said so.
type rolledBack struct {
	version                            shop.Version
	reason                             string
	committed, written, restored, done time.Time
}

// results are how the demo went.
type results struct {
	promoted   promoted
	rolledBack rolledBack
}

// detail is where what is said of a version is put below its line.
const detail = "            "

// summary tells the results to a reader.
func (r results) summary(stats load.Stats, rate float64) string {
	var lines []string
	add := func(format string, arguments ...any) { lines = append(lines, fmt.Sprintf(format, arguments...)) }
	p, b := r.promoted, r.rolledBack
	add("")
	add("Version %s  promoted     %s after its commit; back on the Deployment, and its copy gone, after %s.",
		p.version.Name, seconds(p.promoted.Sub(p.committed)), seconds(p.done.Sub(p.committed)))
	lines = append(lines, wrapped(p.reason, detail, sentenceWidth)...)
	add("Version %s  rolled back  %s after its commit.", b.version.Name, seconds(b.written.Sub(b.committed)))
	lines = append(lines, wrapped(b.reason, detail, sentenceWidth)...)
	add(detail+"0%% of the requests on Envoy %d ms after the verdict.", b.restored.Sub(b.written).Milliseconds())
	if hurt := stats.Version(b.version.Name); hurt.FirstFailure != nil {
		add(detail+"From its first bad reply to 0%% on Envoy: %s.", seconds(b.restored.Sub(*hurt.FirstFailure)))
	}
	add("")
	add("Users sent %s requests, %.0f a second for %s; %s failed:", number(stats.Sent), rate, seconds(time.Duration(stats.Seconds*float64(time.Second))), number(stats.Failed))
	for _, name := range []string{first.Name, good.Name, bad.Name} {
		v := stats.Version(name)
		add("  version %-12s %8s answered, %5s failed, p99 %4.0f ms", name, number(v.Requests), number(v.Failed), v.P99)
	}
	add("  on the way (mesh, Weighlock)            %5s failed", number(stats.FailedOnTheWay))
	if stats.Dropped > 0 {
		add("  never sent, because answers were missing %s", number(stats.Dropped))
	}
	if stats.Retried > 0 {
		add("  sent again by the client, as a connection that it kept was closed: %s", number(stats.Retried))
	}
	if err := r.judge(stats, rate); err != nil {
		lines = append(lines, "", failures(stats))
	}
	return strings.Join(lines, "\n") + "\n"
}

// judge says what is wrong with the results: a bad reply of the bad version is
// the only failure that users may see, and not for long. With fewer requests to
// judge by it takes longer.
func (r results) judge(stats load.Stats, rate float64) error {
	var wrong []error
	if n := stats.FailedOnTheWay; n > 0 {
		wrong = append(wrong, fmt.Errorf("%d requests failed on the way, which is Weighlock's or the mesh's fault", n))
	}
	if stats.Dropped > 0 {
		wrong = append(wrong, fmt.Errorf("%d requests were not sent, because too many were unanswered", stats.Dropped))
	}
	for _, name := range []string{first.Name, good.Name} {
		switch v := stats.Version(name); {
		case v.Requests == 0:
			wrong = append(wrong, fmt.Errorf("no version %s was seen by users", name))
		case v.Failed > 0:
			wrong = append(wrong, fmt.Errorf("%d requests failed by version %s, which does not fail", v.Failed, name))
		}
	}
	if hurt := stats.Version(bad.Name); hurt.FirstFailure != nil && rate > 0 {
		allowed := time.Duration(float64(goal) * max(1, defaultRate/rate))
		if took := r.rolledBack.restored.Sub(*hurt.FirstFailure); took > allowed {
			wrong = append(wrong, fmt.Errorf("version %s still got requests %s after its first bad reply, which is more than %s", bad.Name, seconds(took), seconds(allowed)))
		}
	}
	return errors.Join(wrong...)
}

// failures tells the first requests that failed, those on the way before all.
func failures(stats load.Stats) string {
	lines := []string{"Requests that failed on the way:"}
	for _, f := range stats.Failures {
		if f.FailedOnTheWay() && len(lines) <= shown {
			lines = append(lines, fmt.Sprintf("  %s status %d %s %s", f.At.Format("15:04:05.000"), f.Status, f.Error, f.Detail))
		}
	}
	if len(lines) == 1 {
		return "No request failed on the way."
	}
	return strings.Join(lines, "\n")
}

func seconds(d time.Duration) string {
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// number groups the digits of a count.
func number(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
