"""Numbers that may move during a run: along a schedule known beforehand, or with a measured KL."""

from dataclasses import dataclass

from vold.base.errors import ObjectiveError
from vold.core.declared import refuse_mistyped


@dataclass(frozen=True, slots=True)
class Schedule:
    """A number that depends on the step: `start` up to step `begin`, then linear to `end` at step `until`, then `end`."""

    start: float
    end: float
    until: int
    begin: int = 0

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        if self.until <= self.begin or self.begin < 0:
            raise ObjectiveError(f"a schedule must end after it begins, found begin = {self.begin} and until = {self.until}. Raise until.")

    def at(self, step: int) -> float:
        if step >= self.until:
            return self.end
        if step <= self.begin:
            return self.start
        return self.start + (self.end - self.start) * (step - self.begin) / (self.until - self.begin)


@dataclass(frozen=True, slots=True)
class Adaptive:
    """A strength that follows the measured KL towards `target`: raised while the KL is above it, lowered while it is below.

    The value itself is state of the run: it starts at `start`, is moved by `after` once a step, and is kept with the checkpoints. One step
    changes it by at most `reach` · rollouts / `horizon` of itself, and never by more than `reach` (Ziegler et al., arXiv 1909.08593, §2.2).
    """

    start: float
    target: float
    horizon: int = 10_000
    reach: float = 0.2

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        if not (0 < self.start < float("inf") and 0 < self.target < float("inf") and self.horizon > 0 and 0 < self.reach < 1):
            raise ObjectiveError(
                f"an adaptive weight needs start > 0, target > 0, horizon > 0 and 0 < reach < 1, found {self}. "
                "A start of 0 could never grow; use a plain number for a fixed weight."
            )

    def after(self, value: float, *, kl: float, rollouts: int) -> float:
        """The value for the next step, given this step's mean KL per token and how many rollouts it had."""
        error = min(self.reach, max(-self.reach, kl / self.target - 1.0))
        return value * (1.0 + error * min(1.0, rollouts / self.horizon))


Weight = float | Schedule


def weight_at(weight: Weight, step: int) -> float:
    """The value of a weight at one step."""
    return weight.at(step) if isinstance(weight, Schedule) else weight


def ends_of(weight: Weight | Adaptive) -> tuple[float, ...]:
    """The values a weight can be told to take; what lies between them is between them."""
    match weight:
        case Schedule():
            return (weight.start, weight.end)
        case Adaptive():
            return (weight.start,)
        case _:
            return (weight,)


def acts(weight: Weight | Adaptive) -> bool:
    """Whether a weight is ever anything but 0."""
    return any(ends_of(weight))


def words_of(weight: Weight | Adaptive) -> str:
    """`0.1`, `0.005…0.001` for a schedule, `0.001~` for a weight that follows the KL."""
    match weight:
        case Schedule():
            return f"{weight.start:g}…{weight.end:g}"
        case Adaptive():
            return f"{weight.start:g}~"
        case _:
            return f"{weight:g}"


def refuse_unusable(weight: Weight | Adaptive, what: str) -> None:
    """Raise ObjectiveError for a weight that is negative or not finite."""
    if any(not 0 <= value < float("inf") for value in ends_of(weight)):
        raise ObjectiveError(f"{what} must be a finite number of at least 0, found {weight}; a negative one would push away.")
