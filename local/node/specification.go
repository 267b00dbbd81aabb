package node

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/weighlock/weighlock/local/address"
	"github.com/weighlock/weighlock/local/node/environ"
	"github.com/weighlock/weighlock/local/node/process"
)

// maxHostname is the longest name that the kernel takes for a machine, less
// one, as a kubelet cuts it.
const maxHostname = 63

// program finds what runs in place of the container's image.
func (c *container) program() (Program, error) {
	image, _, _ := strings.Cut(c.spec.Image, "@")
	// A colon after the last slash begins a tag; one before it, a port.
	if i := strings.LastIndex(image, ":"); i > strings.LastIndex(image, "/") {
		image = image[:i]
	}
	if c.isInit && c.spec.RestartPolicy != nil {
		return Program{}, prepareError{fmt.Errorf("the local node runs no sidecars among the init containers")}
	}
	program, ok := c.worker.node.Programs[image]
	if !ok {
		known := slices.Sorted(maps.Keys(c.worker.node.Programs))
		return Program{}, imageError{fmt.Errorf("the local node has no program for the image %q, only for %s", image, strings.Join(known, ", "))}
	}
	return program, nil
}

// specification says what to run and what it finds.
func (c *container) specification(program Program) (process.Spec, error) {
	pod := c.worker.current()
	hostname := pod.Spec.Hostname
	if hostname == "" {
		hostname = pod.Name
	}
	if len(hostname) > maxHostname {
		hostname = strings.TrimRight(hostname[:maxHostname], "-.")
	}
	env, err := environ.Build(pod, c.spec, c.worker.facts, c.worker.node.objects, c.baseEnvironment(hostname))
	if err != nil {
		return process.Spec{}, err
	}
	mounts, err := c.mounts(pod, env)
	if err != nil {
		return process.Spec{}, err
	}
	root := filepath.Join(c.worker.node.State, string(c.worker.uid), "roots", c.spec.Name)
	if err := os.MkdirAll(root, 0o755); err != nil { //nolint:gosec // a mount point
		return process.Spec{}, fmt.Errorf("make the root folder: %w", err)
	}
	command := env.ExpandAll(c.spec.Command)
	entry := "/" + filepath.Base(strings.TrimSuffix(c.spec.Image, "/"))
	entry, _, _ = strings.Cut(entry, ":")
	entry, _, _ = strings.Cut(entry, "@")
	// The image picks the program, so a command only names it.
	if len(command) > 0 {
		if path.IsAbs(command[0]) {
			entry = command[0]
		}
		command = command[1:]
	}
	spec := process.Spec{
		Root:     root,
		Program:  program.Path,
		Entry:    entry,
		Args:     slices.Concat(program.Args, command, env.ExpandAll(c.spec.Args)),
		Env:      env.List(),
		Dir:      c.spec.WorkingDir,
		Hostname: hostname,
		Files:    c.files(hostname),
		Mounts:   mounts,
	}
	if context := c.spec.SecurityContext; context != nil && context.ReadOnlyRootFilesystem != nil {
		spec.ReadOnlyRoot = *context.ReadOnlyRootFilesystem
	}
	return spec, nil
}

// baseEnvironment is what every container is given.
func (c *container) baseEnvironment(hostname string) environ.Environment {
	return environ.Environment{
		"PATH":                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME":                    "/",
		"HOSTNAME":                hostname,
		"POD_IP":                  c.worker.facts.PodIP,
		"KUBERNETES_SERVICE_HOST": address.APIServerIP,
		"KUBERNETES_SERVICE_PORT": address.APIServerPort,
	}
}

// files are those that every container finds.
func (c *container) files(hostname string) map[string]string {
	namespace := c.worker.key.Namespace
	return map[string]string{ //nolint:gosec // no credentials
		"/etc/hostname": hostname + "\n",
		"/etc/hosts":    "127.0.0.1\tlocalhost\n::1\tlocalhost\n" + c.worker.facts.PodIP + "\t" + hostname + "\n",
		"/etc/resolv.conf": "nameserver " + c.worker.node.ClusterDNS + "\n" +
			"search " + namespace + ".svc." + address.ClusterDomain + " svc." + address.ClusterDomain + " " + address.ClusterDomain + "\n" +
			"options ndots:5\n",
		"/etc/passwd": "root:x:0:0:root:/:/bin/sh\n",
		"/etc/group":  "root:x:0:\n",
	}
}

func (c *container) mounts(pod *corev1.Pod, env environ.Environment) ([]process.Mount, error) {
	var mounts []process.Mount
	for _, m := range c.spec.VolumeMounts {
		subPath := m.SubPath
		if m.SubPathExpr != "" {
			subPath = env.Expand(m.SubPathExpr)
		}
		source, err := c.worker.volumes.Path(pod, m.Name, subPath)
		if err != nil {
			return nil, err
		}
		writable := slices.ContainsFunc(pod.Spec.Volumes, func(v corev1.Volume) bool {
			return v.Name == m.Name && (v.EmptyDir != nil || v.HostPath != nil)
		})
		mounts = append(mounts, process.Mount{Source: source, Target: m.MountPath, ReadOnly: m.ReadOnly || !writable})
	}
	return mounts, nil
}
