// Package eprocess holds the numbers behind the verdict: e-values and e-processes.
//
// An e-value is a number that is never negative and whose mean is at most 1 if the hypothesis holds that it speaks against: 100 of
// it is seen by chance once in a hundred times at most (Markov). An e-process is a sequence of them that one may look at
// any time, as often as one likes, with the same bound (Ville 1939). See Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic
// statistics and safe anytime-valid inference", Statistical Science 2023.
//
// Everything is a natural logarithm, as evidence of a long rollout is larger than a float64. Every function is pure, allocates nothing,
// and says 0, which is no evidence, of what can't have been counted.
package eprocess
