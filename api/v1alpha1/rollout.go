package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rollout takes every new version of a workload live in steps through a
// service mesh, and puts all traffic back when the numbers are bad.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:categories=all
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step.position`
// +kubebuilder:printcolumn:name="Asked",type=string,JSONPath=`.status.traffic.asked`
// +kubebuilder:printcolumn:name="Measured",type=string,JSONPath=`.status.traffic.measured`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.status.verdict.outcome`
// +kubebuilder:printcolumn:name="Waiting for",type=string,JSONPath=`.status.waitingFor`
// +kubebuilder:printcolumn:name="Incumbent",type=string,priority=1,JSONPath=`.status.incumbent.revision`
// +kubebuilder:printcolumn:name="Candidate",type=string,priority=1,JSONPath=`.status.candidate.revision`
// +kubebuilder:printcolumn:name="Ready",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Rollout struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is asked for.
	// +required
	Spec RolloutSpec `json:"spec"`

	// status is what Weighlock reports. It is never read back as memory.
	// +optional
	Status RolloutStatus `json:"status,omitempty"`
}

// RolloutList is a list of Rollouts.
//
// +kubebuilder:object:root=true
type RolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Rollout `json:"items"`
}

// RolloutSpec says which workload is taken live, through which service and mesh, in
// which steps, and what must be true to go on.
//
// +kubebuilder:validation:XValidation:rule="self.workload == oldSelf.workload",message="spec.workload can't be changed: delete this Rollout (its workload goes on serving) and make another"
// +kubebuilder:validation:XValidation:rule="self.service == oldSelf.service",message="spec.service can't be changed: delete this Rollout (its workload goes on serving) and make another"
// +kubebuilder:validation:XValidation:rule="!has(self.steps) || self.steps.all(s, !has(s.weight) || s.weight <= (has(self.totalWeight) ? self.totalWeight : 100))",message="a step's weight can't be above totalWeight (100 unless spec.totalWeight says otherwise): lower the weight, or raise spec.totalWeight"
// +kubebuilder:validation:XValidation:rule="!has(self.steps) || self.steps.all(s, !has(s.name) || self.steps.exists_one(t, has(t.name) && t.name == s.name))",message="two steps have the same name: give each its own, or none"
type RolloutSpec struct {
	// workload is what is taken live. It can't be changed.
	// +required
	Workload WorkloadReference `json:"workload"`

	// service is the Service that clients call. It can't be changed.
	// +required
	Service ServiceReference `json:"service"`

	// router is how traffic is moved: one entry, or several that are kept in step, so that
	// a team can move between meshes.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	// +kubebuilder:validation:XValidation:rule="self.filter(r, has(r.smi)).size() <= 1",message="two router entries are smi: keep one"
	// +listType=atomic
	// +required
	Router []RouterSpec `json:"router"`

	// totalWeight is what the weights of steps are out of. 10000 lets a step say 0.01%.
	// +kubebuilder:default=100
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=10000
	// +optional
	TotalWeight int32 `json:"totalWeight,omitempty"`

	// steps are gone through in order; after the last one the candidate gets all traffic
	// and becomes the incumbent. Without steps, that happens as soon as it is ready.
	// +kubebuilder:validation:MaxItems=50
	// +listType=atomic
	// +optional
	Steps []Step `json:"steps,omitempty"`

	// analysis says what is measured, and what is good enough. Without it, steps are left
	// by hold and approval alone.
	// +optional
	Analysis *Analysis `json:"analysis,omitempty"`

	// abortDelay is how long a copy outlives its last traffic, so that connections
	// drain.
	// +kubebuilder:default="30s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('0s')",message="abortDelay must be a time such as 30s or 2m"
	// +optional
	AbortDelay *metav1.Duration `json:"abortDelay,omitempty"`

	// routeDeadline is how long the mesh may take to take a route before it is set back.
	// +kubebuilder:default="5m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('10s')",message="routeDeadline must be at least 10s, written like 30s or 5m"
	// +optional
	RouteDeadline *metav1.Duration `json:"routeDeadline,omitempty"`

	// deletionPolicy is what happens, when this Rollout is deleted, to a workload whose
	// template is not the incumbent's: Keep leaves it paused, Release lets it roll.
	// +kubebuilder:default=Keep
	// +optional
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// suspend stops this Rollout from starting or going on; a rollback still happens.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// DeletionPolicy is what happens to a held workload when its Rollout is deleted.
//
// +kubebuilder:validation:Enum=Keep;Release
type DeletionPolicy string

// The deletion policies.
const (
	DeletionKeep    DeletionPolicy = "Keep"
	DeletionRelease DeletionPolicy = "Release"
)

// WorkloadReference names the workload, in the Rollout's namespace.
type WorkloadReference struct {
	// kind of the workload.
	// +kubebuilder:validation:Enum=Deployment
	// +kubebuilder:default=Deployment
	// +optional
	Kind string `json:"kind,omitempty"`

	// name of the workload.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`

	// trackLabel is the label of the workload's selector whose value tells copies from the workload. The
	// default prefers app.kubernetes.io/name, then app.
	// +kubebuilder:validation:MaxLength=316
	// +optional
	TrackLabel string `json:"trackLabel,omitempty"`
}

// ServiceReference names the root service, in the Rollout's namespace.
type ServiceReference struct {
	// name of the Service.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +required
	Name string `json:"name"`

	// port of the Service whose requests are routed and measured.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +required
	Port int32 `json:"port"`
}

// RouterSpec is one way to move traffic.
//
// +kubebuilder:validation:XValidation:rule="has(self.smi)",message="a router entry names exactly one router: write smi: {}"
type RouterSpec struct {
	// smi moves traffic with a TrafficSplit of the Service Mesh Interface.
	// +optional
	SMI *SMIRouter `json:"smi,omitempty"`
}

// SMIRouter says how SMI is spoken.
type SMIRouter struct {
	// version of TrafficSplit to write. The default is the newest that the cluster serves. Steps that match need
	// v1alpha3 or v1alpha4.
	// +kubebuilder:validation:Enum=v1alpha1;v1alpha2;v1alpha3;v1alpha4
	// +optional
	Version string `json:"version,omitempty"`

	// settle is how long the mesh is given to take a change: SMI has no status that would
	// tell.
	// +kubebuilder:default="2s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('0s')",message="smi.settle must be a time such as 500ms or 2s"
	// +optional
	Settle *metav1.Duration `json:"settle,omitempty"`

	// mirror says that the mesh understands the annotation weighlock.dev/mirror on a TrafficSplit, which shadow steps
	// need: SMI itself has no mirroring, and no way to ask.
	// +optional
	Mirror bool `json:"mirror,omitempty"`
}
