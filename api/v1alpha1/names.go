package v1alpha1

// Labels, annotations and the like that Weighlock writes or reads. They are part
// of the API: a user may select by them.
const (
	// FieldManager is the name under which Weighlock writes all fields it owns.
	FieldManager = "weighlock"

	// Finalizer keeps a Rollout until all traffic is back on its workload and
	// what Weighlock made is gone, and a GitSource until what it applied is pruned.
	Finalizer = "weighlock.dev/finalizer"

	// LabelHeld is on every adopted workload. The admission policy that holds new
	// templates selects by it. Its value is the name of the Rollout.
	LabelHeld = "weighlock.dev/held"

	// LabelRollout is on everything that Weighlock makes for a Rollout. Its value is the
	// Rollout's name, cut to 63 characters with a hash where it is longer.
	LabelRollout = "weighlock.dev/rollout"

	// LabelRolloutNamespace goes with LabelRollout on what may stand in another namespace than the Rollout. Its
	// value is the Rollout's namespace.
	LabelRolloutNamespace = "weighlock.dev/rollout-namespace"

	// LabelRevision is on copies, their Services and template records. Its value is the
	// revision.
	LabelRevision = "weighlock.dev/revision"

	// LabelTrack tells the pods of a copy from the workload's. Its value is the copy's
	// name.
	LabelTrack = "weighlock.dev/track"

	// LabelSource is on every object that a GitSource applied. Its value is the
	// GitSource's name.
	LabelSource = "weighlock.dev/source"

	// LabelSourceNamespace goes with LabelSource. Its value is the GitSource's namespace.
	LabelSourceNamespace = "weighlock.dev/source-namespace"

	// AnnotationProgress is on the route of a Rollout (a TrafficSplit, say). It holds
	// how far the rollout is, as JSON, written together with the traffic.
	AnnotationProgress = "weighlock.dev/progress"

	// AnnotationMirror asks a mesh for shadow traffic on a TrafficSplit, as
	// JSON: {"service": name, "percent": n}.
	AnnotationMirror = "weighlock.dev/mirror"

	// AnnotationClaim is on an adopted workload and its root Service: the UID of the Rollout that owns it.
	AnnotationClaim = "weighlock.dev/claimed-by"

	// AnnotationCommit is on objects that a GitSource applied: the commit that brought
	// their present form.
	AnnotationCommit = "weighlock.dev/commit"

	// AnnotationAuthor is on objects that a GitSource applied: the author of that commit.
	AnnotationAuthor = "weighlock.dev/commit-author"

	// AnnotationFailed is on the record of a template whose rollout failed: why it did.
	AnnotationFailed = "weighlock.dev/failed"

	// AnnotationLeft is on a workload that was left paused when its Rollout was
	// deleted: why it was.
	AnnotationLeft = "weighlock.dev/left-paused"

	// AnnotationTwinOf is on the NetworkPolicies that do for a copy what another one does for the workload: the
	// name of that one.
	AnnotationTwinOf = "weighlock.dev/twin-of"

	// AnnotationConfig is on copies: the ConfigMaps and Secrets that their pods use, each as it was when the copy
	// was made.
	AnnotationConfig = "weighlock.dev/config"

	// AnnotationFindings is on copies: what was found when a step began, as JSON.
	AnnotationFindings = "weighlock.dev/findings"

	// AnnotationNotify on a Rollout names, with commas between, the sinks of Weighlock's configuration that are told of it besides
	// those that the configuration's routes name.
	AnnotationNotify = "weighlock.dev/notify"

	// AnnotationPrune on an object applied by a GitSource keeps it from being pruned
	// when its value is "disabled".
	AnnotationPrune = "weighlock.dev/prune"
)
