"""What the updates of a batch did: sums over micro-batches and ranks, the numbers TRL logs, and the strengths that follow the measured KL."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from accelerate.utils import gather_object

from vold.base.errors import SettingsError
from vold.core import stats
from vold.core.objective import Adaptive, Objective

FILE = "vold.json"
"""Beside TRL's own files in a checkpoint: the present value of every adaptive strength."""


@dataclass(slots=True, kw_only=True)
class Ledger:
    """One trainer's; the same numbers on every rank."""

    objective: Objective
    betas: dict[int, float] = field(default_factory=dict)
    """The present strength of each adaptive pull, by its place; those not there are at their start."""
    sums: list[Mapping[str, float]] = field(default_factory=list)
    """What this rank's micro-batches of the present update reported."""
    updates: list[dict[str, float]] = field(default_factory=list)
    """The updates made with the present batch."""

    def close_update(self, z: int, *, made: bool = True) -> dict[str, float]:
        """Add an update up over ranks (each has to call this) and return its numbers; the gradient norm is TRL's to log. An evaluation
        measures one that is not made."""
        everyone: list[Mapping[str, float]] = gather_object(self.sums)
        update = {**added(everyone), "z": float(z), "grad_norm": math.nan}
        self.sums = []
        if made:
            self.updates.append(update)
        return {name: value for name, value in stats.of_updates([update]).items() if name != "grad_norm"}

    def close_batch(self, rollouts: int) -> None:
        """Move each adaptive strength by the KL that the batch's updates measured, where its pull acted on anything."""
        self.betas |= stats.betas_after(self.objective, self.betas, self.updates, rollouts=rollouts)
        self.updates = []

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps({"betas": self.betas}))

    def load(self, folder: Path) -> None:
        """Take up the strengths where a checkpoint left them. Raises SettingsError where it does not hold them."""
        if not any(isinstance(pull.beta, Adaptive) for pull in self.objective.pulls):
            return
        if not (folder / FILE).is_file():
            raise SettingsError(
                f"{folder} holds no {FILE}, which keeps the adaptive strength of a pull. Resume a checkpoint that VoldTrainer wrote, or give "
                "the pull a fixed beta."
            )
        self.betas = {int(place): beta for place, beta in json.loads((folder / FILE).read_text())["betas"].items()}


def added(parts: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The sum of each number; of a maximum the largest."""
    total: dict[str, float] = {}
    for part in parts:
        stats.add(total, part)
    return total
