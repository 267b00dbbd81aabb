// Package crds holds the CustomResourceDefinitions of Weighlock, as they are installed.
package crds

import "embed"

// Files are the CustomResourceDefinitions, one file each.
//
//go:embed weighlock.dev_*.yaml
var Files embed.FS
