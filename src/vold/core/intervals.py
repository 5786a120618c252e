"""The statistics behind `measures`: Student's t, standard errors over clusters, and tests of paired answers. No torch, no I/O."""

import math
from collections import Counter
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


def mean_interval(terms: Sequence[Term], weights: Mapping[str, float], low: float, high: float) -> tuple[float, float]:
    """The 95 % interval of `weighted`, which can be anything from `low` to `high`: Wilson's for a share of as many trials as it is worth."""
    width = high - low
    if not width:
        return low, high
    share = min(1.0, max(0.0, (weighted(terms, weights) - low) / width))
    odds = _student(terms) ** 2 / trials(terms, weights, width, share * (1 - share))
    centre, half = (share + odds / 2) / (1 + odds), math.sqrt(odds * share * (1 - share) + odds**2 / 4) / (1 + odds)
    return low + width * max(0.0, min(share, centre - half)), low + width * min(1.0, max(share, centre + half))


def difference_interval(terms: Sequence[Term], weights: Mapping[str, float], width: float) -> tuple[float, float]:
    """The 95 % interval of `weighted` of differences, which can be up to `width` either way: Bonett and Price's for as many pairs as it is worth."""
    if not width:
        return 0.0, 0.0
    sizes = Counter(term.stratum for term in terms)
    moved = [weights.get(term.stratum, 0.0) * term.value / sizes[term.stratum] / width for term in terms]
    up, down = math.fsum(one for one in moved if one > 0), -math.fsum(one for one in moved if one < 0)
    pairs = trials(terms, weights, width, up + down - (up - down) ** 2)
    low, high = bonett_price(up * pairs, down * pairs, pairs, _student(terms))
    return width * low, width * high


def trials(terms: Sequence[Term], weights: Mapping[str, float], width: float, spread: float) -> float:
    """As how many independent trials of variance `spread` the number is as sure, on a scale of `width`: spread / variance, but for the ends.

    Where nearly all units agree, the few that do not say little about how far units of a cluster go together, and where all agree, nothing. So one
    more cluster is counted, of which nothing is known: its units agree, and are as likely right as wrong, which has variance 1/4. Of c clusters

        (spread + 1 / 4c) / (variance + 1 / 4c²)

    is c where all units agree, moves little with the first that does not, and away from the ends hardly differs from spread / variance. Of unequal
    clusters c is the number of equal ones that would be as sure.
    """
    sizes = Counter(term.stratum for term in terms)
    parts: dict[str, float] = {}
    for term in terms:
        parts[term.cluster] = parts.get(term.cluster, 0.0) + abs(weights.get(term.stratum, 0.0)) / sizes[term.stratum]
    alike = math.fsum(part**2 for part in parts.values()) / math.fsum(parts.values()) ** 2  # 1 / c
    return (spread + alike / 4) / (variance(terms, weights) / width**2 + alike**2 / 4)


def _student(terms: Sequence[Term]) -> float:
    """Student's quantile with one degree of freedom less than there are clusters. One alone is taken for two, which say next to nothing."""
    return quantile_975(max(1, len({term.cluster for term in terms}) - 1))


def variance(terms: Sequence[Term], weights: Mapping[str, float]) -> float:
    """Of `weighted`, by leaving out one cluster after the other: units of a cluster may depend on each other in any way, and a large cluster that
    draws the mean to itself is measured from the mean of the others.

    Of c equal clusters this is c / (c - 1) times the sum of their squared residuals, for a stratum of single units s² / n. What a cluster adds is
    added up across strata before it is squared. The only cluster of a stratum has no others; it is measured from the mean of all strata, which
    overstates rather than forgets what it adds.
    """
    means, members, sizes = _means(terms), _clusters(terms), Counter(term.stratum for term in terms)
    own = Counter((term.stratum, term.cluster) for term in terms)
    everywhere, total = math.fsum(means.values()) / max(1, len(means)), len({term.cluster for term in terms})
    sums: dict[str, list[float]] = {}
    for term in terms:
        weight, count = weights.get(term.stratum, 0.0), len(members[term.stratum])
        if count > 1:
            others = sizes[term.stratum] - own[term.stratum, term.cluster]
            added = weight / others * math.sqrt((count - 1) / count) * (term.value - means[term.stratum])
        else:
            added = weight / sizes[term.stratum] * math.sqrt(total / max(1, total - 1)) * (term.value - everywhere)
        sums.setdefault(term.cluster, []).append(added)
    return math.fsum(math.fsum(parts) ** 2 for parts in sums.values())


def by_cluster(terms: Sequence[Term], weights: Mapping[str, float]) -> list[float]:
    """What every cluster adds to `weighted`, in the order of their names; the sum of all is `weighted` itself."""
    sizes = Counter(term.stratum for term in terms)
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


def bonett_price(won: float, lost: float, n: float, quantile: float = Z_975) -> tuple[float, float]:
    """The 95 % interval of a difference of shares over `n` pairs, `won` one way and `lost` the other (Bonett and Price 2012: one pair is added to
    each side). It keeps a width where no pair differs. `quantile` is Student's where clusters stand behind the pairs."""
    up, down = (won + 1) / (n + 2), (lost + 1) / (n + 2)
    half = quantile * math.sqrt(max(0.0, up + down - (up - down) ** 2) / (n + 2))
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
