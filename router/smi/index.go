package smi

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// byRoot is the index of TrafficSplits by the service that they are for.
const byRoot = "weighlock.dev/root"

// Index finds the TrafficSplits of a service in a cache. One serves all Routers that read from the cache.
type Index struct {
	indexer client.FieldIndexer

	mu sync.Mutex
	// versions that are indexed: each is cached apart.
	versions map[string]bool
}

// NewIndex makes an Index of what the indexer's cache holds. Nothing is cached before a Router asks for it.
func NewIndex(indexer client.FieldIndexer) *Index {
	return &Index{indexer: indexer, versions: map[string]bool{}}
}

// ensure indexes the TrafficSplits of a version, once.
func (i *Index) ensure(ctx context.Context, version string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.versions[version] {
		return nil
	}
	err := i.indexer.IndexField(ctx, object(splitKind, version, "", ""), byRoot, func(obj client.Object) []string {
		u, ok := obj.(*unstructured.Unstructured)
		if !ok {
			return nil
		}
		service, _ := root(u)
		return []string{service}
	})
	if err != nil {
		return fmt.Errorf("index TrafficSplits by service: %w", err)
	}
	i.versions[version] = true
	return nil
}
