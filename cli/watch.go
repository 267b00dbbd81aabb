package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// errGone says that what was watched is deleted.
var errGone = errors.New("deleted")

// watchRollout shows a Rollout whenever something of it changes.
func (s *session) watchRollout(ctx context.Context, out *output, found *v1alpha1.Rollout) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	of := sight{namespace: found.Namespace, name: found.Name}
	paints := out.isOwn() && s.canRepaint()
	if paints {
		var err error
		of.kinds, err = s.visible(ctx, found.Namespace,
			kind{object: &appsv1.Deployment{}, list: &appsv1.DeploymentList{}}, kind{object: &corev1.Pod{}, list: &corev1.PodList{}})
		if err != nil {
			return err
		}
	}
	e, err := s.open(ctx, of)
	if err != nil {
		return err
	}
	if paints {
		return s.repaint(ctx, e, func(ctx context.Context) (frame, error) {
			now, err := e.rollout(ctx, found)
			if err != nil {
				return nil, err
			}
			view, err := s.picture(ctx, e, out, now)
			if err != nil {
				return nil, err
			}
			return func(p palette, width int, at time.Time) []string {
				view.now = at
				return view.draw(p, width)
			}, nil
		})
	}
	return s.printChanges(ctx, e, out, found)
}

// canRepaint says whether the output is a terminal that can be painted on in place.
func (s *session) canRepaint() bool { return s.onTerminal() && s.getenv("TERM") != "dumb" }

// printChanges prints a line, or the object, for each change of a Rollout.
func (s *session) printChanges(ctx context.Context, e *eye, out *output, found *v1alpha1.Rollout) error {
	said, version := "", ""
	return each(ctx, e, func() (bool, error) {
		now, err := e.rollout(ctx, found)
		if err != nil {
			return true, s.ended(err, found, out.isOwn())
		}
		if !out.isOwn() {
			if now.ResourceVersion == version {
				return false, nil
			}
			version = now.ResourceVersion
			return false, out.object(s, now)
		}
		if line := changeLine(s.palette(), now); line != said {
			said = line
			s.line("%s  %s", s.moment(), line)
		}
		return false, nil
	})
}

// moment is the present one, in front of a line. As elsewhere, it is UTC.
func (s *session) moment() string { return s.clock.Now().UTC().Format("15:04:05Z") }

// ended tells that what was watched is gone: where the output is for programs, beside it.
func (s *session) ended(err error, found *v1alpha1.Rollout, forPeople bool) error {
	if !errors.Is(err, errGone) {
		return err
	}
	out := s.ErrOut
	if forPeople {
		out = s.Out
	}
	fmt.Fprintf(out, "%s: deleted\n", found.Name)
	return nil
}

// each calls look whenever something has changed, until it says that it has seen enough.
func each(ctx context.Context, e *eye, look func() (done bool, err error)) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-e.changed:
		}
		e.tellTrouble()
		if done, err := look(); done || err != nil {
			return err
		}
	}
}

// changeLine is a Rollout in a line, for logs: what changes often, such as the share that was measured, is left out.
func changeLine(p palette, r *v1alpha1.Rollout) string {
	_, code := stateMark(p, r)
	line := text{{text: r.Name, code: bold}, {text: ": "}, {text: stateName(r), code: code}}
	if step := r.Status.Step; step != nil {
		place := ", step " + step.Position
		if step.Name != "" {
			place += " " + step.Name
		}
		if r.Status.Traffic != nil {
			place += " (" + r.Status.Traffic.Asked + ")"
		}
		line = line.and(span{text: place})
	}
	if c := r.Status.Candidate; c != nil {
		line = line.and(span{text: ", candidate " + c.Revision})
	}
	if why := why(r); why != "" {
		line = line.and(span{text: ": " + why})
	}
	return line.paint(p)
}

// why tells what a Rollout waits for, or why it stands where it does.
func why(r *v1alpha1.Rollout) string {
	switch {
	case r.Status.Candidate != nil && r.Status.Candidate.Failed != "":
		return r.Status.Candidate.Failed
	case r.Status.State == v1alpha1.StateStalled:
		return stalledMessage(r)
	case r.Status.WaitingFor != "":
		return "waits for " + r.Status.WaitingFor
	}
	return ""
}
