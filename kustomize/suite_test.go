// Package kustomize_test tries the install manifests on a real API server.
package kustomize_test

import (
	"context"
	"fmt"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/internal/apiservertest"
)

const namespace = "weighlock-system"

// The API server that all tests of this package ask. It holds the overlay smi.
var (
	started *apiservertest.Server
	server  client.Client
)

func TestMain(m *testing.M) {
	apiservertest.Main(m, apiservertest.Options{}, prepare)
}

func prepare(s *apiservertest.Server) (err error) {
	if err := v1alpha1.AddToScheme(scheme.Scheme); err != nil {
		return err
	}
	started = s
	if server, err = client.New(s.Config, client.Options{Scheme: scheme.Scheme}); err != nil {
		return err
	}
	objects, err := build("overlays/smi")
	if err != nil {
		return err
	}
	return apply(context.Background(), objects)
}

// build is what kubectl kustomize prints for a folder.
func build(folder string) ([]*unstructured.Unstructured, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, fmt.Errorf("building %s: %w", folder, err)
	}
	var objects []*unstructured.Unstructured
	for _, resource := range built.Resources() {
		content, err := resource.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", resource.CurId(), err)
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(content); err != nil {
			return nil, fmt.Errorf("reading %s: %w", resource.CurId(), err)
		}
		objects = append(objects, object)
	}
	return objects, nil
}

func apply(ctx context.Context, objects []*unstructured.Unstructured, options ...client.ApplyOption) error {
	options = append(options, client.FieldOwner("installer"), client.ForceOwnership)
	for _, object := range objects {
		if err := server.Apply(ctx, client.ApplyConfigurationFromUnstructured(object.DeepCopy()), options...); err != nil {
			return fmt.Errorf("applying %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// find is the one object of a kind and name among objects.
func find(t *testing.T, objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	t.Helper()
	for _, object := range objects {
		if object.GetKind() == kind && object.GetName() == name {
			return object
		}
	}
	t.Fatalf("no %s %s", kind, name)
	return nil
}

// newNamespace is a namespace for one test.
func newNamespace(t *testing.T) string {
	t.Helper()
	made := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"generateName": "test-"},
	}}
	if err := server.Create(t.Context(), made, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
		t.Fatal(err)
	}
	return made.GetName()
}
