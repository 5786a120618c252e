"""Does an engine sample from the weights it was given? A few rollouts of a batch are read again with the trainer's own forward pass.

A poisoned sampler goes unnoticed otherwise: weights of an update ago, another temperature, ids one place off, log-probabilities from before the
temperature and the bans. All of them give texts that look right and gradients that are wrong.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from statistics import fmean
from typing import Literal

from vold.base.errors import StaleEngine
from vold.base.seeds import seed_for
from vold.base.types import Finish, Problem, Rollout
from vold.ports import Place, RolloutEngine, Sampling, Weights

When = Literal["always", "first", "never"]
Reread = Callable[[Sequence[Rollout], float], Sequence[Sequence[float]]]
"""What the trainer's forward pass says of response tokens at a temperature, by the weights as they are now."""

ROWS, TOKENS = 4, 256
"""How many rollouts of a batch are read again, and how much of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How far two readings of the same tokens may lie apart, in nats: on average, and at the worst token."""

    mean: float
    largest: float

    def holds(self, gaps: Sequence[float]) -> bool:
        """Not so where one is not a number."""
        return fmean(gaps) <= self.mean and all(gap <= self.largest for gap in gaps)

    def told(self, gaps: Sequence[float]) -> str:
        expected = f"at most {self.mean:g} and {self.largest:g} are expected"
        return f"{fmean(gaps):.3g} nats apart on average and {max(gaps):.3g} at the worst, where {expected}"


PRECISE, ROUNDED = Tolerance(mean=2e-4, largest=2e-3), Tolerance(mean=0.03, largest=0.6)
"""In single precision or better (the two forward passes differ by 5e-6 on tiny models), and where either side computes in half."""


def tolerance_for(*dtypes: str) -> Tolerance:
    """Of readings in these precisions, by the names torch gives them."""
    return ROUNDED if any(dtype.removeprefix("torch.") in ("bfloat16", "float16", "half") for dtype in dtypes) else PRECISE


@dataclass(slots=True, kw_only=True)
class VerifiedEngine:
    """Any rollout engine, and a look at what it says. Raises StaleEngine where recorded log-probabilities are not those of the live weights.

    Where something is cut off the distribution (top-p, top-k) the policy's own log-probabilities are other numbers, and nothing is compared.
    """

    inner: RolloutEngine
    reread: Reread
    tolerance: Tolerance
    seed: int
    when: When = "first"
    told: Callable[[str, float], None] | None = None
    """Is given `engine/gap`, the largest distance found."""
    _looked: bool = field(default=False, init=False)

    def adopt(self, weights: Weights, *, version: int) -> None:
        self.inner.adopt(weights, version=version)

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        rollouts = self.inner.sample(problems, per_problem=per_problem, sampling=sampling, place=place)
        due = self.when == "always" or (self.when == "first" and not self._looked)
        chosen = self._chosen(rollouts, place) if due and (sampling.whole or sampling.greedy) else []
        if chosen:
            self._looked = True
            gap = self._compared(chosen, 1.0 if sampling.greedy else sampling.temperature)
            if self.told is not None:
                self.told("engine/gap", gap)
        return rollouts

    def _chosen(self, rollouts: Sequence[Rollout], place: Place) -> list[Rollout]:
        """A few that have something to compare, drawn by the place; shortened, for how a text goes on changes nothing before it."""
        spoken = [rollout for rollout in rollouts if rollout.finish is not Finish.FAILED and rollout.response_ids]
        drawn = Random(seed_for(self.seed, "verify", *place)).sample(spoken, min(ROWS, len(spoken)))
        for rollout in drawn:
            if not len(rollout.logprobs) == len(rollout.sampled) == len(rollout.response_ids):
                raise StaleEngine(
                    f"{_named(rollout)} has {len(rollout.response_ids)} tokens, {len(rollout.logprobs)} log-probabilities and "
                    f"{len(rollout.sampled)} marks of what was sampled; expected one of each a token. The engine's adapter drops or adds some."
                )
        return [
            replace(r, response_ids=r.response_ids[:TOKENS], logprobs=r.logprobs[:TOKENS], sampled=r.sampled[:TOKENS], text="")
            for r in drawn
            if any(r.sampled[:TOKENS])
        ]

    def _compared(self, chosen: Sequence[Rollout], temperature: float) -> float:
        recorded = [rollout.logprobs for rollout in chosen]
        gaps = self._gaps(chosen, recorded, self.reread(chosen, temperature))
        if self.tolerance.holds(gaps):
            return max(gaps)
        raise StaleEngine(
            f"the engine's log-probabilities are not those of the weights it was given: {len(gaps)} sampled tokens of {len(chosen)} rollouts (the "
            f"first, {_named(chosen[0])}) lie {self.tolerance.told(gaps)}. {self._meaning(chosen, recorded, temperature)}"
        )

    def _gaps(self, chosen: Sequence[Rollout], recorded: Sequence[Sequence[float]], read: Sequence[Sequence[float]]) -> list[float]:
        rows = zip(chosen, recorded, read, strict=True)
        return [
            abs(said - found) for rollout, own, other in rows for said, found, own_draw in zip(own, other, rollout.sampled, strict=True) if own_draw
        ]

    # -- what it usually means --------------------------------------------------------------------------------------------------------

    def _meaning(self, chosen: Sequence[Rollout], recorded: Sequence[Sequence[float]], temperature: float) -> str:
        """The cheap hypotheses, tried one after the other."""

        def fits(gaps: Sequence[float]) -> bool:
            return bool(gaps) and fmean(gaps) <= 3 * self.tolerance.mean

        if any(said != said or said > 1e-3 for own in recorded for said in own):
            return "Some of its numbers are positive or no numbers at all: look at its logits, and at the precision it computes in."
        if temperature != 1.0 and fits(self._gaps(chosen, recorded, self.reread(chosen, 1.0))):
            return (
                f"They are those before temperature = {temperature:g} was applied. Ask the engine for processed log-probabilities (vLLM: "
                'logprobs_mode = "processed_logprobs").'
            )
        for shift, side in ((1, "before"), (-1, "after")):
            read = self.reread(chosen, temperature)
            moved = [_shifted(row, shift) for row in read]
            gaps = [abs(x - y) for own, row in zip(recorded, moved, strict=True) for x, y in zip(own, row, strict=True) if y is not None]
            if fits(gaps):
                return f"They fit the tokens one place {side}: the engine's adapter shifts ids against log-probabilities."
        other, gaps = self._temperature(chosen, recorded)
        if fits(gaps):
            return f"They fit temperature = {other:.3g} instead of {temperature:g}: the engine does not use the sampling it was asked for."
        return (
            "No other temperature and no shift explains it, so its weights are most likely old ones, or others: an update that never reached it, or "
            "names that do not match. Look at what `adopt` does; prefix caches must be emptied with the weights."
        )

    def _temperature(self, chosen: Sequence[Rollout], recorded: Sequence[Sequence[float]]) -> tuple[float, list[float]]:
        """The temperature that fits best, found between a quarter and four by thirds."""

        def of(power: float) -> list[float]:
            return self._gaps(chosen, recorded, self.reread(chosen, 2.0**power))

        low, high = -2.0, 2.0
        for _ in range(24):
            left, right = low + (high - low) / 3, high - (high - low) / 3
            low, high = (low, right) if fmean(of(left)) < fmean(of(right)) else (left, high)
        return 2.0 ** ((low + high) / 2), of((low + high) / 2)


def _shifted(row: Sequence[float], shift: int) -> list[float | None]:
    """The same numbers that many places later; None where there is none."""
    return [row[place - shift] if 0 <= place - shift < len(row) else None for place in range(len(row))]


def _named(rollout: Rollout) -> str:
    return f"{rollout.problem.id}, sample {rollout.sample}"
