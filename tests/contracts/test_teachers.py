"""One contract for every teacher: a local model in packs of any size, the student as it was, a table."""

from collections.abc import Callable

import pytest
import torch
from support import dense
from support import models as m
from support.checks import TEXT
from support.stage import some_teacher
from support.teacher_contract import CHECKS, Scorer

from vold.adapters.teachers.tabular import TabularTeacher
from vold.base.types import Rollout


def answers(world: m.World) -> list[Rollout]:
    return m.engine_of(world.student32).sample(TEXT, per_problem=3, sampling=m.sampling(14), place=("x",))


def local(world: m.World, **settings: object) -> Scorer:
    reader = world.fresh("teacher", dtype="float32")
    teacher = m.teacher_of(reader, **settings)

    def read(rollout: Rollout) -> list[float]:
        with torch.no_grad():
            found: list[float] = dense.logprobs_of(reader.model, rollout, teacher.banned_V, teacher.temperature).tolist()
        return found

    return Scorer(teacher=teacher, read=read, rollouts=answers(world))


def tabular(world: m.World) -> Scorer:
    table_VV = torch.randn(64, 64, generator=torch.Generator().manual_seed(0)).log_softmax(-1)
    rollouts = answers(world)

    def read(rollout: Rollout) -> list[float]:
        before = (rollout.prompt_ids[-1], *rollout.response_ids[:-1])
        return [float(table_VV[i, j]) for i, j in zip(before, rollout.response_ids, strict=True)]

    return Scorer(teacher=TabularTeacher(logprobs_VV=table_VV), read=read, rollouts=rollouts)


SCORERS: dict[str, Callable[[m.World], Scorer]] = {
    "local": local,
    "local, small packs": lambda world: local(world, token_budget=40),
    "local, shared prompts": lambda world: local(world, shared_prompts=True),
    "local, cold": lambda world: local(world, temperature=0.7),
    "tabular": tabular,
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", SCORERS)
def test_a_teacher_keeps_the_contract(world: m.World, name: str, check: Callable[[Scorer], None]) -> None:
    check(SCORERS[name](world))


def test_a_teacher_of_one_number_breaks_it(world: m.World) -> None:
    scorer = Scorer(teacher=some_teacher(), read=lambda rollout: [-4.0] * len(rollout.response_ids), rollouts=answers(world))
    with pytest.raises(AssertionError):
        CHECKS[0](scorer)
