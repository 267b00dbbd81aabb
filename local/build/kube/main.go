// Command kube is the Kubernetes control plane of the local stack as one
// program: etcd, kube-apiserver, kube-controller-manager and kubectl, built
// from their published modules. The program that runs is chosen by the name it
// is called by (so that links named etcd or kube-apiserver work, which is what
// envtest looks for), or else by its first argument.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectlcmd "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	args := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	if !known(args[0]) && len(args) > 1 {
		args = args[1:]
	}
	if !known(args[0]) {
		fmt.Fprintln(os.Stderr, "usage: kube etcd|kube-apiserver|kube-controller-manager|kubectl [arguments]")
		os.Exit(2)
	}
	os.Args = args
	switch args[0] {
	case "etcd":
		etcdmain.Main(args)
	case "kubectl":
		run(kubectlcmd.NewDefaultKubectlCommand())
	case "kube-apiserver":
		os.Exit(cli.Run(apiserver.NewAPIServerCommand()))
	case "kube-controller-manager":
		os.Exit(cli.Run(controllermanager.NewControllerManagerCommand()))
	}
}

func known(name string) bool {
	switch name {
	case "etcd", "kube-apiserver", "kube-controller-manager", "kubectl":
		return true
	}
	return false
}

// run is for kubectl, which prints its own errors.
func run(cmd *cobra.Command) {
	if err := cli.RunNoErrOutput(cmd); err != nil {
		kubectlutil.CheckErr(err)
	}
}
