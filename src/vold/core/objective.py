"""An objective is a value: credit × clip × pulls × share.

Credit (`core/credit.py`) says how rewards become advantages, clip (`core/ratios.py`) bounds how far one batch may move the policy, pulls
(`core/pulls.py`) say towards which other model and how, and share says how much each token counts. `core/plan.py` says what a step must do
for it, `core/render.py` renders the same value twice: as a differentiable loss and as a per-token coefficient. Nothing here needs torch.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from vold.base.errors import ObjectiveError
from vold.core.credit import Baseline, Credit, TeacherRatio
from vold.core.declared import refuse_mistyped
from vold.core.pulls import Beyond, Clamp, Estimator, Mask, Over, Partner, Pull, Want, Weigh, most_of
from vold.core.ratios import Clip, Correction, How, Level, Terms
from vold.core.weights import Adaptive, Schedule, Weight, acts, refuse_unusable, weight_at, words_of

__all__ = [
    "ALL_WRONG",
    "CENTRED",
    "EVERY",
    "FIXED_LENGTH",
    "JSD",
    "K1_ADVANTAGE",
    "K2",
    "K3",
    "LEAVE_ONE_OUT",
    "NO_CREDIT",
    "PER_GROUP",
    "PER_SEQUENCE",
    "PER_TOKEN",
    "RAW",
    "REFERENCE",
    "RIGHT",
    "TEACHER",
    "WRONG",
    "Z_SCORE",
    "Adaptive",
    "Baseline",
    "Beyond",
    "Clamp",
    "Clip",
    "Correction",
    "Credit",
    "Estimator",
    "How",
    "Level",
    "Mask",
    "Objective",
    "Over",
    "Overlong",
    "Partner",
    "Pull",
    "Schedule",
    "Share",
    "TeacherRatio",
    "Terms",
    "Want",
    "Weigh",
    "Weight",
    "refuse_impossible",
    "unlike_traces",
    "weight_at",
]  # fmt: skip


class Share(StrEnum):
    """How much each token counts in the sum that is divided by Z."""

    PER_TOKEN = "per-token"
    """Every response token alike: s = 1, Z = the number of response tokens of the step."""
    PER_SEQUENCE = "per-sequence"
    """Every rollout alike: s = 1 / its length, Z = the number of rollouts of the step."""
    PER_GROUP = "per-group"
    """Every problem alike, and within it every token: s = 1 / the group's tokens, Z = the number of groups of the step."""
    FIXED_LENGTH = "fixed-length"
    """s = 1 / the length cap, Z = the number of rollouts of the step (Dr.GRPO)."""


class Overlong(StrEnum):
    """What becomes of a rollout that is long, beyond its verdict."""

    KEEP = "keep"
    """Nothing: the verdict alone counts."""
    MASK = "mask"
    """One cut off by the length cap is out of credit, of every pull and of Z; its reward still counts in its group's mean."""
    SOFT = "soft"
    """Its reward falls linearly to -1 over the last `soft_buffer` of the length cap (DAPO)."""


TEACHER, REFERENCE = Partner.TEACHER, Partner.REFERENCE
K1_ADVANTAGE, K2, K3, JSD = Estimator.K1_ADVANTAGE, Estimator.K2, Estimator.K3, Estimator.JSD
EVERY, WRONG, RIGHT, ALL_WRONG = Mask.EVERY, Mask.WRONG, Mask.RIGHT, Mask.ALL_WRONG
PER_TOKEN, PER_SEQUENCE, PER_GROUP, FIXED_LENGTH = Share.PER_TOKEN, Share.PER_SEQUENCE, Share.PER_GROUP, Share.FIXED_LENGTH
Z_SCORE, CENTRED, LEAVE_ONE_OUT = Credit(Baseline.Z_SCORE), Credit(Baseline.CENTRED), Credit(Baseline.LEAVE_ONE_OUT)
RAW, NO_CREDIT = Credit(Baseline.RAW), Credit(Baseline.NONE)


@dataclass(frozen=True, slots=True)
class Objective:
    """What a step optimises: credit × clip × pulls × share."""

    credit: Credit
    clip: Clip | None
    pulls: tuple[Pull, ...] = field(default=())
    share: Share = Share.PER_TOKEN
    pull_truncated: bool = True
    """Whether pulls act on rollouts that hit the length cap."""
    correction: Correction | None = None
    overlong: Overlong = Overlong.KEEP
    soft_buffer: float = 0.2
    """For soft overlong: the last part of the length cap, over which the penalty grows."""
    entropy: Weight = 0.0
    """Strength of an entropy bonus on every response token."""
    dynamic: bool = False
    """Whether groups without any gradient are replaced by further problems until the step is full (DAPO). What a pull acts on is kept."""

    def __post_init__(self) -> None:
        refuse_mistyped(self)
        refuse_unusable(self.entropy, "an entropy bonus")
        if not self.credit.present and not self.pulls:
            raise ObjectiveError("an objective without credit and without a pull teaches nothing; set a credit or add a pull.")
        if self.clip is not None and not self.has_advantage:
            raise ObjectiveError("a clip bounds advantages, and this objective has none. Set clip to none, choose a credit, or pull by k1-advantage.")
        if not self.credit.present and (
            self.credit.on is not Mask.EVERY or self.credit.by_teacher is not None or self.credit.weigh is not Weigh.EVEN
        ):
            raise ObjectiveError("a credit of none has nothing to be masked or weighed. Choose a credit, or leave its settings out.")
        if any(pull.weigh is Weigh.LOW_TEACHER_PERPLEXITY and pull.toward is not Partner.TEACHER for pull in self.pulls):
            raise ObjectiveError("a pull toward the reference cannot be weighed by the teacher's perplexity. Pull toward the teacher.")
        if not 0 < self.soft_buffer <= 1:
            raise ObjectiveError(f"soft_buffer is a part of the length cap, 0 < soft_buffer <= 1, found {self.soft_buffer}. DAPO uses 0.2.")
        if self.soft_buffer != 0.2 and self.overlong is not Overlong.SOFT:
            raise ObjectiveError(f'soft_buffer = {self.soft_buffer} cannot act with overlong = "{self.overlong}". Set overlong = "soft".')
        if self.overlong is Overlong.SOFT and not self.credit.present:
            raise ObjectiveError("a soft overlong penalty is a reward, and this objective reads none. Choose a credit, or overlong = keep.")
        if self.correction is not None:
            unreached = {Terms.CREDIT: not self.credit.present, Terms.PULL: not self.pulls, Terms.ALL: False}[self.correction.on]
            if unreached:
                raise ObjectiveError(f'a correction on "{self.correction.on}" has nothing to weigh in this objective. Choose on = "all".')
        if self.dynamic and self.touches_everything:
            raise ObjectiveError(
                "dynamic sampling replaces groups without a gradient, and this objective gives every group one (an entropy bonus or a pull on "
                "every rollout). Set dynamic = false."
            )

    def __str__(self) -> str:
        """One line a reader can compare: `z-score credit · clip 0.2/0.3 · 0.1 k2 → teacher on wrong · per-token`."""
        words = [str(self.credit), "no clip" if self.clip is None else str(self.clip), *(map(str, self.pulls) if self.pulls else ("no pull",))]
        words.append(str(self.share))
        if self.correction is not None:
            words.append(str(self.correction))
        if self.overlong is not Overlong.KEEP:
            words.append(f"{self.overlong} overlong" + (f" {self.soft_buffer:g}" if self.overlong is Overlong.SOFT else ""))
        if acts(self.entropy):
            words.append(f"{words_of(self.entropy)} entropy")
        if not self.pull_truncated:
            words.append("no pull on truncated")
        if self.dynamic:
            words.append("dynamic sampling")
        return " · ".join(words)

    @property
    def has_advantage(self) -> bool:
        return self.credit.present or any(pull.by is Estimator.K1_ADVANTAGE for pull in self.pulls)

    @property
    def needs_teacher(self) -> bool:
        return self.wants(Partner.TEACHER) is not None

    def wants(self, partner: Partner) -> Want | None:
        """The most that is asked of a partner; None when it is not needed at all."""
        wants = {pull.wants for pull in self.pulls if pull.toward is partner and acts(pull.beta)}
        if partner is Partner.TEACHER and self.credit.by_teacher is not None and acts(self.credit.by_teacher.strength):
            wants.add(Want.SAMPLED)
        return most_of(wants)

    @property
    def reads_verdict(self) -> bool:
        """Whether a rollout without a verdict must stay out of it."""
        return self.credit.present or any(pull.reads_verdict and acts(pull.beta) for pull in self.pulls)

    @property
    def touches_everything(self) -> bool:
        """Whether every rollout has a gradient whatever its group's rewards are."""
        return acts(self.entropy) or any(not pull.reads_verdict and acts(pull.beta) for pull in self.pulls)

    @property
    def no_coefficient(self) -> str | None:
        """Why one update's gradient is not Σ s c ∇ log π over the sampled tokens, or None when it is."""
        wide = [pull.by for pull in self.pulls if pull.by.vocabulary_wide and acts(pull.beta)]
        if wide:
            return f'"{wide[0]}" has a gradient at every entry of the vocabulary, not only at the sampled token'
        if acts(self.entropy):
            return "an entropy bonus has a gradient at every entry of the vocabulary"
        return None


def unlike_traces(objective: Objective) -> str | None:
    """What of an objective needs judged rollouts of the student's own; None when a bare trace of somebody else's will do."""
    if objective.credit.present:
        return f"a {objective.credit}, and a trace has no group"
    if objective.correction is not None:
        return f"a {objective.correction}, and a trace was sampled by nobody here"
    for pull in objective.pulls:
        if pull.on is not Mask.EVERY or pull.weigh is not Weigh.EVEN:
            return f'a pull on "{pull.on}" rollouts with weigh = "{pull.weigh}", and a trace has no verdict'
        if not pull.by.vocabulary_wide or pull.by is Estimator.TOP_K:  # whose tail is a sampled token
            return f'a pull by "{pull.by}", which is a divergence only on the student\'s own tokens'
        if isinstance(pull.beta, Adaptive):
            return "a strength that follows the KL, which the corpus' tokens do not measure"
    return None


def unlike_stream(objective: Objective, *, updates_per_batch: int = 1) -> str | None:
    """What of an objective must see a whole step before the first gradient of it; None where groups may be taken one by one."""
    if updates_per_batch > 1:
        return f"updates_per_batch = {updates_per_batch} cuts the step into updates once it is whole"
    if objective.dynamic:
        return "dynamic sampling chooses groups once all are judged"
    if any(pull.over is Over.PULLED for pull in objective.pulls):
        return 'a pull over = "pulled" is divided by how many tokens of the step are pulled'
    return None


def refuse_impossible(
    objective: Objective,
    *,
    group_size: int,
    has_teacher: bool,
    teacher_gives: Want = Want.HIDDEN,
    has_reference: bool = True,
    has_rewards: bool = True,
) -> None:
    """Raise ObjectiveError when the surroundings cannot serve the objective."""
    reads = [pull for pull in objective.pulls if pull.toward is Partner.TEACHER and acts(pull.beta)]
    if objective.needs_teacher and not has_teacher:
        raise ObjectiveError(
            f"the objective {'pulls toward' if reads else 'weighs its credit by'} a teacher, but no teacher is set. "
            'Add a [teacher], or choose an objective without one, such as "VOLD_RL".'
        )
    beyond = next((pull.by for pull in reads if not teacher_gives.covers(pull.wants)), None)
    if beyond is not None:
        whole, several = beyond.wants is Want.HIDDEN, teacher_gives is Want.TOP_K
        raise ObjectiveError(
            f'"{beyond}" reads the teacher\'s {"whole distribution" if whole else "likeliest tokens"}, but this teacher returns only the '
            f"log-probabilities of {'its likeliest and of sampled' if several else 'sampled'} tokens. Use a local teacher, or pull.by = "
            f'"{"partner-top-k" if several else "k2"}".'
        )
    if objective.wants(Partner.REFERENCE) is not None and not has_reference:
        raise ObjectiveError("the objective pulls toward a reference, but none is given. Give the model the stage starts from.")
    if objective.credit.compares and group_size < 2:
        raise ObjectiveError(
            f"a group of {group_size} has no spread: its credit is always 0. Set joint.group_size to 2 or more (the paper uses 5), "
            "or choose an objective without credit."
        )
    if objective.reads_verdict and not has_rewards:
        masks = [f'a pull on "{pull.on}"' for pull in objective.pulls if pull.on.reads_verdict]
        weighs = [f'a weight by "{pull.weigh}"' for pull in objective.pulls if pull.weigh.reads_verdict]
        what = "a credit" if objective.credit.present else (masks + weighs)[0]
        raise ObjectiveError(f"{what} reads rewards, but the problems have no answers to judge by. Give answers, or choose OPD, which needs none.")
