"""Two models on the same items: differences with intervals and paired tests, for a terminal, Markdown and programs."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console

from vold.base.errors import DataError
from vold.core.measures import NOTHING, Measure, Paired, is_share, paired
from vold.report import sheets
from vold.report.benchmark_grid import labels
from vold.report.benchmarks import Benchmark, Model, Scores
from vold.report.escaping import shortened
from vold.report.grid import unique
from vold.report.sheets import Sheet

ABSENT = "–"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One number of one benchmark. `share`: shown in percent."""

    benchmark: str
    title: str
    mode: str
    way: str
    metric: str
    part: str
    share: bool
    paired: Paired


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`a` minus `b`, every number over the items both have. `labels` tell the two apart where their names do not."""

    a: Model
    b: Model
    labels: tuple[str, str]
    numbers: tuple[Compared, ...]
    notes: tuple[str, ...]


def compare(a: Scores, b: Scores) -> Comparison:
    """All numbers both have. Raises DataError where nothing can be paired: other benchmarks, scoring modes, ways of answering, or other items."""
    names = [name for name in unique(one.name for one in a.benchmarks) if any(other.name == name for other in b.benchmarks)]
    told = tuple(labels([a, b]))
    if not names:
        found = " and ".join(
            f"{label} has {shortened(_listed(one.name for one in each.benchmarks))}" for label, each in zip(told, (a, b), strict=True)
        )
        raise DataError(f"{found}: no benchmark of both. Evaluate both on the same benchmarks.")
    pairs: list[tuple[Benchmark, Benchmark]] = []
    numbers: list[Compared] = []
    apart: list[str] = []
    for name in names:
        try:
            own = _pairs(name, a, b, told)
            compared = [number for one, other in own for number in _numbers(one, other, told)]
        except Unlike as error:
            apart.append(str(error))
        else:
            pairs += own
            numbers += compared
    if not numbers:
        raise DataError(" ".join(apart))
    notes = (*(f"Not compared: {why}" for why in apart), *_notes(a, b, pairs, told), _tests(numbers))
    return Comparison(a=a.model, b=b.model, labels=(told[0], told[1]), numbers=tuple(numbers), notes=notes)


class Unlike(DataError):
    """A benchmark of both that cannot be compared."""


def _pairs(name: str, a: Scores, b: Scores, told: Sequence[str]) -> list[tuple[Benchmark, Benchmark]]:
    """The same benchmark of both under one scoring mode and manner of answering."""
    left, right = ({(one.mode, one.manner): one for one in each.benchmarks if one.name == name} for each in (a, b))
    shared = [kind for kind in left if kind in right]
    if not shared:
        ours, theirs = (" and ".join(shortened(" / ".join(kind)) for kind in kinds) for kinds in (left, right))
        raise Unlike(
            f"{shortened(name)}: {told[0]} has {ours}, {told[1]} has {theirs}; expected one scoring mode and way of answering of both. "
            "Score the kept answers of both by one mode, or evaluate both in one way."
        )
    return [(left[kind], right[kind]) for kind in shared]


def _numbers(one: Benchmark, other: Benchmark, told: Sequence[str]) -> list[Compared]:
    """What both measured, in the order of the first. Raises Unlike where they share no item."""
    theirs = {(measure.metric, measure.part): measure for measure in other.measures}
    both = [(measure, theirs[key]) for measure in one.measures if (key := (measure.metric, measure.part)) in theirs]
    found = [_compared(one, ours, match) for ours, match in both if dict(ours.weights) == dict(match.weights)]
    shared = [number for number in found if number.paired.n]
    if not shared:
        sizes = " and ".join(f"{label} has {_sized(each)}" for label, each in zip(told, (one, other), strict=True))
        raise Unlike(f"{shortened(one.name)}: {sizes}, and no number stands on items of both. Evaluate both on the same rows of the benchmark.")
    return shared


def _compared(benchmark: Benchmark, a: Measure, b: Measure) -> Compared:
    return Compared(
        benchmark=benchmark.name,
        title=benchmark.title,
        mode=benchmark.mode,
        way=benchmark.manner,
        metric=a.metric,
        part=a.part,
        share=is_share(a) and is_share(b),
        paired=paired(a, b),
    )


def _sized(benchmark: Benchmark) -> str:
    units = benchmark.main.units if benchmark.main is not None else ()
    return f"{benchmark.items} items{f' such as {shortened(units[0].id, 60)}' if units else ''}"


def _notes(a: Scores, b: Scores, pairs: Sequence[tuple[Benchmark, Benchmark]], told: Sequence[str]) -> Iterator[str]:
    """What is not compared, and what else differs between the two."""
    for label, each, beside in ((told[0], a, b), (told[1], b, a)):
        alone = unique(one.title for one in each.benchmarks if one.name not in {two.name for two in beside.benchmarks})
        if alone:
            yield f"Only {label} answered {_listed(alone)}."
    for one, other in pairs:
        odd = unique(m.metric + f" {m.part}" * bool(m.part) for m in (*one.measures, *other.measures) if _lone(m, one, other))
        if odd:
            yield f"{one.title}, not measured by both in one way: {shortened(_listed(odd), 300)}."
        if one.items != other.items:
            yield (
                f"{one.title}: {told[0]} was asked {one.items} items, {told[1]} {other.items}. A number over seed questions, such as a worst case, "
                "may rest on other variants on each side."
            )
    cut = [
        (one.title, (one, one.truncated), (other, other.truncated))
        for one, other in pairs
        if one.truncated is not None and other.truncated is not None
    ]
    if cut:
        yield _left_over("Cut at the length cap", cut)
    yield _left_over("Nothing extracted, counted as wrong", [(one.title, (one, one.unextracted), (other, other.unextracted)) for one, other in pairs])
    if any(one.unjudged or other.unjudged for one, other in pairs):
        yield _left_over("Not judged, left out", [(one.title, (one, one.unjudged), (other, other.unjudged)) for one, other in pairs])
    if a.model.style != b.model.style:
        yield f"Prompt styles differ: {told[0]} {a.model.style}, {told[1]} {b.model.style}."
    yield from _settings(a.settings, b.settings)
    if a.model.digest and (a.model.digest, a.model.style) == (b.model.digest, b.model.style):
        yield "Both are the same checkpoint under the same prompt style."


def _lone(measure: Measure, one: Benchmark, other: Benchmark) -> bool:
    """Whether a measure of either has no like on the other side."""
    like = (measure.metric, measure.part, dict(measure.weights))
    return not all(any((m.metric, m.part, dict(m.weights)) == like for m in side.measures) for side in (one, other))


def _left_over(sentence: str, counted: Sequence[tuple[str, tuple[Benchmark, int], tuple[Benchmark, int]]]) -> str:
    """Counts of one kind of answer on both sides."""
    told = unique(f"{title} {_rate(*a)} / {_rate(*b)}" for title, a, b in counted if a[1] or b[1])
    return f"{sentence}, A / B: {'; '.join(told) or 'none'}."


def _rate(benchmark: Benchmark, count: int) -> str:
    return f"{100 * count / benchmark.answers:.1f} %" if benchmark.answers else ABSENT


def _settings(a: Mapping[str, Any], b: Mapping[str, Any], limit: int = 12) -> Iterator[str]:
    left, right = dict(_flat(a)), dict(_flat(b))
    odd = [name for name in unique([*left, *right]) if left.get(name, ABSENT) != right.get(name, ABSENT)]
    if odd:
        named = [f"{name} {shortened(str(left.get(name, ABSENT)), 40)} / {shortened(str(right.get(name, ABSENT)), 40)}" for name in odd[:limit]]
        more = [f"{len(odd) - limit} more"] if len(odd) > limit else []
        yield f"Settings that differ: {'; '.join(named + more)}."


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _tests(numbers: Sequence[Compared]) -> str:
    tests = unique(number.paired.test for number in numbers if number.paired.test != NOTHING)
    return (
        "Everything is over the items both have, in pairs; unpaired: items that only A / only B has. Intervals are robust to items that share a "
        "seed question. "
        f"Tests: {_listed(tests) or 'none'}; p values are two-sided and not corrected for the number of comparisons ({len(numbers)})."
    )


def _listed(words: Any) -> str:
    return ", ".join(words) or "none"


def show(comparison: Comparison, console: Console | None = None, *, parts: bool = False) -> None:
    """Print the table: drawn on a terminal, as plain aligned lines anywhere else. Without `parts` only numbers over everything."""
    wide, narrow = sheet(comparison, parts=parts), sheet(comparison, parts=parts, brief=True)
    sheets.show([wide, narrow], console or Console())


def plain(comparison: Comparison, *, parts: bool = False) -> str:
    return sheets.plain(sheet(comparison, parts=parts))


def markdown(comparison: Comparison, *, parts: bool = False) -> str:
    return sheets.markdown(sheet(comparison, parts=parts))


def as_json(comparison: Comparison) -> str:
    """Everything, as shares and points rather than percent; what could not be computed is null."""
    return json.dumps(_finite(asdict(comparison)), indent=1) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sheet(comparison: Comparison, *, parts: bool, brief: bool = False) -> Sheet:
    """A line a number. `brief` leaves out the names of tests."""
    a, b = comparison.labels
    shown = [number for number in comparison.numbers if parts or not number.part]
    several = len({(number.mode, number.way) for number in shown}) > 1
    kinds = unique(f"scoring {number.mode}, {number.way}" for number in shown)
    heads = ["benchmark", "number", "A", "B", "A−B [95 %]", "p", "items", "unpaired", *([] if brief else ["test"])]
    return Sheet(
        title=f"A: {a} against B: {b}{'' if several else f', {kinds[0]}' if kinds else ''}",
        heads=tuple(heads),
        left=2,
        lines=tuple(tuple(_line(number, several, brief)) for number in shown),
        notes=comparison.notes,
    )


def _line(number: Compared, several: bool, brief: bool) -> list[str]:
    one, scale = number.paired, 100.0 if number.share else 1.0
    named = shortened(number.metric + f", {number.part}" * bool(number.part)) + f" ({number.mode}, {number.way})" * several
    values = [ABSENT if math.isnan(value) else f"{scale * value:.1f}" for value in (one.a, one.b)]
    difference = f"{scale * one.difference:+.1f} [{scale * one.low:+.1f} {scale * one.high:+.1f}]"
    items = str(one.n) if one.clusters == one.n else f"{one.n} in {one.clusters}"
    tested = [ABSENT if math.isnan(one.difference) else difference, _p(one.p), items, f"{one.only_a} / {one.only_b}"]
    return [number.title, named, *values, *tested, *([] if brief else [one.test])]


def _p(p: float) -> str:
    if math.isnan(p):
        return ABSENT
    return "<0.0001" if p < 1e-4 else f"{p:.4f}" if p < 0.1 else f"{p:.2f}"
