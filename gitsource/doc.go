// Package gitsource brings a folder of a git repository into a cluster. Each step is
// of its own, and none needs the one before to have run in this process:
//
//	Fetcher.Head   which commit a branch is at         (one request, nothing written)
//	Fetcher.Fetch  that commit's files                 (fresh, shallow, bounded)
//	Build          the objects that a folder describes (plain YAML or a kustomization)
//	Applier.Plan   what applying them would change     (server-side dry-run; nothing written)
//	Applier.Apply  the writes of a plan                (server-side apply)
//	Applier.Prune  the deletion of what left the tree
//
// Whoever can push to the repository is not trusted further than the ServiceAccount in whose name its objects are
// applied: a clone is bounded in size, nothing outside of it can be read, nothing is executed and nothing else is fetched
// while building, and YAML that expands beyond measure is refused.
package gitsource
