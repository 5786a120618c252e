"""What the paper prints, to stand beside what was measured.

Source: VOLD, arXiv 2510.23497 (CVPR 2026), Table 1, and Tables 6 and 7 of its supplement. Its numbers were made with VLMEvalKit, answers extracted
by GPT-4o-mini; it prints no intervals and no seeds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vold.core.measures import Measure

SOURCE = "arXiv 2510.23497"
HOW = "VLMEvalKit, answers extracted by GPT-4o-mini, no intervals printed, X-Reasoner-3B trained again by the paper"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which of a benchmark's numbers the paper prints under a heading."""

    heading: str
    benchmark: str
    """Its name in settings."""
    table: str
    what: tuple[str, ...] = ()
    """Words of which one names the metric or the part that was printed; empty: the main number."""
    points: bool = False
    """Points, not percent."""
    overview: bool = True
    """Whether it stands in the table of all benchmarks, not only in the benchmark's own."""
    note: str = ""


TARGETS = (
    Target(
        heading="MMMU-Pro",
        benchmark="mmmu-pro",
        table="Table 1",
        what=("vision",),
        note="MMMU-Pro is taken to be the Vision part, as one version of the paper labels it; its usual number is the mean of standard-10 and vision",
    ),
    Target(heading="MathVision", benchmark="mathvision", table="Table 1"),
    Target(heading="MathVista", benchmark="mathvista", table="Table 1"),
    Target(
        heading="MathVerse",
        benchmark="mathverse",
        table="Table 1",
        what=("vision only",),
        note="MathVerse is taken to be the Vision Only version: its baselines equal a leaderboard of that version",
    ),
    Target(heading="DynaMath", benchmark="dynamath", table="Table 1", what=("average", "accuracy"), note="DynaMath is the average over variants"),
    Target(
        heading="WeMath",
        benchmark="wemath",
        table="Table 1",
        what=("strict",),
        note="We-Math is the strict score; VLAA-Thinker's own paper (arXiv 2504.11468, Table 4) prints 33.8 for its 3B model, not 31.5",
    ),
    Target(heading="LogicVista", benchmark="logicvista", table="Table 1"),
    Target(heading="MMStar", benchmark="mmstar", table="Table 1"),
    Target(heading="MMStar perception", benchmark="mmstar", table="Table 6", what=("perception",), overview=False),
    Target(heading="MMStar reasoning", benchmark="mmstar", table="Table 6", what=("reasoning",), overview=False),
    Target(heading="MME perception", benchmark="mme", table="Table 6", what=("perception",), points=True),
    Target(heading="MME reasoning", benchmark="mme", table="Table 6", what=("reasoning", "cognition"), points=True),
    Target(
        heading="HallusionBench",
        benchmark="hallusionbench",
        table="Table 6",
        note="the paper does not say which of HallusionBench's averages it prints",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """One model of the paper: its numbers as printed, by heading."""

    label: str
    images_in_tuning: str
    values: Mapping[str, float]
    contaminated: frozenset[str] = field(default_factory=frozenset)
    """Headings the paper marks with ‡: trained on part of the evaluation set."""


def _table_1(text: str) -> dict[str, float]:
    headings = ("MMMU-Pro", "MathVision", "MathVista", "MathVerse", "DynaMath", "WeMath", "LogicVista", "MMStar")
    return {heading: float(word) for heading, word in zip(headings, text.split(), strict=True) if word != "–"}


def _table_6(text: str) -> dict[str, float]:
    headings = ("MMStar perception", "MMStar reasoning", "MME perception", "MME reasoning", "HallusionBench")
    return dict(zip(headings, map(float, text.split()), strict=True))


PRINTED = (
    Printed(
        label="Qwen2.5-VL-3B-Instruct",
        images_in_tuning="–",
        values=_table_1("27.1 21.9 61.2 31.2 42.7 22.9 40.3 55.9") | _table_6("58.4 53.5 1564 594 46.3"),
    ),
    # its authors published no checkpoint: the paper trained it again on its own data
    Printed(label="X-Reasoner-3B", images_in_tuning="no", values=_table_1("31.0 24.4 61.1 35.7 47.2 30.6 41.1 55.2")),
    Printed(
        label="VLM-R1-3B-Math",
        images_in_tuning="yes",
        values=_table_1("28.6 21.9 62.7 32.2 42.7 30.0 40.5 –"),
        contaminated=frozenset({"MathVista", "MathVerse"}),
    ),
    Printed(
        label="VLAA-Thinker-3B",
        images_in_tuning="yes",
        values=_table_1("24.6 24.4 61.0 36.4 47.5 31.5 38.5 –"),
        contaminated=frozenset({"MathVista"}),
    ),
    Printed(
        label="VOLD",
        images_in_tuning="no",
        values=_table_1("32.0 28.0 61.9 37.9 50.7 31.8 45.0 55.2") | _table_6("54.4 55.9 1530 738 49.8"),
    ),
    Printed(label="VOLD + image RL (Table 7)", images_in_tuning="yes", values={"MathVista": 63.4, "MathVerse": 38.7}),
)


def targets_of(benchmark: str) -> tuple[Target, ...]:
    """What the paper prints of a benchmark."""
    return tuple(target for target in TARGETS if plain(target.benchmark) == plain(benchmark))


def measured(target: Target, measures: Sequence[Measure]) -> Measure | None:
    """The measure that a target is comparable with, None where it was not measured."""
    if not target.what:
        return measures[0] if measures else None
    for what in target.what:
        for measure in measures:
            if plain(measure.part.rpartition(":")[2]) == plain(what) or (not measure.part and what in measure.metric.lower().split()):
                return measure
    return None


def plain(words: str) -> str:
    """Letters and digits alone, so that `Vision Only`, `vision_only` and `Vision-Only` are one."""
    return re.sub(r"[\W_]", "", words).lower()
