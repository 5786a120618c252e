"""What the benches compare is the same step: the savings switched off, the same gradient; and traces follow the rule they are named by."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from parts import steps
from parts.traces import Trace
from parts.worlds import END, TINY, made

from vold.adapters.metering import shape_in
from vold.core import roofline
from vold.core.plan import plan_of
from vold.core.zoo import DAPO, OPD, VOLD

TRACE = Trace(accuracy=0.45, equal=False, prompts=6, mean=8, cap=24, prompt=4)


@pytest.mark.parametrize("objective", [VOLD, DAPO, OPD], ids=["VOLD", "DAPO", "OPD"])
def test_switching_the_savings_off_changes_no_gradient(objective: object) -> None:
    world = made(TINY, torch.device("cpu"), budget=128)
    groups = TRACE.groups(world.ids, END)
    plan = plan_of(objective, step=0, length_cap=24)  # type: ignore[arg-type]
    found = steps.gradient_of(world, steps.accumulate_ours, groups, plan)
    expected = steps.gradient_of(world, steps.accumulate_plain, groups, plan)
    assert max(float(g.abs().max()) for g in expected) > 1e-4
    assert steps.apart(found, expected) < 2e-5


def test_a_lost_row_would_be_noticed() -> None:
    world = made(TINY, torch.device("cpu"), budget=128)
    groups = TRACE.groups(world.ids, END)
    plan = plan_of(VOLD, step=0, length_cap=24)
    mixed = next(place for place, group in enumerate(groups) if any(plan.touches(group)))
    found = steps.gradient_of(world, steps.accumulate_ours, [*groups[:mixed], *groups[mixed + 1 :]], plan)
    assert steps.apart(found, steps.gradient_of(world, steps.accumulate_plain, groups, plan)) > 1e-2


def test_the_bound_of_a_trace_is_what_its_savings_are_worth() -> None:
    world = made(TINY, torch.device("cpu"), budget=128)
    student, teacher = shape_in(world.student), shape_in(world.teacher.reader)
    bounds = []
    for accuracy in (0.3, 0.45, 0.6):
        groups = Trace(accuracy=accuracy, equal=False, prompts=40, mean=40, cap=160).groups(world.ids, END)
        plan = plan_of(VOLD, step=0, length_cap=160)
        step = roofline.Step(student=student, teacher=teacher, groups=groups, plan=plan)
        own = step.trained_on(roofline.scored_in(groups, plan), roofline.trained_in(groups, plan))
        bounds.append(roofline.flop_bound(step.plain(), own))
    assert bounds == sorted(bounds)
    assert 1.3 < bounds[0] < bounds[2] < 3


@pytest.mark.parametrize("accuracy", [0.3, 0.45, 0.6])
def test_a_trace_is_as_it_is_described(accuracy: float) -> None:
    trace = Trace(accuracy=accuracy, equal=False, prompts=64, mean=200, cap=800)
    groups = trace.groups(range(9, 25), END)
    assert repr(groups) == repr(trace.groups(range(9, 25), END))
    members = [member for group in groups for member in group.members]
    length = {True: [], False: []}  # type: dict[bool, list[int]]
    for member in members:
        length[member.right].append(len(member.rollout.response_ids))
    assert sum(member.right for member in members) / len(members) == pytest.approx(accuracy, abs=0.05)
    assert sum(map(sum, length.values())) / len(members) == pytest.approx(200, rel=0.12)
    means = {right: sum(of) / len(of) for right, of in length.items()}
    assert means[False] / means[True] == pytest.approx(1.5, rel=0.2)
    assert all(member.rollout.response_ids[-1] == END for member in members)
