package cli

import (
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/weighlock/weighlock/api/v1alpha1"
)

// draw gives the lines of the picture, for a terminal of that many columns (zero: no terminal).
func (v *picture) draw(p palette, width int) []string {
	lines := v.tree(p).draw(p, width)
	next := v.next()
	if len(next) == 0 {
		return lines
	}
	lines = append(lines, "")
	table := &node{}
	for _, n := range next {
		table.add(row(painted(cyan, n.command), painted(faint, n.what)))
	}
	columns := align(table.below)
	for _, n := range table.below {
		lines = append(lines, n.line(p, 0, "  ", "", columns)...)
	}
	return lines
}

// tree is the Rollout with all that belongs to it.
func (v *picture) tree(p palette) *node {
	root := v.head(p)
	root.add(v.notices(p)...)
	root.add(v.traffic())
	for i := range v.tracks {
		root.add(v.trackNode(p, &v.tracks[i]))
	}
	root.add(v.stepNodes(p))
	return root
}

// head is the Rollout's own line.
func (v *picture) head(p palette) *node {
	r := v.rollout
	mark, code := stateMark(p, r)
	line := text{{text: mark + " ", code: code}, {text: r.Name, code: bold}, {text: "  "}, {text: stateName(r), code: code}}
	var facts []string
	if r.Status.Attempt > 0 {
		facts = append(facts, fmt.Sprintf("rollout %d", r.Status.Attempt))
	}
	if step := r.Status.Step; step != nil && step.Position != "" {
		facts = append(facts, "step "+step.Position)
	}
	facts = append(facts, "namespace "+r.Namespace)
	return row(line.and(span{text: "  " + strings.Join(facts, ", "), code: faint}))
}

// stateName is the state, or what stands in for it.
func stateName(r *v1alpha1.Rollout) string {
	switch {
	case r.Status.State != "":
		return string(r.Status.State)
	case r.DeletionTimestamp != nil:
		return string(v1alpha1.StateDeleting)
	}
	return "Unknown"
}

// stateMark is a glyph for a state, and its colour.
func stateMark(p palette, r *v1alpha1.Rollout) (glyph, code string) {
	switch r.Status.State {
	case v1alpha1.StateIdle:
		return p.glyphs.good, green
	case v1alpha1.StateRolledBack, v1alpha1.StateRollingBack, v1alpha1.StateStalled:
		return p.glyphs.bad, red
	case v1alpha1.StateWaiting, v1alpha1.StatePaused, v1alpha1.StateSuspended:
		return p.glyphs.waiting, yellow
	case v1alpha1.StateAdopting, v1alpha1.StateStarting, v1alpha1.StateProgressing, v1alpha1.StatePromoting, v1alpha1.StateDeleting:
		return p.glyphs.present, cyan
	}
	return p.glyphs.todo, yellow
}

// notices tell why it stands where it does, who paused it, and what people should know.
func (v *picture) notices(p palette) []*node {
	r := v.rollout
	var nodes []*node
	label := func(name, code, sentence string) {
		if sentence != "" {
			nodes = append(nodes, row(painted(bold, name), painted(code, sentence)))
		}
	}
	ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case len(r.Status.Conditions) == 0 && r.Status.State == "":
		label("now", yellow, "nothing has looked at it yet: does Weighlock run in this cluster?")
	case meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionStalled):
		stalled := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionStalled)
		sentence := stalled.Message
		if stalled.Reason != stateName(r) {
			// There is a page on each reason.
			sentence += " (" + stalled.Reason + ")"
		}
		label("now", red, sentence)
	case r.Status.Paused != nil && r.Status.State == v1alpha1.StatePaused:
		// Who paused it is told below.
	case r.Status.WaitingFor != "" && r.Status.Step != nil:
		label("now", yellow, "waits for "+r.Status.WaitingFor)
	case ready != nil:
		label("now", "", ready.Message)
	case r.Status.WaitingFor != "":
		label("now", yellow, "waits for "+r.Status.WaitingFor)
	}
	if r.Status.State != "" && r.Status.ObservedGeneration != r.Generation {
		label("spec", yellow, "changed, and not looked at yet: what is below tells of the former one")
	}
	if paused := r.Status.Paused; paused != nil {
		label("paused", yellow, v.voice(paused))
	}
	for _, warning := range r.Status.Warnings {
		label("warning", yellow, warning)
	}
	if v.wide {
		nodes = append(nodes, v.conditions(p)...)
	}
	return nodes
}

// conditions shows all of them.
func (v *picture) conditions(palette) []*node {
	var nodes []*node
	for _, c := range v.rollout.Status.Conditions {
		nodes = append(nodes, row(painted(bold, c.Type), words(fmt.Sprintf("%s, %s for %s: %s", c.Status, c.Reason, age(v.now, c.LastTransitionTime.Time), c.Message))))
	}
	return nodes
}

// voice tells who said something, through what, when and why.
func (v *picture) voice(said *v1alpha1.Voice) string {
	return "by " + voicedAt(said, ", "+age(v.now, said.At.Time)+" ago")
}

// traffic tells what the mesh was asked for, and what was measured.
func (v *picture) traffic() *node {
	t := v.rollout.Status.Traffic
	if t == nil || t.Asked == "" {
		return nil
	}
	line := words("all on the incumbent")
	if v.rollout.Status.Step != nil || t.Asked != "0%" {
		line = text{{text: t.Asked, code: bold}, {text: " to the candidate"}}
	}
	if v.rollout.Status.Step != nil && t.Measured != "" {
		line = line.and(span{text: ", " + t.Measured + " measured"})
	}
	if !t.Taken && v.rollout.Status.State != v1alpha1.StateIdle {
		line = line.and(span{text: ", not taken by the mesh yet", code: yellow})
	}
	return row(painted(bold, "traffic"), line)
}

// trackNode shows a track with its pods.
func (v *picture) trackNode(p palette, t *track) *node {
	var line text
	switch {
	case t.revision == nil && t.deployment == nil:
		return row(painted(bold, t.role), painted(red, "there is no Deployment "+v.rollout.Spec.Workload.Name))
	case t.revision == nil:
		line = words(fmt.Sprintf("Deployment %s, %s", t.deployment.Name, workloadReady(t.deployment)))
	default:
		line = v.revision(t)
	}
	n := row(painted(bold, t.role), line)
	if t.revision != nil && t.revision.Failed != "" && !strings.Contains(stalledMessage(v.rollout), t.revision.Failed) {
		n.add(row(painted(red, p.glyphs.bad+" failed: "+t.revision.Failed)))
	}
	if t.revision != nil && t.revision.Unproven {
		n.add(row(painted(yellow, p.glyphs.waiting+" unproven: a step was left without a Pass")))
	}
	if v.wide && t.deployment != nil {
		for _, c := range t.deployment.Spec.Template.Spec.Containers {
			n.add(row(painted(faint, "image of "+c.Name+": "+c.Image)))
		}
	}
	if t.unseen != "" {
		n.add(row(painted(yellow, t.unseen)))
	}
	return n.add(v.podNodes(p, t.pods)...)
}

// revision tells of the revision that a track runs.
func (v *picture) revision(t *track) text {
	r := t.revision
	line := text{{text: r.Revision, code: cyan}}
	if r.Track == "" {
		line = line.and(span{text: ", no copy"})
	} else {
		code := ""
		if r.Ready < r.Replicas {
			code = yellow
		}
		line = line.and(span{text: ", Deployment " + r.Track + ", "}, span{text: fmt.Sprintf("%d/%d ready", r.Ready, r.Replicas), code: code})
	}
	if r.Commit != "" {
		line = line.and(span{text: ", commit " + v.commit(r.Commit), code: faint})
	}
	if r.Author != "" {
		line = line.and(span{text: " by " + v.author(r.Author), code: faint})
	}
	return line
}

// commit is a commit as people write it, whole in wide.
func (v *picture) commit(hash string) string {
	if v.wide {
		return hash
	}
	return shortCommit(hash)
}

// author is a commit's author by name, with the address in wide.
func (v *picture) author(author string) string {
	if name, _, found := strings.Cut(author, " <"); found && !v.wide && name != "" {
		return name
	}
	return author
}

// workloadReady tells of the workload while a copy serves in its place.
func workloadReady(d *appsv1.Deployment) string {
	line := fmt.Sprintf("%d/%d ready", d.Status.ReadyReplicas, replicas(d.Spec.Replicas))
	if d.Spec.Paused {
		return line + ", held"
	}
	if d.Status.UpdatedReplicas < replicas(d.Spec.Replicas) || d.Status.ObservedGeneration < d.Generation {
		return line + ", rolling"
	}
	return line
}

// replicas is what a Deployment asks for: one unless told.
func replicas(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}
