"""Made-up scores of evaluated models."""

from collections.abc import Sequence
from typing import Any

from vold.core.measures import Measure, Unit
from vold.report.benchmarks import Benchmark, Model, Scores


def units(benchmark: str, values: Sequence[float], *, cluster: int = 0, stratum: str = "") -> tuple[Unit, ...]:
    """A unit a value; `cluster` so many neighbours are one seed question."""
    return tuple(
        Unit(id=f"{benchmark}/{at}", value=float(value), cluster=f"{benchmark} {at // cluster}" if cluster else "", stratum=stratum)
        for at, value in enumerate(values)
    )


def accuracy(benchmark: str, values: Sequence[float], *, part: str = "", metric: str = "accuracy", cluster: int = 0) -> Measure:
    return Measure(metric=metric, part=part, units=units(benchmark, values, cluster=cluster))


def benchmark(name: str, title: str, *measures: Measure, **changed: Any) -> Benchmark:
    """Greedy and strict, nothing cut, nothing broken, unless said otherwise."""
    n = len(measures[0].units) if measures else 0
    fields: dict[str, Any] = {"modality": "image", "mode": "strict", "way": "greedy", "rows": n, "broken": (), "items": n, "answers": n}
    fields |= {"truncated": 0, "unextracted": 0, "unjudged": 0, "overlaps": 0, "measures": measures}
    return Benchmark(name=name, title=title, **fields | changed)


def scores(label: str, *benchmarks: Benchmark, settings: dict[str, Any] | None = None, **changed: Any) -> Scores:
    fields: dict[str, Any] = {"path": f"models/{label}", "digest": f"digest of {label}", "style": "reasoning", "images_in_tuning": "no"}
    return Scores(model=Model(label=label, **fields | changed), benchmarks=benchmarks, settings=settings or {})


def mathvision(values: Sequence[float], **changed: Any) -> Benchmark:
    return benchmark("mathvision", "MathVision", accuracy("mathvision", values), **changed)
