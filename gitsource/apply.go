package gitsource

import (
	"context"
	"fmt"
	"time"

	"github.com/fluxcd/pkg/ssa"
	ssautils "github.com/fluxcd/pkg/ssa/utils"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

const (
	// FieldManager is the name under which the objects of a tree are applied.
	FieldManager = "weighlock-gitsource"

	// concurrency is how many objects are tried at a time.
	concurrency = 4

	// pollInterval and establishTimeout are for new kinds to be served.
	pollInterval     = 100 * time.Millisecond
	establishTimeout = 30 * time.Second
)

// Source is who applies, and in whose name.
type Source struct {
	// Namespace and Name of the GitSource.
	Namespace, Name string
	// ServiceAccount in the same namespace.
	ServiceAccount string
	// TargetNamespace is for namespaced objects that name none; the default is Namespace.
	TargetNamespace string
}

func (s Source) targetNamespace() string {
	if s.TargetNamespace != "" {
		return s.TargetNamespace
	}
	return s.Namespace
}

// Applier writes what a tree says into a cluster.
type Applier struct {
	source  Source
	client  client.Client
	manager *ssa.ResourceManager
}

// NewApplier returns an Applier that acts as the source's ServiceAccount. The identity in config must be allowed
// to impersonate it, and needs no other permission.
func NewApplier(config *rest.Config, scheme *runtime.Scheme, mapper meta.RESTMapper, source Source) (*Applier, error) {
	config = rest.CopyConfig(config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: fmt.Sprintf("system:serviceaccount:%s:%s", source.Namespace, source.ServiceAccount),
	}
	acting, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		return nil, fmt.Errorf("make a client for the ServiceAccount %s/%s: %w", source.Namespace, source.ServiceAccount, err)
	}
	return &Applier{
		source:  source,
		client:  acting,
		manager: ssa.NewResourceManager(acting, nil, ssa.Owner{Field: FieldManager, Group: v1alpha1.GroupVersion.Group}),
	}, nil
}

// Client acts as the source's ServiceAccount.
func (a *Applier) Client() client.Client { return a.client }

// Apply makes the writes of a plan, definitions first, and returns what it wrote, for people. What the dry run
// of the plan found unchanged is not written.
func (a *Applier) Apply(ctx context.Context, plan *Plan) (written []string, err error) {
	var late []*entry
	var kinds []*unstructured.Unstructured
	write := func(entry *entry) error {
		if !entry.changes() {
			return nil
		}
		err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(entry.object.DeepCopy()),
			client.FieldOwner(FieldManager), client.ForceOwnership)
		if err != nil {
			return fmt.Errorf("apply %w", a.explain(entry.object, err))
		}
		written = append(written, identity(entry.object)+" "+entry.action.String())
		return nil
	}
	for _, entry := range plan.entries {
		if !isDefinition(entry.object) {
			continue
		}
		if err := write(entry); err != nil {
			return written, err
		}
		if ssautils.IsCRD(entry.object) && entry.changes() {
			kinds = append(kinds, entry.object)
		}
	}
	for _, kind := range kinds {
		if err := a.established(ctx, kind); err != nil {
			return written, err
		}
	}
	for _, entry := range plan.entries {
		if entry.late {
			late = append(late, entry)
		}
	}
	if err := a.try(ctx, late, plan.commit); err != nil {
		return written, err
	}
	for _, entry := range plan.entries {
		if isDefinition(entry.object) {
			continue
		}
		if err := write(entry); err != nil {
			return written, err
		}
	}
	return written, nil
}

// established waits until the API server serves the kind of a CustomResourceDefinition.
func (a *Applier) established(ctx context.Context, crd *unstructured.Unstructured) error {
	current := &unstructured.Unstructured{}
	current.SetGroupVersionKind(crd.GroupVersionKind())
	err := wait.PollUntilContextTimeout(ctx, pollInterval, establishTimeout, true, func(ctx context.Context) (bool, error) {
		if err := a.client.Get(ctx, client.ObjectKeyFromObject(crd), current); err != nil {
			return false, err
		}
		conditions, _, _ := unstructured.NestedSlice(current.Object, "status", "conditions")
		for _, item := range conditions {
			condition, ok := item.(map[string]any)
			if ok && condition["type"] == "Established" && condition["status"] == "True" {
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s to be established: %w", identity(crd), err)
	}
	return nil
}
