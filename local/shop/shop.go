// Package shop is the demo shop as git knows it: the files of examples/canary,
// with the Rollout of another example where one is asked for, and the version
// that is wanted put in.
package shop

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Canary is the example that holds the shop itself; the others are another
// Rollout for it.
const Canary = "canary"

// Name is that of the shop's namespace, Deployment, Service, Rollout and
// GitSource, unless another namespace is asked for.
const Name = "shop"

const (
	deploymentFile = "shop.yaml"
	// What the example says of the version, and what is replaced.
	exampleImage     = "demo-shop:1\n"
	exampleArguments = "args: [--version=1]"
)

// Version is a version of the shop.
type Version struct {
	// Name is what it says in X-Version.
	Name string
	// ErrorRate is the share of requests, 0 to 1, that it answers with 500.
	ErrorRate float64
	// Median is what half of its answers take longer than, and P99 what one in a
	// hundred does; 0 for what versions take that name none, app.DefaultLatency
	// and app.DefaultLatencyP99.
	Median, P99 time.Duration
}

// Example is the folder of an example in a checkout.
func Example(root, name string) string {
	return filepath.Join(root, "examples", name)
}

// Files are the contents of the repository, by path, with that version, and
// with the Rollout of that example.
func Files(root, example string, version Version) (map[string]string, error) {
	files := map[string]string{}
	for _, name := range []string{Canary, example} {
		if err := read(filepath.Join(Example(root, name), "git"), files); err != nil {
			return nil, fmt.Errorf("read the example %s: %w", name, err)
		}
	}
	var err error
	if files[deploymentFile], err = version.put(files[deploymentFile]); err != nil {
		return nil, err
	}
	return files, nil
}

// read reads the files of a folder.
func read(folder string, files map[string]string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		files[entry.Name()] = string(content)
	}
	return nil
}

// put puts the version into the Deployment's manifest.
func (v Version) put(manifest string) (string, error) {
	for _, old := range []string{exampleImage, exampleArguments} {
		if strings.Count(manifest, old) != 1 {
			return "", fmt.Errorf("put version %s into the example: %s does not hold %q once", v.Name, deploymentFile, strings.TrimSpace(old))
		}
	}
	arguments := "--version=" + v.Name
	if v.ErrorRate > 0 {
		arguments += ", --error-rate=" + strconv.FormatFloat(v.ErrorRate, 'f', -1, 64)
	}
	if v.Median > 0 {
		arguments += ", --latency=" + v.Median.String()
	}
	if v.P99 > 0 {
		arguments += ", --latency-p99=" + v.P99.String()
	}
	return strings.NewReplacer(
		exampleImage, "demo-shop:"+v.Name+"\n",
		exampleArguments, "args: ["+arguments+"]",
	).Replace(manifest), nil
}

// source is the manifest of what an administrator applies once, for another
// namespace and repository.
func source(root, namespace, url string) ([]byte, error) {
	content, err := os.ReadFile(filepath.Join(Example(root, Canary), "gitsource.yaml"))
	if err != nil {
		return nil, fmt.Errorf("read the example: %w", err)
	}
	var out bytes.Buffer
	for document := range strings.SplitSeq(string(content), "\n---\n") {
		if strings.Contains(document, "kind: Namespace\n") {
			document = strings.ReplaceAll(document, "name: "+Name, "name: "+namespace)
		}
		document = strings.ReplaceAll(document, "namespace: "+Name, "namespace: "+namespace)
		document = strings.ReplaceAll(document, "url: http://git.git.svc.cluster.local/shop.git", "url: "+url)
		out.WriteString(document + "\n---\n")
	}
	return out.Bytes(), nil
}
