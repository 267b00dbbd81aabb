// Package rollout is the pure core of Weighlock: it decides, and does nothing
// else. PlanFor takes a Snapshot of what was observed and says which actions come
// next, what the status is, and why. It does no I/O, reads no clock and knows no
// Kubernetes client, so whole rollouts are simulated in its tests.
//
// Memory is the Progress that is written with the route, in one write with the traffic. It has three phases:
//
//	          first look
//	              |  adopt
//	              v
//	+-------- Serving <-----------------------------+
//	|   all traffic on the incumbent's track        |
//	|             |                                 |
//	|             |  a new template, copy is ready  |  last step's gates are open:
//	|             v                                 |  the copy is the incumbent now
//	|           Step 0 --> Step 1 --> ... Step n ---+
//	|             |   each by its gates
//	|             |--------------------------> Serving      revert, supersede: a newer or the
//	|             |                                         incumbent's template in git
//	|             v  bad verdict, never ready, deadline
//	|         RolledBack
//	|   all traffic on the incumbent's track, the
//	|   revision is remembered as failed
//	|             |
//	+-------------+--> Step 0 of another revision
//
// In Serving, the incumbent's track is the workload or, after a promotion, a copy. In the latter
// case the workload is released once the copy's traffic was taken and the old pods have
// drained; when it has rolled, traffic returns to it and the copy goes.
//
// The policies that make the decisions stand in a file each, in the order in which
// plan.go lists them.
package rollout
