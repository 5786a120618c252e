"""The statistics against printed tables, hand-counted binomials, enumeration and simulation."""

import itertools
import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vold.core import intervals
from vold.core.intervals import Term, bonett_price, by_cluster, half_width, mcnemar, quantile_975, sign_flips, variance, weighted
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
    assert half_width(found, ALL) == pytest.approx(2.7764451 * math.sqrt(square / 5))


def test_clusters_by_hand() -> None:
    """Values 1 1 | 0 0 | 1 0 have mean 1/2 and cluster residuals 1, -1 and 0: the variance is 3/2 · (1 + 1) / 6²."""
    found = terms([1, 1], [0, 0], [1, 0])
    assert variance(found, ALL) == pytest.approx(3 / 2 * 2 / 36)
    assert half_width(found, ALL) == pytest.approx(4.3026527 * math.sqrt(3 / 36))
    assert by_cluster(found, ALL) == pytest.approx([2 / 6, 0, 1 / 6])


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
    assert half_width(found, weights) > 1


# 40 seed questions with 10 variants each, which share 60 % of their luck
def clustered(random_: random.Random, *, clusters: int = 40, size: int = 10, shared: float = 0.6) -> list[Term]:
    out = []
    for cluster in range(clusters):
        seed = random_.random() < 0.4
        values = [float(seed if random_.random() < shared else random_.random() < 0.4) for _ in range(size)]
        out += [Term(stratum="", cluster=str(cluster), value=value) for value in values]
    return out


def coverage(covers: Callable[[list[Term]], bool]) -> float:
    random_ = random.Random(7)
    return sum(covers(clustered(random_)) for _ in range(400)) / 400


def test_cluster_intervals_cover_and_naive_ones_do_not() -> None:
    def robust(found: list[Term]) -> bool:
        return abs(weighted(found, ALL) - 0.4) <= half_width(found, ALL)

    def naive(found: list[Term]) -> bool:
        low, high = wilson(weighted(found, ALL), len(found))
        return low <= 0.4 <= high

    assert 0.92 <= coverage(robust) <= 0.98
    assert coverage(naive) <= 0.75


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
