package gitsource

import "errors"

var (
	// ErrPath is for a path that the repository doesn't have, or that leaves it.
	ErrPath = errors.New("invalid path")
	// ErrEmpty is for a folder that describes no object.
	ErrEmpty = errors.New("no objects found")
)
