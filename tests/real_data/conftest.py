"""Verdicts do not depend on how busy the machine is."""

from support.patience import patient_judge

__all__ = ["patient_judge"]
