package eprocess

import "math"

// LogBet returns the logarithm of the factor 1 - c + c (k/m)/theta0, theta0 = psi0 n_c/(psi0 n_c + n_b): a bet of the share c
// (0 to 1) of what one has on the candidate's share of the bad requests being larger than an odds ratio of psi0 makes it (Waudby-Smith
// and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 2024; for two samples Turner, Ly and Grünwald,
// "Generic E-variables for exact sequential k-sample tests", JSPI 2024). It needs no more than that the mean of k/m, given the
// past, is at most theta0, and so stands bursts inside a block. Under Odds's distribution it is, for psi0 >= 1: with bad requests drawn
// one by one it would be theta0 for the first, and each that is the candidate's leaves it fewer. Below 1 that turns round, so 1 is
// taken for a smaller psi0. Without bad requests of either, or without requests of one, it is 0. With c = 1 it can be -Inf: all is lost.
func LogBet(t Table, c, psi0 float64) float64 {
	psi0 = max(1, psi0)
	if !t.telling() || !usable(psi0) || !(c >= 0 && c <= 1) {
		return 0
	}
	candidate := float64(t.Candidate) * psi0
	expected := candidate / (candidate + float64(t.Incumbent))
	return math.Log1p(c * (float64(t.BadCandidate)/float64(t.Bad)/expected - 1))
}

// LogBinomial returns the logarithm of the likelihood of bad among n under the probability p1 over that under p0. With p1 > p0
// its mean is at most 1 at every probability up to p0, with p1 < p0 at every one from p0 on. It is 0 unless both are
// inside the open interval from 0 to 1.
func LogBinomial(bad, n int64, p1, p0 float64) float64 {
	if bad < 0 || bad > n || !inside(p0) || !inside(p1) {
		return 0
	}
	return float64(bad)*logQuotient(p1, p0, p1-p0) + float64(n-bad)*logQuotient(1-p1, 1-p0, p0-p1)
}

// logQuotient returns ln(a/b), where difference = a - b is all that tells near ones apart.
func logQuotient(a, b, difference float64) float64 {
	if a > b/2 && a < 2*b {
		return math.Log1p(difference / b)
	}
	return math.Log(a / b)
}

func inside(p float64) bool {
	return p > 0 && p < 1
}
