// Package monitor keeps the verdicts of rollouts fresh, away from the path on which they are reconciled: a slow metrics server
// delays a verdict, never a rollback.
//
// Nothing in it has to survive: after a restart the questions are asked anew, from the same beginning.
package monitor
