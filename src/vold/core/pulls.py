"""Pulls: towards which model, how strongly, by which estimator, on which rollouts, over which tokens."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from vold.base.errors import ObjectiveError
from vold.core.declared import refuse_mistyped
from vold.core.weights import Adaptive, Schedule, Weight, refuse_unusable, words_of


class Partner(StrEnum):
    """The model a pull looks at."""

    TEACHER = "teacher"
    """The text-only teacher."""
    REFERENCE = "reference"
    """The student as it was when the stage began."""


class Want(StrEnum):
    """What is asked of a partner at each response token. Whoever gives one of these gives those before it too."""

    SAMPLED = "sampled"
    """The log-probability of the sampled token."""
    TOP_K = "top-k"
    """Its own k likeliest ids as well, with their log-probabilities."""
    HIDDEN = "hidden"
    """Its hidden state as well, from which its head forms the whole distribution."""

    def covers(self, other: "Want") -> bool:
        """Whether a partner that gives this can be asked for the other."""
        kinds = list(Want)
        return kinds.index(self) >= kinds.index(other)


def most_of(wants: Iterable[Want]) -> Want | None:
    """The one that covers all of them; None where nothing is wanted."""
    return max(wants, key=list(Want).index, default=None)


class Estimator(StrEnum):
    """How a pull is estimated. π is the student, φ the partner; the names say whose expectation the gradient follows.

    Each estimator belongs to a divergence, and on the student's own tokens the expected gradient of every member of a family is the same:
    KL(π‖φ) has K1_ADVANTAGE, K2, FULL_STUDENT_TO_PARTNER and TOP_K; KL(φ‖π) has K3 and FULL_PARTNER_TO_STUDENT, and PARTNER_TOP_K is its lower
    bound. Under a mask that reads the verdict a sampled estimator and its full-vocabulary form are *different* objectives: the first weighs a
    token by how often the rollout fails after it, the second by how often it fails from the prefix on.
    """

    K1 = "k1"
    """log π - log φ as a loss. Refused: its expected gradient does not contain the partner at all."""
    K1_ADVANTAGE = "k1-advantage"
    """log φ - log π, detached, added to the advantage of its token: clipped and weighted like one."""
    K2 = "k2"
    """½(log π - log φ)²: on the student's own tokens its gradient is that of KL(π‖φ)."""
    K3 = "k3"
    """φ/π - 1 - log(φ/π): as a loss its gradient is that of KL(φ‖π)."""
    FULL_STUDENT_TO_PARTNER = "full-student-to-partner"
    """Σ_v π (log π - log φ) over the vocabulary: KL(π‖φ) itself."""
    FULL_PARTNER_TO_STUDENT = "full-partner-to-student"
    """Σ_v φ (log φ - log π) over the vocabulary: KL(φ‖π) itself."""
    JSD = "jsd"
    """mix·KL(φ‖M) + (1 - mix)·KL(π‖M) with M = mix·φ + (1 - mix)·π, over the vocabulary (GKD)."""
    TOP_K = "top-k"
    """The terms of KL(π‖φ) summed over the student's `top` likeliest tokens, plus the sampled token's own where it is not among them."""
    PARTNER_TOP_K = "partner-top-k"
    """KL(φ‖π) over top + 1 outcomes: each of the partner's `top` likeliest tokens, and all others as one. Of the partner it reads no more."""

    @property
    def vocabulary_wide(self) -> bool:
        """Whether it has a gradient at every entry of the student's vocabulary, so that the sampled token's log-probability is not enough."""
        wide = (Estimator.FULL_STUDENT_TO_PARTNER, Estimator.FULL_PARTNER_TO_STUDENT, Estimator.JSD, Estimator.TOP_K, Estimator.PARTNER_TOP_K)
        return self in wide

    @property
    def takes_top(self) -> bool:
        """Whether it sums over so many tokens."""
        return self in (Estimator.TOP_K, Estimator.PARTNER_TOP_K)

    @property
    def wants(self) -> Want:
        """What it reads of the partner."""
        if self is Estimator.PARTNER_TOP_K:
            return Want.TOP_K
        return Want.HIDDEN if self.vocabulary_wide else Want.SAMPLED


class Mask(StrEnum):
    """On which rollouts a term acts."""

    EVERY = "every"
    WRONG = "wrong"
    RIGHT = "right"
    ALL_WRONG = "all-wrong"
    """Every rollout of a group without a right answer."""

    @property
    def reads_verdict(self) -> bool:
        return self is not Mask.EVERY


class Weigh(StrEnum):
    """A factor from the statistics of a rollout's group, on top of the mask."""

    EVEN = "even"
    FAIL_RATE = "fail-rate"
    """The share of the group's judged rollouts that are wrong."""
    PASS_RATE = "pass-rate"
    """The share of the group's judged rollouts that are right."""
    LOW_TEACHER_PERPLEXITY = "low-teacher-perplexity"
    """One over the teacher's perplexity of the rollout, scaled to a mean of 1 over the group's rollouts the mask lets through."""
    HIGH_STUDENT_PERPLEXITY = "high-student-perplexity"
    """The student's own perplexity of the rollout, scaled to a mean of 1 over the group's rollouts the mask lets through."""

    @property
    def reads_verdict(self) -> bool:
        return self in (Weigh.FAIL_RATE, Weigh.PASS_RATE)


class Over(StrEnum):
    """Over which tokens a pull is averaged."""

    ALL = "all"
    """The same Z as the credit: the pull fades as answers become right (eq. 6 of the paper)."""
    PULLED = "pulled"
    """Only the tokens (or rollouts, by the share) the pull acts on: its strength does not depend on how many there are."""


class Beyond(StrEnum):
    """What a clamped log-ratio does outside its limit."""

    STOP = "stop"
    """The token is no longer pulled: gradient 0."""
    SATURATE = "saturate"
    """The token is pulled as if it were at the limit: gradient that of the limit."""


@dataclass(frozen=True, slots=True)
class Clamp:
    """|log π - log φ| is held within `limit` (in nats)."""

    limit: float
    beyond: Beyond

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        if not 0 < self.limit < float("inf"):
            raise ObjectiveError(f"a clamp needs a finite limit above 0, found {self.limit}. Leave the clamp out to pull without one.")


@dataclass(frozen=True, slots=True)
class Pull:
    """A pull towards another model, added to the credit."""

    toward: Partner
    beta: Weight | Adaptive
    by: Estimator = Estimator.K2
    on: Mask = Mask.EVERY
    over: Over = Over.ALL
    weigh: Weigh = Weigh.EVEN
    clamp: Clamp | None = None
    mix: float | None = None
    """The partner's share in the mixture of `jsd`, between 0 and 1."""
    top: int | None = None
    """How many tokens `top-k` sums exactly: the student's likeliest; and `partner-top-k` the partner's."""

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        refuse_unusable(self.beta, "a pull's beta")
        if self.by is Estimator.K1:
            raise ObjectiveError(
                "k1 as a loss teaches nothing: the expected gradient of log π - log φ on the student's own tokens is 0 whatever the "
                'partner says. Choose "k2" (the same divergence as a loss) or "k1-advantage" (the log-ratio as an advantage).'
            )
        if (self.by is Estimator.JSD) != (self.mix is not None):
            raise ObjectiveError(f'mix = {self.mix} with by = "{self.by}": "jsd" needs a mix, and nothing else reads one. GKD uses mix = 0.5.')
        if self.mix is not None and not 0 < self.mix < 1:
            raise ObjectiveError(
                f"jsd needs 0 < mix < 1, found {self.mix}: at the ends it is constantly 0. "
                'Its limits are named "full-partner-to-student" (mix to 0) and "full-student-to-partner" (mix to 1).'
            )
        if self.by.takes_top != (self.top is not None):
            raise ObjectiveError(
                f'top = {self.top} with by = "{self.by}": "top-k" and "partner-top-k" need a top, and nothing else reads one. Usual: 32 to 128.'
            )
        if self.top is not None and self.top < 1:
            raise ObjectiveError(f"{self.by} needs top >= 1, found {self.top}. For the sampled token alone choose k2.")
        if self.clamp is not None and self.by.vocabulary_wide:
            raise ObjectiveError(f'a clamp bounds the log-ratio of the sampled token, and "{self.by}" sums over the vocabulary. Remove the clamp.')

    @property
    def wants(self) -> Want:
        return self.by.wants

    @property
    def reads_verdict(self) -> bool:
        return self.on.reads_verdict or self.weigh.reads_verdict

    def __str__(self) -> str:
        """`0.1 k2 → teacher on wrong`, and whatever else is not as usual."""
        by = str(self.by) + (f"({self.mix:g})" if self.mix is not None else "") + (f"({self.top})" if self.top is not None else "")
        words = [f"{words_of(self.beta)} {by} → {self.toward} on {self.on}"]
        match self.beta:
            case Schedule(begin=begin, until=until):
                words.append(f"from step {begin} to {until}")
            case Adaptive(target=target, horizon=horizon):
                words.append(f"towards a KL of {target:g} in {horizon}")
        if self.weigh is not Weigh.EVEN:
            words.append(f"by {self.weigh}")
        if self.over is not Over.ALL:
            words.append("over pulled tokens")
        if self.clamp is not None:
            words.append(f"clamp {self.clamp.limit:g} {self.clamp.beyond}")
        return ", ".join(words)
