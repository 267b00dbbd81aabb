package eprocess

import "math"

// LogBelow returns the logarithm of the evidence that the probability of being bad is below p0, after bad of n (requests;
// both may be divided by a dispersion): the likelihood, mixed over all p below p0 by a Beta distribution with parameters a and b that is
// cut off there, over the likelihood at p0. With s bad, B the beta function and I its regularised incomplete one:
//
//	ln B(a+s,b+n-s) + ln I_{p0}(a+s,b+n-s) - ln B(a,b) - ln I_{p0}(a,b) - s ln p0 - (n-s) ln(1-p0)
//
// Every p in the mixture is below p0, so that its mean is at most 1 at every probability from p0 on, at any time (Robbins,
// "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 1970). The powers of p0 cancel against
// those of the incomplete beta functions and are never formed. It is 0 for what can't have been counted, and unless 0 < p0 < 1.
func LogBelow(bad, n, p0, a, b float64) float64 {
	if !isPart(bad, n) || !inside(p0) || !(a > 0 && b > 0) {
		return 0
	}
	return logLower(a+bad, b+n-bad, p0) - logLower(a, b, p0)
}

// LogShare returns the logarithm of the evidence that a part of all, where chance sends each one with the same probability, is not sent with
// the probability p: the likelihood mixed evenly over all probabilities, over that under p. In size it is the binomial case of
// Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022, with Robbins's even prior. It is 0 for
// what can't have been counted, and unless 0 < p < 1.
func LogShare(part, all, p float64) float64 {
	if !isPart(part, all) || !inside(p) {
		return 0
	}
	return logScaled(part+1, all-part+1, p) + math.Log(p) + math.Log1p(-p)
}

// LogOutside returns the logarithm of the evidence that the probability is not from least to most: the smallest of LogShare in there, which
// is that of the nearer edge. Within them it is below 0. An edge at 0 or 1 is never passed.
func LogOutside(part, all, least, most float64) float64 {
	if !isPart(part, all) || all == 0 {
		return 0
	}
	return LogShare(part, all, min(max(part/all, least), most))
}

func isPart(part, all float64) bool {
	return part >= 0 && part <= all && !math.IsInf(all, 1)
}

// logScaled returns ln B(alpha,beta) - alpha ln x - beta ln(1-x), by Stirling's formula with what it leaves out, and without cancelling.
func logScaled(alpha, beta, x float64) float64 {
	all := alpha + beta
	above := alpha - all*x
	return deviance(alpha, all*x, above) + deviance(beta, all*(1-x), -above) +
		(math.Log(all/alpha)-math.Log(beta))/2 + logRootTwoPi + stirlingError(alpha) + stirlingError(beta) - stirlingError(all)
}

// logLower returns ln(B(alpha,beta) I_x(alpha,beta)) - alpha ln x - beta ln(1-x): the logarithm of the incomplete beta function without
// its powers. Where x is beyond the mean, so that I is large, it is the whole less the other side, whose logarithm is
// known too: 1-I is never formed.
func logLower(alpha, beta, x float64) float64 {
	above := alpha - (alpha+beta)*x
	if x <= (alpha+1)/(alpha+beta+2) {
		return logTail(alpha, beta, x, 1-x, above)
	}
	whole := logScaled(alpha, beta, x)
	other := logTail(beta, alpha, 1-x, x, -above)
	return whole + math.Log1p(-math.Exp(other-whole))
}

// logTail is logLower for x = 1-y up to about the mean; above is alpha - (alpha+beta) x, which is not to be had from an x near 1.
func logTail(alpha, beta, x, y, above float64) float64 {
	variance := (alpha + beta) * x * y
	if reach := 2 * tailExponent / (above + math.Sqrt(above*above+2*tailExponent*variance)); reach > 0 && reach < tailReach {
		return math.Log(tailIntegral(above, variance, x, y, reach))
	}
	return math.Log(tailFraction(alpha, beta, x, above) / alpha)
}

// tailFraction returns alpha B(alpha,beta) I_x(alpha,beta) x^-alpha (1-x)^-beta by the even part of its continued fraction
// 1/(1+ d_1/(1+ d_2/(1+ ...))) (DLMF 8.17.22), which is 1/(b_0 + a_1/(b_1 + a_2/(b_2 + ...))) with b_m = 1 + d_2m + d_2m+1 and a_m =
// -d_2m-1 d_2m: in b_m the large parts can be cancelled by hand (as in Didonato and Morris, "Algorithm 708", ACM TOMS 1992). It
// is evaluated as by Lentz (Thompson and Barnett 1986), and takes about as many terms as a standard deviation of the
// counts has: where logTail asks for it, some hundred at most.
func tailFraction(alpha, beta, x, above float64) float64 {
	const most, tiny = 10000, 1e-300
	all := alpha + beta
	result := (1 + above) / (alpha + 1)
	if result < tiny {
		result = tiny
	}
	c, d := result, 0.0
	for m := 1.0; m < most; m++ {
		s := alpha + 2*m
		even := m * (beta - m) * x / (s - 1)
		a := even / s * (alpha + m - 1) * (all + m - 1) * x / ((s - 2) * (s - 1))
		b := (even + (alpha*(1+above)+m*(2+above)+m*alpha*(3-x)+m*m*(4-x))/(s+1)) / s
		d = 1 / (b + a*d)
		c = b + a/c
		result *= c * d
		if math.Abs(c*d-1) < negligible*50 {
			break
		}
	}
	return 1 / result
}

const (
	// tailExponent is how small the integrand becomes, e^-40, where the integral ends.
	tailExponent = 40
	// tailReach is up to which log odds the series in tailIntegral is good: its first term that is left out is 6e-13 of its
	// first, where the integrand is e^-40 already.
	tailReach = 0.1
)

// tailIntegral returns B(alpha,beta) I_x(alpha,beta) x^-alpha (1-x)^-beta where the continued fraction would take as many terms as
// a standard deviation of the counts has. With p = the place whose log odds are v below x's, it is
//
//	integral from 0 to infinity of exp(-alpha v - (alpha+beta) ln(1 + x (e^-v - 1))) dv
//
// whose exponent is -above v less the higher terms of a Bernoulli cumulant generating function, so that nothing cancels. The integrand
// falls as a normal density's tail or faster, and is integrated by Gauss and Legendre's rule (DLMF 3.5(v)) to 1e-13.
func tailIntegral(above, variance, x, y, reach float64) float64 {
	var k [7]float64
	addCumulants(&k, variance, x, y)
	var sum float64
	at := func(v float64) float64 {
		higher := k[0]/2 - v*(k[1]/6-v*(k[2]/24-v*(k[3]/120-v*(k[4]/720-v*(k[5]/5040-v*k[6]/40320)))))
		return math.Exp(-v * (above + v*higher))
	}
	half := reach / 2
	for _, node := range gauss24 {
		sum += node.weight * (at(half*(1-node.place)) + at(half*(1+node.place)))
	}
	return sum * half
}

// gauss24 is one half of the places, from -1 to 1, and weights of Gauss and Legendre's rule of 24 points: the other is its mirror image.
var gauss24 = [...]struct{ place, weight float64 }{
	{0.0640568928626056261, 0.127938195346752157},
	{0.191118867473616309, 0.125837456346828296},
	{0.315042679696163374, 0.121670472927803391},
	{0.433793507626045138, 0.115505668053725601},
	{0.545421471388839536, 0.107444270115965635},
	{0.648093651936975569, 0.0976186521041138883},
	{0.740124191578554364, 0.0861901615319532759},
	{0.820001985973902922, 0.0733464814110803057},
	{0.886415527004401034, 0.0592985849154367807},
	{0.938274552002732759, 0.0442774388174198062},
	{0.974728555971309498, 0.0285313886289336632},
	{0.99518721999702136, 0.0123412297999871995},
}
