package analysis

// FieldError says that a field of the Rollout can't be worked with: only an edit helps.
type FieldError struct {
	// Field is the path of the field, such as spec.analysis.errors.slo.
	Field string
	// Problem is what is wrong with it, and what to write instead.
	Problem string
}

// Error returns the field and its problem.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }
