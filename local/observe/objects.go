package observe

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Rollout is what is read of one. It is what any client of the API can see.
type Rollout struct {
	Metadata struct {
		Generation        int64   `json:"generation"`
		DeletionTimestamp *string `json:"deletionTimestamp,omitempty"`
	} `json:"metadata"`
	Status struct {
		ObservedGeneration int64       `json:"observedGeneration"`
		State              string      `json:"state"`
		WaitingFor         string      `json:"waitingFor"`
		Incumbent          *Revision   `json:"incumbent,omitempty"`
		Candidate          *Revision   `json:"candidate,omitempty"`
		Step               *Step       `json:"step,omitempty"`
		Traffic            *Traffic    `json:"traffic,omitempty"`
		Verdict            *Verdict    `json:"verdict,omitempty"`
		AnalysisHistory    []Record    `json:"analysisHistory,omitempty"`
		Hold               string      `json:"hold"`
		Attempt            int64       `json:"attempt"`
		Approval           *Approval   `json:"approval,omitempty"`
		Paused             *Voice      `json:"paused,omitempty"`
		Threads            []Thread    `json:"threads,omitempty"`
		Conditions         []Condition `json:"conditions,omitempty"`
	} `json:"status"`
}

// Revision is one of a Rollout's.
type Revision struct {
	Revision string `json:"revision"`
	Track    string `json:"track"`
	Commit   string `json:"commit"`
	Failed   string `json:"failed"`
	Unproven bool   `json:"unproven"`
	Replicas int32  `json:"replicas"`
	Ready    int32  `json:"ready"`
}

// Step is where a Rollout stands.
type Step struct {
	Position string `json:"position"`
	Name     string `json:"name"`
}

// Traffic is what a Rollout asked the mesh for.
type Traffic struct {
	Asked string `json:"asked"`
	Taken bool   `json:"taken"`
}

// Approval is what a step's approval gate has, and lacks.
type Approval struct {
	Quorum int     `json:"quorum"`
	Count  int     `json:"count"`
	Given  []Voice `json:"given,omitempty"`
}

// Voice is what somebody said.
type Voice struct {
	Actor  string    `json:"actor"`
	Via    string    `json:"via"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
}

// Thread is where a chat tells of a rollout.
type Thread struct {
	Sink      string `json:"sink"`
	Attempt   int64  `json:"attempt"`
	Channel   string `json:"channel"`
	Timestamp string `json:"timestamp"`
}

// Decision is what somebody decided, and what became of it.
type Decision struct {
	Metadata struct {
		Name              string    `json:"name"`
		CreationTimestamp time.Time `json:"creationTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Rollout  string   `json:"rollout"`
		Verb     string   `json:"verb"`
		Revision string   `json:"revision"`
		Reason   string   `json:"reason"`
		Actor    string   `json:"actor"`
		Groups   []string `json:"groups"`
		Person   string   `json:"person"`
		Via      string   `json:"via"`
	} `json:"spec"`
	Status struct {
		Outcome string `json:"outcome"`
		Message string `json:"message"`
	} `json:"status"`
}

// Verdict is what analysis says, and what of each metric.
type Verdict struct {
	Outcome string   `json:"outcome"`
	Message string   `json:"message"`
	Metrics []Metric `json:"metrics,omitempty"`
}

// Metric is what analysis says of one metric.
type Metric struct {
	Name    string `json:"name"`
	Outcome string `json:"outcome"`
	Message string `json:"message"`
}

// Record is what came of a step.
type Record struct {
	Candidate string `json:"candidate"`
	Name      string `json:"name"`
	Outcome   string `json:"outcome"`
	Message   string `json:"message"`
}

// Condition is one of an object's.
type Condition struct {
	Type               string `json:"type"`
	Status             string `json:"status"`
	Reason             string `json:"reason"`
	Message            string `json:"message"`
	ObservedGeneration int64  `json:"observedGeneration"`
}

// GitSource is what is read of one.
type GitSource struct {
	Status struct {
		LastApplied *struct {
			SHA string `json:"sha"`
		} `json:"lastApplied,omitempty"`
		Conditions []Condition `json:"conditions,omitempty"`
	} `json:"status"`
}

// split is what is read of a TrafficSplit.
type split struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
}

// Progress is how far a rollout is, as its route says, and when that was
// written.
type Progress struct {
	Phase     string    `json:"phase"`
	Incumbent string    `json:"incumbent"`
	OnCopy    bool      `json:"onCopy"`
	Candidate string    `json:"candidate"`
	Step      int       `json:"step"`
	Reason    string    `json:"reason"`
	WrittenAt time.Time `json:"-"`
}

// The phases of a rollout.
const (
	PhaseServing    = "Serving"
	PhaseStep       = "Step"
	PhaseRolledBack = "RolledBack"
)

// Event is one of a Rollout's.
type Event struct {
	Metadata struct {
		UID               string    `json:"uid"`
		CreationTimestamp time.Time `json:"creationTimestamp"`
	} `json:"metadata"`
	Type    string `json:"type"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Count   int    `json:"count"`
	Object  struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	} `json:"involvedObject"`
}

// Find finds a condition by its type; nil when there is none.
func Find(conditions []Condition, kind string) *Condition {
	i := slices.IndexFunc(conditions, func(c Condition) bool { return c.Type == kind })
	if i < 0 {
		return nil
	}
	return &conditions[i]
}

// Describe tells the conditions in lines.
func Describe(conditions []Condition) string {
	sorted := slices.SortedFunc(slices.Values(conditions), func(a, b Condition) int { return cmp.Compare(a.Type, b.Type) })
	var lines []string
	for _, c := range sorted {
		lines = append(lines, c.Type+"="+c.Status+" "+c.Reason+": "+c.Message)
	}
	return strings.Join(lines, "\n")
}
