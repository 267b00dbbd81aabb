package cli

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/fields"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// openWithWorkload sees a Rollout, and its workload where the user may.
func (s *session) openWithWorkload(ctx context.Context, found *v1alpha1.Rollout) (*eye, error) {
	only := fields.OneTermEqualSelector("metadata.name", found.Spec.Workload.Name)
	kinds, err := s.visible(ctx, found.Namespace, kind{object: &appsv1.Deployment{}, list: &appsv1.DeploymentList{}, only: only})
	if err != nil {
		return nil, err
	}
	return s.open(ctx, sight{namespace: found.Namespace, name: found.Name, kinds: kinds})
}

// workloadOf is the workload, or nil where it isn't there or may not be seen.
func workloadOf(ctx context.Context, api client.Reader, r *v1alpha1.Rollout) *appsv1.Deployment {
	workload := &appsv1.Deployment{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Spec.Workload.Name}, workload); err != nil {
		return nil
	}
	return workload
}
