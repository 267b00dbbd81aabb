package rollout_test

import (
	"maps"
	"slices"
	"time"
)

// tick lets a second pass: one pod gets ready or is replaced.
func (w *world) tick() {
	w.now = w.now.Add(time.Second)
	w.meddle()
	for _, r := range slices.Sorted(maps.Keys(w.copies)) {
		c := w.copies[r]
		c.age++
		if c.ready < c.replicas && !w.broken[r] {
			c.ready++
		}
		c.ready = min(c.ready, c.replicas)
		if w.route.exists && (w.route.traffic.Incumbent == r || (w.route.traffic.Candidate == r && w.route.traffic.Reaches())) {
			w.lastTraffic[r] = w.now
		}
	}
	if w.route.exists && w.route.traffic.Incumbent == "" {
		w.lastTraffic[""] = w.now
	}
	switch {
	case w.replicas == 0:
		w.pods, w.coming = map[string]int32{}, 0
	case w.paused && len(w.running()) == 0:
		// Scaled from zero, it starts whatever its newest ReplicaSet is, or nothing.
		if w.started != "" {
			w.pods, w.coming = map[string]int32{w.started: w.replicas}, w.replicas
		}
	case w.coming > 0:
		w.coming--
	case w.paused && len(w.running()) > 1:
	case w.paused:
		w.resize()
	default:
		w.roll()
	}
	w.autoscale()
	w.checkTracks()
}

// meddle is what somebody else does to the route, again and again.
func (w *world) meddle() {
	if !w.route.exists || !w.now.Before(w.mesh.rival) {
		return
	}
	w.mesh.foreign = "another tool"
	w.route.traffic.Weight = (w.route.traffic.Weight + 7) % w.route.traffic.Total
}

// autoscale is what an autoscaler does that goes by the largest share of the traffic that the workload had lately.
func (w *world) autoscale() {
	if w.scaler == nil || w.replicas == 0 {
		return
	}
	share := 1.0
	if t := w.route.traffic; w.route.exists && t.Incumbent != "" {
		share = 0
	} else if w.route.exists && t.Candidate != "" {
		share = 1 - float64(t.Weight)/float64(t.Total)
	}
	w.scaler.shares = append(w.scaler.shares, share)
	w.scaler.shares = w.scaler.shares[max(0, len(w.scaler.shares)-window):]
	if most := slices.Max(w.scaler.shares); !w.scaler.guarded && most < 0.99 && !w.deleting && w.served && w.route.progress.Phase != "" {
		w.violated("the autoscaler takes pods from a workload that had %.0f%% of the traffic", most*100)
	}
	if w.route.exists && w.route.traffic.Incumbent == "" && w.replicas < w.demand {
		w.replicas = w.demand
	}
	// That of a copy adds to it.
	if c := w.copies[w.route.traffic.Incumbent]; w.route.exists && c != nil && c.protected && c.replicas < w.demand {
		c.replicas = w.demand
	}
}

// resize brings a paused workload to its size, of the revision that it runs.
func (w *world) resize() {
	running := w.git
	if r := w.running(); len(r) == 1 {
		running = r[0]
	}
	if have := w.pods[running]; have < w.replicas {
		w.coming = w.replicas - have
	}
	w.pods = map[string]int32{running: w.replicas}
}

// roll replaces one pod by one of the template.
func (w *world) roll() {
	for _, r := range w.running() {
		if r == w.git {
			continue
		}
		w.pods[r]--
		w.pods[w.git]++
		w.coming = 1
		return
	}
	w.resize()
}
