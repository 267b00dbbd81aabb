// Package cli holds the commands of the kubectl plugin.
package cli
