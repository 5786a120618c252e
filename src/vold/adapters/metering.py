"""How long each phase of a step took, and how long it would have to: ports that keep time, and otherwise do what those inside them do.

Operations follow from lengths and verdicts alone and repeat with the run: they go into the journal. Seconds do not, nor does their ratio to the
machine's ideal ones: they go beside it.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache

import torch

from vold.adapters.models import LanguageModel
from vold.base.types import Finish, Group, Problem, Rollout, Verdict, View
from vold.core.objective import Want
from vold.core.plan import Counts, Plan
from vold.core.roofline import NOTHING, Cost, Machine, Shape, Span, shape_of, span_of, spans_in, trained_in
from vold.ports import Example, Judge, Learner, Place, RolloutEngine, Sampling, TeacherScorer, Weights

ENGINE, LEARNER = "engine", "learner"
ROLLOUTS, JUDGE, TEACHER, REFERENCE, UPDATE, VALIDATION = "rollouts", "judge", "teacher", "reference", "update", "validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """One step: seconds of each phase, and what each had to cost where that is counted (judging is not)."""

    seconds: Mapping[str, float]
    costs: Mapping[str, Cost]
    notes: Mapping[str, float] = field(default_factory=dict)
    """Further numbers that need not repeat with the run."""
    bubble: Mapping[str, float] = field(default_factory=dict)
    """Seconds in which only the engine worked (the learner waited), and in which only the others did (the engine waited)."""

    def flops(self) -> dict[str, float]:
        """What the journal holds."""
        return {f"flops/{phase}": cost.flops for phase, cost in self.costs.items()}

    def of_ideal(self, machine: Machine) -> dict[str, float]:
        """For each counted phase ideal seconds, one operator after the other, over those it took: 1 is the machine's own limit."""
        return {phase: cost.seconds(machine) / self.seconds[phase] for phase, cost in self.costs.items() if self.seconds.get(phase)}


@dataclass(slots=True)
class Meter:
    """Adds up one step after the other. `device` is waited for before a time is read."""

    machine: Machine
    device: torch.device
    _seconds: dict[str, float] = field(default_factory=dict, init=False)
    _costs: dict[str, Cost] = field(default_factory=dict, init=False)
    _notes: dict[str, float] = field(default_factory=dict, init=False)
    _worked: dict[str, list[tuple[float, float]]] = field(default_factory=dict, init=False)
    """When the engine was at work, and when anybody else was; validation aside."""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        start = self._now()
        yield
        end = self._now()
        self._seconds[name] = self._seconds.get(name, 0.0) + end - start
        if name != VALIDATION:
            self._worked.setdefault(ENGINE if name == ROLLOUTS else LEARNER, []).append((start, end))

    def cost(self, name: str, cost: Cost) -> None:
        self._costs[name] = self._costs.get(name, NOTHING) + cost

    def note(self, name: str, value: float) -> None:
        """A number for the step's line in `timing.jsonl`; of several the largest stays."""
        self._notes[name] = max(value, self._notes.get(name, value))

    def close(self) -> Metered:
        """What was added up; the next step begins at nothing."""
        found = Metered(seconds=self._seconds, costs=self._costs, notes=self._notes, bubble=bubble_of(self._worked))
        self._seconds, self._costs, self._notes, self._worked = {}, {}, {}, {}
        return found

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def bubble_of(worked: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, float]:
    """How long the learner waited while the engine worked, and the engine while anybody else did; nothing where only one of them worked.

    Without streaming these are the whole of rollouts and the whole of the rest; what streaming is worth is what is missing here.
    """
    if not worked.get(ENGINE) or not worked.get(LEARNER):
        return {}
    both = math.fsum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in worked[ENGINE] for b in worked[LEARNER])
    return {waiting: math.fsum(end - start for start, end in worked[at_work]) - both for waiting, at_work in ((LEARNER, ENGINE), (ENGINE, LEARNER))}


def meter_for(model: LanguageModel) -> Meter:
    return Meter(measured(model.device, model.head.dtype), model.device)


def shape_in(model: LanguageModel) -> Shape:
    return shape_of(model.model.config, number=model.head.dtype.itemsize)


# -- ports that keep time -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MeteredEngine:
    inner: RolloutEngine
    meter: Meter
    shape: Shape

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        phase = VALIDATION if place[0] == VALIDATION else ROLLOUTS
        with self.meter.phase(phase):
            found = self.inner.sample(problems, per_problem=per_problem, sampling=sampling, place=place)
        groups: dict[str, list[Span]] = {}
        for rollout in found:
            if rollout.finish is Finish.FAILED:
                continue
            groups.setdefault(rollout.problem.id, []).append(span_of(rollout))
        self.meter.cost(phase, self.shape.decoding(list(groups.values())))
        return found

    def adopt(self, weights: Weights, *, version: int) -> None:
        with self.meter.phase(ROLLOUTS):
            self.inner.adopt(weights, version=version)


@dataclass(frozen=True, slots=True)
class MeteredJudge:
    inner: Judge
    meter: Meter

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        with self.meter.phase(JUDGE):
            return self.inner.judge(rollouts)


@dataclass(frozen=True, slots=True)
class MeteredScorer:
    """The teacher or the reference, as `phase` says. A prompt counts as long as the student's own, the teacher's template left aside."""

    inner: TeacherScorer
    meter: Meter
    shape: Shape
    phase: str = TEACHER

    @property
    def gives(self) -> Want:
        return self.inner.gives

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> Sequence[View | None]:
        self.meter.cost(self.phase, self.shape.reading([span_of(rollout) for rollout in rollouts]))
        with self.meter.phase(self.phase):
            return self.inner.score(rollouts, want=want, top=top)


@dataclass(frozen=True, slots=True)
class MeteredLearner:
    inner: Learner
    meter: Meter
    shape: Shape

    @property
    def step(self) -> int:
        return self.inner.step

    def weights(self) -> Weights:
        return self.inner.weights()

    def freeze_behaviour(self, groups: Sequence[Group]) -> None:
        self.meter.cost(UPDATE, self.shape.reading(spans_in(groups)))
        with self.meter.phase(UPDATE):
            self.inner.freeze_behaviour(groups)

    def accumulate(self, groups: Sequence[Group], plan: Plan, counts: Counts) -> dict[str, float]:
        self.meter.cost(UPDATE, self.shape.training(trained_in(groups, plan)))
        with self.meter.phase(UPDATE):
            return self.inner.accumulate(groups, plan, counts)

    def accumulate_examples(self, examples: Sequence[Example]) -> dict[str, float]:
        spans = [Span(len(example.prompt_ids), len(example.response_ids)) for example in examples if example.response_ids]
        self.meter.cost(UPDATE, self.shape.training(spans))
        with self.meter.phase(UPDATE):
            return self.inner.accumulate_examples(examples)

    def apply(self, z: float, *, lr: float) -> dict[str, float]:
        self.meter.cost(UPDATE, self.shape.stepping())
        with self.meter.phase(UPDATE):
            return self.inner.apply(z, lr=lr)

    def verify_frozen(self) -> None:
        self.inner.verify_frozen()


# -- the machine ----------------------------------------------------------------------------------------------------------------------


@lru_cache
def measured(device: torch.device, dtype: torch.dtype) -> Machine:
    """The two speeds of this machine in this process, from one matrix product and one copy: a fraction of a second, once."""
    large = device.type == "cuda"
    width, numbers = (8192, 2**28) if large else (1024, 2**23)
    draw = torch.Generator(device=device).manual_seed(0)  # its own: nothing else's draws move
    one, other = (torch.randn(width, width, generator=draw, device=device).to(dtype) for _ in range(2))
    source = torch.zeros(numbers, device=device)
    target = torch.empty_like(source)
    product = _quickest(lambda: torch.mm(one, other), device)
    copy = _quickest(lambda: target.copy_(source), device)
    return Machine(flops=2.0 * width**3 / product, bandwidth=2.0 * source.nbytes / copy)


def _quickest(act: Callable[[], object], device: torch.device) -> float:
    """Seconds of the best of five, after one that does not count."""
    meter = Meter(Machine(flops=1.0, bandwidth=1.0), device)
    act()
    times = []
    for _ in range(5):
        with meter.phase(""):
            act()
        times.append(meter.close().seconds[""])
    return min(times)
