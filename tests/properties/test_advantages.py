"""Rewards of a group to advantages."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.plans import plan_for
from support.records import groups_of

from vold.core.advantage import advantages, overlong_penalty
from vold.core.objective import CENTRED, LEAVE_ONE_OUT, NO_CREDIT, RAW, Z_SCORE, Baseline, Credit
from vold.core.zoo import VOLD

BIASED = Credit(Baseline.Z_SCORE, unbiased=False)
REWARDS = st.lists(st.floats(-5, 5), min_size=2, max_size=8)


def test_one_success_in_five() -> None:
    """The numbers of the literature: which deviation is meant shows here."""
    rewards = [0.0, 0.0, 1.0, 0.0, 0.0]
    assert [round(a, 3) for a in advantages(rewards, Z_SCORE)] == [-0.447, -0.447, 1.789, -0.447, -0.447]
    assert [round(a, 3) for a in advantages(rewards, BIASED)] == [-0.5, -0.5, 2.0, -0.5, -0.5]
    assert advantages(rewards, CENTRED) == pytest.approx([-0.2, -0.2, 0.8, -0.2, -0.2])
    assert advantages(rewards, LEAVE_ONE_OUT) == pytest.approx([-0.25, -0.25, 1.0, -0.25, -0.25])
    assert advantages(rewards, RAW) == rewards
    assert advantages(rewards, NO_CREDIT) == [0.0] * 5


def test_epsilon_is_added_to_the_deviation() -> None:
    assert advantages([0.0, 1.0], Credit(Baseline.Z_SCORE, epsilon=0.5)) == pytest.approx(
        [-0.5 / (math.sqrt(0.5) + 0.5), 0.5 / (math.sqrt(0.5) + 0.5)]
    )


@given(reward=st.floats(-1e6, 1e6), copies=st.integers(1, 9), credit=st.sampled_from([Z_SCORE, CENTRED, BIASED, LEAVE_ONE_OUT]))
def test_equal_rewards_give_exactly_zero(reward: float, copies: int, credit: Credit) -> None:
    """Whatever rounding does to their mean: 0.1 + 0.1 + 0.1 over 3 is not 0.1."""
    assert advantages([reward] * copies, credit) == [0.0] * copies


@given(rewards=REWARDS, credit=st.sampled_from([Z_SCORE, CENTRED, BIASED, LEAVE_ONE_OUT]))
def test_they_sum_to_zero_and_keep_the_order(rewards: list[float], credit: Credit) -> None:
    found = advantages(rewards, credit)
    assert len(found) == len(rewards)
    assert abs(math.fsum(found)) <= 1e-9 * max(1.0, max(abs(a) for a in found))
    order = sorted(range(len(rewards)), key=lambda i: rewards[i])
    assert all(found[i] <= found[j] for i, j in pairwise(order))


@given(right=st.integers(1, 7), wrong=st.integers(1, 7))
def test_z_scores_have_deviation_one(right: int, wrong: int) -> None:
    found = advantages([1.0] * right + [0.0] * wrong, Z_SCORE)
    assert math.fsum(a * a for a in found) / (right + wrong - 1) == pytest.approx(1.0, rel=1e-4)


def test_unjudged_members_take_no_part() -> None:
    (group,) = groups_of("RUWUW")
    found = plan_for(VOLD).advantages(group)
    assert found[1] == found[3] == 0.0
    assert [found[0], found[2], found[4]] == advantages([1.0, 0.0, 0.0], Z_SCORE)


@pytest.mark.parametrize("word", ["RUUU", "WU", "UUU", "RRU", "WWU"])
def test_no_spread_among_the_judged_is_no_credit(word: str) -> None:
    (group,) = groups_of(word)
    assert plan_for(VOLD).advantages(group) == (0.0,) * len(word)


def test_no_rewards_no_advantages() -> None:
    assert advantages([], Z_SCORE) == []


@given(rewards=REWARDS)
def test_leaving_one_out_is_the_reward_less_the_mean_of_the_others(rewards: list[float]) -> None:
    others = [math.fsum(rewards[:i] + rewards[i + 1 :]) / (len(rewards) - 1) for i in range(len(rewards))]
    assert advantages(rewards, LEAVE_ONE_OUT) == pytest.approx([r - o for r, o in zip(rewards, others, strict=True)], abs=1e-9)


def test_the_penalty_on_length_falls_over_the_buffer() -> None:
    """DAPO, eq. 13, at a cap of 20 with a buffer of a fifth."""
    found = [overlong_penalty(length, cap=20, buffer=4) for length in (1, 16, 17, 18, 19, 20, 21)]
    assert found == [0.0, 0.0, -0.25, -0.5, -0.75, -1.0, -1.0]
