"""The named objectives. A reader compares methods by comparing lines."""

from vold.core.objective import (
    EVERY,
    K2,
    NO_CREDIT,
    PER_TOKEN,
    TEACHER,
    WRONG,
    Z_SCORE,
    Clip,
    Objective,
    Pull,
)

GRPO = Objective(Z_SCORE, Clip(0.2, 0.3), share=PER_TOKEN)
"""VOLD without its teacher: the paper's SFT + GRPO arm (asymmetric clip, no reference)."""

VOLD = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, beta=0.1, by=K2, on=WRONG),), share=PER_TOKEN)
"""Equation 6 of the paper: the teacher speaks where the answer was wrong."""

VOLD_UNMASKED = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, beta=0.1, by=K2, on=EVERY),), share=PER_TOKEN)
"""Equation 5 of the paper: the teacher speaks everywhere."""

OPD = Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, beta=1.0, by=K2, on=EVERY),), share=PER_TOKEN)
"""On-policy distillation alone: no reward."""

ZOO: dict[str, Objective] = {"VOLD": VOLD, "VOLD_UNMASKED": VOLD_UNMASKED, "GRPO": GRPO, "OPD": OPD}
