"""An objective is a value: credit × clip × pulls × share.

Credit says how rewards become advantages, clip bounds how far one batch may move the policy, pulls say towards which other model, how
strongly, by which estimator and on which rollouts, and share says how much each token counts. `core/render.py` renders the same value
twice: as a differentiable loss and as a per-token coefficient. Nothing here needs torch.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from vold.base.errors import ObjectiveError


@dataclass(frozen=True, slots=True)
class Schedule:
    """A number that depends on the step: `start` up to step `begin`, then linear to `end` at step `until`, then `end`."""

    start: float
    end: float
    until: int
    begin: int = 0

    def at(self, step: int) -> float:
        if step >= self.until:
            return self.end
        if step <= self.begin:
            return self.start
        return self.start + (self.end - self.start) * (step - self.begin) / (self.until - self.begin)


Weight = float | Schedule


def weight_at(weight: Weight, step: int) -> float:
    """The value of a weight at one step."""
    return weight.at(step) if isinstance(weight, Schedule) else weight


def _number(weight: Weight) -> str:
    return f"{weight.start:g}…{weight.end:g}" if isinstance(weight, Schedule) else f"{weight:g}"


class Baseline(StrEnum):
    """How rewards of a group become advantages."""

    Z_SCORE = "z-score"
    CENTRED = "centred"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Credit:
    """Rewards to advantages. Z-score: (r - mean) / (std + epsilon) over the group (GRPO); centred: no division (Dr.GRPO)."""

    by: Baseline
    unbiased: bool = True
    epsilon: float = 1e-6

    @property
    def present(self) -> bool:
        return self.by is not Baseline.NONE


Z_SCORE = Credit(Baseline.Z_SCORE)
CENTRED = Credit(Baseline.CENTRED)
NO_CREDIT = Credit(Baseline.NONE)


@dataclass(frozen=True, slots=True)
class Clip:
    """The ratio of new to old policy is kept in [1 - low, 1 + high] where leaving it would pay."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (0 < self.low <= 1 and self.high > 0):
            raise ObjectiveError(
                f"a clip needs 0 < low <= 1 and high > 0, found low = {self.low}, high = {self.high}. GRPO uses 0.2 and 0.2, VOLD 0.2 and 0.3."
            )


class Partner(StrEnum):
    """The model a pull looks at."""

    TEACHER = "teacher"


class Estimator(StrEnum):
    """How a pull is estimated from the sampled token. The name holds the direction of the gradient on the student's own samples."""

    K2 = "k2"
    """½(log π − log φ)²: its gradient is that of KL(student ‖ teacher)."""
    K3 = "k3"
    """φ/π − 1 − log(φ/π): as a loss its gradient is that of KL(teacher ‖ student)."""


class Mask(StrEnum):
    """On which rollouts a pull acts."""

    EVERY = "every"
    WRONG = "wrong"
    RIGHT = "right"
    ALL_WRONG = "all-wrong"
    """Every rollout of a group without a right answer."""

    @property
    def reads_verdict(self) -> bool:
        return self is not Mask.EVERY


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull towards another model, added to the credit."""

    toward: Partner
    beta: Weight
    by: Estimator = Estimator.K2
    on: Mask = Mask.EVERY

    def __post_init__(self) -> None:
        ends = (self.beta.start, self.beta.end) if isinstance(self.beta, Schedule) else (self.beta,)
        if any(not 0 <= beta < float("inf") for beta in ends):
            raise ObjectiveError(f"a pull's beta must be a finite number of at least 0, found {self.beta}; a negative one would push away.")


class Share(StrEnum):
    """How much each token counts in the sum that is divided by Z."""

    PER_TOKEN = "per-token"
    """Every response token alike: s = 1, Z = the number of response tokens of the step."""
    PER_SEQUENCE = "per-sequence"
    """Every rollout alike: s = 1 / its length, Z = the number of rollouts of the step."""
    FIXED_LENGTH = "fixed-length"
    """s = 1 / the length cap, Z = the number of rollouts of the step (Dr.GRPO)."""


TEACHER = Partner.TEACHER
K2, K3 = Estimator.K2, Estimator.K3
EVERY, WRONG, RIGHT, ALL_WRONG = Mask.EVERY, Mask.WRONG, Mask.RIGHT, Mask.ALL_WRONG
PER_TOKEN, PER_SEQUENCE, FIXED_LENGTH = Share.PER_TOKEN, Share.PER_SEQUENCE, Share.FIXED_LENGTH


@dataclass(frozen=True, slots=True)
class Objective:
    """What a step optimises: credit × clip × pulls × share."""

    credit: Credit
    clip: Clip | None
    pulls: tuple[Pull, ...] = field(default=())
    share: Share = Share.PER_TOKEN
    pull_truncated: bool = True
    """Whether pulls act on rollouts that hit the length cap."""

    def __post_init__(self) -> None:
        if not self.credit.present and not self.pulls:
            raise ObjectiveError("an objective without credit and without a pull teaches nothing; set a credit or add a pull.")
        if not self.credit.present and self.clip is not None:
            raise ObjectiveError("a clip bounds the credit, and this objective has none. Set clip to none, or choose a credit.")

    def __str__(self) -> str:
        """One line a reader can compare: `z-score · clip 0.2/0.3 · 0.1 k2 → teacher on wrong · per-token`."""
        clip = "no clip" if self.clip is None else f"clip {self.clip.low:g}/{self.clip.high:g}"
        pulls = [f"{_number(pull.beta)} {pull.by} → {pull.toward} on {pull.on}" for pull in self.pulls] or ["no pull"]
        credit = f"{self.credit.by} credit" if self.credit.present else "no credit"
        return " · ".join([credit, clip, *pulls, str(self.share)])

    @property
    def needs_teacher(self) -> bool:
        return any(pull.toward is Partner.TEACHER for pull in self.pulls)

    @property
    def reads_verdict(self) -> bool:
        """Whether a rollout without a verdict must stay out of it."""
        return self.credit.present or any(pull.on.reads_verdict for pull in self.pulls)


def refuse_impossible(objective: Objective, *, group_size: int, has_teacher: bool) -> None:
    """Raise ObjectiveError when the surroundings cannot serve the objective."""
    if objective.needs_teacher and not has_teacher:
        raise ObjectiveError('the objective pulls toward a teacher, but no teacher is set. Add a [teacher], or choose objective.base = "GRPO".')
    if objective.credit.present and group_size < 2:
        raise ObjectiveError(
            f"a group of {group_size} has no spread: its credit is always 0. Set joint.group_size to 2 or more (the paper uses 5), "
            "or choose an objective without credit."
        )
