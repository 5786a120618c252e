"""Where the clip cuts the gradient off, through the loss and behaviour log-probabilities."""

import math
from dataclasses import replace

import pytest
import torch
from support.checks_of_objectives import GROUPS
from support.objectives import STATED
from support.plans import plan_for
from support.toy import one_action_each

from vold.core import render
from vold.core.batching import batch_of, rows_of
from vold.core.objective import K2, TEACHER, WRONG, Z_SCORE, Clip, Objective, Pull
from vold.core.reading import Reading
from vold.core.zoo import VOLD, VOLD_RL

LOGITS = torch.tensor([0.3, -0.2, 0.5, 0.0, 0.1], dtype=torch.float64)


def slopes(objective: Objective, advantage: float, ratio: float, *, pulled: bool = False) -> tuple[float, dict[str, float]]:
    """∂loss/∂log π of one token whose policy ratio and advantage are these, and what was measured."""
    teacher_V = torch.full((5,), -2.0, dtype=torch.float64)
    batch, logprobs_V = one_action_each(LOGITS, teacher_V, advantage_V=torch.full((5,), advantage, dtype=torch.float64))
    leaf_V = logprobs_V.clone().requires_grad_()
    behaviour_V = logprobs_V - torch.tensor([math.log(ratio), 0, 0, 0, 0], dtype=torch.float64)
    weights = torch.full((len(objective.pulls), 5), 0.1 if pulled else 0.0, dtype=torch.float64)
    batch = replace(batch, behaviour_N=behaviour_V, share_N=torch.ones(5, dtype=torch.float64), weights_PN=weights)
    rendered = render.loss(plan_for(objective), batch, Reading(logprobs_N=leaf_V))
    (gradient_V,) = torch.autograd.grad(rendered.loss, leaf_V)
    return float(gradient_V[0]), rendered.sums


@pytest.mark.parametrize("objective", [VOLD_RL, VOLD], ids=["VOLD_RL", "VOLD"])
@pytest.mark.parametrize(
    ("advantage", "ratio", "clipped"),
    [(2.0, 1.31, True), (2.0, 1.29, False), (-2.0, 0.79, True), (-2.0, 0.81, False), (2.0, 0.5, False), (-2.0, 3.0, False)],
)
def test_the_clip_cuts_where_leaving_would_pay(objective: Objective, advantage: float, ratio: float, clipped: bool) -> None:
    slope, sums = slopes(objective, advantage, ratio)
    assert slope == pytest.approx(0.0 if clipped else -ratio * advantage, abs=1e-12)
    assert sums["clipped_high"] == float(clipped and advantage > 0)
    assert sums["clipped_low"] == float(clipped and advantage < 0)


def test_the_two_widths_are_not_one() -> None:
    """VOLD is asymmetric: 0.2 below, 0.3 above; swapped they would cut elsewhere."""
    assert Clip(0.2, 0.3) == VOLD.clip == VOLD_RL.clip
    swapped = Objective(Z_SCORE, Clip(0.3, 0.2))
    assert slopes(swapped, 2.0, 1.25)[0] == 0.0
    assert slopes(swapped, -2.0, 0.75)[0] != 0.0


def test_without_a_clip_nothing_is_cut() -> None:
    slope, sums = slopes(Objective(Z_SCORE, None), 2.0, 5.0)
    assert slope == pytest.approx(-10.0)
    assert "clipped_high" not in sums


def test_the_pull_is_neither_clipped_nor_weighted() -> None:
    """It is added as it is: where the credit is cut off the teacher still speaks, at weight 1."""
    objective = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, beta=0.1, by=K2, on=WRONG),))
    gap = float(LOGITS.log_softmax(0)[0]) + 2.0
    assert slopes(objective, 2.0, 1.5, pulled=True)[0] == pytest.approx(0.1 * gap, abs=1e-12)
    assert slopes(objective, 2.0, 1.2, pulled=True)[0] == pytest.approx(0.1 * gap - 2.4, abs=1e-12)


COUNTED = ("z-score", "dual clip", "clip by sequence", "k1 as an advantage", "sequence, token advantages", "weight on the credit", "teacher ratio")


@pytest.mark.parametrize("name", COUNTED)
def test_what_the_journal_counts_as_clipped_has_no_gradient(name: str) -> None:
    """One by one: a token with an advantage (its own, or a pull's that is one) whose gradient the clip took is counted, and no other."""
    plan = plan_for(STATED[name])
    batch = batch_of(rows_of(GROUPS, plan, plan.counts(GROUPS)), pulls=len(plan.betas), dtype=torch.float64)
    draw = torch.Generator().manual_seed(3)
    old_N, shift_N = torch.randn(2, len(batch.targets_N), generator=draw, dtype=torch.float64)
    logprobs_N = (old_N - 3 + 0.4 * shift_N).requires_grad_()
    batch = replace(batch, behaviour_N=old_N - 3)
    (slope_N,) = torch.autograd.grad(render.surrogate(plan, batch, logprobs_N, old_N - 3).sum(), logprobs_N)
    sums = render.measures(plan, batch, Reading(logprobs_N=logprobs_N.detach()))
    stopped = float(((slope_N == 0) & (render.folded_advantages(plan, batch, old_N - 3) != 0)).sum())
    assert sums["clipped_low"] + sums["clipped_high"] == stopped > 0
