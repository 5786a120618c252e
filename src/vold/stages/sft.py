"""Stage 1: the student learns to answer as the teacher does, so that the teacher will understand what the student writes (paper, eq. 4)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from vold.base.errors import DataError
from vold.base.seeds import seed_for
from vold.base.types import StepStats
from vold.core.stats import pictured
from vold.ports import Checkpoints, Example, Journal, Learner, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class SftRun:
    """One run of the stage. `traces_per_step` counts traces, not tokens."""

    steps: int
    traces_per_step: int
    lr: float
    warmup: int
    decay: str = "cosine"
    lr_floor: float = 0.0
    seed: int = 0

    def lr_at(self, step: int) -> float:
        """Linear warm-up, then cosine (or linear, or constant) down to `lr_floor` times the peak."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        left = {"cosine": 0.5 * (1 + math.cos(math.pi * done)), "linear": 1 - done, "constant": 1.0}[self.decay]
        return self.lr * (self.lr_floor + (1 - self.lr_floor) * left)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that the stage meets."""

    examples: Sequence[Example]
    learner: Learner
    journal: Journal
    checkpoints: Checkpoints
    progress: Progress


def sft(run: SftRun, at: Ports) -> None:
    """Steps over the corpus in a fixed shuffled order; the loss is the mean over all response tokens of the batch, counted once."""
    if not at.examples:
        raise DataError(
            "the corpus holds no trace that fits. Raise corpus.sampling.max_new_tokens or sft.max_tokens if all were cut, or relax corpus.filter."
        )
    start = at.checkpoints.restore()
    at.journal.rewind(start)
    for step in range(start, run.steps):
        examples = [at.examples[place] for place in places_of(step, run.traces_per_step, len(at.examples), seed=run.seed)]
        tokens = sum(len(example.response_ids) for example in examples)
        sums = at.learner.accumulate_examples(examples)
        applied = at.learner.apply(tokens, lr=run.lr_at(step))
        values = (
            {"loss": sums["nll"] / tokens, "tokens": float(tokens), "lr": run.lr_at(step)}
            | applied
            | pictured([example.images for example in examples])
        )
        at.journal.write(StepStats(step=step, values=values))
        at.checkpoints.after(step + 1)
        at.progress.update(step + 1, run.steps, f"loss {values['loss']:.3f}")
    at.learner.verify_frozen()
    at.checkpoints.finish()


def places_of(step: int, batch: int, size: int, *, seed: int) -> list[int]:
    """Which traces a step reads. Every epoch is a permutation seeded by its number, so a step's traces never depend on what ran before."""
    places: list[int] = []
    for drawn in range(step * batch, (step + 1) * batch):
        epoch, place = divmod(drawn, size)
        places.append(_order(epoch, size, seed)[place])
    return places


@lru_cache(maxsize=2)
def _order(epoch: int, size: int, seed: int) -> list[int]:
    return Random(seed_for(seed, "sft", "epoch", epoch)).sample(range(size), size)
