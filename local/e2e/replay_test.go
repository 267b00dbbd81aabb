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
	// there is: longer than it takes from a reply to a verdict.
	still = 8 * time.Second
)

// weighed is how far Weighlock is with weighing a rollout.
type weighed struct {
	// Blocks is how many it has weighed, and Evidence what they came to, to
	// the last digit.
	Blocks   int
	Evidence string
	// Verdict is what the status says.
	Verdict observe.Verdict
}

// weighed reads how far it is.
func (r *rig) weighed(view observe.View) (weighed, error) {
	text, err := r.metrics()
	if err != nil {
		return weighed{}, err
	}
	var out weighed
	blocks, err := r.metric(text, "weighlock_rollout_blocks")
	if err != nil {
		return weighed{}, err
	}
	if out.Blocks, err = strconv.Atoi(blocks); err != nil {
		return weighed{}, err
	}
	if out.Evidence, err = r.metric(text, "weighlock_rollout_evidence"); err != nil {
		return weighed{}, err
	}
	if view.Rollout == nil || view.Rollout.Status.Verdict == nil {
		return weighed{}, errors.New("the status has no verdict")
	}
	out.Verdict = *view.Rollout.Status.Verdict
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

// metric is the value of the rig's own series, as it is written.
func (r *rig) metric(text, name string) (string, error) {
	line := regexp.MustCompile(`(?m)^` + name + `\{namespace="` + r.namespace + `",rollout="` + shop.Name + `"\} (\S+)$`)
	match := line.FindStringSubmatch(text)
	if match == nil {
		return "", fmt.Errorf("it has no %s", name)
	}
	return match[1], nil
}

// allWeighed waits until nothing new has been weighed for a while.
func (r *rig) allWeighed() weighed {
	r.t.Helper()
	var last weighed
	since := time.Now()
	r.until("all to be weighed that there is", 60*time.Second, func(v observe.View) error {
		now, err := r.weighed(v)
		if err != nil {
			return err
		}
		if !gocmp.Equal(now, last) {
			last, since = now, time.Now()
		}
		if time.Since(since) < still {
			return errors.New("it goes on")
		}
		return nil
	})
	return last
}

// weighsAlike fails the test unless the Weighlock that runs comes to what the
// one before had come to.
func (r *rig) weighsAlike(before weighed) {
	r.t.Helper()
	r.until("another Weighlock to have weighed as much", 120*time.Second, func(v observe.View) error {
		now, err := r.weighed(v)
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
	r.t.Logf("%d blocks, evidence %s: %s", before.Blocks, before.Evidence, before.Verdict.Message)
}

// longSecondStep is shorter but for the canary's second step, which lasts as
// long as all that is tried in it.
var longSecondStep = edited("weight: 25\n    hold: 5s", "weight: 25\n    hold: 75s", "abortDelay: 5s", "abortDelay: 2s")

// It ends Weighlock, which all tests share, so it runs alone. Nobody sends requests
// meanwhile, so that there is nothing new to weigh.
func TestReplay_ComesToTheSameVerdictAtTheSameBlock(t *testing.T) {
	good, bad := newRig(t, "replayed-good"), newRig(t, "replayed-bad")
	good.edit, bad.edit = longSecondStep, longSecondStep
	good.open()
	bad.open()
	goodUsers, badUsers := good.users(load.Options{Rate: 200}), bad.users(load.Options{Rate: 200})
	time.Sleep(past)
	commit := good.commit(shop.Version{Name: "2"})
	bad.commit(shop.Version{Name: "2", ErrorRate: 0.015})
	bad.against()
	unharmed(t, badUsers.stop(), "2")
	good.inStep("a-quarter")
	good.blocks(3)
	unharmed(t, goodUsers.stop())

	beforeGood, beforeBad := good.allWeighed(), bad.allWeighed()
	if beforeGood.Evidence == "1" {
		t.Error("nothing speaks for or against the good version: any replay would do")
	}
	if beforeBad.Verdict.Outcome != "Inconclusive" {
		t.Fatalf("the bad version's verdict is %+v, too early for this test", beforeBad.Verdict)
	}
	pid := killWeighlock(t)
	good.weighsAlike(beforeGood)
	bad.weighsAlike(beforeBad)
	if weighlock(t) == pid {
		t.Fatal("Weighlock was not ended")
	}

	goodUsers, badUsers = good.users(load.Options{Rate: 200}), bad.users(load.Options{Rate: 200})
	if view := bad.rolledBack(); !strings.Contains(view.Progress.Reason, "error rate") {
		t.Errorf("the bad version was rolled back for %q, want its error rate", view.Progress.Reason)
	}
	unharmed(t, badUsers.stop(), "2")
	good.promoted(commit)
	unharmed(t, goodUsers.stop())
}

// against waits until something speaks against the candidate.
func (r *rig) against() {
	r.t.Helper()
	r.until("something to speak against it", 60*time.Second, func(v observe.View) error {
		now, err := r.weighed(v)
		if err != nil {
			return err
		}
		evidence, err := strconv.ParseFloat(now.Evidence, 64)
		if err == nil && (now.Blocks < 2 || evidence < 1.5) {
			err = fmt.Errorf("%d blocks come to %v", now.Blocks, evidence)
		}
		return err
	})
}

// blocks waits until so many more are weighed.
func (r *rig) blocks(more int) {
	r.t.Helper()
	first := -1
	r.until("more blocks to be weighed", 60*time.Second, func(v observe.View) error {
		now, err := r.weighed(v)
		if err != nil {
			return err
		}
		if first < 0 {
			first = now.Blocks
		}
		if now.Blocks < first+more {
			return fmt.Errorf("%d blocks are weighed, of %d that are wanted", now.Blocks, first+more)
		}
		return nil
	})
}
