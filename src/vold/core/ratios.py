"""What is done with ratios of two policies: the clip, between two updates, and the correction, between sampler and trainer."""

from dataclasses import dataclass
from enum import StrEnum

from vold.base.errors import ObjectiveError
from vold.core.declared import refuse_mistyped


class Level(StrEnum):
    """What one ratio of two policies is taken over."""

    TOKEN = "token"
    SEQUENCE = "sequence"
    """The geometric mean of the response's token ratios, times the token's own gradient (GSPO)."""


@dataclass(frozen=True, slots=True)
class Clip:
    """The ratio of new to old policy is kept in [1 - low, 1 + high] where leaving it would pay.

    `dual` also bounds the loss of a negative advantage: a ratio above it counts as `dual` (dual clip, arXiv 1912.09729).
    """

    low: float
    high: float
    dual: float | None = None
    level: Level = Level.TOKEN

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        if not (0 < self.low <= 1 and 0 < self.high < float("inf")):
            raise ObjectiveError(
                f"a clip needs 0 < low <= 1 and a finite high > 0, found low = {self.low}, high = {self.high}. "
                "GRPO uses 0.2 and 0.2, VOLD 0.2 and 0.3."
            )
        if self.dual is not None and not 1 + self.high < self.dual < float("inf"):
            raise ObjectiveError(f"a dual clip must lie above 1 + high = {1 + self.high:g}, found {self.dual}. Usual: 3.")

    def __str__(self) -> str:
        dual = f", dual {self.dual:g}" if self.dual is not None else ""
        level = ", by sequence" if self.level is Level.SEQUENCE else ""
        return f"clip {self.low:g}/{self.high:g}{dual}{level}"


class How(StrEnum):
    """What happens to an importance weight above its cap."""

    TRUNCATED = "truncated"
    """It is the cap."""
    MASKED = "masked"
    """It is 0, and so it is below the floor."""


class Terms(StrEnum):
    """Which terms an importance weight multiplies."""

    ALL = "all"
    CREDIT = "credit"
    PULL = "pull"


@dataclass(frozen=True, slots=True)
class Correction:
    """An importance weight from the sampler to the trainer's own policy at the same weights, detached.

    Engines round differently from trainers, and may hold older weights. The weight is the ratio of the trainer's probability of a token (or
    its geometric mean over the response) to the sampler's; it costs no further pass.
    """

    how: How
    cap: float = 2.0
    floor: float = 0.0
    level: Level = Level.TOKEN
    on: Terms = Terms.ALL

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        if self.how is How.MASKED and self.cap == 1:
            raise ObjectiveError("a masked correction with cap = 1 leaves out every token whose weight rounding puts above 1. Usual: cap 2.")
        if not 1 <= self.cap < float("inf") or not 0 <= self.floor < 1:
            raise ObjectiveError(
                f"a correction needs a finite cap >= 1 and 0 <= floor < 1, found {self.cap} and {self.floor}. Usual: cap 2, floor 0."
            )
        if self.how is How.TRUNCATED and self.floor:
            raise ObjectiveError(f'floor = {self.floor} cannot act on a truncated weight. Remove it, or choose how = "masked".')

    def __str__(self) -> str:
        floor = f"{self.floor:g}…" if self.floor else ""
        level = ", by sequence" if self.level is Level.SEQUENCE else ""
        on = f", {self.on} only" if self.on is not Terms.ALL else ""
        return f"{self.how} weight {floor}{self.cap:g}{level}{on}"
