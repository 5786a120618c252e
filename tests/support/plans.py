"""Plans made in one word: an objective at a step, under a length cap that no hand-made rollout reaches."""

from collections.abc import Sequence

from vold.base.types import Group
from vold.core.objective import Objective
from vold.core.plan import Plan, plan_of

CAP = 12


def plan_for(objective: Objective, *, step: int = 0, length_cap: int = CAP) -> Plan:
    return plan_of(objective, step=step, length_cap=length_cap)


def z_of(groups: Sequence[Group], objective: Objective, *, step: int = 0) -> int:
    """What these groups' gradient is divided by."""
    return plan_for(objective, step=step).counts(groups).z
