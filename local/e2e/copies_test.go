package e2e_test

import (
	"net"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/local/load"
	"github.com/weighlock/weighlock/local/observe"
	"github.com/weighlock/weighlock/local/shop"
)

var copiesCounter = regexp.MustCompile(`(?m)^shop_requests_total\{code="[0-9]+",mirrored="true"\} ([0-9]+)$`)

// copies are those that each pod of the candidate has counted, when it was
// asked last: pods may go with what they know.
type copies map[string]int

// ask asks the pods that are there.
func (c copies) ask(r *rig) {
	list, err := r.cluster.CoreV1().Pods(r.namespace).List(r.t.Context(), metav1.ListOptions{LabelSelector: "app!=" + shop.Name})
	if err != nil {
		return
	}
	client := &http.Client{Timeout: 5 * time.Second}
	for _, pod := range list.Items {
		page, err := get(r.t.Context(), client, "http://"+net.JoinHostPort(pod.Status.PodIP, "8080")+"/metrics")
		if err != nil {
			// It has not started yet, or has gone.
			continue
		}
		sum := 0
		for _, found := range copiesCounter.FindAllSubmatch(page.body, -1) {
			n, err := strconv.Atoi(string(found[1]))
			if err != nil {
				r.t.Error(err)
			}
			sum += n
		}
		c[pod.Name] = sum
	}
}

func (c copies) sum() int {
	sum := 0
	for _, n := range c {
		sum += n
	}
	return sum
}

// countCopies counts the candidate's copies from now on.
func (run *tried) countCopies() {
	run.copies = copies{}
	run.watched = func(v observe.View) {
		if v.Progress != nil && v.Progress.Phase == observe.PhaseStep {
			run.copies.ask(run.rig)
		}
	}
}

// noCopies fails the test if copies are still made once requests are sent by
// weight.
func (run *tried) noCopies() {
	run.t.Helper()
	run.inStep("a-quarter")
	run.atStep(0.25)
	time.Sleep(2 * lag)
	run.copies.ask(run.rig)
	before := run.copies.sum()
	time.Sleep(2 * lag)
	run.copies.ask(run.rig)
	if after := run.copies.sum(); after != before {
		run.t.Errorf("the candidate had %d copies and then %d in a step without any", before, after)
	}
}

// explained fails the test unless so many copies are what the stages should
// have made, give or take what chance allows, and what Envoy did with requests
// that met a change.
func (c copies) explained(t *testing.T, all []load.Request, during []stage) {
	t.Helper()
	always, part, sure := 0, stage{}, 0
	for _, s := range during {
		n := len(s.requests(all))
		sure += n
		if s.Copies == 100 {
			always += n
		} else {
			part = s
		}
	}
	unsure := count(all, func(r load.Request) bool {
		for _, s := range during {
			if r.Done.After(s.sent) && r.Sent.Before(s.left.Add(lag)) {
				return true
			}
		}
		return false
	}) - sure
	sometimes := len(part.requests(all))
	low, high := c.sum()-always-unsure, c.sum()-always
	t.Logf("%d copies were made: %d of requests that all should have one, %d to %d of %d at %v%%", c.sum(), always, low, high, sometimes, part.Copies)
	if sometimes < fewest {
		t.Errorf("only %d requests were surely copied in part", sometimes)
	}
	if !chance(low, high, sometimes, part.Copies/100) {
		t.Errorf("%d copies can't be chance", c.sum())
	}
}
