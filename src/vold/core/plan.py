"""What a step must do for an objective: whom the teacher reads, which rollouts are trained, what is skipped, and what Z is.

All of it follows from the coefficient c = -A + Σ β w ∂k: where w is 0 the teacher is not needed, where A and every w are 0 there is nothing
to train. An all-right group is skipped under VOLD; an all-wrong group has no credit but all of the pull, and is kept.
"""

from collections.abc import Iterable

from vold.base.types import Finish, Group, ScoredRollout
from vold.core.advantage import group_advantages
from vold.core.objective import Mask, Objective, Partner, Pull, Share, weight_at


def in_objective(member: ScoredRollout, objective: Objective) -> bool:
    """Whether a rollout has a place in the objective and in Z: an unjudged one has none where a verdict is read."""
    return member.judged or not objective.reads_verdict


def pull_acts(pull: Pull, member: ScoredRollout, group: Group, objective: Objective) -> bool:
    """Whether this pull acts on this rollout: the mask of eq. 6 is `on=WRONG`, weight 1 - r."""
    if not in_objective(member, objective):
        return False
    if member.rollout.finish is Finish.LENGTH and not objective.pull_truncated:
        return False
    match pull.on:
        case Mask.EVERY:
            return True
        case Mask.WRONG:
            return member.wrong
        case Mask.RIGHT:
            return member.right
        case Mask.ALL_WRONG:
            return member.wrong and not any(other.right for other in group.members)


def pull_weight(pull: Pull, member: ScoredRollout, group: Group, objective: Objective, *, step: int) -> float:
    """β where the pull acts, else 0."""
    return weight_at(pull.beta, step) if pull_acts(pull, member, group, objective) else 0.0


def wants_teacher(objective: Objective, member: ScoredRollout, group: Group, *, step: int) -> bool:
    """Whether the teacher's log-probabilities of this rollout are read at this step."""
    return any(pull.toward is Partner.TEACHER and pull_weight(pull, member, group, objective, step=step) > 0 for pull in objective.pulls)


def touches(objective: Objective, group: Group, *, step: int) -> tuple[bool, ...]:
    """For each member, whether it has any gradient: an advantage that is not 0, or a pull that acts."""
    return tuple(
        advantage != 0.0 or any(pull_weight(pull, member, group, objective, step=step) > 0 for pull in objective.pulls)
        for advantage, member in zip(group_advantages(group, objective.credit), group.members, strict=True)
    )


def tokens_in(members: Iterable[ScoredRollout]) -> int:
    """Sampled response tokens."""
    return sum(sum(member.rollout.sampled) for member in members)


def share_of(member: ScoredRollout, objective: Objective, *, length_cap: int) -> float:
    """How much each token of this rollout counts before the division by Z."""
    match objective.share:
        case Share.PER_TOKEN:
            return 1.0
        case Share.PER_SEQUENCE:
            return 1.0 / max(1, sum(member.rollout.sampled))
        case Share.FIXED_LENGTH:
            return 1.0 / length_cap


def z_of(groups: Iterable[Group], objective: Objective) -> int:
    """The one number the step's summed gradient is divided by; masks and skips do not shrink it, only rollouts without a place do."""
    members = [member for group in groups for member in group.members if in_objective(member, objective)]
    return tokens_in(members) if objective.share is Share.PER_TOKEN else len(members)
