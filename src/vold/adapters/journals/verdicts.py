"""Verdicts on disk before anything reads them: a resumed stage takes them from here, so that a slow or busy machine never changes a run."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vold.adapters.records import verdict_from_json, verdict_to_json
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
            self._append([_line(key, fresh[key], verdict) for key, verdict in verdicts.items()])
            self._known.update(verdicts)
        return [self._known[key] for key in keys]

    def _key(self, rollout: Rollout) -> str:
        own = [rollout.problem.id] if self.by_problem else []
        return digest_of([self.identity, rollout.text, rollout.problem.answer, *own])

    @cached_property
    def _known(self) -> dict[str, Verdict]:
        """What the file holds. A last line that was cut off while being written is removed from it."""
        try:
            found = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        whole = found[: found.rfind(b"\n") + 1]
        if whole != found:
            with self.path.open("r+b") as file:
                file.truncate(len(whole))
        rows: list[dict[str, Any]] = [json.loads(line) for line in whole.split(b"\n") if line]
        return {row["key"]: verdict_from_json(row) for row in rows}

    def _append(self, lines: Sequence[str]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
            file.flush()
            os.fsync(file.fileno())


def _line(key: str, rollout: Rollout, verdict: Verdict) -> str:
    row = {"key": key, "problem": rollout.problem.id, "sample": rollout.sample, **(verdict_to_json(verdict) or {})}
    return json.dumps(row) + "\n"
