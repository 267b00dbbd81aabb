// Package e2e holds the end-to-end tests: Weighlock as it is installed, on the
// whole local stack, judged by what its users' users see.
package e2e
