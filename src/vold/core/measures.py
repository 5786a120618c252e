"""What a benchmark's table says, kept as the units behind each number for intervals and paired tests. No torch, no I/O."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What one item, or one seed question, adds to a number."""

    id: str
    """The item, or the seed question: units of two models with one id are compared in pairs."""
    value: float
    """0 or 1 for a greedy answer, a share for the mean of several, more for scores that count otherwise."""
    cluster: str = ""
    """Units of one cluster are not independent; empty: the unit stands alone."""
    stratum: str = ""
    """Which of the means it belongs to, where a number is made of several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of a benchmark: the sum over strata of `weights` times the mean of their units."""

    metric: str
    """`accuracy`, `worst case`, `strict score`, …"""
    units: tuple[Unit, ...]
    part: str = ""
    """Empty: over everything; otherwise what of it, such as `subject: algebra`."""
    weights: Mapping[str, float] = field(default_factory=lambda: {"": 1.0})
    """By stratum; {"": 1} for a plain mean, {"standard-10": 0.5, "vision": 0.5} for the mean of two means."""
