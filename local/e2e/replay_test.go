package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
	"github.com/weighlock/weighlock/local/stack"
)

const (
	// metricsPort is that of Weighlock's own metrics.
	metricsPort = "9797"
	// still is how long nothing new was weighed when all was weighed that
	// there is: longer than it takes from a scrape to a verdict.
	still = 5 * time.Second
	// never is a scrape interval that no test lives to see the end of.
	never = time.Hour
)

// weighed is how far Weighlock is with weighing a rollout.
type weighed struct {
	// Blocks is how many it has weighed, and Evidence what they came to.
	Blocks   int
	Evidence float64
	// Series are all that it tells of the rollout, to the last digit: the
	// requests, errors and latencies of each track, and the verdict.
	Series []string
}

// series are of a rollout of the shop: name, namespace, other labels, value.
var series = regexp.MustCompile(`(?m)^(weighlock_rollout_[a-z_]+)\{namespace="([^"]+)",rollout="` + shop.Name + `"([^}]*)\} (\S+)$`)

// weighed reads how far it is.
func (r *rig) weighed() (weighed, error) {
	text, err := r.metrics()
	if err != nil {
		return weighed{}, err
	}
	var out weighed
	for _, match := range series.FindAllStringSubmatch(text, -1) {
		if match[2] != r.namespace {
			continue
		}
		out.Series = append(out.Series, match[1]+match[3]+" "+match[4])
		value, err := strconv.ParseFloat(match[4], 64)
		if err != nil {
			return weighed{}, err
		}
		switch match[1] {
		case "weighlock_rollout_blocks":
			out.Blocks = int(value)
		case "weighlock_rollout_evidence":
			out.Evidence = value
		}
	}
	if out.Blocks == 0 {
		return weighed{}, errors.New("nothing is weighed yet")
	}
	return out, nil
}

// metrics are those of the Weighlock that runs.
func (r *rig) metrics() (string, error) {
	pods, err := r.cluster.CoreV1().Pods(stack.Namespace).List(r.t.Context(), metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	if len(pods.Items) != 1 {
		return "", fmt.Errorf("there are %d pods of Weighlock", len(pods.Items))
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(pods.Items[0].Status.PodIP, metricsPort)+"/metrics", http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{}).Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	return string(text), err
}

// allWeighed waits until nothing new has been weighed for a while.
func (r *rig) allWeighed() weighed {
	r.t.Helper()
	var last weighed
	since := time.Now()
	r.until("all to be weighed that there is", func(observe.View) error {
		now, err := r.weighed()
		if err != nil {
			return err
		}
		diff := gocmp.Diff(last, now)
		if diff != "" {
			last, since = now, time.Now()
		}
		if time.Since(since) < still {
			return fmt.Errorf("it goes on: %s", diff)
		}
		return nil
	})
	return last
}

// weighsAlike fails the test unless the Weighlock that runs comes to what the
// one before had come to.
func (r *rig) weighsAlike(before weighed) {
	r.t.Helper()
	r.until("another Weighlock to have weighed as much", func(observe.View) error {
		now, err := r.weighed()
		if err != nil {
			return err
		}
		if now.Blocks > before.Blocks {
			r.t.Fatalf("%d blocks were weighed after the restart, %d before", now.Blocks, before.Blocks)
		}
		if diff := gocmp.Diff(before, now); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	r.t.Logf("%s", strings.Join(before.Series, "\n"))
}

// longSecondStep is shorter but for the canary's second step, which lasts as
// long as all that is tried in it.
var longSecondStep = edited("weight: 25\n    hold: 5s", "weight: 25\n    hold: 50s", "abortDelay: 5s", "abortDelay: 2s")

// It ends Weighlock, which all tests share, so it runs alone. Nothing is scraped
// meanwhile, so that there is nothing new to weigh.
func TestReplay_ComesToTheSameVerdictAtTheSameBlock(t *testing.T) {
	good, bad := newRig(t, "replayed-good"), newRig(t, "replayed-bad")
	good.edit, bad.edit = longSecondStep, longSecondStep
	good.open()
	bad.open()
	goodUsers, badUsers := good.users(load.Options{Rate: 200}), bad.users(load.Options{Rate: 200})
	time.Sleep(past)
	commit := good.commit(shop.Version{Name: "2"})
	good.inStep("a-quarter")
	bad.commit(shop.Version{Name: "2", ErrorRate: 0.015})
	bad.against()
	t.Cleanup(func() {
		if err := running.Scrape(0); err != nil {
			t.Error(err)
		}
	})
	if err := running.Scrape(never); err != nil {
		t.Fatal(err)
	}

	beforeGood, beforeBad := good.allWeighed(), bad.allWeighed()
	if beforeGood.Evidence == 1 {
		t.Error("nothing speaks for or against the good version: any replay would do")
	}
	if beforeBad.Evidence >= 100 {
		t.Fatalf("the bad version was convicted, too early for this test, by an evidence of %v", beforeBad.Evidence)
	}
	pid := killWeighlock(t)
	good.weighsAlike(beforeGood)
	bad.weighsAlike(beforeBad)
	if weighlock(t) == pid {
		t.Fatal("Weighlock was not ended")
	}

	if err := running.Scrape(0); err != nil {
		t.Fatal(err)
	}
	if view := bad.rolledBack(); !strings.Contains(view.Progress.Reason, "error rate") {
		t.Errorf("the bad version was rolled back for %q, want its error rate", view.Progress.Reason)
	}
	good.promoted(commit)
	unharmed(t, badUsers.stop(), "2")
	unharmed(t, goodUsers.stop())
}

// against waits until something speaks against the candidate.
func (r *rig) against() {
	r.t.Helper()
	r.until("something to speak against it", func(observe.View) error {
		now, err := r.weighed()
		if err == nil && (now.Blocks < 2 || now.Evidence < 1.5) {
			err = fmt.Errorf("%d blocks come to %v", now.Blocks, now.Evidence)
		}
		return err
	})
}
