"""Problems of the laptop world, as text for training and as text or pictures for evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from vold.base.seeds import seed_for
from vold.base.types import Problem
from vold.tiny.drawing import draw
from vold.tiny.grammar import draw_question


def tiny_problem(seed: int, source: str, place: int, difficulty: int, *, image: bool = False) -> Problem:
    """Problem number `place` of a source; its text and image versions are the same question over the same facts."""
    question = draw_question(Random(seed_for(seed, source, place, difficulty)), difficulty)
    asked = f"find {question.expression} ?"
    picture = draw(Random(seed_for(seed, source, place, difficulty, "picture")), question.facts) if image else None
    return Problem(
        id=f"{source}/{place}/k{difficulty}{'/image' if image else ''}",
        prompt=asked if picture else f"{question.text_facts} {asked}",
        answer=str(question.answer),
        source=source,
        difficulty=difficulty,
        images=(picture.png,) if picture else (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyProblems:
    """An endless stream of text problems with difficulties dealt in turn; the first `total` of them are `all()`."""

    seed: int
    source: str
    difficulties: tuple[int, ...]
    per_step: int
    total: int = 0

    def for_step(self, step: int) -> Sequence[Problem]:
        return [self._at(place) for place in range(step * self.per_step, (step + 1) * self.per_step)]

    def more(self, step: int, refill: int) -> Sequence[Problem]:
        """Problems of a stream of their own, numbered so that no two refills of a run share one."""
        stream = TinyProblems(seed=self.seed, source=f"{self.source}-refill{refill}", difficulties=self.difficulties, per_step=self.per_step)
        return stream.for_step(step)

    def all(self) -> Sequence[Problem]:
        return [self._at(place) for place in range(self.total)]

    def _at(self, place: int) -> Problem:
        return tiny_problem(self.seed, self.source, place, self.difficulties[place % len(self.difficulties)])


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyBenchmark:
    """The same problems in one modality, `size` of each difficulty."""

    name: str
    modality: str
    seed: int
    source: str
    difficulties: tuple[int, ...]
    size: int

    def problems(self) -> Sequence[Problem]:
        return _benchmark_problems(self)


@lru_cache
def _benchmark_problems(of: TinyBenchmark) -> tuple[Problem, ...]:
    image = of.modality == "image"
    return tuple(tiny_problem(of.seed, of.source, place, k, image=image) for k in of.difficulties for place in range(of.size))
