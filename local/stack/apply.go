package stack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

const (
	// fieldManager owns what the stack and its user apply.
	fieldManager = "local-stack"
	// applyTimeout bounds the wait for kinds that are just being defined.
	applyTimeout = 20 * time.Second
	applyPoll    = 50 * time.Millisecond
)

// applier applies manifests on the server's side.
type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func newApplier(config *rest.Config) (*applier, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return &applier{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(kinds))}, nil
}

// Apply applies YAML documents on the server's side, in their order, as
// kubectl apply --server-side does. A kind that the server has just been
// told of may take a moment.
func (s *Stack) Apply(ctx context.Context, manifests []byte) error {
	reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a manifest: %w", err)
		}
		var object unstructured.Unstructured
		if err := yaml.Unmarshal(document, &object.Object); err != nil {
			return fmt.Errorf("read a manifest: %w", err)
		}
		if len(object.Object) == 0 {
			continue
		}
		if err := s.apply.object(ctx, &object); err != nil {
			return err
		}
	}
}

func (a *applier) object(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	failed := func(err error) error {
		return fmt.Errorf("apply %s %s: %w", kind.Kind, object.GetName(), err)
	}
	resource, err := a.resource(ctx, kind)
	if err != nil {
		return failed(err)
	}
	var client dynamic.ResourceInterface = a.client.Resource(resource.Resource)
	if resource.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace := object.GetNamespace()
		if namespace == "" {
			namespace = metav1.NamespaceDefault
		}
		client = a.client.Resource(resource.Resource).Namespace(namespace)
	}
	if _, err := client.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: fieldManager, Force: true}); err != nil {
		return failed(err)
	}
	if kind.Kind == "CustomResourceDefinition" {
		if err := a.established(ctx, client, object.GetName()); err != nil {
			return failed(err)
		}
	}
	return nil
}

// resource finds a kind's resource.
func (a *applier) resource(ctx context.Context, kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	for deadline := time.Now().Add(applyTimeout); ; {
		mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err == nil {
			return mapping, nil
		}
		if !meta.IsNoMatchError(err) || time.Now().After(deadline) {
			return nil, err
		}
		a.mapper.Reset()
		if err := pause(ctx, applyPoll); err != nil {
			return nil, err
		}
	}
}

// established waits until a defined kind is served.
func (a *applier) established(ctx context.Context, client dynamic.ResourceInterface, name string) error {
	for deadline := time.Now().Add(applyTimeout); ; {
		object, err := client.Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		// At first the conditions are null, which is read as an error.
		conditions, _, _ := unstructured.NestedSlice(object.Object, "status", "conditions")
		for _, c := range conditions {
			condition, ok := c.(map[string]any)
			if ok && condition["type"] == "Established" && condition["status"] == "True" {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return errors.New("the kind is not served")
		}
		if err := pause(ctx, applyPoll); err != nil {
			return err
		}
	}
}

// pause waits, unless the context ends first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
