package prometheus

import (
	"cmp"
	"slices"
	"time"

	"github.com/prometheus/common/model"
)

// Servers that scrape the same targets may write to one store, each with a label of its own. Their series are one: a target is counted by what one of them
// saw, and by what another saw once that one sees nothing any more.

// defaultReplicaLabels are what the Prometheus operator, Thanos, Cortex and Mimir call such a label.
var defaultReplicaLabels = []string{"prometheus_replica", "__replica__"}

// unknownGap is taken for the time between two scrapes as long as there were none.
const unknownGap = 30 * time.Second

// rememberedElections are enough for the samples of the longest range that is asked for.
const rememberedElections = 64

// election says whose samples of a target count from a moment on.
type election struct {
	from    model.Time
	replica string
}

// twin is a sample of one replica.
type twin struct {
	at      model.Time
	replica string
}

// replicaOf returns who scraped a series, and false if it doesn't say.
func (s *stream) replicaOf(labels model.Metric) (string, bool) {
	var replica string
	labelled := false
	for _, name := range s.server.replicaLabels {
		if value, ok := labels[name]; ok {
			replica, labelled = replica+string(value)+"\xff", true
		}
	}
	return replica, labelled
}

// one leaves out of an answer what other replicas saw too. Without replica labels it is returned as it is.
func (s *stream) one(index int, matrix model.Matrix) (model.Matrix, error) {
	if !slices.ContainsFunc(matrix, func(answer *model.SampleStream) bool {
		_, labelled := s.replicaOf(answer.Metric)
		return labelled
	}) {
		return matrix, nil
	}
	owners := make([]*series, len(matrix))
	twins := map[*target][]twin{}
	for i, answer := range matrix {
		found, err := s.find(index, answer.Metric)
		if err != nil {
			return nil, err
		}
		if owners[i] = found; found == nil || index > found.target.source {
			continue
		}
		replica, _ := s.replicaOf(answer.Metric)
		for _, sample := range answer.Values {
			twins[found.target] = append(twins[found.target], twin{sample.Timestamp, replica})
		}
		for _, sample := range answer.Histograms {
			twins[found.target] = append(twins[found.target], twin{sample.Timestamp, replica})
		}
	}
	for target, seen := range twins {
		slices.SortFunc(seen, func(a, b twin) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.replica, b.replica)) })
		target.elect(slices.Compact(seen))
	}
	return s.elected(matrix, owners), nil
}

// elected makes one answer of those for the same series.
func (s *stream) elected(matrix model.Matrix, owners []*series) model.Matrix {
	var result model.Matrix
	made := map[*series]*model.SampleStream{}
	for i, answer := range matrix {
		owner := owners[i]
		if owner == nil {
			continue
		}
		joined := made[owner]
		if joined == nil {
			joined = &model.SampleStream{Metric: answer.Metric}
			made[owner] = joined
			result = append(result, joined)
		}
		replica, _ := s.replicaOf(answer.Metric)
		for _, sample := range answer.Values {
			if owner.target.electedAt(sample.Timestamp) == replica {
				joined.Values = append(joined.Values, sample)
			}
		}
		for _, sample := range answer.Histograms {
			if owner.target.electedAt(sample.Timestamp) == replica {
				joined.Histograms = append(joined.Histograms, sample)
			}
		}
	}
	for _, joined := range result {
		slices.SortFunc(joined.Values, func(a, b model.SamplePair) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
		slices.SortFunc(joined.Histograms, func(a, b model.SampleHistogramPair) int { return cmp.Compare(a.Timestamp, b.Timestamp) })
	}
	return result
}

// prefer names the replica that counts at first: of those that see the target, the first by name.
func (t *target) prefer(replica string) {
	if len(t.elections) == 0 {
		t.elections = []election{{replica: replica}}
		return
	}
	t.elections[0].replica = min(t.elections[0].replica, replica)
}

// elect goes through samples in the order of time. Another replica counts once the one that does has missed two scrapes.
func (t *target) elect(seen []twin) {
	for _, sample := range seen {
		if len(t.elections) == 0 {
			t.elections = []election{{replica: sample.replica}}
		}
		if t.twinAt == 0 {
			t.twinAt = sample.at - 1
		}
		gap := t.twinGap
		if gap == 0 {
			gap = model.Time(unknownGap.Milliseconds())
		}
		switch {
		case sample.at <= t.twinAt:
		case sample.replica == t.elections[len(t.elections)-1].replica:
			if t.twinSeen {
				t.twinGap = sample.at - t.twinAt
			}
			t.twinAt, t.twinSeen = sample.at, true
		case sample.at > t.twinAt+2*gap:
			t.elections = append(t.elections, election{from: sample.at, replica: sample.replica})
			t.twinAt, t.twinSeen = sample.at, true
		}
	}
	if extra := len(t.elections) - rememberedElections; extra > 0 {
		t.elections = slices.Delete(t.elections, 0, extra)
	}
}

func (t *target) electedAt(at model.Time) string {
	for i := len(t.elections) - 1; i > 0; i-- {
		if t.elections[i].from <= at {
			return t.elections[i].replica
		}
	}
	if len(t.elections) == 0 {
		return ""
	}
	return t.elections[0].replica
}
