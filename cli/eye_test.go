package cli

import (
	"errors"
	"fmt"
	"testing"
)

func TestEye_IsInTroubleUntilEverythingIsHeardAgain(t *testing.T) {
	t.Parallel()
	e := &eye{changed: make(chan struct{}, 1), lost: map[string]error{}}
	news := func() bool {
		select {
		case <-e.changed:
			return true
		default:
			return false
		}
	}
	denied := fmt.Errorf("%w: pods", errDenied)
	for i, step := range []struct {
		path string
		err  error
		want error
		news bool
	}{
		{"/rollouts", nil, nil, false},
		{"/events", errors.ErrUnsupported, errors.ErrUnsupported, true},
		{"/rollouts", nil, errors.ErrUnsupported, false},
		{"/events", errors.ErrUnsupported, errors.ErrUnsupported, false},
		{"/pods", denied, denied, true},
		{"/pods", nil, errors.ErrUnsupported, true},
		{"/events", nil, nil, true},
	} {
		e.hear(step.path, step.err)
		if told, got := news(), e.trouble(); told != step.news || !errors.Is(got, step.want) || (got == nil) != (step.want == nil) {
			t.Errorf("%d: after %v of %s it tells %v, news %v", i, step.err, step.path, got, told)
		}
	}
}
