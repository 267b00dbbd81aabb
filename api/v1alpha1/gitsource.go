package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GitSource keeps the cluster as a folder of a git repository says: it syncs a
// branch, builds plain YAML or a kustomization, applies it server-side in the name of a
// ServiceAccount, and prunes what left the tree.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="Branch",type=string,JSONPath=`.spec.branch`
// +kubebuilder:printcolumn:name="Commit",type=string,JSONPath=`.status.lastApplied.short`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type GitSource struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is asked for.
	// +required
	Spec GitSourceSpec `json:"spec"`

	// status is what Weighlock reports.
	// +optional
	Status GitSourceStatus `json:"status,omitempty"`
}

// GitSourceList is a list of GitSources.
//
// +kubebuilder:object:root=true
type GitSourceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []GitSource `json:"items"`
}

// GitSourceSpec says what is synced from where, and in whose name it is applied.
//
// +kubebuilder:validation:XValidation:rule="!self.url.startsWith('ssh://') || has(self.secretRef)",message="an ssh URL needs secretRef: a Secret with identity and known_hosts"
type GitSourceSpec struct {
	// url of the repository: http, https or ssh.
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(http|https|ssh)://.+$')",message="url must start with http://, https:// or ssh:// (for ssh write ssh://git@host/path, not git@host:path)"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^https?://[^/]*@')",message="url must not hold credentials: put username and password into a Secret, and name it in secretRef"
	// +required
	URL string `json:"url"`

	// branch to sync.
	// +kubebuilder:default=main
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Branch string `json:"branch,omitempty"`

	// path of the folder in the repository. A folder with a kustomization.yaml is built
	// by kustomize; of any other, all YAML files below it are taken.
	// +kubebuilder:default="./"
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !self.split('/').exists(p, p == '..')",message="path is relative to the repository and can't leave it: remove the leading / and any .."
	// +optional
	Path string `json:"path,omitempty"`

	// interval at which the branch is looked at, and drift is mended (the latter every 10s at most). A failed sync is
	// tried again sooner, after 1s, 2s, 4s and so on up to the interval.
	// +kubebuilder:default="1m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s')",message="interval must be at least 1s, written like 30s or 5m"
	// +optional
	Interval *metav1.Duration `json:"interval,omitempty"`

	// timeout of one sync.
	// +kubebuilder:default="2m"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]+([.][0-9]+)?(ms|s|m|h))+$') && duration(self) >= duration('1s')",message="timeout must be at least 1s, written like 30s or 2m"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// serviceAccountName is in whose name things are applied, in the GitSource's
	// namespace. What it may not do is not done.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	ServiceAccountName string `json:"serviceAccountName"`

	// secretRef names a Secret in the same namespace: username and password (or bearerToken) for http and https, caFile for a CA of
	// one's own, identity and known_hosts for ssh. It is read in the name of the ServiceAccount, which needs
	// the permission to get it.
	// +optional
	SecretRef *LocalReference `json:"secretRef,omitempty"`

	// targetNamespace is set on namespaced objects that name none. The default is the
	// GitSource's namespace.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	TargetNamespace string `json:"targetNamespace,omitempty"`

	// prune deletes what left the tree, and everything when the GitSource is deleted, but never CustomResourceDefinitions,
	// Namespaces, and what has the annotation weighlock.dev/prune: disabled.
	// +kubebuilder:default=true
	// +optional
	Prune *bool `json:"prune,omitempty"`

	// allowEmpty lets a tree without any object prune everything. Without it, that is an
	// error.
	// +optional
	AllowEmpty bool `json:"allowEmpty,omitempty"`

	// suspend stops syncing; what was applied stays.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// LocalReference names an object in the same namespace.
type LocalReference struct {
	// name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +required
	Name string `json:"name"`
}

// GitSourceStatus is what Weighlock reports.
type GitSourceStatus struct {
	// observedGeneration is the generation of the spec that this status speaks of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// lastApplied is the commit that was applied last, as a whole.
	// +optional
	LastApplied *CommitStatus `json:"lastApplied,omitempty"`

	// lastAttempted is the commit that was tried last, written before anything of it is applied. It
	// differs from lastApplied while it is applied, and when that failed.
	// +optional
	LastAttempted string `json:"lastAttempted,omitempty"`

	// inventory lists what this GitSource applied, as NAMESPACE_NAME_GROUP_KIND with the version.
	// +listType=atomic
	// +optional
	Inventory []InventoryEntry `json:"inventory,omitempty"`

	// conditions are Ready, Reconciling and Stalled, as kstatus has them.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// InventoryEntry names one applied object.
type InventoryEntry struct {
	// id is NAMESPACE_NAME_GROUP_KIND.
	// +required
	ID string `json:"id"`

	// v is the API version of the kind.
	// +required
	Version string `json:"v"`
}

// CommitStatus tells of one commit.
type CommitStatus struct {
	// sha of the commit.
	// +required
	SHA string `json:"sha"`

	// short form of the sha, 8 characters.
	// +required
	Short string `json:"short"`

	// subject is the first line of its message.
	// +optional
	Subject string `json:"subject,omitempty"`

	// author, as name and address.
	// +optional
	Author string `json:"author,omitempty"`

	// committedAt is when it was committed.
	// +optional
	CommittedAt *metav1.Time `json:"committedAt,omitempty"`

	// appliedAt is when it was applied.
	// +optional
	AppliedAt *metav1.Time `json:"appliedAt,omitempty"`
}

// GetConditions returns the conditions of the GitSource.
func (g *GitSource) GetConditions() []metav1.Condition { return g.Status.Conditions }

// SetConditions replaces the conditions of the GitSource.
func (g *GitSource) SetConditions(conditions []metav1.Condition) { g.Status.Conditions = conditions }
