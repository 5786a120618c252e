"""Several updates on one batch: answers drawn from an older policy, ratios that leave the clip's range, and sequence-level ratios.

The expected gradient of every named method is enumerated once more with an old policy; for methods with a clip, single steps are also compared
with finite differences of the loss written as plain numbers.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from support import oracle
from support.enumeration import BANNED, Step, World, expected, gradient_of_rows, log_softmax, one_step, plan_in
from support.truths import Truth

from vold.core import render
from vold.core.batching import Row
from vold.core.objective import Clip, Objective
from vold.core.zoo import VOLD, ZOO

EXACT = 1e-10
MOVED = World(sizes=(2, 2), words=(1,), cap=3, seed=8, moved=(0.6, 3e-4))
"""The first problem's ratios leave a clip of 0.2, the second's stay within and straddle one of 3e-4."""
LENGTHS = World(sizes=(3,), words=(1, 3), cap=2, seed=6, moved=(0.5,), temperature=1.2)
FAR = World(sizes=(2,), words=(1,), cap=3, seed=14, moved=(1.6,))
"""Some ratios are above 3, where the dual clip acts."""
DUAL = replace(VOLD, clip=Clip(0.2, 0.3, dual=3.0))


@cache
def truth_of(world: World) -> Truth:
    return Truth(world)


def test_ratios_lie_on_both_sides_of_every_clip() -> None:
    told = [o for world in (MOVED, LENGTHS) for o in truth_of(world).told.values()]
    rho = np.concatenate([o.rho for o in told])
    s = np.array([o.s[0] for o in told])
    for value, edges in ((rho, (0.8, 1.2)), (rho, (0.8, 1.28)), (rho, (0.8, 1.3)), (s, (1 - 3e-4, 1 + 4e-4))):
        assert (value < edges[0]).any()
        assert ((value > edges[0]) & (value < edges[1])).any()
        assert (value > edges[1]).any()
    near = s[np.abs(s - 1) < 1e-3]
    assert (np.abs(near - 1) < 3e-4).any()
    assert (np.concatenate([o.rho for o in truth_of(FAR).told.values()]) > 3).any()


@pytest.mark.parametrize("world", [MOVED, LENGTHS], ids=["two problems", "lengths"])
@pytest.mark.parametrize("name", ZOO)
def test_expected_gradient_of_answers_from_an_older_policy(name: str, world: World) -> None:
    truth_SV = truth_of(world).expected(name)
    (found_SV,) = expected(world, plan_in(world, ZOO[name]), render.loss)
    assert abs(truth_SV).max() > 1e-5
    torch.testing.assert_close(found_SV.numpy(), truth_SV, rtol=0, atol=EXACT)


# ---- finite differences ----------------------------------------------------------------------------------------------------------------


def scalar_loss(name: str, world: World, step: Step, logits_SV: np.ndarray) -> float:
    """A step's loss as a number: advantages, old policy and teacher fixed, `logits_SV` moving."""
    now_SV, old_SV, teacher_SV, reference_SV = (log_softmax(t, world.allowed, world.temperature) for t in (logits_SV, *fixed(world)))
    total, tokens, sequences = 0.0, 0, 0
    for problem, group in enumerate(step):
        right = [str(world.judge(problem, y)) == "right" for y in group]
        if name == "DAPO" and sum(right) in (0, len(right)):
            continue
        rewards = [
            float(r) + (oracle.soft_penalty(len(y), world.cap, 0.2 * world.cap) if name == "DAPO" else 0.0) for r, y in zip(right, group, strict=True)
        ]
        for answer, wins, advantage in zip(group, right, oracle.z_scores(rewards), strict=True):
            places = list(zip(world.states(problem, answer), answer, strict=True))
            new, old, teacher, reference = ([table[place] for place in places] for table in (now_SV, old_SV, teacher_SV, reference_SV))
            total += SCALARS[name](wins, advantage, new, old, teacher, reference)
            tokens, sequences = tokens + len(answer), sequences + 1
    return total / max(1, sequences if name in ("GRPO", "GSPO", "VOLD_GSPO") else tokens)


def fixed(world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return world.old.logits, world.teacher.logits[:, : world.rows], world.reference.logits


def _tokens(
    advantage: Sequence[float] | float, new: Sequence[float], old: Sequence[float], low: float, high: float, dual: float | None = None
) -> float:
    each = [advantage] * len(new) if isinstance(advantage, float) else advantage
    return sum(oracle.surrogate(math.exp(n - o), a, low, high, dual) for a, n, o in zip(each, new, old, strict=True))


def _k2(new: Sequence[float], teacher: Sequence[float]) -> float:
    return sum(0.5 * (n - t) ** 2 for n, t in zip(new, teacher, strict=True))


def _vold(wins: bool, a: float, new: list[float], old: list[float], teacher: list[float], _: list[float], dual: float | None = None) -> float:
    return _tokens(a, new, old, 0.2, 0.3, dual) + (0.0 if wins else 0.1 * _k2(new, teacher))


def _grpo(_wins: bool, a: float, new: list[float], old: list[float], _: list[float], reference: list[float]) -> float:
    k3 = sum(math.exp(r - n) - 1 - (r - n) for n, r in zip(new, reference, strict=True))
    return (_tokens(a, new, old, 0.2, 0.2) + 0.04 * k3) / len(new)


def _dapo(_wins: bool, a: float, new: list[float], old: list[float], _: list[float], __: list[float]) -> float:
    return _tokens(a, new, old, 0.2, 0.28)


def _gspo(_wins: bool, a: float, new: list[float], old: list[float], _: list[float], __: list[float]) -> float:
    """One ratio a sequence, with all of its gradient: the token form with stopped gradients must come to the same."""
    return oracle.surrogate(math.exp(sum(n - o for n, o in zip(new, old, strict=True)) / len(new)), a, 3e-4, 4e-4)


def _vold_gspo(wins: bool, a: float, new: list[float], old: list[float], teacher: list[float], reference: list[float]) -> float:
    return _gspo(wins, a, new, old, teacher, reference) + (0.0 if wins else 0.1 * _k2(new, teacher) / len(new))


def _srpo(wins: bool, a: float, new: list[float], old: list[float], teacher: list[float], _: list[float]) -> float:
    return _tokens([a if wins else t - o for t, o in zip(teacher, old, strict=True)], new, old, 0.2, 0.2)


def _rlsd(_wins: bool, a: float, new: list[float], old: list[float], teacher: list[float], _: list[float]) -> float:
    moved = [a * min(1.2, max(0.8, math.exp(math.copysign(1, a) * (t - o)))) for t, o in zip(teacher, old, strict=True)]
    return _tokens(moved, new, old, 0.2, 0.2)


SCALARS: dict[str, Callable[..., float]] = {
    "VOLD": _vold,
    "GRPO": _grpo,
    "DAPO": _dapo,
    "GSPO": _gspo,
    "VOLD_GSPO": _vold_gspo,
    "SRPO": _srpo,
    "RLSD": _rlsd,
    "dual": lambda *told: _vold(*told, dual=3.0),
}


def by_differences(name: str, world: World, step: Step) -> np.ndarray:
    start_SV = world.student.logits
    out_SV = np.zeros_like(start_SV)
    for s in range(len(start_SV)):
        for v in world.allowed:
            moved_SV = np.zeros_like(start_SV)
            moved_SV[s, v] = 1e-6
            out_SV[s, v] = (scalar_loss(name, world, step, start_SV + moved_SV) - scalar_loss(name, world, step, start_SV - moved_SV)) / 2e-6
    return out_SV


@pytest.mark.parametrize("name", SCALARS)
def test_gradient_of_steps_by_finite_differences(name: str) -> None:
    objective = ZOO.get(name, DUAL)
    for world in (FAR,) if name == "dual" else (MOVED, LENGTHS):
        mixed = [step for step in truth_of(world).steps if any(len({world.judge(q, y) for y in group}) > 1 for q, group in enumerate(step))]
        for step in random.Random(name).sample(mixed, min(8, len(mixed))):
            found_SV = one_step(world, plan_in(world, objective), step, render.loss)
            np.testing.assert_allclose(found_SV.numpy(), by_differences(name, world, step), rtol=0, atol=2e-9)


def test_dual_clip_in_expectation() -> None:
    """min(…) for a negative advantage is at least dual·A; without it the gradient is another one."""
    truth = truth_of(FAR)

    def of_step(step: Step) -> np.ndarray:
        group = [truth.told[0, y] for y in step[0]]
        z = sum(o.length for o in group)
        slopes = [
            oracle.ppo(o.rho, a, 0.2, 0.3, dual=3.0) + (0.0 if o.right else 0.1) * o.k2
            for o, a in zip(group, oracle.z_scores(oracle.verdicts(group)), strict=True)
        ]
        return sum(np.tensordot(slope / z, truth.rises[0, y], 1) for slope, y in zip(slopes, step[0], strict=True))

    truth_SV = truth.over_steps(of_step)
    (found_SV,) = expected(FAR, plan_in(FAR, DUAL), render.loss)
    (without_SV,) = expected(FAR, plan_in(FAR, VOLD), render.loss)
    torch.testing.assert_close(found_SV.numpy(), truth_SV, rtol=0, atol=EXACT)
    assert abs(without_SV.numpy() - truth_SV).max() > 1e-3


# ---- the clip's edges ------------------------------------------------------------------------------------------------------------------

EDGES = {
    **dict.fromkeys(("VOLD", "VOLD_UNMASKED", "VOLD_FULL", "VOLD_RL"), (0.2, 0.3)),
    **dict.fromkeys(("GRPO", "DR_GRPO", "X_REASONER", "VLM_R1", "VLAA_THINKER"), (0.2, 0.2)),
    **dict.fromkeys(("KDRL", "KDRL_ANNEALED", "KDRL_RESPONSE", "KDRL_GROUP", "SRPO", "HDPO", "RLSD"), (0.2, 0.2)),
    "DAPO": (0.2, 0.28),
    **dict.fromkeys(("GSPO", "VOLD_GSPO"), (3e-4, 4e-4)),
    **dict.fromkeys(("RLOO", "SCOPE", "OPD", "OPD_ADVANTAGE", "QWEN3_OPD", "GKD"), None),
}


def slope_at(objective: Objective, ratio: float, advantage: float) -> float:
    """-∂ loss / ∂ log π of one token whose ratio to the old policy is `ratio`; where the teacher has a say, it agrees with the old policy."""
    world = World(sizes=(1,), words=(1,), cap=1, seed=3)
    old = (world.said(world.student, 0, (1,))[0] - math.log(ratio),)
    row = Row(
        prompt_ids=BANNED[:1], response_ids=(1,), sampled=(True,), advantage=advantage, weights=(0.0,) * len(objective.pulls),
        teacher_logprobs=old, behaviour_logprobs=old,
    )  # fmt: skip
    rise_SV = Truth(world).rises[0, (1,)][0]
    found_SV = gradient_of_rows(world, plan_in(world, objective), [row], render.loss).numpy()
    slope = float((found_SV * rise_SV).sum() / (rise_SV * rise_SV).sum())
    np.testing.assert_allclose(found_SV, slope * rise_SV, rtol=0, atol=1e-14)
    return -slope


def test_the_edges_are_all_there() -> None:
    assert EDGES.keys() == ZOO.keys()


@pytest.mark.parametrize("name", [name for name, edges in EDGES.items() if edges is not None])
def test_where_the_clip_stops(name: str) -> None:
    """Under VOLD: A > 0 and 1.31 has no gradient, 1.29 has; A < 0 and 0.79 has none, 0.81 has. The other side never stops."""
    low, high = EDGES[name] or (1.0, math.inf)
    near = min(0.01, low / 10)
    assert slope_at(ZOO[name], 1 + high + near, 1.0) == 0.0
    assert slope_at(ZOO[name], 1 + high - near, 1.0) == pytest.approx(1 + high - near, abs=1e-12)
    assert slope_at(ZOO[name], 1 - low - near, -1.0) == 0.0
    assert slope_at(ZOO[name], 1 - low + near, -1.0) == pytest.approx(-(1 - low + near), abs=1e-12)
    assert slope_at(ZOO[name], 0.1, 1.0) == pytest.approx(0.1, abs=1e-12)
    assert slope_at(ZOO[name], 5.0, -1.0) == pytest.approx(-5.0, abs=1e-12)


@pytest.mark.parametrize("name", [name for name, edges in EDGES.items() if edges is None])
def test_where_nothing_is_clipped(name: str) -> None:
    for ratio, advantage in ((9.0, 1.0), (0.05, -1.0), (9.0, -1.0), (0.05, 1.0)):
        assert slope_at(ZOO[name], ratio, advantage) == pytest.approx(ratio * advantage, abs=1e-12)


def test_where_the_dual_clip_stops() -> None:
    assert slope_at(DUAL, 3.01, -1.0) == 0.0
    assert slope_at(DUAL, 2.99, -1.0) == pytest.approx(-2.99, abs=1e-12)
    assert slope_at(DUAL, 1.29, 1.0) == pytest.approx(1.29, abs=1e-12)
    assert slope_at(DUAL, 0.79, -1.0) == 0.0
