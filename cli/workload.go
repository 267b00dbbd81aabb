package cli

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/naming"
)

// openWithWorkload sees a Rollout, its workload, and a GitSource unless that is nil, where the user may.
func (s *session) openWithWorkload(ctx context.Context, found *v1alpha1.Rollout, source *v1alpha1.GitSource) (*eye, error) {
	kinds := []kind{{object: &appsv1.Deployment{}, list: &appsv1.DeploymentList{}, only: named(found.Spec.Workload.Name)}}
	if source != nil {
		kinds = append(kinds, kind{object: &v1alpha1.GitSource{}, list: &v1alpha1.GitSourceList{}, namespace: source.Namespace, only: named(source.Name)})
	}
	kinds, err := s.visible(ctx, found.Namespace, kinds...)
	if err != nil {
		return nil, err
	}
	return s.open(ctx, sight{namespace: found.Namespace, name: found.Name, kinds: kinds})
}

// remember reads what is kept of a Rollout's versions, also by its GitSource where a commit is asked about. Without the records a version
// that is over already is waited for.
func (s *session) remember(ctx context.Context, api client.Reader, r *v1alpha1.Rollout, ofCommit bool) memory {
	var before *v1alpha1.GitSource
	if ofCommit {
		before = sourceOf(ctx, api, workloadOf(ctx, api, r))
	}
	records, _ := s.kept(ctx, r)
	m := memory{records: records, workload: workloadOf(ctx, api, r)}
	if ofCommit {
		m.source = sourceOf(ctx, api, m.workload)
		m.applied = throughout(before, m.source)
	}
	return m
}

// sourceOf is the GitSource that brings a workload, or nil where none does or it may not be seen.
func sourceOf(ctx context.Context, api client.Reader, workload *appsv1.Deployment) *v1alpha1.GitSource {
	if workload == nil {
		return nil
	}
	namespace, name := workload.Labels[v1alpha1.LabelSourceNamespace], workload.Labels[v1alpha1.LabelSource]
	sources := &v1alpha1.GitSourceList{}
	if namespace == "" || api.List(ctx, sources, client.InNamespace(namespace)) != nil {
		return nil
	}
	for i := range sources.Items {
		if naming.LabelValue(sources.Items[i].Name) == name {
			return &sources.Items[i]
		}
	}
	return nil
}

// workloadOf is the workload, or nil where it isn't there or may not be seen.
func workloadOf(ctx context.Context, api client.Reader, r *v1alpha1.Rollout) *appsv1.Deployment {
	workload := &appsv1.Deployment{}
	if err := api.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.Spec.Workload.Name}, workload); err != nil {
		return nil
	}
	return workload
}
