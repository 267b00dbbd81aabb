// Package configuration is the controller's configuration file: who is told of rollouts, and who may decide through Slack. It
// belongs to the administrators of a cluster. Secrets stand in it by reference only.
package configuration
