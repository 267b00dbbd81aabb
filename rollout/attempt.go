package rollout

// begin counts a rollout that begins: an attempt to take the revision that is wanted live. One that never gets into its first step
// has a number, too.
func (v *view) begin() {
	if h := &v.heard; h.progress.Tried != v.want {
		h.progress.Attempt++
		h.progress.Tried, h.changed = v.want, true
	}
}

// end says that the attempt is over that never got into a step: the next one has another number, whatever it tries.
func (v *view) end() {
	if h := &v.heard; h.progress.Tried != "" {
		h.progress.Tried, h.changed = "", true
	}
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
		if next.Tried != next.Candidate {
			next.Attempt++ // It was given up before it began.
			next.Tried = next.Candidate
		}
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
