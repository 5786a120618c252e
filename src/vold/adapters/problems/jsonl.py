"""Problems from a JSONL file."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from random import Random

from vold.base.errors import DataError
from vold.base.seeds import seed_for
from vold.base.types import Problem


@dataclass(frozen=True, kw_only=True)
class JsonlProblems:
    """`prompt` and `answer` on every line, `id` and `difficulty` where there are any. Steps read seeded permutations, one an epoch."""

    path: Path
    source: str
    seed: int
    per_step: int
    limit: int = 0
    needs_answers: bool = True

    def for_step(self, step: int) -> Sequence[Problem]:
        problems, chosen = self._problems, []
        for drawn in range(step * self.per_step, (step + 1) * self.per_step):
            epoch, place = divmod(drawn, len(problems))
            chosen.append(problems[self._order(epoch)[place]])
        return chosen

    def all(self) -> Sequence[Problem]:
        return self._problems

    def _order(self, epoch: int) -> list[int]:
        return Random(seed_for(self.seed, self.source, "epoch", epoch)).sample(range(len(self._problems)), len(self._problems))

    @cached_property
    def _problems(self) -> list[Problem]:
        if not self.path.is_file():
            raise DataError(f"no problem file {self.path}. Give a JSONL file with a prompt and an answer on every line.")
        lines = [line for line in self.path.read_text(encoding="utf-8").splitlines() if line.strip()]
        problems = [self._problem(place, line) for place, line in enumerate(lines[: self.limit or None])]
        if len(problems) < max(1, self.per_step):
            raise DataError(
                f"{self.path} holds {len(problems)} problems, but a step reads {max(1, self.per_step)} different ones. "
                "Give more problems, or lower joint.prompts_per_step."
            )
        return problems

    def _problem(self, place: int, line: str) -> Problem:
        try:
            row = json.loads(line)
            prompt, answer = row["prompt"], row.get("answer")
            if not isinstance(prompt, str) or (self.needs_answers and answer is None):
                raise KeyError("answer" if isinstance(prompt, str) else "prompt")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{self.path}, line {place + 1}: found {line[:80]!r}, expected a prompt and an answer ({error!r}). Repair or remove the line."
            ) from error
        return Problem(
            id=f"{self.source}/{row.get('id', place)}",
            prompt=prompt,
            answer=None if answer is None else str(answer),
            source=self.source,
            difficulty=row.get("difficulty"),
        )
