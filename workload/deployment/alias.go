package deployment

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/weighlock/weighlock/api/v1alpha1"
	"github.com/weighlock/weighlock/workload"
)

// maxAliases bounds what is remembered; when it is full, all is asked for again.
const maxAliases = 10_000

// resolver names templates by the revisions that are recorded.
type resolver struct {
	adapter    *Adapter
	deployment *unstructured.Unstructured
	records    map[string]workload.Record
}

// resolve is the revision of the template that hashes to hash. Where no record has that hash, the
// template may still be a recorded one: a newer API server fills in more defaults, so that what was
// recorded once reads back otherwise now. A dry run asks the server how it would read each record back. The
// answer is remembered, so that a new template costs that once.
func (r *resolver) resolve(ctx context.Context, hash string) (string, error) {
	if _, ok := r.records[hash]; ok || r.deployment == nil || len(r.records) == 0 {
		return hash, nil
	}
	revisions := slices.Sorted(maps.Keys(r.records))
	memo := strings.Join(append([]string{string(r.deployment.GetUID()), hash}, revisions...), "/")
	if revision, ok := r.adapter.alias(memo); ok {
		return revision, nil
	}
	found := hash
	for _, revision := range revisions {
		same, err := r.readsBackAs(ctx, r.records[revision].Content, hash)
		if err != nil {
			return "", fmt.Errorf("compare a template with revision %s: %w", revision, err)
		}
		if same {
			found = revision
			break
		}
	}
	r.adapter.remember(memo, found)
	return found, nil
}

// readsBackAs says whether template, written now, would hash to hash. A template that the server refuses
// by now does not.
func (r *resolver) readsBackAs(ctx context.Context, template map[string]any, hash string) (bool, error) {
	patch, err := json.Marshal([]map[string]any{{"op": "replace", "path": "/spec/template", "value": template}})
	if err != nil {
		return false, fmt.Errorf("write the patch: %w", err)
	}
	u := object(deploymentKind, r.deployment.GetNamespace(), r.deployment.GetName())
	err = r.adapter.writer.Patch(ctx, u, client.RawPatch(types.JSONPatchType, patch),
		client.DryRunAll, client.FieldOwner(v1alpha1.FieldManager))
	switch {
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsForbidden(err), apierrors.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("dry-run the template on %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}
	now, err := RevisionOf(templateOf(u))
	return now == hash, err
}

func (a *Adapter) alias(memo string) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	revision, ok := a.aliases[memo]
	return revision, ok
}

func (a *Adapter) remember(memo, revision string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.aliases) >= maxAliases {
		clear(a.aliases)
	}
	a.aliases[memo] = revision
}

// equalJSON says that two values are the same as JSON.
func equalJSON(one, other any) bool {
	first, firstErr := json.Marshal(one)
	second, secondErr := json.Marshal(other)
	return firstErr == nil && secondErr == nil && string(first) == string(second)
}
