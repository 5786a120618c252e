"""The statistics behind `measures`: Student's t, standard errors over clusters, and tests of paired answers. No torch, no I/O."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from vold.base.seeds import seed_for

Z_975 = NormalDist().inv_cdf(0.975)
EXACT_CLUSTERS = 12
"""Up to so many clusters all ways to flip their signs are tried: 4,096."""
DRAWS = 20_000
CHUNK = 1_000
"""Ways drawn at once, to bound memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One unit of a number that is a weighted sum of means over strata."""

    stratum: str
    cluster: str
    value: float


def weighted(terms: Sequence[Term], weights: Mapping[str, float]) -> float:
    """The sum over strata of weight times mean; NaN where a stratum that counts has no terms."""
    means = _means(terms)
    if not terms or any(weight and stratum not in means for stratum, weight in weights.items()):
        return math.nan
    return math.fsum(weight * means[stratum] for stratum, weight in weights.items() if weight)


def half_width(terms: Sequence[Term], weights: Mapping[str, float]) -> float:
    """Half of the 95 % interval of `weighted`: t times the standard error over clusters. 0 where clusters do not differ, or there is only one."""
    clusters = {term.cluster for term in terms}
    return quantile_975(len(clusters) - 1) * math.sqrt(variance(terms, weights)) if len(clusters) > 1 else 0.0


def variance(terms: Sequence[Term], weights: Mapping[str, float]) -> float:
    """Of `weighted`, by linearisation: the residuals of a cluster are added up across strata, then squared, so that units of one cluster may
    depend on each other in any way.

    A stratum of c clusters is corrected by c / (c - 1): with one stratum of single units this is s² / n. The only cluster of a stratum has no
    residual of its own; it is measured from the mean of all strata, which overstates rather than forgets what it adds.
    """
    means, members = _means(terms), _clusters(terms)
    everywhere, total = math.fsum(means.values()) / max(1, len(means)), len({term.cluster for term in terms})
    sizes = {stratum: sum(term.stratum == stratum for term in terms) for stratum in means}
    sums: dict[str, list[float]] = {}
    for term in terms:
        count = len(members[term.stratum])
        centre, among = (means[term.stratum], count) if count > 1 else (everywhere, total)
        corrected = weights.get(term.stratum, 0.0) / sizes[term.stratum] * math.sqrt(among / max(1, among - 1))
        sums.setdefault(term.cluster, []).append(corrected * (term.value - centre))
    return math.fsum(math.fsum(parts) ** 2 for parts in sums.values())


def by_cluster(terms: Sequence[Term], weights: Mapping[str, float]) -> list[float]:
    """What every cluster adds to `weighted`, in the order of their names; the sum of all is `weighted` itself."""
    sizes = {stratum: sum(term.stratum == stratum for term in terms) for stratum in _clusters(terms)}
    parts: dict[str, list[float]] = {}
    for term in terms:
        parts.setdefault(term.cluster, []).append(weights.get(term.stratum, 0.0) * term.value / sizes[term.stratum])
    return [math.fsum(parts[cluster]) for cluster in sorted(parts)]


def _means(terms: Sequence[Term]) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for term in terms:
        values.setdefault(term.stratum, []).append(term.value)
    return {stratum: math.fsum(found) / len(found) for stratum, found in values.items()}


def _clusters(terms: Sequence[Term]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for term in terms:
        found.setdefault(term.stratum, set()).add(term.cluster)
    return found


def mcnemar(won: int, lost: int) -> float:
    """The exact two-sided p value of `won` against `lost` among the pairs that differ: twice the smaller tail of a fair coin, at most 1."""
    n, ways, tail = won + lost, 1, 0
    for k in range(min(won, lost) + 1):
        tail += ways
        ways = ways * (n - k) // (k + 1)
    return float(min(1.0, 2 * tail / (1 << n)))


def bonett_price(won: float, lost: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a difference of shares over `n` pairs, `won` one way and `lost` the other (Bonett and Price 2012: one pair is added to
    each side). It keeps a width where no pair differs."""
    up, down = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    half = Z_975 * math.sqrt(max(0.0, up + down - (up - down) ** 2) / (n + 2))
    return max(-1.0, up - down - half), min(1.0, up - down + half)


def sign_flips(totals: Sequence[float]) -> tuple[float, str]:
    """The two-sided p value of a sum whose terms would be as likely with the other sign, and the name of the test.

    Terms that are 0 change nothing. Of drawn ways the one observed counts as one more, so that p is never 0 and the test keeps its level.
    """
    moving = np.array([total for total in totals if total], dtype=np.float64)
    observed = abs(math.fsum(moving)) - 1e-9 * float(np.abs(moving).sum())  # equal sums stay equal whatever the order of adding
    if len(moving) <= EXACT_CLUSTERS:
        signs = 2 * (np.arange(2 ** len(moving))[:, None] >> np.arange(len(moving)) & 1) - 1
        return float(np.mean(np.abs(signs @ moving) >= observed)), "sign flips of clusters, all"
    random, whole, extreme = np.random.default_rng(seed_for(0, "sign flips")), moving.sum(), 1
    for _ in range(DRAWS // CHUNK):
        kept = np.unpackbits(np.frombuffer(random.bytes(CHUNK * (len(moving) // 8 + 1)), dtype=np.uint8)).reshape(CHUNK, -1)[:, : len(moving)]
        extreme += int(np.count_nonzero(np.abs(2 * (kept @ moving) - whole) >= observed))
    return extreme / (DRAWS + 1), f"sign flips of clusters, {DRAWS} drawn"


@lru_cache(maxsize=1024)
def quantile_975(freedom: int) -> float:
    """The 97.5 % point of Student's t."""
    if freedom < 1:
        raise ValueError(f"Student's t has {freedom} degrees of freedom, expected at least 1")
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        angle = (low + high) / 2
        low, high = (angle, high) if inside(angle, freedom) < 0.95 else (low, angle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def inside(angle: float, freedom: int) -> float:
    """The probability that |t| is below √freedom · tan(angle), by the finite series in cosines that it has for whole degrees of freedom."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term = cosine if odd else 1.0
    total = 0.0
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine * cosine * k / (k + 1)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
