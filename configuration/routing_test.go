package configuration_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/configuration"
)

const routed = `apiVersion: weighlock.dev/v1alpha1
kind: Configuration
slack:
  mode: socket
  botToken: {env: B}
  appToken: {env: A}
  approvers:
  - {namespaces: [shop], users: [U1], groups: [S1]}
  - {namespaces: ["*"], users: [U2]}
sinks:
- {name: all, webhook: {url: {env: X}}}
- {name: bad, webhook: {url: {env: X}}}
- {name: steps, webhook: {url: {env: X}}}
- {name: own, namespaces: ["team-*", shop], slack: {channel: C1}}
- {name: releases, slack: {channel: C2}}
- {name: alarms, slack: {channel: C3}}
- {name: asked, slack: {channel: C4, approvals: true}}
- {name: unused, webhook: {url: {env: X}}}
routes:
- {sinks: [all, releases]}
- {warningsOnly: true, sinks: [bad, alarms, all]}
- {namespaces: [shop], rollouts: ["check*"], reasons: [StepEntered], sinks: [steps, asked]}
`

func read(t *testing.T) *configuration.Configuration {
	t.Helper()
	made, err := configuration.Parse(strings.NewReader(routed))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func TestFor_TellsWhomRoutesAndAnnotationsName(t *testing.T) {
	c := read(t)
	for name, test := range map[string]struct {
		event          configuration.Told
		sinks, refused []string
	}{
		"anything":                   {event: configuration.Told{Namespace: "x", Rollout: "y", Reason: "Started"}, sinks: []string{"all", "releases"}},
		"a warning":                  {event: configuration.Told{Namespace: "x", Rollout: "y", Reason: "RolledBack", Warning: true}, sinks: []string{"all", "bad", "releases", "alarms"}},
		"a reason":                   {event: configuration.Told{Namespace: "shop", Rollout: "checkout", Reason: "StepEntered"}, sinks: []string{"all", "steps", "releases", "asked"}},
		"another namespace":          {event: configuration.Told{Namespace: "shop2", Rollout: "checkout", Reason: "StepEntered"}, sinks: []string{"all", "releases"}},
		"another rollout":            {event: configuration.Told{Namespace: "shop", Rollout: "cart", Reason: "StepEntered"}, sinks: []string{"all", "releases"}},
		"no rollout":                 {event: configuration.Told{Namespace: "shop", Reason: "StepEntered"}, sinks: []string{"all", "releases"}},
		"an annotation":              {event: configuration.Told{Namespace: "team-a", Rollout: "y", Notify: " own,own ,"}, sinks: []string{"all", "own", "releases"}},
		"a namespace that may not":   {event: configuration.Told{Namespace: "x", Rollout: "y", Notify: "own"}, sinks: []string{"all", "releases"}, refused: []string{"own"}},
		"a sink that is for no one":  {event: configuration.Told{Namespace: "shop", Rollout: "y", Notify: "bad,own"}, sinks: []string{"all", "own", "releases"}, refused: []string{"bad"}},
		"a sink that is not there":   {event: configuration.Told{Namespace: "shop", Rollout: "y", Notify: "typo"}, sinks: []string{"all", "releases"}, refused: []string{"typo"}},
		"a warning told twice, once": {event: configuration.Told{Namespace: "shop", Rollout: "checkout", Reason: "StepEntered", Warning: true, Notify: "own"}, sinks: []string{"all", "bad", "steps", "own", "releases", "alarms", "asked"}},
	} {
		t.Run(name, func(t *testing.T) {
			sinks, refused := c.For(test.event)
			if diff := cmp.Diff(test.sinks, sinks); diff != "" {
				t.Errorf("sinks (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.refused, refused); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
		})
	}
}

func TestChannels_AreThoseThatFollowARollout(t *testing.T) {
	c := read(t)
	for name, test := range map[string]struct {
		namespace, rollout, notify string
		want                       string
	}{
		"what routes name without a filter":       {"x", "y", "", "releases"},
		"and where people are asked":              {"shop", "checkout", "", "releases asked"},
		"and what the Rollout names":              {"team-a", "y", "own", "own releases"},
		"but not what it may not name":            {"x", "y", "own", "releases"},
		"and nothing that is no channel of Slack": {"shop", "y", "all", "releases"},
	} {
		t.Run(name, func(t *testing.T) {
			rollout := &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{
				Namespace: test.namespace, Name: test.rollout, Annotations: map[string]string{v1alpha1.AnnotationNotify: test.notify},
			}}
			var names []string
			for _, sink := range c.Channels(rollout) {
				names = append(names, sink.Name)
			}
			if got := strings.Join(names, " "); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestApproversIn_AddsUpWhatMatches(t *testing.T) {
	slack := read(t).Slack
	users, groups := slack.ApproversIn("shop")
	if diff := cmp.Diff([][]string{{"U1", "U2"}, {"S1"}}, [][]string{users, groups}); diff != "" {
		t.Errorf("shop (-want +got):\n%s", diff)
	}
	users, groups = slack.ApproversIn("cart")
	if diff := cmp.Diff([][]string{{"U2"}, nil}, [][]string{users, groups}); diff != "" {
		t.Errorf("cart (-want +got):\n%s", diff)
	}
}

func TestUnused_AreSinksThatNothingReaches(t *testing.T) {
	if diff := cmp.Diff([]string{"unused"}, read(t).Unused()); diff != "" {
		t.Errorf("unused (-want +got):\n%s", diff)
	}
}

func BenchmarkFor(b *testing.B) {
	c, err := configuration.Parse(strings.NewReader(routed))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.For(configuration.Told{Namespace: "shop", Rollout: "checkout", Reason: "StepEntered", Notify: "own"})
	}
}

func TestFor_ReadsNoMoreNamesThanMakeSense(t *testing.T) {
	_, refused := read(t).For(configuration.Told{Namespace: "shop", Rollout: "y", Notify: strings.Repeat("x,", 10000)})
	if len(refused) != 32 {
		t.Errorf("%d names are read", len(refused))
	}
}
