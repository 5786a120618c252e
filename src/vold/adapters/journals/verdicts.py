"""Verdicts on disk before anything reads them: a resumed stage takes them from here, so that a slow or busy machine never changes a run."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from vold.adapters.records import verdict_from_json, verdict_to_json
from vold.base.files import append_lines, kept_lines
from vold.base.ids import digest_of
from vold.base.types import Rollout, Verdict
from vold.ports import Judge


@dataclass(kw_only=True)
class JournalledJudge:
    """A judge that never rules twice: what it once said of a text and a reference is appended to `path`, forced to the disk, and said again.

    `identity` names the inner judge and what its verdicts depend on; verdicts of another identity in the file are not read.
    """

    inner: Judge
    path: Path
    identity: str
    by_problem: bool = False
    """Whether the verdict depends on more of the problem than its reference, such as its options."""
    replayed: int = field(default=0, init=False)
    """How many verdicts were taken from the file."""

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        keys = [self._key(rollout) for rollout in rollouts]
        fresh = {key: rollout for key, rollout in zip(keys, rollouts, strict=True) if key not in self._known}
        self.replayed += sum(key in self._known for key in keys)
        if fresh:
            verdicts = dict(zip(fresh, self.inner.judge(list(fresh.values())), strict=True))
            append_lines(self.path, [_line(key, fresh[key], verdict) for key, verdict in verdicts.items()])
            self._known.update(verdicts)
        return [self._known[key] for key in keys]

    def _key(self, rollout: Rollout) -> str:
        own = [rollout.problem.id] if self.by_problem else []
        return digest_of([self.identity, rollout.text, rollout.problem.answer, *own])

    @cached_property
    def _known(self) -> dict[str, Verdict]:
        """What the file holds. A last line that was cut off while being written is removed from it."""
        return {row["key"]: verdict_from_json(row) for row in kept_lines(self.path)}


def _line(key: str, rollout: Rollout, verdict: Verdict) -> str:
    row = {"key": key, "problem": rollout.problem.id, "sample": rollout.sample, **(verdict_to_json(verdict) or {})}
    return json.dumps(row)
