"""Credit: how rewards become advantages, and which rollouts receive theirs."""

from dataclasses import dataclass
from enum import StrEnum

from vold.base.errors import ObjectiveError
from vold.core.declared import refuse_mistyped
from vold.core.pulls import Mask, Weigh
from vold.core.weights import Weight, ends_of, refuse_unusable, words_of


class Baseline(StrEnum):
    """How rewards of a group become advantages."""

    Z_SCORE = "z-score"
    """(r - mean) / (std + epsilon): GRPO."""
    CENTRED = "centred"
    """r - mean: Dr.GRPO."""
    LEAVE_ONE_OUT = "leave-one-out"
    """r - the mean of the others: RLOO."""
    RAW = "raw"
    """r itself: on rewards of 0 and 1, the likelihood of right rollouts."""
    NONE = "none"
    """No credit at all."""


@dataclass(frozen=True, slots=True)
class TeacherRatio:
    """Advantages are multiplied by (1 - λ) + λ·clip((φ/π)^sign(A), 1 ± epsilon), detached: the teacher moves credit between tokens and keeps
    its sign (RLSD). `strength` is λ."""

    strength: Weight = 1.0
    epsilon: float = 0.2

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        if any(not 0 <= value <= 1 for value in ends_of(self.strength)) or not 0 < self.epsilon < 1:
            raise ObjectiveError(f"a teacher ratio needs 0 <= strength <= 1 and 0 < epsilon < 1, found {self}. RLSD uses 1 and 0.2.")


@dataclass(frozen=True, slots=True)
class Credit:
    """Rewards to advantages. `weight` may follow a schedule; `on` says which rollouts receive theirs (the group's mean is over all of them)."""

    by: Baseline
    unbiased: bool = True
    """Whether a z-score's deviation divides by G - 1 (True) or G."""
    epsilon: float = 1e-6
    """Added to a z-score's deviation."""
    weight: Weight = 1.0
    on: Mask = Mask.EVERY
    weigh: Weigh = Weigh.EVEN
    by_teacher: TeacherRatio | None = None

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        refuse_unusable(self.weight, "a credit's weight")
        if not 0 <= self.epsilon < float("inf"):
            raise ObjectiveError(f"a credit's epsilon must be a finite number of at least 0, found {self.epsilon}. Usual: 1e-6.")
        if self.weigh is Weigh.LOW_TEACHER_PERPLEXITY:
            raise ObjectiveError(
                "a credit cannot be weighed by the teacher's perplexity; only a pull toward the teacher can. Use by_teacher, or a pull."
            )

    @property
    def present(self) -> bool:
        return self.by is not Baseline.NONE

    @property
    def compares(self) -> bool:
        """Whether it needs at least two rollouts a group."""
        return self.by in (Baseline.Z_SCORE, Baseline.CENTRED, Baseline.LEAVE_ONE_OUT)

    def __str__(self) -> str:
        """`z-score credit`, and whatever else is not as usual."""
        if not self.present:
            return "no credit"
        words = [f"{self.by} credit"]
        if self.by is Baseline.Z_SCORE and not self.unbiased:
            words.append("biased")
        if self.by is Baseline.Z_SCORE and self.epsilon != 1e-6:
            words.append(f"epsilon {self.epsilon:g}")
        if self.weight != 1.0:
            words.append(f"times {words_of(self.weight)}")
        if self.on is not Mask.EVERY:
            words.append(f"on {self.on}")
        if self.weigh is not Weigh.EVEN:
            words.append(f"by {self.weigh}")
        if self.by_teacher is not None:
            words.append(f"by teacher ratio {words_of(self.by_teacher.strength)} ± {self.by_teacher.epsilon:g}")
        return ", ".join(words)
