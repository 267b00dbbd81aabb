// Package v1alpha1 holds the types of the weighlock.dev API: Rollout, which
// takes new versions of a workload live step by step, AnalysisTemplate, metrics that Rollouts share, and GitSource, which
// applies a folder of a git repository. Types only, no logic.
//
// +kubebuilder:object:generate=true
// +groupName=weighlock.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every type in this package.
var GroupVersion = schema.GroupVersion{Group: "weighlock.dev", Version: "v1alpha1"}

// AddToScheme registers the types of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Rollout{}, &RolloutList{},
		&GitSource{}, &GitSourceList{},
		&AnalysisTemplate{}, &AnalysisTemplateList{},
		&Decision{}, &DecisionList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
