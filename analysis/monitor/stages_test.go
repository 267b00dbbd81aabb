package monitor_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/onsi/gomega"

	"github.com/weighlock/weighlock/analysis/monitor"
	"github.com/weighlock/weighlock/api/v1alpha1"
)

// next leaves the last stage of a question, and enters another after a pause.
func next(question monitor.Question, left, entered time.Time, id string) monitor.Question {
	question.Stages = slices.Clone(question.Stages)
	last := &question.Stages[len(question.Stages)-1]
	last.Until = left
	question.Stages = append(question.Stages, stage(id, last.Candidate.Service, entered))
	return question
}

func TestMonitor_KeepsWhatItFoundFromStageToStage(t *testing.T) {
	b := newBench(t, 1)
	b.source.does("one", fine)
	q := question("1", "one")
	b.Watch(key, q)
	b.run(t)
	first := b.reach(key, pass)

	b.Rest(key)
	b.asksNoMore()
	left := b.clock.Now()
	b.clock.Step(2 * time.Second)
	q = next(q, left, b.clock.Now(), "second")
	b.source.does("one", thin)
	b.Watch(key, q)
	second := b.reach(key, inconclusive)
	b.Expect(second.Stage).To(gomega.Equal("second"))
	b.Expect(second.Verdict.Blocks).To(gomega.BeNumerically(">", first.Verdict.Blocks), "evidence is of the whole rollout")
	b.Expect(second.Measurement.Candidate.Requests).To(gomega.BeNumerically("<", first.Measurement.Candidate.Requests), "the numbers are of the stage")
	opened := len(b.source.opened)
	b.Expect(opened).To(gomega.Equal(3), "the past and two stages")

	b.source.does("one", bad)
	b.reach(key, fail)
}

func TestMonitor_ComesToTheSameVerdictAfterARestart(t *testing.T) {
	timed := func(does traffic, slow float64) traffic {
		does.timed, does.slow = true, slow
		return does
	}
	for name, does := range map[string]traffic{"good": timed(fine, 0.02), "bad": timed(traffic{candidate: 100, incumbent: 100, candidateErrors: 2, incumbentErrors: 1}, 0.02), "slow": timed(fine, 0.1)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1)
			b.source.does("one", does)
			q := question("1", "one")
			q.Criteria = v1alpha1.Analysis{}
			q.Ready = []time.Time{start.Add(-50 * time.Second)}
			b.Watch(key, q)
			b.run(t)
			b.poll(7)
			b.Rest(key)
			b.asksNoMore()
			left := b.clock.Now()
			b.clock.Step(1500 * time.Millisecond)
			q = next(q, left, b.clock.Now(), "second")
			b.Watch(key, q)
			b.poll(b.source.count() + 5)
			b.stop()

			// Another process, which was not there, asks everything at once.
			again := newBench(t, 1)
			again.source = b.source
			again.clock.SetTime(b.clock.Now())
			b.source.now = again.clock.Now
			made, err := monitor.New(b.source, again.clock, monitor.Options{})
			if err != nil {
				t.Fatal(err)
			}
			again.Monitor = made
			last := b.source.asked[len(b.source.asked)-1].until
			again.clock.SetTime(last)
			again.Watch(key, q)
			again.run(t)
			again.Eventually(again.outcome).ShouldNot(gomega.BeEquivalentTo("none"))
			want, _ := b.Latest(key)
			got, _ := again.Latest(key)
			if want.Newest.Candidate.Requests != got.Newest.Candidate.Requests || got.Verdict.Blocks == 0 || math.IsNaN(got.Verdict.Evidence) {
				t.Errorf("it counts %v, and did %v", got.Newest, want.Newest)
			}
			if want.At.Equal(got.At) {
				if diff := cmp.Diff(want.Verdict, got.Verdict); diff != "" {
					t.Errorf("verdict (-before +after):\n%s", diff)
				}
			}
		})
	}
}

func TestMonitor_EvaluatesThresholdsAtMomentsThatDependOnTheStageAlone(t *testing.T) {
	b := newBench(t, 1)
	b.source.does("one", fine)
	b.source.value = 5
	q := question("1", "one")
	limit := "3"
	q.Criteria.Metrics = []v1alpha1.Metric{{Name: "queue", Threshold: &v1alpha1.ThresholdMetric{Query: "queue", Max: limit, Times: 3}}}
	b.Watch(key, q)
	b.run(t)
	answer := b.reach(key, fail)
	b.Expect(answer.Verdict.Message).To(gomega.ContainSubstring("queue"))
	b.source.mutex.Lock()
	defer b.source.mutex.Unlock()
	moment := start
	for _, evaluation := range b.source.values {
		b.Expect(evaluation.From).To(gomega.Equal(moment.Add(q.Interval)), "each moment once")
		moment = evaluation.To
		b.Expect(moment.Sub(start) % q.Interval).To(gomega.BeZero())
	}
}

func TestMonitor_LeavesOutLatencyWhilePodsAreCold(t *testing.T) {
	b := newBench(t, 1)
	slow := fine
	slow.timed, slow.slow = true, 0.5
	b.source.does("one", slow)
	q := question("1", "one")
	q.Criteria = v1alpha1.Analysis{}
	q.Ready = []time.Time{start.Add(-time.Second)}
	b.Watch(key, q)
	b.run(t)
	answer := b.reach(key, fail)
	b.Expect(answer.Measurement.Latest).To(gomega.BeTemporally(">", start.Add(59*time.Second)))
	b.Expect(answer.Verdict.Message).To(gomega.ContainSubstring("took longer"))
}
