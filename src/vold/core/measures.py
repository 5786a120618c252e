"""What a benchmark's table says, kept as the units behind each number for intervals and paired tests. No torch, no I/O."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vold.base.errors import DataError
from vold.core import intervals
from vold.core.intervals import Term
from vold.core.stats import wilson


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one item, or one seed question, adds to a number."""

    id: str
    """The item, or the seed question: units of two models with one id are compared in pairs."""
    value: float
    """0 or 1 for a greedy answer, a share for the mean of several; whatever the number's scale has for scores that count otherwise."""
    cluster: str = ""
    """Units of one cluster are not independent; empty: the unit stands alone."""
    stratum: str = ""
    """Which of the means it belongs to, where a number is made of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of a benchmark: the sum over strata of `weights` times the mean of their units."""

    metric: str
    """`accuracy`, `worst case`, `strict score`, …"""
    units: tuple[Unit, ...]
    part: str = ""
    """Empty: over everything; otherwise what of it, such as `subject: algebra`."""
    weights: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})
    """By stratum; {"": 1} for a plain mean, {"standard-10": 0.5, "vision": 0.5} for the mean of two means."""
    low: float = 0.0
    """The scale of its units: the least one can be."""
    high: float = 1.0
    """The most one can be, whether or not any is: 200 for a picture of MME."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval. `value` is NaN, and the interval everything there is, where a stratum has no units."""

    value: float
    low: float
    high: float
    n: int
    """Units."""
    clusters: int
    """Independent groups of units: as many as units where all stand alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Two models on the units both have: `difference` is `a` minus `b`, with its 95 % interval and the p value of no difference."""

    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    """Units both have; every number here is over these alone."""
    clusters: int
    test: str
    """`exact McNemar`, `sign flips of clusters, all` or `…, 20000 drawn`; `none` where nothing could be tested."""
    only_a: int
    """Units that only `a` has."""
    only_b: int


NOTHING = "none"


def bounds(measure: Measure) -> tuple[float, float]:
    """The lowest and the highest the number could be, by the scale of its units and their weights."""
    ends = [(weight * measure.low, weight * measure.high) for weight in measure.weights.values()]
    return math.fsum(min(pair) for pair in ends), math.fsum(max(pair) for pair in ends)


def is_share(measure: Measure) -> bool:
    """True where the number lies between 0 and 1 (or -1 and 1), so that a table shows percent; other numbers are points."""
    low, high = bounds(measure)
    return low >= -1 - SLACK and high <= 1 + SLACK


SLACK = 1e-9
"""What sums of weights may be off by."""


def estimate(measure: Measure) -> Estimate:
    """The number and its 95 % interval.

    Wilson's over units where these are right or wrong, none shares a cluster with another, and the number is their plain mean. Otherwise Wilson's
    for as many `intervals.trials` as the number is worth, robust to clusters. It never goes beyond `bounds`.
    """
    terms, (low, high) = _terms(measure), bounds(measure)
    clusters, n = len({term.cluster for term in terms}), len(terms)
    value = intervals.weighted(terms, measure.weights)
    if math.isnan(value):
        below, above = low, high
    elif _plain(terms, measure.weights) and _right_or_wrong(measure, measure.units):
        shares = wilson((value - low) / (high - low), n)
        below, above = (low + (high - low) * share for share in shares)
    else:
        below, above = intervals.mean_interval(terms, measure.weights, low, high)
    return Estimate(value=value, low=below, high=above, n=n, clusters=clusters)


def paired(a: Measure, b: Measure) -> Paired:
    """`a` minus `b` on the units both have. Raises DataError where the two are not the same number of the same benchmark.

    Exact McNemar and the interval of Bonett and Price where units are right or wrong, none shares a cluster and the number is their plain mean.
    Otherwise the test flips signs of whole clusters (all ways up to 12 clusters that differ, else 20,000 ways drawn from a fixed seed), and the
    interval is that of Bonett and Price for as many pairs as the difference is worth, robust to clusters as in `estimate`.
    """
    _same_number(a, b)
    of_a, of_b = _by_key(a), _by_key(b)
    shared = sorted(of_a.keys() & of_b.keys())
    pairs = [(of_a[key], of_b[key]) for key in shared]
    _same_clusters(pairs)
    left, right = _weighted([one for one, _ in pairs], a.weights), _weighted([other for _, other in pairs], b.weights)
    terms = [Term(stratum=x.stratum, cluster=_cluster(x), value=x.value - y.value) for x, y in pairs]
    low, high = bounds(a)
    width = high - low
    if math.isnan(left):
        below, above, p, test = -width, width, math.nan, NOTHING
    elif _plain(terms, a.weights) and _right_or_wrong(a, [unit for pair in pairs for unit in pair]):
        won, lost = sum(term.value > 0 for term in terms), sum(term.value < 0 for term in terms)
        below, above = (width * share for share in intervals.bonett_price(won, lost, len(terms)))
        p, test = intervals.mcnemar(won, lost), "exact McNemar"
    else:
        below, above = intervals.difference_interval(terms, a.weights, width)
        p, test = intervals.sign_flips(intervals.by_cluster(terms, a.weights))
    return Paired(
        a=left,
        b=right,
        difference=left - right,
        low=below,
        high=above,
        p=p,
        n=len(pairs),
        clusters=len({term.cluster for term in terms}),
        test=test,
        only_a=len(of_a) - len(pairs),
        only_b=len(of_b) - len(pairs),
    )


def _same_number(a: Measure, b: Measure) -> None:
    facts = (("metric", a.metric, b.metric), ("part", a.part, b.part), ("weights", dict(a.weights), dict(b.weights)))
    for what, one, other in (*facts, ("scale", (a.low, a.high), (b.low, b.high))):
        if one != other:
            raise DataError(f"the two numbers have {what} {one!r} and {other!r}; only the same number can be compared. Score both with one version.")


def _same_clusters(pairs: Sequence[tuple[Unit, Unit]]) -> None:
    for one, other in pairs:
        if one.cluster != other.cluster:
            found = f"{one.id} belongs to {one.cluster!r} in one and to {other.cluster!r} in the other"
            raise DataError(f"{found}; expected the same seed question in both. Score the answers of both with one version.")


def _by_key(measure: Measure) -> dict[tuple[str, str], Unit]:
    """Units by stratum and id, the pair that two models share."""
    _terms(measure)  # refuses strata that the number does not know, and units beyond its scale
    found = {(unit.stratum, unit.id): unit for unit in measure.units}
    if len(found) < len(measure.units):
        raise DataError(f"{_named(measure)} has units with one id twice; expected one unit an item. Score the answers again.")
    return found


def _terms(measure: Measure) -> list[Term]:
    strange = sorted({unit.stratum for unit in measure.units} - set(measure.weights))
    if strange:
        known = ", ".join(map(repr, measure.weights))
        raise DataError(f"{_named(measure)} has units of {strange[0]!r}, expected only {known}. Score the answers again with one version.")
    beyond = next((unit for unit in measure.units if not measure.low - SLACK <= unit.value <= measure.high + SLACK), None)
    if beyond is not None:
        found = f"{beyond.id} counts {beyond.value:g} where a unit has {measure.low:g} to {measure.high:g}"
        raise DataError(f"{_named(measure)}: {found}. Score the answers again with one version.")
    return [Term(stratum=unit.stratum, cluster=_cluster(unit), value=unit.value) for unit in measure.units]


def _weighted(units: Sequence[Unit], weights: Mapping[str, float]) -> float:
    return intervals.weighted([Term(stratum=unit.stratum, cluster=_cluster(unit), value=unit.value) for unit in units], weights)


def _cluster(unit: Unit) -> str:
    """What it shares chance with: its cluster, else only itself; one id in two strata is one thing asked twice."""
    return f"cluster {unit.cluster}" if unit.cluster else f"unit {unit.id}"


def _plain(terms: Sequence[Term], weights: Mapping[str, float]) -> bool:
    """Whether it is the plain mean of units that stand alone."""
    return list(weights.values()) == [1.0] and len({term.cluster for term in terms}) == len(terms)


def _right_or_wrong(measure: Measure, units: Sequence[Unit]) -> bool:
    return all(unit.value in (measure.low, measure.high) for unit in units)


def _named(measure: Measure) -> str:
    return f"{measure.metric}{f' ({measure.part})' if measure.part else ''}"
