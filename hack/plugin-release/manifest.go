package main

import (
	"fmt"

	"sigs.k8s.io/yaml"
)

// What krew's users read of the plugin.
const (
	shortDescription = "See and steer progressive rollouts of Weighlock"
	description      = `Weighlock takes new versions of workloads live step by step through a
service mesh, and puts all traffic back when the numbers are bad.
This plugin shows where rollouts stand and why, lets people approve,
promote, pause and abort them, and checks manifests without a cluster.
`
	caveats = `For completion behind kubectl, link the program under another name:
  ln -s "$(command -v kubectl-weighlock)" ~/.krew/bin/kubectl_complete-weighlock
`
)

// plugin is a manifest, in the form that krew gives it.
type plugin struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   map[string]string `json:"metadata"`
	Spec       pluginSpec        `json:"spec"`
}

type pluginSpec struct {
	Version          string           `json:"version"`
	Homepage         string           `json:"homepage"`
	ShortDescription string           `json:"shortDescription"`
	Description      string           `json:"description"`
	Caveats          string           `json:"caveats"`
	Platforms        []pluginPlatform `json:"platforms"`
}

type pluginPlatform struct {
	Selector pluginSelector `json:"selector"`
	URI      string         `json:"uri"`
	SHA256   string         `json:"sha256"`
	Bin      string         `json:"bin"`
}

type pluginSelector struct {
	MatchLabels map[string]string `json:"matchLabels"`
}

// manifest is what krew installs the archives by.
func (r *release) manifest(archives []archive) ([]byte, error) {
	made := plugin{
		APIVersion: "krew.googlecontainertools.github.com/v1alpha2", Kind: "Plugin", Metadata: map[string]string{"name": "weighlock"},
		Spec: pluginSpec{
			Version: r.version, Homepage: "https://github.com/weighlock/weighlock",
			ShortDescription: shortDescription, Description: description, Caveats: caveats,
		},
	}
	for _, one := range archives {
		made.Spec.Platforms = append(made.Spec.Platforms, pluginPlatform{
			Selector: pluginSelector{MatchLabels: map[string]string{"os": one.system, "arch": one.machine}},
			URI:      fmt.Sprintf("%s/%s/%s", r.downloads, r.version, one.file), SHA256: one.sum, Bin: one.program,
		})
	}
	text, err := yaml.Marshal(made)
	if err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	return text, nil
}
