package demo

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weighlock/weighlock/local/load"
)

// answers are counts of replies by version, and of those that failed.
func answers(counts ...load.Version) load.Stats {
	stats := load.Stats{Versions: counts}
	for _, v := range counts {
		stats.Sent += v.Requests
		stats.Failed += v.Failed
		if v.Version == "" {
			stats.FailedOnTheWay += v.Failed
		}
	}
	return stats
}

func TestJudge_AcceptsOnlyFailuresOfTheBadVersion(t *testing.T) {
	t.Parallel()
	fine := []load.Version{{Version: "1", Requests: 10}, {Version: "2", Requests: 10}, {Version: "3", Requests: 10, Failed: 1}}
	dropped := answers(fine...)
	dropped.Dropped = 1
	begun := time.Now()
	hurt := answers(fine[0], fine[1], load.Version{Version: "3", Requests: 10, Failed: 1, FirstFailure: &begun})
	for name, c := range map[string]struct {
		stats load.Stats
		// after is when the bad version got no more requests, and rate how many all got.
		after time.Duration
		rate  float64
		says  string
	}{
		"only the bad version failed":   {stats: answers(fine...)},
		"version 1 failed":              {stats: answers(load.Version{Version: "1", Requests: 10, Failed: 1}), says: "1 requests failed by version 1"},
		"version 2 failed":              {stats: answers(load.Version{Version: "2", Requests: 10, Failed: 2}), says: "2 requests failed by version 2"},
		"a proxy answered":              {stats: answers(load.Version{Requests: 3, Failed: 3}), says: "3 requests failed on the way"},
		"requests could not be sent":    {stats: dropped, says: "1 requests were not sent"},
		"the load never reached it":     {stats: answers(), says: "no version 1 was seen"},
		"the candidates were not seen":  {stats: answers(fine[0]), says: "no version 2 was seen"},
		"it was rolled back in time":    {stats: hurt, after: 29 * time.Second, rate: 200},
		"it was rolled back too late":   {stats: hurt, after: 31 * time.Second, rate: 200, says: "31.0 s after its first bad reply"},
		"more requests give no time":    {stats: hurt, after: 31 * time.Second, rate: 1000, says: "more than 30.0 s"},
		"fewer requests give more time": {stats: hurt, after: 59 * time.Second, rate: 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := results{rolledBack: rolledBack{restored: begun.Add(c.after)}}.judge(c.stats, c.rate)
			switch {
			case c.says == "" && err != nil:
				t.Errorf("it says %v, want nothing", err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("it says %v, want %q", err, c.says)
			}
		})
	}
}

func TestTells_WantsAPluginThatWorksAndTellsOfBothVersions(t *testing.T) {
	t.Parallel()
	const whole = "2ns7dlms47  first seen  serves\nmpq7g6qxkh  first seen  rolled back  5% errors"
	for output, want := range map[string]string{
		whole:                                   "",
		strings.Replace(whole, "serves", "", 1): `"serves"`,
		strings.Replace(whole, "rolled back", "failed", 1): `"rolled back"`,
	} {
		err := tells("kubectl weighlock history", output, nil)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("of %q it says %v, want %s", output, err, want)
		}
	}
	if err := tells("kubectl weighlock history", whole, errors.New("exit status 1")); err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("of a plugin that fails it says %v", err)
	}
}

func TestKeep_ForgetsTheLogsOfDemosLongAgo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	logs := t.TempDir()
	if err := os.WriteFile(filepath.Join(logs, "envoy.log"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var kept [3]string
	for i := range kept {
		folder, err := keep(logs)
		if err != nil {
			t.Fatal(err)
		}
		kept[i] = folder
		if then := time.Now().Add(-25 * time.Hour); i == 0 {
			if err := os.Chtimes(folder, then, then); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, folder := range kept {
		if _, err := os.Stat(filepath.Join(folder, "envoy.log")); (err == nil) != (i > 0) {
			t.Errorf("of folder %d, where the first is of yesterday: %v", i, err)
		}
	}
}

func TestScreen_WritesALineToAPipeOnlyWhenSomethingHappened(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newScreen(&out)
	s.row(row{key: "step 1", text: "one"})
	s.row(row{key: "step 1", text: "one still"})
	s.row(row{key: "step 2", text: "two"})
	want := header() + "\none\ntwo\n"
	if got := out.String(); got != want {
		t.Errorf("it wrote %q, want %q", got, want)
	}
	s.printed = s.printed.Add(-quiet)
	s.row(row{key: "step 2", text: "two still"})
	if got := out.String(); got != want+"two still\n" {
		t.Errorf("after a while it wrote %q, want another line", got)
	}
}

func TestScreen_TellsTheVerdictsSentenceBelowTheLine(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newScreen(&out)
	s.row(row{key: "step 1", text: "one", why: "errors are no worse than the incumbent's"})
	if got, want := out.String(), header()+"\none\n         errors are no worse than the incumbent's\n"; got != want {
		t.Errorf("it wrote %q to a pipe, want %q", got, want)
	}
	out.Reset()
	s = newScreen(&out)
	s.width = func() int { return 31 }
	s.row(row{key: "step 1", text: "one", why: "errors are no worse than the incumbent's", totals: "totals"})
	for range 2 {
		want := "one\n         errors are no worse\n         than the incumbent's\ntotals\n"
		if got := out.String(); !strings.HasSuffix(got, want) {
			t.Errorf("it wrote %q to a terminal, want it to end with %q", got, want)
		}
		out.Reset()
		s.row(row{key: "step 1", text: "one", why: "errors are no worse than the incumbent's", totals: "totals"})
		if got := strings.Count(out.String(), lineUp); got != 4 {
			t.Errorf("it painted over %d lines, want the 4 of before", got)
		}
	}
}

func TestScreen_PaintsOverTheLastRowOfATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := newScreen(&out)
	s.width = func() int { return 21 }
	s.row(row{key: "step 1", text: "first", totals: "totals"})
	out.Reset()
	s.row(row{key: "step 1", text: "first, later and much longer", totals: "totals"})
	if got, want := out.String(), strings.Repeat(lineUp+clearLine, 2)+"first, later and muc\ntotals\n"; got != want {
		t.Errorf("it wrote %q, want %q", got, want)
	}
	out.Reset()
	s.say("an event")
	s.row(row{key: "step 2", text: "second"})
	for _, line := range []string{"an event\n", "first, later and muc\n", "second\n"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("it wrote %q, which lacks %q", out.String(), line)
		}
	}
}

func TestWeight_CountsOnlyWhatCameSinceTheRouteWasTaken(t *testing.T) {
	t.Parallel()
	now := time.Now()
	stats := load.Stats{Series: []load.Second{
		{At: now.Add(-5 * time.Second), Requests: map[string]int64{"1": 100}},
		{At: now.Add(-time.Second), Requests: map[string]int64{"1": 75, "2": 25}},
	}}
	if got := weight(stats, "2", now.Add(-2*time.Second)); got != "25.0%" {
		t.Errorf("the measured weight is %s, want 25.0%%", got)
	}
	if got := weight(stats, "2", now); got != "-" {
		t.Errorf("the measured weight is %s before any reply, want none", got)
	}
}
