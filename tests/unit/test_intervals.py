"""The statistics against printed tables, hand-counted binomials, enumeration and simulation."""

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vold.core import intervals
from vold.core.intervals import (
    Term,
    bonett_price,
    by_cluster,
    difference_interval,
    mcnemar,
    mean_interval,
    quantile_975,
    sign_flips,
    trials,
    variance,
    weighted,
)
from vold.core.stats import wilson

# degrees of freedom and the 97.5 % point, as tables print it
STUDENT = [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (7, 2.365), (10, 2.228), (19, 2.093), (29, 2.045), (30, 2.042)]
STUDENT += [(40, 2.021), (60, 2.000), (100, 1.984), (120, 1.980), (500, 1.965), (3039, 1.961)]
ALL = {"": 1.0}


def terms(*clusters: Sequence[float], stratum: str = "") -> list[Term]:
    return [Term(stratum=stratum, cluster=str(place), value=value) for place, values in enumerate(clusters) for value in values]


@pytest.mark.parametrize(("freedom", "printed"), STUDENT)
def test_student_as_printed(freedom: int, printed: float) -> None:
    assert quantile_975(freedom) == pytest.approx(printed, abs=5.1e-4)


def test_student_in_closed_form() -> None:
    """One and two degrees of freedom have one; the limit is normal."""
    assert quantile_975(1) == pytest.approx(math.tan(math.pi * 0.475), rel=1e-12)
    assert quantile_975(2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-12)
    assert quantile_975(100_000) == pytest.approx(intervals.Z_975, abs=1e-4)
    values = [quantile_975(freedom) for freedom in range(1, 200)]
    assert values == sorted(values, reverse=True)
    with pytest.raises(ValueError, match="0 degrees"):
        quantile_975(0)


def test_single_units_have_the_textbook_standard_error() -> None:
    values = [0.0, 1.0, 1.0, 0.5, 0.25]
    mean = sum(values) / 5
    square = sum((value - mean) ** 2 for value in values) / 4
    found = terms(*([value] for value in values))
    assert weighted(found, ALL) == pytest.approx(mean)
    assert variance(found, ALL) == pytest.approx(square / 5)


def test_clusters_by_hand() -> None:
    """Values 1 1 | 0 0 | 1 0 have mean 1/2 and cluster residuals 1, -1 and 0: the variance is 3/2 · (1 + 1) / 6²."""
    found = terms([1, 1], [0, 0], [1, 0])
    assert variance(found, ALL) == pytest.approx(3 / 2 * 2 / 36)
    assert by_cluster(found, ALL) == pytest.approx([2 / 6, 0, 1 / 6])


def leaving_one_out(found: Sequence[Term], weights: dict[str, float]) -> float:
    names = sorted({term.cluster for term in found})
    without = [weighted([term for term in found if term.cluster != name], weights) for name in names]
    return (len(names) - 1) / len(names) * sum((one - weighted(found, weights)) ** 2 for one in without)


@given(st.lists(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=1, max_size=6), min_size=2, max_size=6))
def test_the_variance_is_that_of_leaving_one_cluster_out(clusters: list[list[float]]) -> None:
    found = terms(*clusters)
    assert variance(found, ALL) == pytest.approx(leaving_one_out(found, ALL), abs=1e-12)


def test_a_large_cluster_is_measured_from_the_others() -> None:
    """Ten right units of one cluster beside two wrong ones that stand alone draw the mean to 5/6; without them it is 0."""
    found = terms([1.0] * 10, [0.0], [0.0])
    assert variance(found, ALL) == pytest.approx(2 / 3 * ((5 / 6) ** 2 + 2 * (10 / 11 - 5 / 6) ** 2))
    two_forms = [*found, *terms([1.0, 0.0], [1.0], [0.0, 0.0, 1.0], stratum="b")]
    weights = {"": 0.5, "b": 0.5}
    assert variance(two_forms, weights) == pytest.approx(leaving_one_out(two_forms, weights))


def test_one_cluster_across_strata_adds_up_before_it_is_squared() -> None:
    """A question asked in two forms: answers that go together double the error, answers that oppose each other cancel it."""
    weights = {"a": 0.5, "b": 0.5}
    right, wrong = [1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]
    together = terms(*([v] for v in right), stratum="a") + terms(*([v] for v in right), stratum="b")
    opposed = terms(*([v] for v in right), stratum="a") + terms(*([v] for v in wrong), stratum="b")
    apart = terms(*([v] for v in right), stratum="a") + [
        Term(stratum="b", cluster=f"other {t.cluster}", value=t.value) for t in terms(*([v] for v in right))
    ]
    one_stratum = variance(terms(*([v] for v in right)), ALL)
    assert variance(together, weights) == pytest.approx(one_stratum)
    assert variance(opposed, weights) == pytest.approx(0.0)
    assert variance(apart, weights) == pytest.approx(one_stratum / 2)


def test_strata_of_their_own_items_have_the_stratified_error() -> None:
    weights, one, other = {"a": 0.25, "b": 0.75}, [1.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]
    found = [Term(stratum=s, cluster=f"{s}{i}", value=v) for s, values in (("a", one), ("b", other)) for i, v in enumerate(values)]
    assert weighted(found, weights) == pytest.approx(0.25 / 3 + 0.75 * 0.75)
    assert variance(found, weights) == pytest.approx(0.25**2 * (1 / 3) / 3 + 0.75**2 * 0.25 / 4)


def test_a_stratum_with_nothing_in_it_has_no_number() -> None:
    assert math.isnan(weighted(terms([1.0]), {"": 0.5, "vision": 0.5}))
    assert math.isnan(weighted([], ALL))
    assert weighted(terms([1.0]), {"": 1.0, "unused": 0.0}) == 1.0


def test_lonely_strata_are_not_forgotten() -> None:
    """One item a stratum: no stratum has a residual of its own, and yet the items differ."""
    weights = {"a": 0.5, "b": 0.5}
    found = [Term(stratum="a", cluster="1", value=1.0), Term(stratum="b", cluster="2", value=0.0)]
    low, high = mean_interval(found, weights, 0.0, 1.0)
    assert low < 0.05
    assert high > 0.95


def test_trials_of_equal_clusters_by_hand() -> None:
    """Four clusters of 3, two of them right and two wrong, are (1/4 + 1/16) / (1/12 + 1/64) trials; all right, they are 4."""
    assert trials(terms([1] * 3, [1] * 3, [0] * 3, [0] * 3), ALL, 1.0, 0.25) == pytest.approx((1 / 4 + 1 / 16) / (1 / 12 + 1 / 64))
    assert trials(terms(*[[1.0] * 3] * 4), ALL, 1.0, 0.0) == pytest.approx(4)


def test_unequal_clusters_that_agree_count_as_fewer_equal_ones() -> None:
    """Of sizes 1, 1 and 2 the shares are 1/4, 1/4 and 1/2: as sure as 1 / (1/16 + 1/16 + 1/4) equal ones."""
    assert trials(terms([1.0], [1.0], [1.0, 1.0]), ALL, 1.0, 0.0) == pytest.approx(8 / 3)


def test_many_clusters_are_worth_what_their_variance_says() -> None:
    found = terms(*([float(at % 3 == 0)] * 2 for at in range(3000)))
    assert trials(found, ALL, 1.0, 2 / 9) == pytest.approx(2 / 9 / variance(found, ALL), rel=1e-3) == pytest.approx(3000, rel=1e-3)


def wilson_by_hand(share: float, n: float, quantile: float) -> tuple[float, float]:
    centre = (share + quantile**2 / 2 / n) / (1 + quantile**2 / n)
    half = quantile / (1 + quantile**2 / n) * math.sqrt(share * (1 - share) / n + quantile**2 / 4 / n**2)
    return centre - half, centre + half


def test_intervals_on_any_scale() -> None:
    """Of 0 to 200 points as of 0 to 1, and cut at the scale, not at what was seen: 50 of 200 for everybody may be more than 50."""
    shares = [[0.5, 1.0], [0.0, 0.5], [0.25, 0.25], [1.0, 1.0], [0.0, 0.0]]
    found, points = terms(*shares), terms(*([200 * value for value in values] for values in shares))
    low, high = mean_interval(found, ALL, 0.0, 1.0)
    assert (low, high) == pytest.approx(wilson_by_hand(0.45, trials(found, ALL, 1.0, 0.45 * 0.55), quantile_975(4)))
    assert mean_interval(points, ALL, 0.0, 200.0) == pytest.approx((200 * low, 200 * high))
    low, high = mean_interval(terms(*[[50.0]] * 20), ALL, 0.0, 200.0)
    assert 0 < low < 50 < high < 200


@pytest.mark.parametrize(("value", "end"), [(0.0, 0), (1.0, 1)])
def test_intervals_end_at_the_ends_of_the_scale(value: float, end: int) -> None:
    found = mean_interval(terms(*[[value] * 10] * 20), ALL, 0.0, 1.0)
    assert found == pytest.approx(wilson_by_hand(value, 20, quantile_975(19)))
    assert found[end] == value


@pytest.mark.parametrize("spread", [1, 10], ids=["in one cluster", "one a cluster"])
def test_the_first_wrong_answers_do_not_jump(spread: int) -> None:
    """20 clusters of 10. By value ± t · standard error the lower end would leap from 0.84 at 200 right to 0.98 at 199."""

    def at(wrong: int) -> tuple[float, float]:
        missed = {place * spread for place in range(wrong)}
        return mean_interval([Term(stratum="", cluster=str(place // 10), value=float(place not in missed)) for place in range(200)], ALL, 0.0, 1.0)

    found = [at(wrong) for wrong in range(11)]
    steps = [abs(one - other) for before, after in itertools.pairwise(found) for one, other in zip(before, after, strict=True)]
    assert max(steps) < 0.04
    assert all(high - low > 0.1 for low, high in found)


def test_the_first_differences_do_not_jump() -> None:
    def at(won: int) -> tuple[float, float]:
        return difference_interval([Term(stratum="", cluster=str(place // 10), value=float(place < won)) for place in range(200)], ALL, 1.0)

    found = [at(won) for won in range(11)]
    assert found[0] == pytest.approx(bonett_price(0, 0, 20, quantile_975(19)))
    assert max(abs(one - other) for before, after in itertools.pairwise(found) for one, other in zip(before, after, strict=True)) < 0.04


def test_pairs_that_stand_alone_are_worth_as_many() -> None:
    """8 won and 2 lost of 100: Bonett and Price's interval for single pairs, but for Student's t."""
    single = terms(*([value] for value in (1.0,) * 8 + (-1.0,) * 2 + (0.0,) * 90))
    assert difference_interval(single, ALL, 1.0) == pytest.approx(bonett_price(8, 2, 100, quantile_975(99)), abs=1e-3)
    half = [replace(term, value=term.value / 2) for term in single]
    assert difference_interval(single, ALL, 2.0) == pytest.approx(tuple(2 * end for end in difference_interval(half, ALL, 1.0)))


# 20 seed questions with 10 variants each; shared luck is that of a beta distribution, with an intraclass correlation of 0.3
SHARED = 0.3
Covers = Callable[[list[Term], float], bool]


def clustered(random_: random.Random, share: float, *, clusters: int = 20, size: int = 10) -> list[Term]:
    apart = (1 - SHARED) / SHARED
    lucks = [random_.betavariate(share * apart, (1 - share) * apart) for _ in range(clusters)]
    return terms(*([float(random_.random() < luck) for _ in range(size)] for luck in lucks))


def several_samples(random_: random.Random, share: float) -> list[Term]:
    """30 items, eight samples each, of which the item's value is the mean."""
    return [Term(stratum="", cluster=str(at), value=sum(t.value for t in clustered(random_, share, clusters=1, size=8)) / 8) for at in range(30)]


def coverage(covers: Covers, share: float, draw: Callable[[random.Random, float], list[Term]] = clustered) -> float:
    random_ = random.Random(7)
    return sum(covers(draw(random_, share), share) for _ in range(400)) / 400


def robust(found: list[Term], share: float) -> bool:
    low, high = mean_interval(found, ALL, 0.0, 1.0)
    return low <= share <= high


def naive(found: list[Term], share: float) -> bool:
    low, high = wilson(weighted(found, ALL), len(found))
    return low <= share <= high


def symmetric(found: list[Term], share: float) -> bool:
    half = quantile_975(len({term.cluster for term in found}) - 1) * math.sqrt(variance(found, ALL))
    return abs(weighted(found, ALL) - share) <= half


@pytest.mark.parametrize("draw", [clustered, several_samples])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95, 0.98])
def test_intervals_cover(share: float, draw: Callable[[random.Random, float], list[Term]]) -> None:
    assert coverage(robust, share, draw) >= 0.94


@pytest.mark.parametrize(("covers", "share"), [(naive, 0.5), (naive, 0.95), (symmetric, 0.05), (symmetric, 0.95), (symmetric, 0.98)])
def test_simpler_intervals_do_not_cover(covers: Covers, share: float) -> None:
    assert coverage(covers, share) < 0.88


def test_intervals_are_not_much_wider_than_they_must_be() -> None:
    """Away from the ends as value ± t · standard error, which covers there too."""
    random_ = random.Random(7)
    ratios = []
    for _ in range(100):
        found = clustered(random_, 0.5)
        low, high = mean_interval(found, ALL, 0.0, 1.0)
        ratios.append((high - low) / (2 * quantile_975(19) * math.sqrt(variance(found, ALL))))
    assert 0.9 < sum(ratios) / 100 < 1.1


def test_intervals_of_differences_cover() -> None:
    """Variants of a seed question differ together where they do, in 10 % and mostly one way: by 5 points."""
    random_ = random.Random(7)
    hits, narrow = 0, 0
    for _ in range(400):
        found = [replace(one, value=one.value * (1 if random_.random() < 0.75 else -1)) for one in clustered(random_, 0.1)]
        low, high = difference_interval(found, ALL, 1.0)
        hits += low <= 0.05 <= high
        narrow += symmetric(found, 0.05)
    assert hits / 400 >= 0.94
    assert narrow / 400 < 0.92


# pairs won and lost, and twice the smaller tail of a fair coin, counted by hand
MCNEMAR = [(0, 0, 1.0), (1, 0, 1.0), (5, 0, 2 / 32), (0, 6, 2 / 64), (6, 1, 2 * (1 + 7) / 128), (2, 8, 2 * (1 + 10 + 45) / 1024)]
MCNEMAR += [(3, 3, 1.0), (10, 2, 2 * (1 + 12 + 66) / 4096)]


@pytest.mark.parametrize(("won", "lost", "p"), MCNEMAR)
def test_mcnemar_by_hand(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p, rel=1e-12)
    assert mcnemar(lost, won) == mcnemar(won, lost)


def test_mcnemar_of_thousands() -> None:
    assert mcnemar(1500, 1500) == 1.0
    assert mcnemar(1600, 1440) == pytest.approx(math.erfc(159 / math.sqrt(3040) / math.sqrt(2)), rel=0.01)  # normal, continuity corrected
    assert mcnemar(3000, 0) < 1e-300


def test_bonett_price_by_hand() -> None:
    """8 won, 2 lost of 100: shares 9/102 and 3/102."""
    half = 1.9599640 * math.sqrt((12 / 102 - (6 / 102) ** 2) / 102)
    assert bonett_price(8, 2, 100) == pytest.approx((6 / 102 - half, 6 / 102 + half), abs=1e-6)
    low, high = bonett_price(0, 0, 100)
    assert -0.03 < low < 0 < high < 0.03
    assert bonett_price(3, 0, 3)[1] == 1.0


def brute(totals: Sequence[float]) -> float:
    observed = abs(sum(totals))
    sums = [abs(sum(s * t for s, t in zip(signs, totals, strict=True))) for signs in itertools.product((1, -1), repeat=len(totals))]
    return sum(one >= observed - 1e-12 for one in sums) / len(sums)


@given(st.lists(st.integers(-3, 3), max_size=9))
def test_few_clusters_are_enumerated(totals: list[int]) -> None:
    p, test = sign_flips(totals)
    assert test == "sign flips of clusters, all"
    assert p == pytest.approx(brute(totals))


def test_known_flips() -> None:
    assert sign_flips([1.0] * 12) == (2 / 4096, "sign flips of clusters, all")
    assert sign_flips([]) == (1.0, "sign flips of clusters, all")
    assert sign_flips([0.7, 1 / 7, -0.7])[0] == 1.0, "sums that are equal but for rounding count as equal"


def test_many_clusters_are_drawn_and_agree_with_the_enumeration() -> None:
    random_ = random.Random(3)
    totals = [random_.choice([-1.0, -0.5, 0.5, 1.0, 1.5]) for _ in range(14)]
    p, test = sign_flips(totals)
    assert test == "sign flips of clusters, 20000 drawn"
    assert p == pytest.approx(brute(totals), abs=0.015)
    assert sign_flips(totals) == (p, test), "the draws are seeded"
    assert sign_flips([-total for total in totals])[0] == p
    assert sign_flips([1.0] * 40)[0] == 1 / 20_001, "never 0"


def test_the_permutation_test_keeps_its_level() -> None:
    random_ = random.Random(11)
    rejected = sum(sign_flips([random_.gauss(0, 1) for _ in range(10)])[0] <= 0.05 for _ in range(400))
    assert 0.02 <= rejected / 400 <= 0.08
