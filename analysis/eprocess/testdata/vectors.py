"""Writes the values that the tests compare with, from other implementations: scipy's, and mpmath at 60 digits.

python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python vectors.py

Made with Python 3.11 and the versions in requirements.txt. Where scipy is good its values are compared with mpmath's here; where
it is not (large counts) they are mpmath's alone.
"""

import json
import pathlib
import random

import numpy
import scipy.stats
from mpmath import beta, betainc, exp, expm1, inf, log, log1p, loggamma, mp, mpf, quad, sqrt

mp.dps = 60
FOLDER = pathlib.Path(__file__).parent


def write(name, vectors):
    lines = ",\n".join(json.dumps(vector) for vector in vectors)
    (FOLDER / f"{name}.json").write_text(f"[\n{lines}\n]\n")
    print(name, len(vectors))


def close(a, b, tolerance):
    a, b = mpf(float(a)), mpf(float(b))
    return abs(a - b) <= tolerance * max(1, abs(b))


# Fisher's non-central hypergeometric distribution.


def log_choose(n, k):
    return loggamma(n + 1) - loggamma(k + 1) - loggamma(n - k + 1)


def fisher_sums(nc, nb, m, psi):
    """The logarithm of the normaliser, and the mean, by the sum over all terms above 1e-45 of the largest."""
    psi = mpf(psi)
    least, most = max(0, m - nb), min(m, nc)
    low, high = least, most
    while low < high:  # the mode: the first j whose successor is less likely
        j = (low + high) // 2
        if psi * (nc - j) * (m - j) > (j + 1) * (nb - m + j + 1):
            low = j + 1
        else:
            high = j
    mode = low
    total, weighted = mpf(1), mpf(mode)
    term, j = mpf(1), mode
    while j < most and term > mpf("1e-45"):
        term *= psi * (nc - j) * (m - j) / ((j + 1) * mpf(nb - m + j + 1))
        j += 1
        total += term
        weighted += term * j
    term, j = mpf(1), mode
    while j > least and term > mpf("1e-45"):
        term *= j * mpf(nb - m + j) / (psi * (nc - j + 1) * (m - j + 1))
        j -= 1
        total += term
        weighted += term * j
    largest = log_choose(nc, mode) + log_choose(nb, m - mode) + mode * log(psi)
    return largest + log(total), weighted / total


def fisher_log_pmf(nc, nb, m, k, psi, normaliser):
    return log_choose(nc, k) + log_choose(nb, m - k) + k * log(mpf(psi)) - normaliser


MARGINS = [
    (1, 1, 1), (5, 95, 3), (75, 1425, 2), (75, 1425, 15), (750, 750, 7), (50, 1000, 900), (1000, 50, 1000), (40, 60, 100 - 1),
    (75, 1425, 750), (750, 750, 750), (750, 750, 1400), (100, 1000, 220), (400, 50, 360), (1000, 1000, 1000), (30, 10**6, 5 * 10**5),
    (5000, 95000, 40000), (50000, 950000, 1000), (500000, 500000, 500000), (500000, 500000, 999000), (10**6, 10**6, 10**6),
    (10**12, 10**12, 3), (10**12, 10**12, 70), (10**12, 10**12, 10**6), (10**10, 10**12, 10**6), (10**12, 10, 10**6), (127, 127, 127), (128, 128, 128),
    (127, 10**9, 10**6), (128, 10**9, 10**6),
]
ODDS = [0.01, 0.5, 1, 1.25, 2.5, 12.5, 100, 125]


def fisher():
    pmf, ratio, means = [], [], []
    for nc, nb, m in MARGINS:
        least, most = max(0, m - nb), min(m, nc)
        sums = {psi: fisher_sums(nc, nb, m, psi) for psi in ODDS}
        for psi in ODDS:
            normaliser, mean = sums[psi]
            means.append({"table": [nc, nb, m, least], "psi": psi, "want": float(mean)})
            near = min(most, max(least, round(float(mean))))
            far = min(most, near + max(1, (most - near) // 50))
            for k in sorted({least, near, far, most}):
                want = fisher_log_pmf(nc, nb, m, k, psi, normaliser)
                pmf.append({"table": [nc, nb, m, k], "psi": psi, "want": float(want)})
                if nc + nb <= 2000 and want > -300:
                    theirs = scipy.stats.nchypergeom_fisher.logpmf(k, nc + nb, m, nc, psi)
                    assert close(theirs, want, 1e-7), (nc, nb, m, k, psi, theirs, want)
                for against in (1, 1.25, 2):
                    base = fisher_log_pmf(nc, nb, m, k, against, sums.get(against) and sums[against][0] or fisher_sums(nc, nb, m, against)[0])
                    if against != psi and k in (least, near, most):
                        ratio.append({"table": [nc, nb, m, k], "psi1": psi, "psi0": against, "want": float(want - base)})
    write("fisher_pmf", pmf)
    write("fisher_ratio", ratio)
    write("fisher_mean", means)


# Mixtures over a Beta distribution.


def log_lower(alpha, beta_, x):
    """ln of the incomplete beta function over x^alpha (1-x)^beta, by quadrature over the log odds, around the integrand's peak."""
    total = alpha + beta_
    peak = mpf(0)
    mean = alpha / total
    if mean < x:
        peak = log(x / (1 - x)) - log(mean / (1 - mean))
    exponent = lambda v: -alpha * v - total * log1p(x * expm1(-v))
    width = 1 / sqrt(total * mean * (1 - mean))
    places = {mpf(0), peak + 200 / alpha}
    places |= {peak + step * width for step in (-30, -12, -6, -3, -1, 0, 1, 3, 6, 12, 30) if peak + step * width > 0}
    top = exponent(peak)
    return top + log(quad(lambda v: exp(exponent(v) - top), sorted(places) + [inf]))


def below(bad, n, p0, a, b):
    return log_lower(a + bad, b + n - bad, p0) - log_lower(a, b, p0)


def below_by_betainc(bad, n, p0, a, b):
    whole = log(betainc(a + bad, b + n - bad, 0, p0)) - log(betainc(a, b, 0, p0))
    return whole - bad * log(p0) - (n - bad) * log(1 - p0)


def mixtures():
    vectors = []
    cases = [(0, 6000, 0.01), (30, 50, 0.9), (0, 1, 0.5), (1, 1, 0.01), (1.5, 433.25, 0.005), (0, 299, 0.01), (3, 10**7, 1e-6)]
    for p0 in (0.0001, 0.001, 0.01, 0.02, 0.1, 0.5):
        for n in (10, 300, 6000, 10**5, 10**6, 10**8, 10**10, 10**12):
            for rate in (0, 0.3, 0.9, 0.99, 1, 1.01, 1.3):
                cases.append((int(rate * p0 * n), n, p0))
    for bad, n, p0 in cases:
        a, b = (mpf("0.5"), mpf(10))
        want = below(mpf(bad), mpf(n), mpf(p0), a, b)
        if n <= 6000:
            other = below_by_betainc(mpf(bad), mpf(n), mpf(p0), a, b)
            assert close(want, other, 1e-13), (bad, n, p0, want, other)
        vectors.append({"bad": bad, "n": n, "p0": p0, "a": 0.5, "b": 10, "want": float(want)})
    for a, b in ((1, 1), (2, 3), (20, 400)):
        want = below(mpf(7), mpf(400), mpf(0.03), mpf(a), mpf(b))
        vectors.append({"bad": 7, "n": 400, "p0": 0.03, "a": a, "b": b, "want": float(want)})
    write("below", vectors)

    vectors = []
    for n in (0, 1, 40, 1500, 10**6, 10**12):
        for share in (0.001, 0.05, 0.25, 0.5, 0.97):
            for factor in (0, 0.8, 0.999, 1, 1.001, 1.02):
                part, p = int(share * factor * n), mpf(share)
                want = log(beta(part + 1, n - part + 1)) if n < 1000 else loggamma(part + 1) + loggamma(n - part + 1) - loggamma(n + 2)
                want -= part * log(p) + (n - part) * log(1 - p)
                vectors.append({"part": part, "all": n, "p": share, "want": float(want)})
    write("share", vectors)


# What needs no special functions.


def simple():
    vectors = []
    for bad, n in ((0, 0), (0, 10), (3, 10), (10, 10), (50, 6000), (10**6, 10**12), (0, 10**12), (10**12, 10**12)):
        for p1, p0 in ((0.0125, 0.01), (0.3, 0.01), (1e-9, 1e-6), (0.999, 0.5), (0.01, 0.02), (0.01, 0.010000001)):
            want = bad * log(mpf(p1) / mpf(p0)) + (n - bad) * log((1 - mpf(p1)) / (1 - mpf(p0)))
            if n <= 6000:
                theirs = scipy.stats.binom.logpmf(bad, n, p1) - scipy.stats.binom.logpmf(bad, n, p0)
                assert close(theirs, want, 1e-9)
            vectors.append({"bad": bad, "n": n, "p1": p1, "p0": p0, "want": float(want)})
    write("binomial", vectors)

    vectors = []
    for nc, nb, m, k in ((75, 1425, 15, 3), (75, 1425, 15, 0), (1, 1, 1, 1), (500, 500, 900, 450), (10**12, 10**10, 10**6, 990000)):
        for c in (0.03, 0.2, 0.5, 0.95):
            for psi0 in (1, 1.25, 3):
                expected = mpf(psi0) * nc / (mpf(psi0) * nc + nb)
                want = log(1 - mpf(c) + mpf(c) * k / m / expected)
                vectors.append({"table": [nc, nb, m, k], "c": c, "psi0": psi0, "want": float(want)})
    write("bet", vectors)

    draw = random.Random(20)
    vectors = []
    for length, scale in ((1, 1), (2, 1), (30, 0.5), (200, 0.05), (200, 1), (60, 40), (60, 3000)):
        factors = [draw.gauss(-0.1, 1) * scale for _ in range(length)]
        weights = [mpf(1) / 2] + [mpf(1) / (2 * t * (t - 1)) for t in range(2, length + 1)]
        started = sum(weight * exp(sum(map(mpf, factors[start:]))) for start, weight in enumerate(weights))
        vectors.append({"factors": factors, "want": float(log(started + 1 - sum(weights)))})
    write("late", vectors)

    random_numbers = numpy.random.default_rng(21)
    vectors = []
    for blocks, n, rate, spread in ((3, 40, 0.2, 0), (5, 100, 0.3, 0), (240, 1500, 0.01, 0), (240, 1500, 0.01, 1), (60, 400, 0.3, 0.4)):
        requests = random_numbers.poisson(n, blocks) + 1
        rates = rate * numpy.exp(random_numbers.normal(0, 1, blocks) * spread)
        bad = random_numbers.binomial(requests, numpy.minimum(rates, 1))
        squares = numpy.diff(bad / requests) ** 2 / (1 / requests[1:] + 1 / requests[:-1])
        both = requests[1:] + requests[:-1]
        pooled = (bad[1:] + bad[:-1]) / both
        chances = pooled * (1 - pooled) * both / (both - 1)
        kept = numpy.argsort(squares)[:-2]
        want = squares[kept].sum() / chances[kept].sum() if len(kept) else 1.0
        vectors.append({"n": requests.tolist(), "bad": bad.tolist(), "want": want})
    write("dispersion", vectors)


if __name__ == "__main__":
    fisher()
    mixtures()
    simple()
