// Package cli holds the commands of the kubectl plugin: what a person reads of rollouts, and says of them. A command is a file;
// root.go lists them. What commands share is the session, which is one call of the plugin.
package cli
