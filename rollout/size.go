package rollout

import (
	"k8s.io/apimachinery/pkg/util/intstr"
)

// stepSize is how many pods the candidate needs in a step. A candidate pod must not
// carry more than an incumbent pod, or it would look slow: with N pods of the incumbent left with
// total-w of the traffic, that is ceil(N w/(total-w)), N at most and 1 at least. A shadow counts as
// weight; a step that only matches may get any share of the traffic, so it gets N. At zero it is zero.
func (v *view) stepSize(index int) int32 {
	n := v.size()
	if len(v.Spec.Steps) == 0 || n == 0 {
		return n
	}
	step := v.stepAt(index)
	if step.Replicas != nil {
		size, err := intstr.GetScaledValueFromIntOrPercent(step.Replicas, int(n), true)
		if err == nil {
			return max(int32(size), 1) //nolint:gosec // at most 10,000 or n, by validation.
		}
	}
	t := v.stepTraffic(step)
	if len(t.Match) > 0 && t.Weight == 0 && t.Shadow == 0 {
		return n
	}
	total := int64(t.Total)
	w := min(int64(t.Weight)+int64(t.Shadow)*total/100, total)
	if w == total {
		return n
	}
	rest := total - w
	size := (int64(n)*w + rest - 1) / rest
	return int32(max(1, min(size, int64(n)))) //nolint:gosec // between 1 and n.
}
