"""Problems from a JSONL file."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from PIL import Image

from vold.base.errors import DataError
from vold.base.files import lines_of
from vold.base.seeds import seed_for
from vold.base.types import Problem


@dataclass(frozen=True, kw_only=True)
class JsonlProblems:
    """`prompt` and `answer` on every line, `id` and `difficulty` where there are any. Every epoch is a seeded permutation, cut into whole
    steps: a step never holds a problem twice, and what is left over at the end of an epoch waits for the next."""

    path: Path
    source: str
    seed: int
    per_step: int
    limit: int = 0
    needs_answers: bool = True

    def for_step(self, step: int) -> Sequence[Problem]:
        epoch, place = divmod(step, len(self._problems) // self.per_step)
        order = self._order(epoch)[place * self.per_step : (place + 1) * self.per_step]
        return [self._problems[i] for i in order]

    def more(self, step: int, refill: int) -> Sequence[Problem]:
        order = Random(seed_for(self.seed, self.source, "refill", step, refill)).sample(range(len(self._problems)), self.per_step)
        return [self._problems[i] for i in order]

    def all(self) -> Sequence[Problem]:
        return self._problems

    def _order(self, epoch: int) -> list[int]:
        return Random(seed_for(self.seed, self.source, "epoch", epoch)).sample(range(len(self._problems)), len(self._problems))

    @cached_property
    def _problems(self) -> list[Problem]:
        problems = read_problems(self.path, self.source, limit=self.limit, needs_answers=self.needs_answers)
        if len(problems) < self.per_step:
            raise DataError(
                f"{self.path} holds {len(problems)} problems, but a step reads {self.per_step} different ones. "
                "Give more, or lower joint.prompts_per_step."
            )
        return problems


@dataclass(frozen=True, kw_only=True)
class JsonlBenchmark:
    """A file's problems, answered zero-shot; `image` names a picture beside the file."""

    name: str
    modality: str
    path: Path
    limit: int = 0

    def problems(self) -> Sequence[Problem]:
        return self._problems

    @cached_property
    def _problems(self) -> list[Problem]:
        problems = read_problems(self.path, self.name, limit=self.limit, needs_answers=True)
        blind = [problem.id for problem in problems if self.modality == "image" and not problem.images]
        if blind:
            raise DataError(
                f"{self.path}: {len(blind)} problems show no image, the first is {blind[0]}, but the benchmark's modality is image. Add `image`."
            )
        return problems


def read_problems(path: Path, source: str, *, limit: int, needs_answers: bool) -> list[Problem]:
    """The problems of a JSONL file. Raises DataError naming the first line that cannot be read, or a repeated id."""
    if not path.is_file():
        raise DataError(f"no problem file {path}. Give a JSONL file with a prompt and an answer on every line.")
    lines = [(number, line) for number, line in enumerate(lines_of(path), start=1) if line.strip()]
    problems = [_problem(path, source, number, line, needs_answers) for number, line in lines[: limit or None]]
    if not problems:
        raise DataError(f"{path} holds no problem. Give a JSONL file with a prompt and an answer on every line.")
    seen: set[str] = set()
    for problem in problems:
        if problem.id in seen:
            raise DataError(
                f"{path}: two problems are called {problem.id}. Ids must differ, since they seed the rollouts; leave them out to number the lines."
            )
        seen.add(problem.id)
    return problems


def _picture(path: Path) -> bytes:
    data = path.read_bytes()
    Image.open(io.BytesIO(data)).verify()
    return data


def _problem(path: Path, source: str, number: int, line: str, needs_answers: bool) -> Problem:
    try:
        row = json.loads(line)
        prompt, answer = row["prompt"], row.get("answer")
        if not isinstance(prompt, str):
            raise KeyError("prompt")
        if needs_answers and (answer is None or not str(answer).strip()):
            raise KeyError("answer")
        if not isinstance(row.get("difficulty"), int | None):
            raise TypeError("difficulty must be a whole number")
        shown = () if row.get("image") is None else (_picture(path.parent / row["image"]),)
    except (ValueError, KeyError, TypeError, OSError, SyntaxError) as error:  # Pillow calls a broken PNG a SyntaxError
        wanted = "a prompt and an answer" if needs_answers else "a prompt"
        raise DataError(f"{path}, line {number}: found {line[:80]!r}, expected {wanted} ({error!r}). Repair or remove the line.") from error
    return Problem(
        id=f"{source}/{row.get('id', number)}",
        prompt=prompt,
        answer=None if answer is None else str(answer),
        source=source,
        difficulty=row.get("difficulty"),
        images=shown,
    )
