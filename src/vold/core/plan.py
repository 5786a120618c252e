"""What a step must do for an objective: whom the partners read, which rollouts are trained, what is skipped, and what Z is.

All of it follows from the coefficient c = -A + Σ β w ∂k: where w is 0 the partner is not needed, where A and every w are 0 there is nothing
to train. An all-right group is skipped under VOLD; an all-wrong group has no credit but all of the pull, and is kept.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from vold.base.errors import ObjectiveError
from vold.base.types import Finish, Group, ScoredRollout
from vold.core.advantage import advantages, overlong_penalty
from vold.core.objective import Mask, Objective, Over, Overlong, Partner, Pull, Share, Want, Weigh
from vold.core.pulls import most_of
from vold.core.weights import Adaptive, weight_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What sums are divided by. Adding two counts gives those of both batches together."""

    z: int
    """The one number the step's summed gradient is divided by."""
    pulled: tuple[int, ...] = ()
    """For each pull, the part of Z it acts on."""

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(z=self.z + other.z, pulled=tuple(a + b for a, b in zip(self.pulled, other.pulled, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """An objective at one step, its schedules turned into numbers."""

    objective: Objective
    step: int
    length_cap: int
    """The longest response the sampler may write: what a fixed-length share divides by."""
    credit_weight: float
    teacher_ratio: float
    """λ of the credit's teacher ratio at this step; 0 without one."""
    betas: tuple[float, ...]
    entropy: float

    # -- whom to ask ----------------------------------------------------------------------------------------------------------------

    def wants(self, partner: Partner, member: ScoredRollout, group: Group) -> bool:
        """Whether what the partner says of this rollout is read at this step. Needs verdicts, and nothing of the partner."""
        if partner is Partner.TEACHER and self.teacher_ratio > 0 and self.advantages(group)[_place(member, group)] != 0.0:
            return True
        return any(pull.toward is partner and self.acts(place, member, group) for place, pull in enumerate(self.objective.pulls))

    def asks(self, partner: Partner) -> Want:
        """How much a partner is asked for at this step: no more than the pulls that have force now read."""
        return most_of(pull.wants for pull in self._forceful(partner)) or Want.SAMPLED

    def top(self, partner: Partner) -> int:
        """How many of its likeliest ids a partner is asked for at this step; 0: none."""
        return max((pull.top or 0 for pull in self._forceful(partner) if pull.wants is Want.TOP_K), default=0)

    def wants_teacher(self, member: ScoredRollout, group: Group) -> bool:
        """Whether the teacher's log-probabilities of this rollout are read at this step."""
        return self.wants(Partner.TEACHER, member, group)

    def acts(self, pull: int, member: ScoredRollout, group: Group) -> bool:
        """Whether the pull at this place acts on this rollout: the mask of eq. 6 is `on=WRONG`, weight 1 - r."""
        declared = self.objective.pulls[pull]
        if self.betas[pull] == 0.0 or not self.in_objective(member):
            return False
        if member.rollout.finish is Finish.LENGTH and not self.objective.pull_truncated:
            return False
        return lets_through(declared.on, member, group) and (not declared.weigh.reads_verdict or _rate(declared.weigh, group) > 0)

    # -- what to train --------------------------------------------------------------------------------------------------------------

    def in_objective(self, member: ScoredRollout) -> bool:
        """Whether a rollout has a place in the objective and in Z: an unjudged one has none where a verdict is read, one left out never has."""
        if member.left_out:
            return False
        if self.objective.overlong is Overlong.MASK and member.rollout.finish is Finish.LENGTH:
            return False
        return member.judged or not self.objective.reads_verdict

    def touches(self, group: Group) -> tuple[bool, ...]:
        """For each member, whether it has any gradient: a sampled token, and an advantage that is not 0, a pull that acts, or an entropy bonus."""
        return tuple(
            any(member.rollout.sampled) and (credit != 0.0 or self._pulled(member, group) or (self.entropy != 0.0 and self.in_objective(member)))
            for credit, member in zip(self.advantages(group), group.members, strict=True)
        )

    def keeps(self, group: Group) -> bool:
        """Whether dynamic sampling keeps a group: its verdicts give somebody credit, or a pull acts on one of its members.

        A soft overlong penalty alone does not: DAPO asks for 0 < right < G whatever the lengths are.
        """
        credit, rewards = self.objective.credit, [member.reward for member in group.members if member.judged]
        teaches = bool(rewards) and (max(rewards) != min(rewards) if credit.compares else any(rewards))
        return (self.credit_weight > 0 and teaches) or any(self._pulled(member, group) for member in group.members)

    def advantages(self, group: Group) -> tuple[float, ...]:
        """One advantage a member, weighed and masked; an unjudged member gets 0 and takes no part in mean and deviation."""
        credit = self.objective.credit
        of_judged = iter(advantages([self._reward(m) for m in group.members if m.judged], credit))
        raw = [next(of_judged) if m.judged else 0.0 for m in group.members]
        if self.credit_weight == 0.0:
            return (0.0,) * len(raw)
        placed = [m.judged and self.in_objective(m) and lets_through(credit.on, m, group) for m in group.members]
        factors = factors_of(credit.weigh, group, placed)
        return tuple(a * self.credit_weight * f if a and f else 0.0 for a, f in zip(raw, factors, strict=True))

    def pull_weights(self, group: Group) -> tuple[tuple[float, ...], ...]:
        """For each member one weight a pull: β times mask times group weight. Needs the partners' numbers where a weight reads them."""
        return tuple(tuple(self._weight(place, pull, member, group) for place, pull in enumerate(self.objective.pulls)) for member in group.members)

    # -- what to divide by ----------------------------------------------------------------------------------------------------------

    def share_of(self, member: ScoredRollout, group: Group) -> float:
        """How much each token of this rollout counts before the division by Z."""
        match self.objective.share:
            case Share.PER_TOKEN:
                return 1.0
            case Share.PER_SEQUENCE:
                return 1.0 / max(1, tokens_in([member]))
            case Share.PER_GROUP:
                return 1.0 / max(1, tokens_in(m for m in group.members if self.in_objective(m)))
            case Share.FIXED_LENGTH:
                return 1.0 / self.length_cap

    def counts(self, groups: Iterable[Group]) -> Counts:
        """Z, and each pull's part of it. Masks and skips do not shrink Z, only rollouts without a place do."""
        total = Counts(z=0, pulled=(0,) * len(self.objective.pulls))
        for group in groups:
            inside = [member for member in group.members if self.in_objective(member)]
            pulled = [[m for m in inside if self.acts(place, m, group)] for place in range(len(self.objective.pulls))]
            total += Counts(z=self._size(inside), pulled=tuple(self._size(members) for members in pulled))
        return total

    def pull_scales(self, counts: Counts) -> tuple[float, ...]:
        """For each pull, what turns the division by Z into one by the pull's own part of it. (Under a share per group the part of each group is
        in the weight already: there the number of tokens to divide by is the group's own.)"""
        pairs = zip(self.objective.pulls, counts.pulled, strict=True)
        return tuple(counts.z / pulled if pull.over is Over.PULLED and pulled else 1.0 for pull, pulled in pairs)

    # -- inside ---------------------------------------------------------------------------------------------------------------------

    def _forceful(self, partner: Partner) -> list[Pull]:
        return [pull for pull, beta in zip(self.objective.pulls, self.betas, strict=True) if pull.toward is partner and beta > 0]

    def _size(self, members: Sequence[ScoredRollout]) -> int:
        match self.objective.share:
            case Share.PER_TOKEN:
                return tokens_in(members)
            case Share.PER_GROUP:
                return 1 if members else 0
            case _:
                return len(members)

    def _pulled(self, member: ScoredRollout, group: Group) -> bool:
        return any(self.acts(place, member, group) for place in range(len(self.betas)))

    def _reward(self, member: ScoredRollout) -> float:
        if self.objective.overlong is not Overlong.SOFT:
            return member.reward
        buffer = self.objective.soft_buffer * self.length_cap
        return member.reward + overlong_penalty(len(member.rollout.response_ids), cap=self.length_cap, buffer=buffer)

    def _weight(self, place: int, pull: Pull, member: ScoredRollout, group: Group) -> float:
        placed = [self.acts(place, other, group) for other in group.members]
        weight = self.betas[place] * factors_of(pull.weigh, group, placed)[_place(member, group)]
        if weight and pull.over is Over.PULLED and self.objective.share is Share.PER_GROUP:
            inside = tokens_in(m for m in group.members if self.in_objective(m))
            weight *= inside / max(1, tokens_in(m for m, p in zip(group.members, placed, strict=True) if p))
        return weight


def plan_of(objective: Objective, *, step: int, length_cap: int, betas: Mapping[int, float] = MappingProxyType({})) -> Plan:
    """The plan of one step. `betas` holds the present value of each adaptive pull by its place; those not named are at their start."""

    def beta(place: int, pull: Pull) -> float:
        return betas.get(place, pull.beta.start) if isinstance(pull.beta, Adaptive) else weight_at(pull.beta, step)

    if length_cap < 1:
        raise ObjectiveError(f"a plan needs a length cap of at least 1, found {length_cap}. Give the most tokens the sampler may write.")
    ratio = objective.credit.by_teacher
    return Plan(
        objective=objective,
        step=step,
        length_cap=length_cap,
        credit_weight=weight_at(objective.credit.weight, step) if objective.credit.present else 0.0,
        teacher_ratio=0.0 if ratio is None else weight_at(ratio.strength, step),
        betas=tuple(beta(place, pull) for place, pull in enumerate(objective.pulls)),
        entropy=weight_at(objective.entropy, step),
    )


def lets_through(mask: Mask, member: ScoredRollout, group: Group) -> bool:
    """Whether a mask selects a rollout; an unjudged one is neither right nor wrong."""
    match mask:
        case Mask.EVERY:
            return True
        case Mask.WRONG:
            return member.wrong
        case Mask.RIGHT:
            return member.right
        case Mask.ALL_WRONG:
            return member.wrong and not any(other.right for other in group.members)


def factors_of(weigh: Weigh, group: Group, placed: Sequence[bool]) -> tuple[float, ...]:
    """One factor a member, 0 where it is not `placed`. Perplexity factors have a mean of 1 over the placed members of the group."""
    match weigh:
        case Weigh.EVEN:
            raw = [1.0] * len(placed)
        case Weigh.FAIL_RATE | Weigh.PASS_RATE:
            raw = [_rate(weigh, group)] * len(placed)
        case Weigh.LOW_TEACHER_PERPLEXITY:
            raw = _to_mean_one([-_nll(m, m.teacher_logprobs) if p else 0.0 for m, p in zip(group.members, placed, strict=True)], placed)
        case Weigh.HIGH_STUDENT_PERPLEXITY:
            raw = _to_mean_one([_nll(m, m.rollout.logprobs) if p else 0.0 for m, p in zip(group.members, placed, strict=True)], placed)
    return tuple(factor if p else 0.0 for factor, p in zip(raw, placed, strict=True))


def tokens_in(members: Iterable[ScoredRollout]) -> int:
    """Sampled response tokens."""
    return sum(sum(member.rollout.sampled) for member in members)


def _place(member: ScoredRollout, group: Group) -> int:
    return next(place for place, other in enumerate(group.members) if other is member)


def _rate(weigh: Weigh, group: Group) -> float:
    judged = [member for member in group.members if member.judged]
    counted = [m.wrong if weigh is Weigh.FAIL_RATE else m.right for m in judged]
    return sum(counted) / len(judged) if judged else 0.0


def _nll(member: ScoredRollout, logprobs: Sequence[float] | None) -> float:
    assert logprobs is not None, "a perplexity weight is asked for after its model has scored the rollout"
    kept = [value for value, sampled in zip(logprobs, member.rollout.sampled, strict=True) if sampled]
    return -math.fsum(kept) / max(1, len(kept))


def _to_mean_one(exponents: Sequence[float], placed: Sequence[bool]) -> list[float]:
    """exp of each placed entry, scaled to a mean of 1: the largest exponent is taken out first, so that none overflows."""
    top = max((e for e, p in zip(exponents, placed, strict=True) if p), default=0.0)
    raw = [math.exp(e - top) if p else 0.0 for e, p in zip(exponents, placed, strict=True)]
    total = math.fsum(raw)
    return [r * sum(placed) / total if total else 0.0 for r in raw]
