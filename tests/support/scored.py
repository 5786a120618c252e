"""Scores of a benchmark, made up."""

from typing import Any

from vold.core.measures import Measure, Unit
from vold.report.benchmarks import Benchmark


def measure(scores: tuple[float, ...], difficulty: int | None = None, metric: str = "accuracy") -> Measure:
    part = "" if difficulty is None else f"difficulty: {difficulty}"
    return Measure(metric=metric, part=part, units=tuple(Unit(id=f"{part}/{place}", value=score) for place, score in enumerate(scores)))


def scored(*measures: Measure, **changes: Any) -> Benchmark:
    asked = len(measures[0].units) + 1
    given: dict[str, Any] = {
        "name": "b",
        "title": "b",
        "modality": "text",
        "mode": "equivalence",
        "way": "greedy",
        "rows": asked,
        "broken": (),
        "items": asked,
        "answers": asked,
        "truncated": 2,
        "unextracted": 0,
        "unjudged": 1,
        "overlaps": None,
        "measures": measures,
    }
    return Benchmark(**(given | changes))
