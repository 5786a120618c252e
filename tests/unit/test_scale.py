"""The scale of the alignment check: its bounds, the fit, and what it is tried on."""

import itertools
import math
import random

import pytest

from vold.core.closeness import NAMES, Closeness, Estimate
from vold.core.scale import Case, Scale, Standing, by_leaving_out, fitted, score_of, verdict_of

MARGIN = 0.03


def case(value: float, gain: float, *, budget: int = 1, number: str = "log_ratio", error: float = 0.01, **others: float) -> Case:
    values = dict.fromkeys(NAMES, 0.0) | {number: value} | {name.replace("_at_", "@"): other for name, other in others.items()}
    return Case(name=f"{value}", budget=budget, values=values, gain=gain, error=error)


def scale(number: str = "log_ratio", low: float | None = 0.2, high: float | None = 2.0, seen: tuple[float, float] = (0.1, 5.0)) -> Scale:
    return Scale(number=number, low=low, high=high, seen=seen, margin=MARGIN)


def closeness(mean: float, error: float = 0.01, number: str = "log_ratio") -> Closeness:
    means = {name: Estimate(mean=0.0, error=0.0) for name in NAMES} | {number: Estimate(mean=mean, error=error)}
    return Closeness(rollouts=2, tokens=9, means=means, spread={})


# -- standing -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "standing"), [(0.1, Standing.CLOSE), (0.2, Standing.WITHIN), (2.0, Standing.WITHIN), (2.01, Standing.FAR)])
def test_a_distance_is_far_when_large(value: float, standing: Standing) -> None:
    assert scale().standing(value) is standing
    assert (scale().near, scale().far) == (0.2, 2.0)


@pytest.mark.parametrize(("value", "standing"), [(0.1, Standing.FAR), (0.5, Standing.WITHIN), (0.99, Standing.CLOSE)])
def test_an_overlap_is_far_when_small(value: float, standing: Standing) -> None:
    shared = scale("overlap@5", low=0.4, high=0.95)
    assert shared.standing(value) is standing
    assert (shared.near, shared.far) == (0.95, 0.4)


def test_an_open_end_holds_nobody_out() -> None:
    assert scale(low=None).standing(-100.0) is Standing.WITHIN
    assert scale(high=None).standing(100.0) is Standing.WITHIN


def test_a_verdict_near_a_bound_or_beyond_what_was_seen_says_so() -> None:
    assert not verdict_of(closeness(1.0), scale()).unsure
    assert verdict_of(closeness(1.99), scale()).unsure
    assert verdict_of(closeness(0.23, error=0.02), scale()).unsure
    assert not verdict_of(closeness(1.97, error=math.nan), scale()).unsure
    assert verdict_of(closeness(9.0), scale()).unseen
    assert not verdict_of(closeness(4.9), scale()).unseen
    assert verdict_of(closeness(0.5), scale("kl")).value.mean == 0.0


def test_a_verdict_where_no_run_of_the_fit_was_says_so() -> None:
    """The bound at 3 could as well be at 2.1 or at 3.9."""
    found = fitted([case(0.1, 0.0), case(0.3, 0.2), case(2.0, 0.2), case(4.0, -0.2)], "log_ratio", margin=MARGIN)
    assert (found.high, found.gaps) == (3.0, ((0.1, 0.3), (2.0, 4.0)))
    assert [verdict_of(closeness(mean), found).gap for mean in (0.2, 1.0, 2.5, 3.5, 4.0)] == [(0.1, 0.3), None, (2.0, 4.0), (2.0, 4.0), None]


# -- fitting --------------------------------------------------------------------------------------------------------------------------


def test_bounds_lie_half_way_between_what_gains_and_what_does_not() -> None:
    cases = [case(0.1, 0.0), case(0.3, 0.10), case(0.5, 0.20), case(2.0, 0.15), case(4.0, -0.05), case(8.0, 0.0)]
    found = fitted(cases, "log_ratio", margin=MARGIN)
    assert (found.low, found.high, found.seen) == (pytest.approx(0.2), 3.0, (0.1, 8.0))
    assert score_of(found, cases).right == 6


def test_a_clear_gain_outweighs_a_slight_miss() -> None:
    """The case that gains nothing lies among those that gain much: leaving them out would cost more."""
    cases = [case(0.1, 0.2), case(0.2, 0.02), case(0.3, 0.2), case(1.0, -0.2)]
    found = fitted(cases, "log_ratio", margin=MARGIN)
    assert (found.low, found.high) == (None, 0.65)
    score = score_of(found, cases)
    assert (score.cases, score.right, score.always) == (4, 3, 2)
    assert score.lost == pytest.approx(0.01 / 4)


def test_where_all_gain_no_bound_is_made_up() -> None:
    found = fitted([case(0.1, 0.1), case(0.2, 0.1)], "log_ratio", margin=MARGIN)
    assert (found.low, found.high) == (None, None)


def test_where_none_gains_the_least_loss_is_kept() -> None:
    cases = [case(0.1, -0.1), case(0.2, 0.02), case(0.3, -0.1)]
    found = fitted(cases, "log_ratio", margin=MARGIN)
    assert (found.low, found.high) == (pytest.approx(0.15), pytest.approx(0.25))


def test_equal_values_are_told_apart_by_no_bound() -> None:
    cases = [case(0.1, 0.3), case(0.1, -0.1), case(0.2, -0.2)]
    found = fitted(cases, "log_ratio", margin=MARGIN)
    assert (found.low, found.high) == (None, pytest.approx(0.15))


def test_no_other_bounds_give_away_less() -> None:
    """Against every run of cases there is."""
    draw = random.Random(0)
    for _ in range(50):
        cases = [case(draw.random(), draw.gauss(0.03, 0.1)) for _ in range(9)]
        levels = sorted(c.values["log_ratio"] for c in cases)
        ends = [-math.inf, *((a + b) / 2 for a, b in itertools.pairwise(levels)), math.inf]
        best = min(
            score_of(scale(low=low, high=high), cases).lost for low, high in itertools.combinations(ends, 2)
        )  # fmt: skip
        assert score_of(fitted(cases, "log_ratio", margin=MARGIN), cases).lost == pytest.approx(best)


def test_leaving_out_tries_each_number_on_budgets_it_has_not_seen() -> None:
    """The log-ratio separates within each budget at another place; the overlap does at the same one everywhere."""
    cases = []
    for budget in range(4):
        cases.append(case(10.0 * budget, 0.2, budget=budget, overlap_at_1=0.9 + 0.01 * budget))
        cases.append(case(10.0 * budget + 5, -0.2, budget=budget, overlap_at_1=0.3 + 0.01 * budget))
    assert by_leaving_out(cases, "overlap@1", margin=MARGIN) == 0.0
    assert by_leaving_out(cases, "log_ratio", margin=MARGIN) > 0.05


def test_a_mistake_in_a_gap_is_told_apart() -> None:
    """The bound lies at 3, between runs at 2 and 4: what stands at 2.5 or 3.5 may be either."""
    found = fitted([case(0.5, 0.2), case(2.0, 0.2), case(4.0, -0.2)], "log_ratio", margin=MARGIN)
    score = score_of(found, [case(2.5, -0.2), case(3.5, -0.2), case(3.6, 0.2), case(1.0, -0.2), case(9.0, 0.2)])
    assert (score.right, score.guessed) == (1, 2)


def test_the_ends_are_not_left_out() -> None:
    """Only the student without SFT is too far: no fit without it could know, whatever the number."""
    cases = [case(value, gain, budget=budget) for budget, value, gain in ((0, 8.0, -0.2), (25, 2.0, 0.2), (50, 1.5, 0.2), (100, 0.1, 0.0))]
    assert by_leaving_out(cases, "log_ratio", margin=MARGIN) == 0.0
    assert by_leaving_out(cases[1:], "log_ratio", margin=MARGIN) == 0.0
    assert by_leaving_out(cases[:2], "log_ratio", margin=MARGIN) == 0.0


def test_nothing_tried_is_no_share() -> None:
    assert math.isnan(score_of(scale(), []).share)
    assert score_of(scale(), []).lost == 0.0
