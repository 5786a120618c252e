"""A scale for closeness: between which bounds of one number the pull is expected to help, fitted on runs whose outcome is known.

A number may be bad at both ends: a student too far from the teacher gets nothing from its pull, one too close has nothing left to get.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from vold.core.closeness import Closeness, Estimate


class Standing(StrEnum):
    """Where a student stands on a scale."""

    FAR = "too far"
    WITHIN = "within reach"
    CLOSE = "close already"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The number that decides and the bounds between which the pull helped by at least `margin` of accuracy, in the units of the number.

    A bound is None where no run lay beyond it. `seen` is the range of the runs the scale was fitted on, `gaps` the stretches without a run that
    the bounds lie in the middle of.
    """

    number: str
    low: float | None
    high: float | None
    seen: tuple[float, float]
    margin: float
    gaps: tuple[tuple[float, float], ...] = ()

    @property
    def closer_is_higher(self) -> bool:
        return closer_is_higher(self.number)

    @property
    def far(self) -> float | None:
        """The bound beyond which a student is too far."""
        return self.low if self.closer_is_higher else self.high

    @property
    def near(self) -> float | None:
        """The bound beyond which a student is close already."""
        return self.high if self.closer_is_higher else self.low

    def standing(self, value: float) -> Standing:
        if self.low is not None and value < self.low:
            return Standing.FAR if self.closer_is_higher else Standing.CLOSE
        if self.high is not None and value > self.high:
            return Standing.CLOSE if self.closer_is_higher else Standing.FAR
        return Standing.WITHIN

    def gap_at(self, value: float) -> tuple[float, float] | None:
        """The gap that a value lies in."""
        return next((gap for gap in self.gaps if gap[0] < value < gap[1]), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A student's standing on a scale.

    `unsure`: a bound lies within two standard errors. `unseen`: no run of the fit was as far out. `gap`: the stretch around a bound that the student
    stands in and no run of the fit did, so that the bound could lie on either side of it.
    """

    standing: Standing
    value: Estimate
    unsure: bool
    unseen: bool
    gap: tuple[float, float] | None = None


def closer_is_higher(number: str) -> bool:
    """Whether a larger value means a closer student: so for whatever the two models share."""
    return number.startswith(("overlap", "shared"))


def verdict_of(closeness: Closeness, scale: Scale) -> Verdict:
    value = closeness.means[scale.number]
    bounds = [bound for bound in (scale.low, scale.high) if bound is not None]
    return Verdict(
        standing=scale.standing(value.mean),
        value=value,
        unsure=any(abs(value.mean - bound) <= 2 * value.error for bound in bounds),  # False where the error is not known
        unseen=not scale.seen[0] <= value.mean <= scale.seen[1],
        gap=scale.gap_at(value.mean),
    )


# -- fitting --------------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A run whose outcome is known: the numbers of its check, and the gain in accuracy that the pull brought."""

    name: str
    budget: int
    values: Mapping[str, float]
    gain: float
    error: float
    """The gain's standard error."""


def fitted(cases: Sequence[Case], number: str, *, margin: float) -> Scale:
    """The bounds with the largest total gain over the margin between them: a run far from the margin counts more than one near it.

    Cases are put in order of the number; those between the bounds are said to gain, the others not. A bound lies half-way between the last
    case inside and the first outside.
    """
    levels = [(value, math.fsum(c.gain - margin for c in same)) for value, same in _by_value(cases, number)]
    values = [value for value, _ in levels]
    first, last = _best_run([worth for _, worth in levels])
    below = None if first == 0 else (values[first - 1], values[first])
    above = None if last == len(values) - 1 else (values[last], values[last + 1])
    return Scale(
        number=number,
        low=None if below is None else sum(below) / 2,
        high=None if above is None else sum(above) / 2,
        seen=(values[0], values[-1]),
        margin=margin,
        gaps=tuple(gap for gap in (below, above) if gap is not None),
    )


def _by_value(cases: Sequence[Case], number: str) -> Iterator[tuple[float, list[Case]]]:
    def value(case: Case) -> float:
        return case.values[number]

    for level, same in groupby(sorted(cases, key=value), key=value):
        yield level, list(same)


def _best_run(worths: Sequence[float]) -> tuple[int, int]:
    """First and last place of the run with the largest sum; of equal ones the first."""
    best, best_sum = (0, 0), worths[0]
    start, total = 0, 0.0
    for place, worth in enumerate(worths):
        if total <= 0:
            start, total = place, 0.0
        total += worth
        if total > best_sum:
            best, best_sum = (start, place), total
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How a scale did on cases: how many it judged rightly, and the gain over the margin, on average, that its mistakes gave away.

    `always` is how many would be right by saying of all of them what is true of most; `guessed` how many of the mistakes stand in a gap of the scale,
    where its verdict says that the bound is a guess.
    """

    cases: int
    right: int
    always: int
    lost: float
    guessed: int = 0

    @property
    def share(self) -> float:
        return self.right / self.cases if self.cases else math.nan


def helps(case: Case, margin: float) -> bool:
    return case.gain >= margin


def score_of(scale: Scale, cases: Sequence[Case]) -> Score:
    truths = [helps(case, scale.margin) for case in cases]
    said = [scale.standing(case.values[scale.number]) is Standing.WITHIN for case in cases]
    wrong = [case for case, truth, told in zip(cases, truths, said, strict=True) if truth != told]
    return Score(
        cases=len(cases),
        right=len(cases) - len(wrong),
        always=max(sum(truths), len(truths) - sum(truths)),
        lost=math.fsum(abs(case.gain - scale.margin) for case in wrong) / max(1, len(cases)),
        guessed=sum(scale.gap_at(case.values[scale.number]) is not None for case in wrong),
    )


def by_leaving_out(cases: Sequence[Case], number: str, *, margin: float) -> float:
    """What mistakes give away a case on budgets that the fit has not seen, each but the smallest and the largest left out in turn.

    Without those two a fit could not know where a bound is that only they lie beyond: that would try what no scale claims, to reach past its runs.
    """
    budgets = sorted({case.budget for case in cases})
    lost, tried = 0.0, 0
    for budget in budgets[1:-1]:
        rest = [case for case in cases if case.budget != budget]
        out = [case for case in cases if case.budget == budget]
        lost += score_of(fitted(rest, number, margin=margin), out).lost * len(out)
        tried += len(out)
    return lost / max(1, tried)
