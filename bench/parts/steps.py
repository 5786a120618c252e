"""One step of score, train and update on recorded rollouts: ours, and our own packed trainer with every saving switched off."""

import json
import math
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor

from parts.worlds import World
from vold.adapters.facts import hardware, versions
from vold.adapters.recompute import Recompute, recomputed
from vold.base.types import Group
from vold.core import render
from vold.core.batching import batch_of, rows_of
from vold.core.packing import pack
from vold.core.plan import Plan
from vold.core.reading import read
from vold.stages.joint import scored

LR = 1e-7
CLOCK: list[Callable[[], float]] = [time.perf_counter]
"""What tells the time. On a machine that others use too, processor seconds of one thread: what the wall clock would say were it ours alone."""
Times = dict[str, float]
"""Seconds of each part of a step."""


def asked(description: str) -> Namespace:
    """What a bench is told on the command line."""
    arguments = ArgumentParser(description=description.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="small sizes, two CPU cores, under two minutes")
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--processor-seconds", action="store_true", help="one thread, timed by what it used: for a machine that is shared")
    given = arguments.parse_args()
    if given.processor_seconds:
        torch.set_num_threads(1)
        CLOCK[0] = time.process_time
    print(f"{conditions()}, torch {torch.__version__}")
    return given


def conditions() -> dict[str, str | int]:
    return {**hardware(torch.get_num_threads()), "clock": "wall" if CLOCK[0] is time.perf_counter else "processor seconds"}


def record(path: Path | None, rows: Sequence[Mapping[str, object]], figures: Mapping[str, float]) -> None:
    """The figures to the terminal, and everything to a file where one was named."""
    for name, value in figures.items():
        print(f"{name:32}{value:8.2f}")
    if path is not None:
        found = {"hardware": conditions(), "versions": versions(), "rows": list(rows), "figures": dict(figures)}
        path.write_text(json.dumps(found, indent=1) + "\n")


def now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return CLOCK[0]()


class Watch:
    """Seconds between one word and the next."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.times = device, Times()
        self.since = now(device)

    def __call__(self, part: str) -> None:
        told = now(self.device)
        self.times[part] = self.times.get(part, 0.0) + told - self.since
        self.since = told


def ours(world: World, groups: Sequence[Group], plan: Plan) -> Times:
    """What the stage does once rollouts are judged."""
    watch = Watch(world.student.device)
    accumulate_ours(world, groups, plan, watch)
    world.learner.apply(plan.counts(groups).z, lr=LR)
    watch("optimizer")
    return watch.times


def accumulate_ours(world: World, groups: Sequence[Group], plan: Plan, watch: Watch) -> None:
    found = scored(groups, plan, world.teacher)
    watch("teacher")
    world.learner.accumulate(found, plan, plan.counts(found))
    watch("train")


def plain(world: World, groups: Sequence[Group], plan: Plan) -> Times:
    """The same packs without a saving: all rollouts scored and trained, the old policy read in a pass of its own, the head formed twice."""
    watch = Watch(world.student.device)
    accumulate_plain(world, groups, plan, watch)
    world.learner.apply(plan.counts(groups).z, lr=LR)
    watch("optimizer")
    return watch.times


def accumulate_plain(world: World, groups: Sequence[Group], plan: Plan, watch: Watch) -> None:
    learner = world.learner
    members = [member for group in groups for member in group.members]
    views = iter(world.teacher.score([member.rollout for member in members]))
    groups = [replace(g, members=tuple(replace(m, teacher_logprobs=next(views).logprobs) for m in g.members)) for g in groups]
    watch("teacher")
    learner.freeze_behaviour(groups)
    behaviour, learner.behaviour = learner.behaviour, None
    assert behaviour is not None
    watch("old log-probs")
    head = world.student.head
    rows = rows_of(groups, Everybody.of(plan), plan.counts(groups), behaviour=behaviour)
    for chosen in pack(rows, world.budget, quadratic=world.student.quadratic):
        number = torch.promote_types(head.dtype, torch.float32)
        batch = batch_of(chosen, pulls=len(plan.betas), device=world.student.device, dtype=number)
        with recomputed(world.student.body, learner.recompute) if learner.recompute != "none" else nullcontext():
            hidden_NH = world.student.packed(batch.ids_T, batch.spans)[batch.before_N]
        reading = read(plan, batch, hidden_NH, head, banned_V=learner.banned_V, temperature=learner.temperature)
        with learner.masters.gathering():
            render.loss(plan, batch, reading).loss.backward()
    watch("train")


class Everybody(Plan):
    """The same plan, and nobody is skipped."""

    __slots__ = ()

    def touches(self, group: Group) -> tuple[bool, ...]:
        return (True,) * len(group.members)

    @classmethod
    def of(cls, plan: Plan) -> "Everybody":
        return cls(**{one.name: getattr(plan, one.name) for one in fields(plan)})


@contextmanager
def recomputing(world: World, level: Recompute) -> Iterator[None]:
    """Our learner keeps so much inside the block, and transformers' checkpointing, which a trainer beside it may have switched on, is off."""
    checkpointed = [module for module in world.student.model.modules() if getattr(module, "gradient_checkpointing", False)]
    before, world.learner.recompute = world.learner.recompute, level
    for module in checkpointed:
        module.gradient_checkpointing = False  # type: ignore[assignment]
    try:
        yield
    finally:
        world.learner.recompute = before
        for module in checkpointed:
            module.gradient_checkpointing = True  # type: ignore[assignment]


def compared(world: World) -> list[Tensor]:
    """The weights whose gradients are compared: all that are trained; on a GPU, whose memory they would fill twice, those of three layers."""
    named = world.student.trainable_parameters()
    last = len(world.student.body.layers) - 1
    kept = tuple(f".layers.{place}." for place in (0, last // 2, last))
    return [weight for name, weight in named if world.student.device.type == "cpu" or any(place in name for place in kept)]


def gradient_of(world: World, accumulate: object, groups: Sequence[Group], plan: Plan) -> list[Tensor]:
    """What one way adds up, divided by Z; nothing is left on the model."""
    assert callable(accumulate)
    accumulate(world, groups, plan, Watch(world.student.device))
    return gathered(world, plan.counts(groups).z)


def gathered(world: World, z: float) -> list[Tensor]:
    """The learner's gradients by `z`, which are then let go of."""
    held = [world.learner.masters.of(weight) for weight in compared(world)]
    found = [weight.grad.detach() / z for weight in held if weight.grad is not None]
    world.learner.optimizer.zero_grad(set_to_none=True)
    world.student.model.zero_grad(set_to_none=True)
    return found


def unit(gradient: Sequence[Tensor]) -> list[Tensor]:
    """At norm 1: a trainer that clips has done so by the time it can be asked."""
    norm = torch.linalg.vector_norm(torch.stack([part.float().norm() for part in gradient]))
    return [part.float() / norm for part in gradient]


def apart(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The norm of the difference over that of the expected."""
    difference = math.fsum(float((a.double() - b.double()).square().sum()) for a, b in zip(found, expected, strict=True))
    return math.sqrt(difference / math.fsum(float(b.double().square().sum()) for b in expected))
