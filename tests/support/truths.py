"""The oracle's side of an enumerable world: expected gradients by enumeration, in plain numpy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from support import oracle
from support.enumeration import Answer, Step, World
from support.oracle import Told

from vold.base.types import Ruling


@dataclass(frozen=True)
class Truth:
    """The world's answers as the oracle reads them, each with its gradient of log π and of a divergence at each token."""

    world: World

    @cached_property
    def tables(self) -> dict[str, np.ndarray]:
        w = self.world
        return {name: w.logprobs(model) for name, model in (("new", w.student), ("old", w.old), ("teacher", w.teacher), ("reference", w.reference))}

    @cached_property
    def told(self) -> dict[tuple[int, Answer], Told]:
        return {(q, y): self._told(q, y) for q in range(len(self.world.sizes)) for y in self.world.answers}

    def _told(self, problem: int, answer: Answer) -> Told:
        states = self.world.states(problem, answer)
        ruling = self.world.judge(problem, answer)
        said = {name: table[states, list(answer)] for name, table in self.tables.items()}
        return Told(right=None if ruling is Ruling.UNJUDGED else ruling is Ruling.RIGHT, cut=answer[-1] != 0, length=len(answer), **said)

    @cached_property
    def probability(self) -> dict[tuple[int, Answer], float]:
        return {place: float(np.exp(told.old.sum())) for place, told in self.told.items()}

    @cached_property
    def rises(self) -> dict[tuple[int, Answer], np.ndarray]:
        """∇ log π of each token: (one-hot - π) / temperature in the row of its prefix."""
        pi_SV = np.exp(self.tables["new"])
        out = {}
        for problem, answer in self.told:
            rise_TSV = np.zeros((len(answer), *pi_SV.shape))
            for t, (s, y) in enumerate(zip(self.world.states(problem, answer), answer, strict=True)):
                rise_TSV[t, s] = -pi_SV[s]
                rise_TSV[t, s, y] += 1
            out[problem, answer] = rise_TSV / self.world.temperature
        return out

    def widths(self, of: str) -> dict[tuple[int, Answer], np.ndarray]:
        """∇ of a divergence at each token's prefix. dKL(π‖φ) = π(log π/φ - KL); the JSD of equal parts has ½π(log π/M - KL(π‖M))."""
        log_pi_SV, log_phi_SV = self.tables["new"], self.tables["teacher"]
        with np.errstate(invalid="ignore", divide="ignore"):
            log_m_SV = np.log(0.5 * np.exp(log_pi_SV) + 0.5 * np.exp(log_phi_SV))
            gap_SV = log_pi_SV - (log_phi_SV if of == "student-to-teacher" else log_m_SV)
        gap_SV = np.where(np.isfinite(log_pi_SV), gap_SV, 0.0)
        pi_SV = np.exp(log_pi_SV)
        slope_SV = pi_SV * (gap_SV - (pi_SV * gap_SV).sum(1, keepdims=True)) / self.world.temperature
        slope_SV = slope_SV * (1.0 if of == "student-to-teacher" else 0.5)
        out = {}
        for problem, answer in self.told:
            wide_TSV = np.zeros((len(answer), *pi_SV.shape))
            for t, s in enumerate(self.world.states(problem, answer)):
                wide_TSV[t, s] = slope_SV[s]
            out[problem, answer] = wide_TSV
        return out

    def of_step(self, name: str, step: Step, *, number: int = 0, widths: dict[tuple[int, Answer], np.ndarray] | None = None) -> np.ndarray:
        """The gradient of one step by the method's own formula."""
        places = [[(q, y) for y in group] for q, group in enumerate(step)]
        groups = [[(place, self.told[place]) for place in group] for group in places]
        kept = [[(p, o) for p, o in group if o.right is not None or name in oracle.READS_NO_VERDICT] for group in groups]
        total_SV = np.zeros_like(self.tables["new"])
        if not any(kept):
            return total_SV
        moves = oracle.METHODS[name]([[o for _, o in group] for group in kept], self.world.cap, number)
        if widths is None and name in oracle.WIDE:
            widths = self.widths(oracle.WIDE[name])
        for group, moved in zip(kept, moves, strict=True):
            for (place, _), move in zip(group, moved, strict=bool(moved)):
                total_SV += np.tensordot(move.slope, self.rises[place], 1)
                if widths is not None:
                    total_SV += np.tensordot(move.wide, widths[place], 1)
        return total_SV

    def expected(self, name: str, *, number: int = 0) -> np.ndarray:
        """E over all steps, each as probable as the policy that wrote its answers makes it."""
        widths = self.widths(oracle.WIDE[name]) if name in oracle.WIDE else None
        return self.over_steps(lambda step: self.of_step(name, step, number=number, widths=widths))

    def over_steps(self, value: Callable[[Step], np.ndarray]) -> np.ndarray:
        total, mass = np.zeros_like(self.tables["new"]), 0.0
        for step in self.steps:
            probability = self.weight(step)
            total, mass = total + probability * value(step), mass + probability
        assert abs(mass - 1) < 1e-12, "the steps are not all there are"
        return total

    @cached_property
    def steps(self) -> Sequence[Step]:
        return [step for step, _ in self.world.steps()]

    def weight(self, step: Step) -> float:
        return float(np.prod([self.probability[q, y] for q, group in enumerate(step) for y in group]))
