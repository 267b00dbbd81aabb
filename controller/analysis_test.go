package controller_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// TestAnalysisHistory_IsOfOneTry has a candidate withdrawn in its first step and tried again: what was seen of it the first time is
// neither told nor weighed.
func TestAnalysisHistory_IsOfOneTry(t *testing.T) {
	t.Parallel()
	s := scenario{
		spec: analysed, events: []occasion{commit(idle, "v2"), commit(inStep(0), "v1"), commit(runs("v1"), "v2")}, until: runs("v2"),
	}
	l := newLab(t, s)
	l.running = l.start(t, "weighlock", 0)
	l.play(t, s)
	type told struct {
		Step    int32
		Traffic string
		Outcome v1alpha1.Outcome
		Left    bool
	}
	var got []told
	for _, record := range l.seen().Status.AnalysisHistory {
		got = append(got, told{record.Step, record.Traffic, record.Outcome, record.Until != nil})
		if record.Message == "" {
			t.Errorf("step %d is left without a word", record.Step)
		}
	}
	want := []told{{0, "10%", v1alpha1.OutcomePass, true}, {1, "50%", v1alpha1.OutcomePass, true}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history of the analysis (-want +got):\n%s", diff)
	}
}
