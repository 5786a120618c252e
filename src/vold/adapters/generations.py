"""Answers of an evaluation on disk, by what they are answers to: judging them again costs nothing, and an interrupted evaluation goes on."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from vold.adapters.templates import Template
from vold.base.files import append_lines, kept_lines
from vold.base.ids import digest_of
from vold.base.types import Finish, Problem, Rollout
from vold.ports import Answerer, Place, Sampling


@dataclass(kw_only=True)
class KeptAnswers:
    """Never answers the same question twice: each answer is appended to `path` with a key of everything it depends on.

    `identity` is what all answers of this engine depend on (the model's content, how it is spoken to, versions); `seed` moves drawn ones. Questions
    are answered in batches of `rows` rollouts that depend on the questions alone, so that going on gives the same bytes as never having stopped.
    Rollouts come back without log-probabilities and prompt ids, whether they are fresh or not. A question that could not be answered is not kept:
    it is asked again.
    """

    inner: Answerer
    template: Template
    path: Path
    identity: Mapping[str, Any]
    rows: int
    seed: int = 0
    reused: int = 0
    """How many answers were on disk already."""

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        keys = [[self._key(problem, sample, sampling, place) for sample in range(per_problem)] for problem in problems]
        lengths = [len(self.template.ids(problem)) for problem in problems]
        order = sorted(range(len(problems)), key=lambda i: (lengths[i], i))
        together = max(1, self.rows // per_problem)
        failed: dict[str, Rollout] = {}
        for start in range(0, len(order), together):
            chosen = order[start : start + together]
            wanted = {key for i in chosen for key in keys[i]}
            missing = wanted - self._known.keys()
            self.reused += len(wanted) - len(missing)
            if missing:  # the whole batch again: what stands beside an answer may move its last bit
                found = self.inner.sample([problems[i] for i in chosen], per_problem=per_problem, sampling=sampling, place=place)
                told = list(zip((key for i in chosen for key in keys[i]), found, strict=True))
                failed |= {key: rollout for key, rollout in told if rollout.finish is Finish.FAILED}
                self._append({key: _row(rollout) for key, rollout in told if key in missing - failed.keys()})
        asked = ((problem, n, key) for problem, own in zip(problems, keys, strict=True) for n, key in enumerate(own))
        return [
            _rollout(problem, n, self._known[key]) if key in self._known else replace(failed[key], problem=problem, sample=n)
            for problem, n, key in asked
        ]

    def _key(self, problem: Problem, sample: int, sampling: Sampling, place: Place) -> str:
        """Greedy answers depend on the question alone; drawn ones also on what seeds the draw."""
        drawn = [] if sampling.greedy else [self.seed, list(place), problem.id, sample, sampling.temperature, sampling.top_p, sampling.top_k]
        thinking = [sampling.think_budget, sampling.closing] if sampling.think_budget else []
        pictures = [blake2b(image, digest_size=16).hexdigest() for image in problem.images]
        asked = [self.template.words(problem), pictures, sampling.max_new_tokens, thinking, drawn]
        return digest_of([dict(self.identity), asked])

    @cached_property
    def _known(self) -> dict[str, dict[str, Any]]:
        """What the file holds. A last line that was cut off while being written is removed from it."""
        return {row.pop("key"): row for row in kept_lines(self.path, needs=("key", "ids", "finish", "text"))}

    def _append(self, fresh: Mapping[str, dict[str, Any]]) -> None:
        append_lines(self.path, (json.dumps({"key": key, **row}, ensure_ascii=False) for key, row in fresh.items()))
        self._known.update(fresh)


def _row(rollout: Rollout) -> dict[str, Any]:
    put_in = [place for place, sampled in enumerate(rollout.sampled) if not sampled]
    row: dict[str, Any] = {"ids": list(rollout.response_ids), "finish": rollout.finish.value, "text": rollout.text}
    return row | ({"inserted": [put_in[0], put_in[-1] + 1]} if put_in else {})


def _rollout(problem: Problem, sample: int, row: Mapping[str, Any]) -> Rollout:
    first, last = row.get("inserted", (0, 0))
    return Rollout(
        problem=problem,
        sample=sample,
        prompt_ids=(),
        response_ids=tuple(row["ids"]),
        logprobs=(),
        sampled=tuple(not first <= place < last for place in range(len(row["ids"]))),
        policy_version=0,
        finish=Finish(row["finish"]),
        text=row["text"],
    )
