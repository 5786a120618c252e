"""The journal's numbers, against values known from elsewhere or counted by hand."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.plans import plan_for
from support.records import groups_of, problem, rollout

from vold.core import render, stats
from vold.core.batching import batch_of, rows_of
from vold.core.reading import Reading
from vold.core.stats import wilson
from vold.core.zoo import OPD, VOLD, VOLD_RL, VOLD_UNMASKED

# mean, trials, low, high: textbook values of the 95 % score interval
WILSON = [(0.5, 10, 0.2366, 0.7634), (0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0), (0.9, 10, 0.5958, 0.9821), (81 / 263, 263, 0.2553, 0.3662)]


@pytest.mark.parametrize(("mean", "n", "low", "high"), WILSON)
def test_wilson_known_values(mean: float, n: int, low: float, high: float) -> None:
    assert wilson(mean, n) == pytest.approx((low, high), abs=1e-4)


@given(right=st.integers(0, 50), more=st.integers(0, 50))
def test_wilson_holds_the_mean_and_narrows(right: int, more: int) -> None:
    n = right + more
    if n == 0:
        assert wilson(0.0, 0) == (0.0, 1.0)
        return
    low, high = wilson(right / n, n)
    assert 0.0 <= low <= right / n + 1e-12
    assert right / n - 1e-12 <= high <= 1.0
    narrow_low, narrow_high = wilson(right / n, 4 * n)
    assert narrow_high - narrow_low < high - low


def test_kinds_of_groups() -> None:
    """Unjudged rollouts are out of a group's kind; a group of nothing else has none."""
    found = stats.of_groups(groups_of("RRR", "RU", "RWw", "WWU", "UU"), plan_for(VOLD))
    assert found["groups/all_right"] == pytest.approx(2 / 5)
    assert found["groups/mixed"] == pytest.approx(1 / 5)
    assert found["groups/all_wrong"] == pytest.approx(1 / 5)
    assert found["reward/mean"] == pytest.approx(5 / 9)
    assert found["rollouts/unjudged"] == 4.0
    assert found["rollouts/truncated"] == pytest.approx(1 / 13)


def test_lengths_and_how_much_the_pull_sees() -> None:
    groups = groups_of("RWw", "WU")
    sizes = [len(x.rollout.response_ids) for g in groups for x in g.members]
    found = stats.of_groups(groups, plan_for(VOLD))
    assert (found["length/mean"], found["length/max"]) == (pytest.approx(sum(sizes) / 5), max(sizes))
    assert found["pull/rate"] == pytest.approx(3 / 5)
    assert found["pull/scored"] == 5.0
    rates = {
        name: stats.of_groups(groups, plan_for(objective))["pull/rate"]
        for name, objective in {"unmasked": VOLD_UNMASKED, "opd": OPD, "reward": VOLD_RL}.items()
    }
    assert rates == {"unmasked": pytest.approx(4 / 5), "opd": 1.0, "reward": 0.0}
    assert stats.of_groups(groups, plan_for(replace(VOLD, pull_truncated=False)))["pull/rate"] == pytest.approx(2 / 5)


def test_sums_of_an_update_by_hand() -> None:
    """pull_share is the size of the pull's coefficient over that of the credit; pull/kl is k3 over the pulled tokens only."""
    groups, plan = groups_of("RW", "WW"), plan_for(VOLD)
    batch = batch_of(rows_of(groups, plan, plan.counts(groups)), pulls=1, dtype=torch.float64)
    logprobs_N = torch.linspace(-3, -0.5, len(batch.targets_N), dtype=torch.float64)
    found = stats.of_updates([render.measures(plan, batch, Reading(logprobs_N=logprobs_N)) | {"z": 40.0, "grad_norm": 2.0}])
    pulled = [n for n in range(len(logprobs_N)) if batch.weights_PN[0, n] > 0]
    gaps = [float(logprobs_N[n] - batch.teacher_N[n]) for n in pulled]
    assert 0 < len(pulled) < len(logprobs_N)
    assert found["z"] == 40
    assert found["trained_tokens"] == len(logprobs_N)
    assert found["entropy/sampled"] == pytest.approx(-float(logprobs_N.mean()))
    assert found["pull/log_ratio"] == pytest.approx(math.fsum(gaps) / len(gaps))
    assert found["pull/kl"] == pytest.approx(math.fsum(math.exp(-g) - 1 + g for g in gaps) / len(gaps))
    assert found["pull/log_ratio_max"] == pytest.approx(max(abs(g) for g in gaps))
    credit = math.fsum(float(a) ** 2 for a in batch.advantage_N)
    assert found["pull_share"] == pytest.approx(math.sqrt(math.fsum((0.1 * g) ** 2 for g in gaps) / credit))
    assert "clip/low" not in found


def test_nothing_trained_is_no_division_by_zero() -> None:
    found = stats.of_updates([{"z": 12.0, "grad_norm": 0.0}])
    assert (found["trained_tokens"], found["entropy/sampled"], found["pull/kl"]) == (0.0, 0.0, 0.0)
    assert math.isnan(found["pull_share"])
    assert math.isnan(stats.of_groups(groups_of("UU"), plan_for(VOLD))["reward/mean"]), "what nobody judged has no reward, not one of 0"
    assert stats.of_groups([], plan_for(VOLD))["length/mean"] == 0.0


def test_ratios_are_over_the_tokens_of_all_updates() -> None:
    """An update that trained nothing takes no clip fraction away, and one without credit does not hide the pull's share."""
    one = {"z": 10.0, "grad_norm": 1.0, "tokens": 10.0, "logprob": -5.0, "clipped_low": 3.0, "clipped_high": 0.0, "log_ratio_max": 2.0}
    one |= {"pulled_tokens": 4.0, "log_ratio": 2.0, "k3": 1.0, "credit_square": 4.0, "pull_square": 1.0}
    pulled = {**one, "tokens": 30.0, "logprob": -3.0, "clipped_low": 1.0, "log_ratio_max": 5.0, "credit_square": 0.0, "pull_square": 8.0}
    nothing = {"z": 7.0, "grad_norm": 0.0}
    found = stats.of_updates([one, pulled, nothing])
    assert found["z"] == 27.0
    assert found["trained_tokens"] == 40.0
    assert found["clip/low"] == pytest.approx(4 / 40)
    assert found["entropy/sampled"] == pytest.approx(8 / 40)
    assert found["pull/log_ratio"] == pytest.approx(4 / 8)
    assert found["pull/log_ratio_max"] == 5.0
    assert found["pull_share"] == pytest.approx((9 / 4) ** 0.5)
    assert found["grad_norm"] == pytest.approx(2 / 3)


def test_log_ratio_to_the_teacher() -> None:
    answers = [rollout(problem(), 0, [9], [10, 2], logprobs=[-1.0, -2.0]), rollout(problem(), 1, [9], [2], logprobs=[-3.0])]
    assert stats.log_ratio(answers, [(-2.0, -2.0), (-4.0,)]) == {
        "teacher/log_ratio_start": pytest.approx(2 / 3),
        "teacher/nll_start": pytest.approx(8 / 3),
    }
