"""A poisoned sampler and a lying teacher are found in the first step, and said for what they are; honest ones pass."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from support import models as m
from support.checks import TEXT
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.adapters.engines.verified import PRECISE, ROUNDED, VerifiedEngine, When, tolerance_for
from vold.adapters.models import LanguageModel
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.teachers.verified import VerifiedTeacher, token_by_token
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import LyingTeacher, StaleEngine
from vold.base.types import Problem, Rollout, View, unanswered
from vold.core.objective import Want
from vold.ports import Place, Sampling
from vold.stages.joint import joint

IMAGES = [tiny_problem(0, "check", place, k, image=True) for place, k in enumerate((1, 6, 3))]
Change = Callable[[Rollout], Rollout]


@dataclass
class Poisoned:
    """An engine whose rollouts are changed on their way out."""

    inner: Any
    change: Change

    def adopt(self, weights: Any, *, version: int) -> None:
        self.inner.adopt(weights, version=version)

    def sample(self, problems: Sequence[Problem], **asked: Any) -> list[Rollout]:
        return [self.change(rollout) for rollout in self.inner.sample(problems, **asked)]


def reread_by(reader: LanguageModel) -> Callable[[Sequence[Rollout], float], list[Sequence[float]]]:
    def reread(rollouts: Sequence[Rollout], temperature: float) -> list[Sequence[float]]:
        own = LocalTeacher(reader=reader, template=None, banned_V=banned_ids(reader), temperature=temperature)
        return [view.logprobs for view in own.score(rollouts)]

    return reread


def verified(reader: LanguageModel, engine: Any, *, when: When = "first", told: Any = None) -> VerifiedEngine:
    return VerifiedEngine(inner=engine, reread=reread_by(reader), tolerance=PRECISE, seed=0, when=when, told=told)


def ask(engine: Any, temperature: float = 1.0, problems: Sequence[Problem] = TEXT, place: Place = ("joint", 0)) -> list[Rollout]:
    return engine.sample(problems, per_problem=3, sampling=m.sampling(14, temperature), place=place)


@pytest.mark.parametrize("decoder", ["own", "generate"])
@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.0])
@pytest.mark.parametrize("problems", [TEXT, IMAGES], ids=["text", "images"])
def test_an_honest_engine_passes_and_the_gap_is_told(world: m.World, decoder: str, temperature: float, problems: list[Problem]) -> None:
    gaps: dict[str, float] = {}
    engine = m.engine_of(world.student32, decoder=decoder)
    looked = verified(world.student32, engine, when="always", told=gaps.__setitem__)
    assert ask(looked, temperature, problems) == ask(engine, temperature, problems)
    assert gaps["engine/gap"] < 2e-5


def other_weights(speaker: LanguageModel, by: float = 0.05) -> LanguageModel:
    """A copy that an update has moved."""
    moved = replace(speaker, model=copy.deepcopy(speaker.model))
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in moved.model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * by * parameter.std().nan_to_num())
    return moved


def test_stale_weights_are_found(world: m.World) -> None:
    stale = m.engine_of(other_weights(world.student32))
    with pytest.raises(
        StaleEngine, match=r"nats apart on average .* No other temperature and no shift explains it, so its weights are most likely old"
    ):
        ask(verified(world.student32, stale))


def test_another_temperature_is_found_and_named(world: m.World) -> None:
    engine = m.engine_of(world.student32)

    class Deaf(Poisoned):
        def sample(self, problems: Sequence[Problem], *, sampling: Sampling, **asked: Any) -> list[Rollout]:
            return engine.sample(problems, sampling=replace(sampling, temperature=1.3), **asked)

    with pytest.raises(StaleEngine, match=r"They fit temperature = 1\.3 instead of 1: the engine does not use the sampling"):
        ask(verified(world.student32, Deaf(engine, lambda x: x)))


def test_raw_log_probabilities_are_found_and_named(world: m.World) -> None:
    engine, reader = m.engine_of(world.student32), reread_by(world.student32)
    raw = Poisoned(engine, lambda x: replace(x, logprobs=tuple(reader([x], 1.0)[0])))
    with pytest.raises(StaleEngine, match=r"before temperature = 0\.7 was applied\. .*processed_logprobs"):
        ask(verified(world.student32, raw), 0.7)


@pytest.mark.parametrize(("change", "side"), [(lambda row: (*row[1:], -1.0), "after"), (lambda row: (-1.0, *row[:-1]), "before")])
def test_shifted_ids_are_found_and_named(world: m.World, change: Callable[[tuple[float, ...]], tuple[float, ...]], side: str) -> None:
    shifted = Poisoned(m.engine_of(world.student32), lambda x: replace(x, logprobs=change(x.logprobs)))
    with pytest.raises(StaleEngine, match=f"fit the tokens one place {side}: the engine's adapter shifts"):
        ask(verified(world.student32, shifted))


def test_other_ids_and_numbers_that_are_none_are_found(world: m.World) -> None:
    engine = m.engine_of(world.student32)
    for change, words in (
        (lambda x: replace(x, response_ids=tuple(10 + i % 10 for i in x.response_ids)), "nats apart"),
        (lambda x: replace(x, logprobs=(float("nan"),) * len(x.logprobs)), "no numbers at all"),
        (lambda x: replace(x, logprobs=tuple(-v for v in x.logprobs)), "positive"),
        (lambda x: replace(x, logprobs=x.logprobs[:-1]), "expected one of each a token"),
    ):
        with pytest.raises(StaleEngine, match=words):
            ask(verified(world.student32, Poisoned(engine, change)))  # type: ignore[arg-type]


def test_first_looks_once_always_looks_always_and_cut_distributions_are_not_compared(world: m.World) -> None:
    looks: list[str] = []
    engine = m.engine_of(world.student32)
    first = verified(world.student32, engine, told=lambda name, _: looks.append(name))
    always = verified(world.student32, engine, when="always", told=lambda name, _: looks.append(name))
    for step in range(3):
        ask(first, place=("joint", step))
    assert len(looks) == 1
    for step in range(3):
        ask(always, place=("joint", step))
    assert len(looks) == 4
    cut = replace(m.sampling(5), top_k=3)
    always.sample(TEXT, per_problem=1, sampling=cut, place=("x",))
    verified(world.student32, Poisoned(engine, lambda x: unanswered(x.problem, x.sample, "gone"))).sample(
        TEXT, per_problem=1, sampling=m.sampling(4), place=("x",)
    )
    assert len(looks) == 4


def test_half_precision_is_given_more_room() -> None:
    assert tolerance_for("torch.float32", "float64") is PRECISE
    assert tolerance_for("torch.float32", "torch.bfloat16") is ROUNDED


def test_a_poisoned_sampler_ends_the_first_step(world: m.World) -> None:
    recorder = Recorder(asked=TEXT)
    engine = verified(world.student32, m.engine_of(other_weights(world.student32)))
    with pytest.raises(StaleEngine):
        joint(run_of(), ports_of(world, recorder, some_teacher(), engine=engine))
    assert not recorder.of("apply")


# -- teachers -------------------------------------------------------------------------------------------------------------------------


@dataclass
class Liar:
    """A local teacher whose answers are changed on their way out, or which is asked about other rollouts."""

    inner: Any
    views: Callable[[list[Any]], list[Any]] = lambda views: views
    asked: Callable[[list[Rollout]], list[Rollout]] = lambda rollouts: rollouts
    gives: Want = Want.SAMPLED

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[Any]:
        return self.views(list(self.inner.score(self.asked(list(rollouts)), want=want, top=top)))


def changed(change: Callable[[tuple[float, ...]], Sequence[float]]) -> Callable[[list[View]], list[View]]:
    return lambda views: [View(logprobs=tuple(change(view.logprobs))) for view in views]


def ids_changed(change: Callable[[tuple[int, ...]], Sequence[int]]) -> Callable[[list[Rollout]], list[Rollout]]:
    return lambda rollouts: [replace(r, response_ids=tuple(change(r.response_ids))) for r in rollouts]


def lies() -> dict[str, tuple[dict[str, Any], str]]:
    speakable = [*range(9, 25), *range(27, 34)]
    following = dict(zip(speakable, speakable[1:] + speakable[:1], strict=True))
    return {
        "zeros": ({"views": changed(lambda row: [0.0] * len(row))}, "gives 0 to all of"),
        "one number": ({"views": changed(lambda row: [-2.5] * len(row))}, "gives -2.5 to all of"),
        "not a number": ({"views": changed(lambda row: [*row[:-1], float("nan")])}, "is nan; expected a finite number"),
        "minus infinity": ({"views": changed(lambda row: [*row[:-1], float("-inf")])}, "minus infinity"),
        "probabilities": ({"views": changed(lambda row: [2.0 ** v for v in row])}, "expected a finite number of at most 0"),
        "one too few": ({"views": changed(lambda row: row[:-1])}, "expected one a token"),
        "one rollout too few": ({"views": lambda views: views[:-1]}, "answered about"),
        "rollouts in reverse": ({"views": lambda views: views[::-1]}, "expected one a token|contradicts"),
        "shifted": ({"views": changed(lambda row: [*row[1:], row[0]])}, "contradicts itself"),
        "other ids": ({"asked": ids_changed(lambda ids: [following.get(i, i) for i in ids])}, "It scores other ids"),
        "ids it never read": ({"asked": ids_changed(lambda ids: [10] * len(ids))}, "does not read the ids|It scores other ids"),
    }  # fmt: skip


@pytest.fixture
def teacher(world: m.World) -> LocalTeacher:
    return m.teacher_of(world.fresh("teacher", dtype="float32"), temperature=0.8)


@pytest.fixture
def answers(world: m.World) -> list[Rollout]:
    return ask(m.engine_of(world.student32))


@pytest.mark.parametrize("lie", lies())
def test_a_lying_teacher_is_found(teacher: LocalTeacher, answers: list[Rollout], lie: str) -> None:
    how, words = lies()[lie]
    looked = VerifiedTeacher(inner=Liar(teacher, **how), seed=0, reread=token_by_token(teacher))
    with pytest.raises(LyingTeacher, match=words):
        looked.score(answers)


@pytest.mark.parametrize("lie", ["zeros", "shifted", "ids it never read"])
def test_some_lies_are_found_without_its_weights(teacher: LocalTeacher, answers: list[Rollout], lie: str) -> None:
    with pytest.raises(LyingTeacher):
        VerifiedTeacher(inner=Liar(teacher, **lies()[lie][0]), seed=0).score(answers)


@pytest.mark.parametrize("want", [Want.SAMPLED, Want.HIDDEN])
@pytest.mark.parametrize("settings", [{}, {"token_budget": 40}, {"shared_prompts": True}])
def test_an_honest_teacher_passes(world: m.World, answers: list[Rollout], want: Want, settings: dict[str, Any]) -> None:
    teacher = m.teacher_of(world.fresh("teacher", dtype="float32"), temperature=0.8, **settings)
    looked = VerifiedTeacher(inner=teacher, seed=0, reread=token_by_token(teacher))
    assert looked.gives is Want.HIDDEN
    for one, other in zip(looked.score(answers, want=want), teacher.score(answers, want=want), strict=True):
        assert one is not None
        assert one.logprobs == other.logprobs
    assert looked.score([]) == []


def test_what_a_teacher_could_not_read_is_no_lie(teacher: LocalTeacher, answers: list[Rollout]) -> None:
    looked = VerifiedTeacher(inner=Liar(teacher, views=lambda views: [None, *views[1:]] if len(views) > 1 else views), seed=0)
    views = looked.score(answers)
    assert views[0] is None
    assert views[1] is not None
    nobody = VerifiedTeacher(inner=Liar(teacher, views=lambda views: [None] * len(views)), seed=0)
    assert set(nobody.score(answers)) == {None}


def test_numbers_are_looked_at_in_every_step(teacher: LocalTeacher, answers: list[Rollout]) -> None:
    asked: list[int] = []

    def later(views: list[View]) -> list[View]:
        asked.append(len(views))
        return [View(logprobs=(float("nan"),) * len(v.logprobs)) for v in views] if len(asked) > 12 else views

    looked = VerifiedTeacher(inner=Liar(teacher, views=later), seed=0)
    with pytest.raises(LyingTeacher, match="is nan"):
        _ = [looked.score(answers) for _ in range(20)]
    assert len(asked) == 13
