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
	sources client.Reader
	manager *ssa.ResourceManager
}

// NewApplier returns an Applier that acts as the source's ServiceAccount. The identity in config must be allowed
// to impersonate it, and needs no other permission. sources tells which GitSources there are, in any namespace: not a cache of a part of them.
func NewApplier(config *rest.Config, scheme *runtime.Scheme, mapper meta.RESTMapper, sources client.Reader, source Source) (*Applier, error) {
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
		sources: sources,
		manager: ssa.NewResourceManager(acting, nil, ssa.Owner{Field: FieldManager, Group: v1alpha1.GroupVersion.Group}),
	}, nil
}

// Client acts as the source's ServiceAccount.
func (a *Applier) Client() client.Client { return a.client }

// Apply makes the writes of a plan, definitions first, then roles, and returns what it wrote, for people. What the
// dry run of the plan found unchanged is not written. What could not be tried before is tried as soon as what it
// depends on is there.
func (a *Applier) Apply(ctx context.Context, plan *Plan) (written []string, err error) {
	write := func(entries []*entry) error {
		for _, entry := range entries {
			if !entry.changes() {
				continue
			}
			err := a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(entry.object.DeepCopy()),
				client.FieldOwner(FieldManager), client.ForceOwnership)
			if err != nil {
				return fmt.Errorf("apply %w", a.explain(entry.object, err))
			}
			written = append(written, identity(entry.object)+" "+entry.action.String())
		}
		return nil
	}
	definitions := plan.only(func(entry *entry) bool { return isDefinition(entry.object) })
	if err := write(definitions); err != nil {
		return written, err
	}
	for _, definition := range definitions {
		if !ssautils.IsCRD(definition.object) || !definition.changes() {
			continue
		}
		if err := a.established(ctx, definition.object); err != nil {
			return written, err
		}
	}
	late := plan.only(func(entry *entry) bool { return entry.late && !isBinding(entry.object) })
	if err := a.try(ctx, late, plan.commit); err != nil {
		return written, err
	}
	if err := write(plan.only(func(entry *entry) bool { return isRole(entry.object) })); err != nil {
		return written, err
	}
	late = plan.only(func(entry *entry) bool { return entry.late && isBinding(entry.object) })
	if err := a.try(ctx, late, plan.commit); err != nil {
		return written, err
	}
	err = write(plan.only(func(entry *entry) bool { return !isDefinition(entry.object) && !isRole(entry.object) }))
	return written, err
}

// only are the entries of a kind, in order.
func (p *Plan) only(is func(*entry) bool) []*entry {
	var found []*entry
	for _, entry := range p.entries {
		if is(entry) {
			found = append(found, entry)
		}
	}
	return found
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
