package apiservertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patience is how long a policy may take until the API server acts by it.
const patience = time.Minute

// root is the folder of the repository.
func root() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("looking for the repository: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(folder, "go.mod")); err == nil {
			return folder, nil
		}
		if folder == filepath.Dir(folder) {
			return "", errors.New("looking for the repository: no folder above has a go.mod")
		}
		folder = filepath.Dir(folder)
	}
}

// Install makes the objects that manifests of kustomize/base hold, such as rbac.yaml, but for those that are there already. Those that
// name no namespace go to default, as kubectl has it.
func (s *Server) Install(ctx context.Context, manifests ...string) error {
	folder, err := root()
	if err != nil {
		return err
	}
	api, err := client.New(s.Config, client.Options{})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	for _, manifest := range manifests {
		if err := install(ctx, api, filepath.Join(folder, "kustomize", "base", manifest)); err != nil {
			return fmt.Errorf("installing %s: %w", manifest, err)
		}
	}
	return nil
}

func install(ctx context.Context, api client.Client, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	for decoder := yaml.NewYAMLOrJSONDecoder(file, 4096); ; {
		object := &unstructured.Unstructured{}
		if err := decoder.Decode(object); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		namespaced, err := api.IsObjectNamespaced(object)
		if err != nil {
			return err
		}
		if namespaced && object.GetNamespace() == "" {
			object.SetNamespace("default")
		}
		if err := api.Create(ctx, object); client.IgnoreAlreadyExists(err) != nil {
			return fmt.Errorf("creating %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

// InstallHold installs the policy that holds workloads, and waits until the API server acts by it.
func (s *Server) InstallHold(ctx context.Context) error {
	if err := s.Install(ctx, "admission.yaml"); err != nil {
		return err
	}
	template := map[string]any{
		"metadata": map[string]any{"labels": map[string]any{"app": "probe"}},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "probe", "image": "probe"}}},
	}
	probe := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"generateName": "probe-", "namespace": "default", "labels": map[string]any{"weighlock.dev/held": "probe"}},
		"spec": map[string]any{
			"replicas": int64(0), "selector": map[string]any{"matchLabels": map[string]any{"app": "probe"}}, "template": template,
		},
	}}
	api, err := client.New(s.Config, client.Options{})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	if err := api.Create(ctx, probe); err != nil {
		return fmt.Errorf("creating what is to be held: %w", err)
	}
	defer func() { _ = api.Delete(ctx, probe) }()
	another := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"template":{"metadata":{"annotations":{"try":"it"}}}}}`))
	return until(ctx, "holds workloads", func() (bool, error) {
		tried := probe.DeepCopy()
		if err := api.Patch(ctx, tried, another, client.DryRunAll); err != nil {
			return false, fmt.Errorf("trying whether workloads are held: %w", err)
		}
		held, _, _ := unstructured.NestedBool(tried.Object, "spec", "paused")
		return held, nil
	})
}

// InstallDecisionCheck installs the policy that checks who decides, and waits until the API server acts by it.
func (s *Server) InstallDecisionCheck(ctx context.Context) error {
	if err := s.Install(ctx, "admission-decisions.yaml"); err != nil {
		return err
	}
	api, err := client.New(s.Config, client.Options{})
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return until(ctx, "checks who decides", func() (bool, error) {
		forged := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "weighlock.dev/v1alpha1", "kind": "Decision",
			"metadata": map[string]any{"name": "forged", "namespace": "default"},
			"spec":     map[string]any{"rollout": "probe", "verb": "abort", "revision": "probe", "actor": "somebody else"},
		}}
		err := api.Create(ctx, forged, client.DryRunAll)
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			return true, nil
		}
		return false, err
	})
}

// until waits for a policy.
func until(ctx context.Context, what string, acts func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := acts(); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the policy that %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}
