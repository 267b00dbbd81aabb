// Package crds holds the definitions that a mesh brings into a cluster.
package crds

import _ "embed"

//go:embed smi.yaml
var smi []byte

// SMI is the CustomResourceDefinitions of the Service Mesh Interface's
// TrafficSplit and HTTPRouteGroup as YAML documents, for the
// apiextensions.k8s.io/v1 API (SMI's own are for one that is gone).
func SMI() []byte { return append([]byte(nil), smi...) }
