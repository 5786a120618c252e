"""Benchmark tables as data: which numbers stand where, whatever they are later drawn with."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from vold.core.measures import Measure, estimate, is_share
from vold.report import paper_numbers
from vold.report.benchmark_notes import marked, notes
from vold.report.benchmarks import Benchmark, Model, Scores
from vold.report.escaping import shortened
from vold.report.grid import unique
from vold.report.paper_numbers import PRINTED, Printed, Target

Kind = tuple[str, str]
"""Scoring mode and manner of answering: what must be equal for numbers to stand in one table."""
IMAGES = "images in tuning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One number, NaN where every answer was left out. A printed one has no interval. `share`: shown in percent; `mark`: trained on part of what it
    measures; `of`: the benchmark whose number it is, None for a printed one."""

    value: float
    share: bool
    mark: bool
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    clusters: int = 0
    of: Benchmark | None = None

    @property
    def scale(self) -> float:
        return 100.0 if self.share else 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """`labels` are the words on its left; an entry is None where nothing was measured. `printed`: taken from the paper."""

    labels: tuple[str, ...]
    entries: tuple[Entry | None, ...]
    printed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Numbers of one scoring mode and manner of answering: models by benchmarks (`overview`), or the parts of one benchmark by models."""

    subject: str
    overview: bool
    kind: Kind
    heads: tuple[str, ...]
    """Over the labels."""
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        return f"{self.subject}, scoring {self.kind[0]}, {self.kind[1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """One number of a benchmark, and what the paper prints for it."""

    name: str
    title: str
    metric: str
    part: str
    target: Target | None


def overviews(scores: Sequence[Scores], *, paper: bool = True) -> tuple[Board, ...]:
    """Models by the main numbers of all benchmarks, one board a scoring mode and manner of answering, with the paper's rows below."""
    kinds = unique((one.mode, one.manner) for each in scores for one in each.benchmarks)
    return tuple(_overview(kind, scores, paper) for kind in kinds)


def _overview(kind: Kind, scores: Sequence[Scores], paper: bool) -> Board:
    shown = [(label, each, of_kind(each, kind)) for label, each in zip(labels(scores), scores, strict=True) if of_kind(each, kind)]
    every = [one for _, _, own in shown for one in own]
    places = _across(every, paper)
    lines = [
        Line(labels=(label, each.model.images_in_tuning), entries=tuple(_entry(each.model, _named(own, place.name), place) for place in places))
        for label, each, own in shown
    ]
    printed = [line for row in PRINTED if any((line := _printed(row, places)).entries)]
    return Board(
        subject="Zero-shot results",
        overview=True,
        kind=kind,
        heads=("model", IMAGES),
        columns=tuple(place.title for place in places),
        lines=(*lines, *printed),
        notes=notes([(label, each.model, own) for label, each, own in shown], paper=_beside(every, places, paper), broken=3),
    )


def details(scores: Sequence[Scores], *, paper: bool = True) -> tuple[Board, ...]:
    """All numbers of every benchmark, its parts down the side and models across, one board a benchmark, scoring mode and manner of answering."""
    keys = unique((one.name, one.mode, one.manner) for each in scores for one in each.benchmarks)
    return tuple(_detail(name, (mode, manner), scores, paper) for name, mode, manner in keys)


def _detail(name: str, kind: Kind, scores: Sequence[Scores], paper: bool) -> Board:
    found = [(label, each.model, _named(of_kind(each, kind), name)) for label, each in zip(labels(scores), scores, strict=True)]
    shown = [(label, model, one) for label, model, one in found if one is not None]
    places = _within([one for _, _, one in shown], paper)
    printed = [line for row in PRINTED if any((line := _printed(row, places)).entries)]
    lines = [
        Line(
            labels=(shortened(place.metric), shortened(place.part) or "all"),
            entries=(*(_entry(model, one, place) for _, model, one in shown), *(line.entries[down] for line in printed)),
        )
        for down, place in enumerate(places)
    ]
    return Board(
        subject=shown[0][2].title,
        overview=False,
        kind=kind,
        heads=("metric", "part"),
        columns=(*(label for label, _, _ in shown), *(line.labels[0] for line in printed)),
        lines=tuple(lines),
        notes=notes([(label, model, [one]) for label, model, one in shown], paper=_beside([shown[0][2]], places, paper), broken=20),
    )


def labels(scores: Sequence[Scores]) -> list[str]:
    """What tables call each model: its label, with its prompt style and then its number where labels repeat."""
    found = [shortened(each.model.label, 60) for each in scores]
    counts = Counter(found)
    found = [label if counts[label] == 1 else f"{label} ({shortened(each.model.style, 30)})" for label, each in zip(found, scores, strict=True)]
    counts = Counter(found)
    return [label if counts[label] == 1 else f"{label} #{found[: place + 1].count(label)}" for place, label in enumerate(found)]


def of_kind(scores: Scores, kind: Kind) -> list[Benchmark]:
    return [one for one in scores.benchmarks if (one.mode, one.manner) == kind]


def _named(benchmarks: Sequence[Benchmark], name: str) -> Benchmark | None:
    return next((one for one in benchmarks if one.name == name), None)


def _across(benchmarks: Sequence[Benchmark], paper: bool) -> list[_Place]:
    """The main number of every benchmark, each followed by the numbers the paper prints where these are others; images before text."""
    names = unique(one.name for one in sorted(benchmarks, key=lambda one: one.modality != "image"))
    places: list[_Place] = []
    for name in names:
        same = [one for one in benchmarks if one.name == name]
        wanted = {(one.main.metric, one.main.part) for one in same[:1] if one.main is not None}
        own = _within(same, paper)
        places += [place for place in own if (place.metric, place.part) in wanted or (place.target is not None and place.target.overview)]
    return places


def _within(same: Sequence[Benchmark], paper: bool) -> list[_Place]:
    """All numbers of one benchmark, in the order they first appear."""
    measures = {(measure.metric, measure.part): measure for one in same for measure in one.measures}
    targets: dict[tuple[str, str], Target] = {}
    for target in paper_numbers.targets_of(same[0].is_of) if paper else ():
        measure = paper_numbers.measured(target, list(measures.values()))
        if measure is not None:
            targets.setdefault((measure.metric, measure.part), target)
    return [
        _Place(name=same[0].name, title=_title(same[0], measure), metric=measure.metric, part=measure.part, target=targets.get(key))
        for key, measure in measures.items()
    ]


def _beside(benchmarks: Sequence[Benchmark], places: Sequence[_Place], paper: bool) -> dict[Target, bool]:
    """What the paper prints of these benchmarks, and whether it stands in the table: not where its number was not measured here."""
    shown = [place.target for place in places]
    return {
        target: target in shown
        for one in benchmarks
        for target in paper_numbers.targets_of(one.is_of)
        if paper and (target.overview or target in shown)
    }


def _title(benchmark: Benchmark, measure: Measure) -> str:
    metric = [measure.metric] if measure.metric != "accuracy" else []
    part = [measure.part.rpartition(":")[2].strip()] if measure.part else []
    return shortened(", ".join([benchmark.title, *metric, *part]))


def _entry(model: Model, benchmark: Benchmark | None, place: _Place) -> Entry | None:
    measures = benchmark.measures if benchmark is not None else ()
    measure = next((one for one in measures if (one.metric, one.part) == (place.metric, place.part)), None)
    if benchmark is None or measure is None:
        return None
    found, mark = estimate(measure), marked(model, benchmark)
    return Entry(
        value=found.value, low=found.low, high=found.high, n=found.n, clusters=found.clusters, share=is_share(measure), mark=mark, of=benchmark
    )


def _printed(row: Printed, places: Sequence[_Place]) -> Line:
    def entry(target: Target | None) -> Entry | None:
        if target is None or target.heading not in row.values:
            return None
        value = row.values[target.heading]
        return Entry(value=value if target.points else value / 100, share=not target.points, mark=target.heading in row.contaminated)

    entries = tuple(entry(place.target) for place in places)
    return Line(labels=(f"paper: {row.label}", row.images_in_tuning), entries=entries if any(entries) else (), printed=True)
