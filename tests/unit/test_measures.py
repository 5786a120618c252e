"""Estimates and paired differences of benchmark numbers: which interval and test is used where, and what they say."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from vold.base.errors import DataError
from vold.core.intervals import bonett_price, quantile_975
from vold.core.measures import Measure, Unit, bounds, estimate, is_share, paired
from vold.core.stats import wilson

HALVES = {"standard-10": 0.5, "vision": 0.5}


def plain(*values: float, metric: str = "accuracy", prefix: str = "") -> Measure:
    return Measure(metric=metric, units=tuple(Unit(id=f"{prefix}{place}", value=value) for place, value in enumerate(values)))


def seeds(*clusters: Sequence[float]) -> Measure:
    """One cluster of units a seed question."""
    units = [Unit(id=f"{seed}.{at}", value=value, cluster=f"s{seed}") for seed, values in enumerate(clusters) for at, value in enumerate(values)]
    return Measure(metric="accuracy", units=tuple(units))


def halves(standard: Sequence[float], vision: Sequence[float]) -> Measure:
    units = [
        Unit(id=str(at), value=value, stratum=name)
        for name, values in zip(HALVES, (standard, vision), strict=True)
        for at, value in enumerate(values)
    ]
    return Measure(metric="accuracy", units=tuple(units), weights=HALVES)


def test_right_and_wrong_alone_have_wilsons_interval() -> None:
    found = estimate(plain(1, 1, 0, 1, 0, 0, 0, 1, 1, 1))
    assert (found.value, found.n, found.clusters) == (0.6, 10, 10)
    assert (found.low, found.high) == wilson(0.6, 10)


def test_a_cluster_of_one_stands_alone() -> None:
    alone, named = plain(1, 0, 1), seeds([1], [0], [1])
    assert (estimate(alone).low, estimate(alone).high) == (estimate(named).low, estimate(named).high) == wilson(2 / 3, 3)


def test_clusters_have_a_wider_interval_with_students_t() -> None:
    measure = seeds([1, 1], [0, 0], [1, 0], [1, 1], [0, 0], [0, 1])
    found = estimate(measure)
    residuals = [1, -1, 0, 1, -1, 0]
    trials = (1 / 4 + 1 / 24) / (6 / 5 * sum(r * r for r in residuals) / 12**2 + 1 / 144)
    assert (found.value, found.n, found.clusters) == (0.5, 12, 6)
    assert (found.low, found.high) == pytest.approx(students(0.5, trials, 5))
    low, high = wilson(0.5, 12)
    assert found.high - found.low > high - low


def students(share: float, trials: float, freedom: int) -> tuple[float, float]:
    """Wilson's interval with the quantile of Student's t."""
    return wilson(share, trials, quantile_975(freedom))


def test_shares_of_several_samples_are_worth_what_their_spread_says() -> None:
    found = estimate(plain(0.5, 0.25, 0.75, 0.5))
    trials = (1 / 4 + 1 / 16) / (2 * 0.25**2 / 3 / 4 + 1 / 64)
    assert (found.low, found.high) == pytest.approx(students(0.5, trials, 3))


def test_intervals_stay_on_the_scale() -> None:
    found = estimate(seeds([1, 1], [1, 1], [1, 0]))
    assert 0.0 < found.low < found.value < found.high <= 1.0


@pytest.mark.parametrize(("right", "edge"), [(1.0, "high"), (0.0, "low")])
def test_no_variance_is_not_certainty(right: float, edge: str) -> None:
    """Every seed question wrong (or right) in all variants: as many trials as there are seed questions."""
    found = estimate(seeds(*[[right] * 10] * 20))
    assert (found.low, found.high) == pytest.approx(students(right, 20, 19))
    assert getattr(found, edge) == right


def test_a_single_cluster_says_next_to_nothing() -> None:
    found = estimate(seeds([1, 0, 1, 1]))
    assert found.low < 0.05
    assert found.high > 0.95


def test_nothing_measured_is_nothing_known() -> None:
    found = estimate(plain())
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n, found.clusters) == (0.0, 1.0, 0, 0)
    half = estimate(halves([1, 0], []))
    assert math.isnan(half.value), "a mean of two means needs both"
    assert (half.low, half.high, half.n) == (0.0, 1.0, 2)


def test_a_mean_of_means_weighs_strata_not_items() -> None:
    measure = halves([1, 1, 1, 0, 1, 0, 1, 0], [0, 0, 1, 0])
    found = estimate(measure)
    assert found.value == pytest.approx(0.5 * 5 / 8 + 0.5 * 1 / 4)
    assert (found.n, found.clusters) == (12, 8), "one question asked in two forms is one cluster"


def test_a_mean_of_means_of_other_items_is_not_one_trial_an_item() -> None:
    """Right and wrong items that stand alone, but in two strata: not Wilson's interval."""
    units = [Unit(id=f"{name}{at}", value=float(at < 3), stratum=name) for name in HALVES for at in range(4)]
    found = estimate(Measure(metric="accuracy", units=tuple(units), weights=HALVES))
    trials = (3 / 16 + 1 / 32) / (2 * 0.25 * (0.75 / 3) / 4 + 1 / 256)
    assert (found.value, found.clusters) == (0.75, 8)
    assert (found.low, found.high) == pytest.approx(students(0.75, trials, 7))


def test_points_go_beyond_one() -> None:
    """A score that is a sum over subtasks of up to 200 points each."""
    weights = {"count": 1.0, "colour": 1.0}
    measure = Measure(
        metric="score",
        units=tuple(Unit(id=f"{s}{i}", value=v, stratum=s) for s in weights for i, v in enumerate([200.0, 50.0, 0.0])),
        weights=weights,
        high=200.0,
    )
    assert bounds(measure) == (0.0, 400.0)
    assert not is_share(measure)
    found = estimate(measure)
    assert found.value == pytest.approx(500 / 3)
    assert 0.0 <= found.low < found.value < found.high <= 400.0
    assert is_share(plain(0.5, 1))
    assert bounds(Measure(metric="gain", units=(), weights={"with": 1.0, "without": -1.0})) == (-1.0, 1.0)


def pictures(*values: float) -> Measure:
    return Measure(metric="score", units=tuple(Unit(id=str(at), value=value) for at, value in enumerate(values)), high=200.0)


def test_the_scale_is_that_of_the_number_not_of_what_was_seen() -> None:
    """Always `yes` gets every picture half right: 100 of 200 points, which may be less and more. No points at all are points all the same."""
    half, none = estimate(pictures(*[100.0] * 20)), estimate(pictures(*[0.0] * 20))
    assert half.low < 90
    assert 110 < half.high < 200
    assert (none.low, none.high) == pytest.approx(tuple(200 * end for end in wilson(0.0, 20)))
    assert not is_share(pictures(0.0))
    found = paired(pictures(*[100.0] * 20), pictures(*[100.0] * 20))
    assert found.high == -found.low > 20
    assert paired(pictures(*[200.0] * 20), pictures(*[0.0] * 20)).high == 200.0
    assert paired(pictures(), pictures()).high == 200.0


def test_points_beyond_the_scale_are_refused() -> None:
    with pytest.raises(DataError, match="1 counts 200 where a unit has 0 to 1"):
        estimate(plain(1.0, 200.0))


def test_units_of_an_unknown_stratum_are_refused() -> None:
    strange = Measure(metric="accuracy", units=(Unit(id="1", value=1.0, stratum="audio"),))
    with pytest.raises(DataError, match="'audio'"):
        estimate(strange)


def test_pairs_that_stand_alone_are_tested_by_mcnemar() -> None:
    """8 only `a` got right, 2 only `b`: 2 · (1 + 10 + 45) / 1024."""
    found = paired(plain(*[1] * 8, *[0] * 2, *[1] * 30, *[0] * 10), plain(*[0] * 8, *[1] * 2, *[1] * 30, *[0] * 10))
    assert found.test == "exact McNemar"
    assert found.p == pytest.approx(112 / 1024)
    assert (found.a, found.b, found.n, found.clusters) == (38 / 50, 32 / 50, 50, 50)
    assert found.difference == pytest.approx(0.12)
    assert (found.low, found.high) == pytest.approx(bonett_price(8, 2, 50))


def test_the_same_answers_do_not_differ() -> None:
    found = paired(plain(1, 0, 1), plain(1, 0, 1))
    assert (found.difference, found.p) == (0.0, 1.0)
    assert found.low < 0.0 < found.high


def test_only_items_of_both_are_compared() -> None:
    a, b = plain(1, 1, 0, 1), plain(0, 1, 0, 1, 1, 1)
    found = paired(a, replace(b, units=b.units[1:]))
    assert (found.n, found.only_a, found.only_b) == (3, 1, 2)
    assert (found.a, found.b, found.difference) == (2 / 3, 2 / 3, 0.0)
    shuffled = paired(replace(a, units=a.units[::-1]), replace(b, units=b.units[1:]))
    assert shuffled == found, "pairs are found by id, not by place"


def test_nothing_in_common() -> None:
    found = paired(plain(1, 0), plain(1, 0, prefix="other "))
    assert (found.n, found.test, found.only_a, found.only_b) == (0, "none", 2, 2)
    assert math.isnan(found.difference)
    assert math.isnan(found.p)
    assert (found.low, found.high) == (-1.0, 1.0)


def test_clusters_are_flipped_as_one() -> None:
    """Three seed questions, all better in both variants: of 8 ways to flip them 2 are as far from 0, however many variants there are."""
    found = paired(seeds(*[[1.0] * 5] * 3), seeds(*[[0.0] * 5] * 3))
    assert found.test == "sign flips of clusters, all"
    assert found.p == 2 / 8
    assert (found.n, found.clusters, found.difference) == (15, 3, 1.0)
    assert found.low < 1.0 == found.high, "no variance is not certainty"


def test_the_interval_of_a_clustered_difference() -> None:
    a, b = seeds([1, 1], [1, 0], [0, 0], [1, 1]), seeds([0, 0], [1, 0], [0, 1], [1, 0])
    found = paired(a, b)
    differences = [2, 0, -1, 1]  # three variants won, one lost
    mean = sum(differences) / 8
    residuals = [one - 2 * mean for one in differences]
    pairs = (4 / 8 - mean**2 + 1 / 16) / (4 / 3 * sum(r * r for r in residuals) / 8**2 + 1 / 64)
    assert found.difference == pytest.approx(0.25)
    assert (found.low, found.high) == pytest.approx(bonett_price(pairs * 3 / 8, pairs / 8, pairs, quantile_975(3)))
    assert found.p == pytest.approx(12 / 16), "|2 + 0 - 1 + 1| = 2; of the 8 ways to sign 2, 1 and 1 six reach it"


def test_samples_and_means_of_means_are_flipped_too() -> None:
    assert paired(plain(0.5, 1), plain(0.25, 1)).test == "sign flips of clusters, all"
    found = paired(halves([1, 1], [1, 0]), halves([0, 1], [0, 0]))
    assert found.difference == pytest.approx(0.5)
    assert (found.n, found.clusters) == (4, 2)
    assert found.p == 1.0, "both forms of one question changed, the other question did not"


def test_swapping_the_two_only_turns_the_sign() -> None:
    random_ = random.Random(5)
    a, b = (seeds(*[[float(random_.random() < share) for _ in range(4)] for _ in range(30)]) for share in (0.6, 0.5))
    one, other = paired(a, b), paired(b, a)
    assert one.p == other.p
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))


def test_pairing_sees_what_two_separate_intervals_do_not() -> None:
    """The same hard and easy seed questions for both: the difference is surer than either number."""
    random_ = random.Random(9)
    base = [[float(random_.random() < share) for _ in range(5)] for share in [0.05, 0.95] * 20]
    better = [[1.0, *values[1:]] for values in base]
    found, alone = paired(seeds(*better), seeds(*base)), estimate(seeds(*base))
    assert found.p < 0.01
    assert found.low > 0.0
    assert found.high - found.low < (alone.high - alone.low) / 2


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (plain(1, 0, metric="worst case"), "metric"),
        (replace(plain(1, 0), part="level: 1"), "part"),
        (halves([1, 0], [1, 0]), "weights"),
        (replace(plain(1, 0), high=200.0), "scale"),
        (seeds([1], [0]), None),
        (replace(plain(1, 0), units=(Unit(id="0", value=1.0, cluster="s"), Unit(id="1", value=0.0))), "belongs to"),
        (replace(plain(1, 0), units=plain(1).units * 2), "one id twice"),
    ],
)
def test_other_numbers_are_refused(other: Measure, said: str | None) -> None:
    if said is None:
        assert paired(plain(1, 0), other).n == 0
        return
    with pytest.raises(DataError, match=said):
        paired(plain(1, 0), other)
