//go:build !linux

package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	fmt.Fprintf(os.Stderr, "local: the local stack needs Linux (this is %s): run it in a Linux virtual machine\n", runtime.GOOS)
	os.Exit(1)
}
