"""Worlds whose every answer can be listed, and the program's expected gradient over every step they can produce.

A policy is a free table of logits, one row a prefix. Token 0 ends an answer and `cap` cuts it; some ids are banned, and they serve as prompts.
The teacher has a wider head than the student; the reference is neither of them.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vold.base.types import Finish, Group, Likeliest, Problem, Rollout, Ruling, ScoredRollout, Verdict, View
from vold.core.batching import Batch, Row, batch_of, rows_of
from vold.core.objective import Objective
from vold.core.plan import Plan, plan_of
from vold.core.pulls import Partner, Want
from vold.core.reading import Reading, read
from vold.core.render import Rendered
from vold.stages.joint import scored

Answer = tuple[int, ...]
Step = tuple[tuple[Answer, ...], ...]
"""One tuple of answers a problem."""
Rendering = Callable[[Plan, Batch, Reading], Rendered]
BANNED = (2, 4)
"""Ids no model may say. The prompts are made of them: one id a problem."""


def log_softmax(logits: np.ndarray, allowed: Sequence[int], temperature: float) -> np.ndarray:
    """log π over the allowed ids of each row; -inf elsewhere."""
    scaled = np.asarray(logits, dtype=np.float64)[..., list(allowed)] / temperature
    top = scaled.max(-1, keepdims=True)
    out = np.full((*scaled.shape[:-1], logits.shape[-1]), -np.inf)
    out[..., list(allowed)] = scaled - top - np.log(np.exp(scaled - top).sum(-1, keepdims=True))
    return out


@dataclass(frozen=True, eq=False)
class Voice:
    """A model of the world: hidden states at every prefix and a head; its logits are their product."""

    hidden_SK: Tensor
    head_WK: Tensor

    @property
    def logits(self) -> np.ndarray:
        return (self.hidden_SK @ self.head_WK.T).numpy()


def voice(states: int, rows: int, width: int, seed: int, scale: float = 1.0) -> Voice:
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(states, width, generator=draw, dtype=torch.float64) * scale
    return Voice(hidden, torch.randn(rows, width, generator=draw, dtype=torch.float64))


@dataclass(frozen=True, eq=False)
class World:
    """`sizes` has one group size a problem; `words` are what may be said besides the end. `judge` rules a problem's answer."""

    sizes: tuple[int, ...]
    words: tuple[int, ...] = (1, 3)
    cap: int = 2
    temperature: float = 1.0
    rows: int = 6
    judge: Callable[[int, Answer], Ruling] = lambda problem, answer: Ruling.RIGHT if (sum(answer) + problem) % 3 == 1 else Ruling.WRONG
    seed: int = 0
    moved: tuple[float, ...] = ()
    """How far the policy that wrote the answers is from the one being trained: noise in logits, one scale a problem. Empty: the same policy."""
    frozen: bool = True
    """Where the writer is another policy: whether the clip compares with it, or it is only the sampler whose rounding is corrected for."""
    models: Mapping[str, Voice] = field(default_factory=dict)
    """Models put in the place of those drawn: "student", "teacher" or "reference"; "behaviour" where the clip compares with yet another."""

    @property
    def allowed(self) -> tuple[int, ...]:
        return (0, *self.words)

    @property
    def prompts(self) -> tuple[int, ...]:
        return BANNED[: len(self.sizes)]

    @cached_property
    def banned(self) -> Tensor:
        banned_V = torch.ones(self.rows, dtype=torch.bool)
        banned_V[list(self.allowed)] = False
        return banned_V

    @cached_property
    def answers(self) -> list[Answer]:
        """Every answer there is: ended by token 0, or cut at the cap."""
        whole = [y for n in range(1, self.cap + 1) for y in itertools.product(self.allowed, repeat=n)]
        return [y for y in whole if 0 not in y[:-1] and (y[-1] == 0 or len(y) == self.cap)]

    @cached_property
    def state_of(self) -> dict[Answer, int]:
        """The row of each prefix, prompt included."""
        prefixes = [y for n in range(self.cap) for y in itertools.product(self.words, repeat=n)]
        return {(prompt, *y): place for place, (prompt, y) in enumerate(itertools.product(self.prompts, prefixes))}

    def states(self, problem: int, answer: Answer) -> list[int]:
        return [self.state_of[self.prompts[problem], *answer[:t]] for t in range(len(answer))]

    # -- the models -----------------------------------------------------------------------------------------------------------------

    @cached_property
    def student(self) -> Voice:
        drawn = Voice(voice(len(self.state_of), self.rows, self.rows, 100 + self.seed).hidden_SK, torch.eye(self.rows, dtype=torch.float64))
        return self.models.get("student", drawn)

    @cached_property
    def old(self) -> Voice:
        """The policy that wrote the answers."""
        if not self.moved:
            return self.student
        noise_SV = torch.randn(self.student.hidden_SK.shape, generator=torch.Generator().manual_seed(200 + self.seed), dtype=torch.float64)
        scales = [self.moved[self.prompts.index(prefix[0])] for prefix in self.state_of]
        return Voice(self.student.hidden_SK + torch.tensor(scales, dtype=torch.float64)[:, None] * noise_SV, self.student.head_WK)

    @cached_property
    def behaviour(self) -> Voice | None:
        """The policy the clip compares with; None at the only update of a batch."""
        return self.models.get("behaviour", self.old if self.moved and self.frozen else None)

    @cached_property
    def teacher(self) -> Voice:
        """Wider than the student, of another width."""
        return self.models.get("teacher", voice(len(self.state_of), self.rows + 3, 4, 300 + self.seed, 0.6))

    @cached_property
    def reference(self) -> Voice:
        return self.models.get("reference", voice(len(self.state_of), self.rows, 3, 400 + self.seed, 0.6))

    def logprobs(self, model: Voice) -> np.ndarray:
        """log π [prefix, id] of a model, over the ids that may be said."""
        return log_softmax(model.logits[:, : self.rows], self.allowed, self.temperature)

    def said(self, model: Voice, problem: int, answer: Answer) -> tuple[float, ...]:
        table_SV = self._tables[id(model)]
        return tuple(float(table_SV[s, y]) for s, y in zip(self.states(problem, answer), answer, strict=True))

    @cached_property
    def _tables(self) -> dict[int, np.ndarray]:
        models = (self.student, self.old, self.behaviour, self.teacher, self.reference)
        return {id(model): self.logprobs(model) for model in models if model is not None}

    # -- the steps ------------------------------------------------------------------------------------------------------------------

    def steps(self) -> Iterator[tuple[Step, float]]:
        """Every step with its probability under the policy that writes."""
        written = {(q, y): math.exp(sum(self.said(self.old, q, y))) for q in range(len(self.sizes)) for y in self.answers}
        for step in itertools.product(*(itertools.product(self.answers, repeat=size) for size in self.sizes)):
            yield step, math.prod(written[q, y] for q, group in enumerate(step) for y in group)

    @cached_property
    def _members(self) -> dict[tuple[int, int, Answer], ScoredRollout]:
        return {}

    def member(self, problem: int, sample: int, answer: Answer) -> ScoredRollout:
        place = (problem, sample, answer)
        if place not in self._members:
            rollout = Rollout(
                problem=self.problem(problem), sample=sample, prompt_ids=(self.prompts[problem],), response_ids=answer,
                logprobs=self.said(self.old, problem, answer), sampled=(True,) * len(answer), policy_version=0,
                finish=Finish.STOP if answer[-1] == 0 else Finish.LENGTH, text="",
            )  # fmt: skip
            self._members[place] = ScoredRollout(rollout=rollout, verdict=Verdict(ruling=self.judge(problem, answer), extracted=None))
        return self._members[place]

    def problem(self, place: int) -> Problem:
        return Problem(id=f"q{place}", prompt="", answer="", source="enumerated")

    def groups(self, step: Step) -> list[Group]:
        """The step's judged groups, before anybody was asked."""
        return [Group(problem=self.problem(q), members=tuple(self.member(q, i, y) for i, y in enumerate(group))) for q, group in enumerate(step)]


@dataclass(frozen=True)
class Table:
    """A scorer that looks up. `asked` counts whom it was asked about."""

    world: World
    model: Voice
    asked: list[Rollout] = field(default_factory=list)

    @property
    def gives(self) -> Want:
        return Want.HIDDEN

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View]:
        self.asked.extend(rollouts)
        return [self._view(rollout, want, top) for rollout in rollouts]

    def _view(self, rollout: Rollout, want: Want, top: int) -> View:
        problem = self.world.prompts.index(rollout.prompt_ids[0])
        states = self.world.states(problem, rollout.response_ids)
        hidden = self.model.hidden_SK[states] if want is Want.HIDDEN else None
        return View(
            logprobs=self.world.said(self.model, problem, rollout.response_ids),
            hidden=hidden,
            likeliest=self._likeliest(states, top) if top else None,
        )

    def _likeliest(self, states: Sequence[int], top: int) -> Likeliest:
        table_TV = self.world.logprobs(self.model)[list(states)]
        ids_Tk = (-table_TV).argsort(1, kind="stable")[:, : min(top, len(self.world.allowed))]
        return Likeliest(ids=torch.tensor(ids_Tk), logprobs=torch.tensor(np.take_along_axis(table_TV, ids_Tk, 1)))


# -- the program's way ----------------------------------------------------------------------------------------------------------------


def rows_and_z(world: World, plan: Plan, step: Step) -> tuple[list[Row], int]:
    """One step through scoring, plan and batching. Partners speak only where they are asked; elsewhere their numbers are missing."""
    groups = world.groups(step)
    if plan.objective.dynamic:
        groups = [group for group in groups if plan.keeps(group)]
    groups = scored(groups, plan, Table(world, world.teacher), Table(world, world.reference))
    counts = plan.counts(groups)
    behaviour = None
    if world.behaviour is not None:
        behaviour = {(f"q{q}", i): world.said(world.behaviour, q, y) for q, group in enumerate(step) for i, y in enumerate(group)}
    return rows_of(groups, plan, counts, behaviour=behaviour), counts.z


def gradient_of_rows(world: World, plan: Plan, rows: Sequence[Row], rendering: Rendering) -> Tensor:
    """∂ loss / ∂ logits of one batch, not divided."""
    table_SV = world.student.hidden_SK.clone().requires_grad_()
    if not rows:
        return torch.zeros_like(table_SV)
    batch = batch_of(rows, pulls=len(plan.betas), dtype=torch.float64)
    padded = batch.padded()
    ids = padded.ids_BT.tolist()
    states = [world.state_of[tuple(ids[b][: t + 1])] for b, t in padded.before_BT.nonzero().tolist()]
    heads = {Partner.TEACHER: world.teacher.head_WK, Partner.REFERENCE: world.reference.head_WK}
    reading = read(plan, batch, table_SV[states], world.student.head_WK, heads=heads, banned_V=world.banned, temperature=world.temperature, chunk=97)
    (gradient_SV,) = torch.autograd.grad(rendering(plan, batch, reading).loss, table_SV)
    return gradient_SV


def plan_in(world: World, objective: Objective, *, step: int = 0) -> Plan:
    return plan_of(objective, step=step, length_cap=world.cap)


def one_step(world: World, plan: Plan, step: Step, rendering: Rendering) -> Tensor:
    """The gradient of one step: a sum over its tokens, divided once."""
    rows, z = rows_and_z(world, plan, step)
    return gradient_of_rows(world, plan, rows, rendering) / max(1, z)


def expected(world: World, plan: Plan, *renderings: Rendering) -> list[Tensor]:
    """E over every step of the gradient of that step, once a rendering.

    A step's sum is linear in the shares of its tokens: each row's share takes the step's probability over its Z, and one batch holds all steps.
    `one_step` is the same without that.
    """
    every: list[Row] = []
    for step, probability in world.steps():
        rows, z = rows_and_z(world, plan, step)
        every += [replace(row, share=row.share * probability / z) for row in rows]
    return [gradient_of_rows(world, plan, every, rendering) for rendering in renderings]
