"""Rewards of a group to advantages (paper, eq. 1)."""

import math
from collections.abc import Sequence

from vold.core.objective import Baseline, Credit


def advantages(rewards: Sequence[float], credit: Credit) -> list[float]:
    """One advantage a reward. Exactly 0 for all when the rewards are equal, whatever rounding does to their mean; `raw` keeps the rewards."""
    if credit.by is Baseline.RAW:
        return list(rewards)
    if not rewards or not credit.present or max(rewards) == min(rewards):
        return [0.0] * len(rewards)
    mean = math.fsum(rewards) / len(rewards)
    centred = [reward - mean for reward in rewards]
    if credit.by is Baseline.CENTRED:
        return centred
    if credit.by is Baseline.LEAVE_ONE_OUT:
        return [c * len(rewards) / (len(rewards) - 1) for c in centred]
    free = len(rewards) - 1 if credit.unbiased else len(rewards)
    std = math.sqrt(math.fsum(c * c for c in centred) / free)
    return [c / (std + credit.epsilon) for c in centred]


def overlong_penalty(length: int, *, cap: int, buffer: float) -> float:
    """0 for a response that leaves the last `buffer` tokens of the cap free, falling linearly to -1 at the cap (DAPO, eq. 13)."""
    return -min(1.0, max(0.0, (length - (cap - buffer)) / buffer))
