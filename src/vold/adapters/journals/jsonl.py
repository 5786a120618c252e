"""A stage's journal: one JSON line a step, the same bytes whenever the stage is run again; wall-clock times go to a file of their own."""

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vold.adapters.metering import Meter
from vold.base.errors import RunError
from vold.base.files import write_text
from vold.base.types import Group, ScoredRollout, StepStats


@dataclass(slots=True, kw_only=True)
class JsonlJournal:
    """Writes `journal.jsonl` and `timing.jsonl` in `folder`. `show` groups a step keep their best and worst rollout in full.

    With a `meter` each line says what its phases had to compute, and its time how long each took and how near to the machine's limit it came.
    """

    folder: Path
    show: int = 2
    meter: Meter | None = None
    _since: float = field(default_factory=time.perf_counter, init=False)

    def write(self, stats: StepStats, groups: Sequence[Group] = ()) -> None:
        metered = self.meter.close() if self.meter is not None else None
        values = {**stats.values, **(metered.flops() if metered is not None else {})}
        line: dict[str, Any] = {"step": stats.step, "values": {name: _plain(value) for name, value in values.items()}}
        if groups:
            line["groups"] = [_group(group, whole=place < self.show) for place, group in enumerate(groups)]
        self._append("journal.jsonl", line)
        now = time.perf_counter()
        times: dict[str, Any] = {"step": stats.step, "seconds": round(now - self._since, 4)}
        if self.meter is not None and metered is not None:
            times["phases"] = {phase: round(seconds, 4) for phase, seconds in metered.seconds.items()}
            if metered.bubble:
                times["bubble"] = {who: round(seconds, 4) for who, seconds in metered.bubble.items()}
            times |= {name: float(f"{value:.3g}") for name, value in metered.notes.items()}
            times["of_ideal"] = {phase: float(f"{ratio:.3g}") for phase, ratio in metered.of_ideal(self.meter.machine).items()}
        self._append("timing.jsonl", times)
        self._since = now

    def rewind(self, step: int) -> None:
        kept = self._before("journal.jsonl", step)
        if [json.loads(line)["step"] for line in kept] != list(range(step)):
            where = f"{self.folder / 'journal.jsonl'} should hold steps 0 to {step - 1}, since a checkpoint is there,"
            found = f"and holds {len(kept)} of them" if kept else "and is gone"
            raise RunError(f"{where} {found}. Move the folder {self.folder} away, and run again.")
        for name, lines in (("journal.jsonl", kept), ("timing.jsonl", self._before("timing.jsonl", step))):
            if (self.folder / name).exists():
                write_text(self.folder / name, "".join(f"{line}\n" for line in lines))
        self._since = time.perf_counter()

    def _before(self, name: str, step: int) -> list[str]:
        """The whole lines of steps before this one; what follows the last line feed was cut off while being written."""
        path = self.folder / name
        whole = path.read_text(encoding="utf-8").split("\n")[:-1] if path.exists() else []
        return [line for line in whole if json.loads(line)["step"] < step]

    def _append(self, name: str, line: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _group(group: Group, *, whole: bool) -> dict[str, Any]:
    line: dict[str, Any] = {"problem": group.problem.id, "rulings": "".join(member.verdict.ruling.value[0] for member in group.members)}
    if whole and group.members:
        ranked = sorted(group.members, key=lambda member: (-member.reward, member.rollout.sample))
        chosen = {member.rollout.sample: member for member in (ranked[0], ranked[-1])}
        line |= {"prompt": group.problem.prompt, "answer": group.problem.answer, "shown": [_rollout(member) for member in chosen.values()]}
    return line


def _rollout(member: ScoredRollout) -> dict[str, Any]:
    rollout, verdict = member.rollout, member.verdict
    out: dict[str, Any] = {
        "sample": rollout.sample,
        "text": rollout.text,
        "finish": rollout.finish.value,
        "ruling": verdict.ruling.value,
        "extracted": verdict.extracted,
    }
    if verdict.note:
        out["note"] = verdict.note
    if member.teacher_logprobs is not None:
        out["log_ratio"] = _plain(round(sum(rollout.logprobs) - sum(member.teacher_logprobs), 4))  # a trace's own are not known
    return out
