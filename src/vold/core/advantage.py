"""Rewards of a group to advantages (paper, eq. 1)."""

import math
from collections.abc import Sequence

from vold.base.types import Group
from vold.core.objective import Baseline, Credit


def advantages(rewards: Sequence[float], credit: Credit) -> list[float]:
    """One advantage a reward. Exactly 0 for all when the rewards are equal, whatever rounding does to their mean."""
    if not rewards or not credit.present or max(rewards) == min(rewards):
        return [0.0] * len(rewards)
    mean = math.fsum(rewards) / len(rewards)
    centred = [reward - mean for reward in rewards]
    if credit.by is Baseline.CENTRED:
        return centred
    free = len(rewards) - 1 if credit.unbiased else len(rewards)
    std = math.sqrt(math.fsum(c * c for c in centred) / free)
    return [c / (std + credit.epsilon) for c in centred]


def group_advantages(group: Group, credit: Credit) -> list[float]:
    """One advantage a member; an unjudged member gets 0 and takes no part in mean and deviation."""
    judged = iter(advantages([m.reward for m in group.members if m.judged], credit))
    return [next(judged) if m.judged else 0.0 for m in group.members]
