package eprocess

import "math"

// LogAddExp returns ln(e^a + e^b).
func LogAddExp(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	if math.IsInf(a, 0) {
		return a
	}
	return a + math.Log1p(math.Exp(b-a))
}

// LogSumExp returns the logarithm of the sum of the numbers whose logarithms are given; that of nothing is -Inf.
func LogSumExp(logs ...float64) float64 {
	largest := math.Inf(-1)
	for _, log := range logs {
		largest = max(largest, log)
	}
	if math.IsInf(largest, 0) {
		return largest
	}
	var sum float64
	for _, log := range logs {
		sum += math.Exp(log - largest)
	}
	return largest + math.Log(sum)
}

// LogMeanExp returns the logarithm of the mean of the numbers whose logarithms are given. A mean of e-values is an e-value whatever
// their dependence (Vovk and Wang, "E-values: calibration, combination and applications", Annals of Statistics 2021). Without
// any it is 0.
func LogMeanExp(logs ...float64) float64 {
	if len(logs) == 0 {
		return 0
	}
	return LogSumExp(logs...) - math.Log(float64(len(logs)))
}
