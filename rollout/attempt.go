package rollout

// count notes what a plan says of the attempt to take a revision live: one that begins has another number, whatever it tries. One that
// never gets into its first step has a number, too.
func (v *view) count(p *Plan) {
	h := &v.heard
	if p.tries == nil || *p.tries == h.progress.Tried {
		return
	}
	if *p.tries != "" {
		h.progress.Attempt++
	}
	h.progress.Tried, h.changed = *p.tries, true
}

// number puts into progress that is written with traffic which attempt it is about.
func (v *view) number(next *Progress) {
	next.Attempt, next.Tried = v.heard.progress.Attempt, v.heard.progress.Tried
	switch next.Phase {
	case PhaseServing:
		if v.progress.Phase != PhaseServing || next.Incumbent != v.progress.Incumbent {
			next.Tried = ""
		}
	case PhaseRolledBack, PhaseSetBack:
		if next.Phase == v.progress.Phase && next.Candidate == v.progress.Candidate {
			return // It was given up before, and the next one may have begun.
		}
		if next.Tried != next.Candidate {
			next.Attempt++ // It was given up before it began.
		}
		next.Tried = ""
	case PhaseStep:
	}
}

// attempt is the number of the rollout that runs, or ran last, once a plan is done.
func (v *view) attempt(p *Plan) int64 {
	n := v.progress.Attempt
	for _, action := range p.Actions {
		switch a := action.(type) {
		case SetRoute:
			n = a.Progress.Attempt
		case Note:
			n = a.Progress.Attempt
		}
	}
	return n
}
