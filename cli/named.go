package cli

import (
	"slices"
	"strconv"
	"strings"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// How much of a revision, or of a commit, must be written at least.
const (
	shortestRevision = 4
	shortestCommit   = 7
)

// checkNamed refuses the beginnings of a revision and of a commit that are too short to be sure; what is empty was not given.
func checkNamed(revision, commit string) error {
	switch {
	case revision != "" && len(revision) < shortestRevision:
		return usagef("--revision %s is too short to be sure: give %d characters of it or more", revision, shortestRevision)
	case commit != "" && len(commit) < shortestCommit:
		return usagef("--commit %s is too short to be sure: give %d characters of it or more", commit, shortestCommit)
	}
	return nil
}

// isRevision says whether text means the revision: its name or its commit, or how one of them begins.
func isRevision(revision *v1alpha1.RevisionStatus, text string) bool {
	return isNamed(revision, text) || isCommit(revision, text)
}

// isNamed says whether text is the name of the revision, or how it begins.
func isNamed(revision *v1alpha1.RevisionStatus, text string) bool {
	return revision.Revision == text || len(text) >= shortestRevision && strings.HasPrefix(revision.Revision, text)
}

// isCommit says whether text is the commit that brought the revision, or how it begins.
func isCommit(revision *v1alpha1.RevisionStatus, text string) bool {
	return len(text) >= shortestCommit && strings.HasPrefix(revision.Commit, text)
}

// stepIndex is the index of the step that text names: by its name, or its number from 1.
func stepIndex(rollout *v1alpha1.Rollout, text string) (int, error) {
	steps := rollout.Spec.Steps
	if index := slices.IndexFunc(steps, func(step v1alpha1.Step) bool { return step.Name == text }); index >= 0 {
		return index, nil
	}
	if number, err := strconv.Atoi(text); err == nil && number >= 1 && number <= len(steps) {
		return number - 1, nil
	}
	return 0, usagef("%s has no step %q: write its name, or its number from 1 to %d", rollout.Name, text, len(steps))
}
