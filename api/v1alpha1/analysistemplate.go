package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AnalysisTemplate holds metrics by which several Rollouts of its namespace judge, with arguments that each of them gives. A change of it is
// a change of their analysis.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=weighlock
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AnalysisTemplate struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what the template holds.
	// +required
	Spec AnalysisTemplateSpec `json:"spec"`
}

// AnalysisTemplateSpec is what a template holds.
type AnalysisTemplateSpec struct {
	// args are what a Rollout gives. In the metrics each stands as {args.NAME}: in queries and selectors, and as the whole of min, max, slo and
	// margin.
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +optional
	Args []ArgumentDefinition `json:"args,omitempty"`

	// metrics that are judged, in the words of spec.analysis.metrics of a Rollout.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=name
	// +required
	Metrics []Metric `json:"metrics"`
}

// ArgumentDefinition is an argument that a template takes.
type ArgumentDefinition struct {
	// name of the argument.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="an argument's name must be lower case letters, digits and dashes, and begin with a letter, such as max-age"
	// +required
	Name string `json:"name"`

	// default is the argument's value where a Rollout gives none. Without a default, a Rollout must give one.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	Default *string `json:"default,omitempty"`
}

// AnalysisTemplateList is a list of AnalysisTemplates.
//
// +kubebuilder:object:root=true
type AnalysisTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AnalysisTemplate `json:"items"`
}
