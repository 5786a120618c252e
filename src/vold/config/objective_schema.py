"""What one can set of an objective. Every field of `core.objective.Objective` has the setting of the same name."""

from typing import Annotated, Literal

from vold.config.kinds import EITHER, IF_SPOKEN, Number, Plain, Section, Spoken, Strength, Table

Baselines = Literal["z-score", "centred", "leave-one-out", "raw", "none"]
Masks = Literal["every", "wrong", "right", "all-wrong"]
Weighs = Literal["even", "fail-rate", "pass-rate", "low-teacher-perplexity", "high-student-perplexity"]
Levels = Literal["token", "sequence"]
Partners = Literal["teacher", "reference"]
Nothing = Literal["none"]


class TeacherRatioSettings(Section):
    """Advantages multiplied by a clipped ratio of teacher to student (RLSD)."""

    strength: Number | None = None
    epsilon: float | None = None


class CreditSettings(Section):
    """How rewards become advantages. What is not given stays as in the base."""

    by: Baselines | None = None
    unbiased: bool | None = None
    """Whether a z-score's deviation divides by G - 1 (true) or G."""
    epsilon: float | None = None
    """Added to a z-score's deviation."""
    weight: Number | None = None
    on: Masks | None = None
    """Which rollouts receive their advantage; the group's mean is over all of them."""
    weigh: Weighs | None = None
    by_teacher: Annotated[Plain[Nothing] | Table[TeacherRatioSettings], EITHER] | None = None


class ClipSettings(Section):
    """How far one batch may move the policy. What is not given stays as in the base; low and high are needed where that has no clip."""

    low: float | None = None
    high: float | None = None
    dual: Annotated[Plain[float] | Spoken[Nothing], IF_SPOKEN] | None = None
    level: Levels | None = None


class ClampSettings(Section):
    """The sampled token's log-ratio is held within `limit`."""

    limit: float
    beyond: Literal["stop", "saturate"]
    """What happens outside: no pull at all, or the pull of the limit."""


class PullSettings(Section):
    """Changes to every pull of the named objective."""

    toward: Partners | None = None
    beta: Strength | None = None
    by: Literal["k1", "k1-advantage", "k2", "k3", "full-student-to-partner", "full-partner-to-student", "jsd", "top-k", "partner-top-k"] | None = None
    on: Masks | None = None
    over: Literal["all", "pulled"] | None = None
    """Over which tokens the pull is averaged: all of them, or those it acts on."""
    weigh: Weighs | None = None
    clamp: Annotated[Plain[Nothing] | Table[ClampSettings], EITHER] | None = None
    mix: float | None = None
    """The partner's share in the mixture of jsd."""
    top: int | None = None
    """How many tokens top-k (the student's likeliest) and partner-top-k (the partner's) sum exactly."""


class WholePullSettings(PullSettings):
    """A pull of one's own. What is not given is as usual: k2, on every rollout, over all tokens."""

    toward: Partners
    beta: Strength


class CorrectionSettings(Section):
    """An importance weight from the sampler to the trainer. What is not given stays as in the base; `how` is needed where that has none."""

    how: Literal["truncated", "masked"] | None = None
    cap: float | None = None
    floor: float | None = None
    level: Levels | None = None
    on: Literal["all", "credit", "pull"] | None = None
    """Which terms it multiplies."""


class ObjectiveSettings(Section):
    """A named objective (see `vold zoo`), and what is changed in it."""

    base: str = "VOLD"
    credit: Annotated[Plain[Baselines] | Table[CreditSettings], EITHER] | None = None
    """A name is short for { by = name }."""
    clip: Annotated[Plain[Nothing] | Table[ClipSettings], EITHER] | None = None
    pull: PullSettings = PullSettings()
    pulls: tuple[WholePullSettings, ...] | None = None
    """Pulls instead of the base's; `pull` has no say in them."""
    share: Literal["per-token", "per-sequence", "per-group", "fixed-length"] | None = None
    pull_truncated: bool | None = None
    """Whether pulls act on rollouts that hit the length cap."""
    correction: Annotated[Plain[Nothing] | Table[CorrectionSettings], EITHER] | None = None
    overlong: Literal["keep", "mask", "soft"] | None = None
    """What becomes of a long rollout: its verdict alone counts, it is left out when cut off, or its reward falls towards the cap."""
    soft_buffer: float | None = None
    """For soft: the last part of the length cap, over which the reward falls."""
    entropy: Number | None = None
    """Strength of an entropy bonus."""
    dynamic: bool | None = None
    """Whether groups without any gradient are replaced by further problems."""
