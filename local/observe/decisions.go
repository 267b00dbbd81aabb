package observe

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Decisions are those on the Rollout, the oldest first.
func (o *Observer) Decisions(ctx context.Context) ([]Decision, error) {
	list, err := o.Client.Resource(decisions).Namespace(o.namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list the decisions on %s: %w", o.name, err)
	}
	var found []Decision
	for i := range list.Items {
		var d Decision
		if err := convert(&list.Items[i], &d); err != nil {
			return nil, err
		}
		if d.Spec.Rollout == o.name {
			found = append(found, d)
		}
	}
	slices.SortStableFunc(found, func(a, b Decision) int { return a.Metadata.CreationTimestamp.Compare(b.Metadata.CreationTimestamp) })
	return found, nil
}
