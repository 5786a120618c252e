"""The test: zero-shot answers on text and on images the student was never trained on."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from vold.base.types import Answer, Finish, Rollout, Ruling, Verdict
from vold.core.measures import Measure
from vold.ports import Answerer, Benchmark, Judge, Progress, Sampling

Judged = tuple[Rollout, Verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of answering: greedy once, or sampled several times."""

    name: str
    sampling: Sampling
    samples: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that the stage meets."""

    engine: Answerer
    benchmarks: Sequence[tuple[Benchmark, Mapping[str, Judge]]]
    """Each with its rules by scoring mode; the first mode is that which galleries show."""
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one benchmark says of one model, answered in one way and scored by one rule."""

    benchmark: str
    title: str
    modality: Literal["text", "image"]
    mode: str
    way: str
    samples: int
    broken: tuple[tuple[str, str], ...]
    """Rows that could not be asked, and why."""
    items: int
    answers: int
    truncated: int
    """Answers cut at the length cap."""
    closed: int
    """Answers whose thinking was ended for them."""
    unextracted: int
    """Answers in which the rule found nothing: wrong, and counted here too."""
    unjudged: int
    measures: tuple[Measure, ...]
    agreement: Mapping[str, float] = field(default_factory=dict)
    """By every other mode, the share of answers with the same ruling, of those that both judged."""


def evaluate(ways: Sequence[Way], at: Ports) -> tuple[list[Result], list[Answer]]:
    """One result a benchmark, way and scoring mode, with every answer behind them."""
    results: list[Result] = []
    answers: list[Answer] = []
    total = len(at.benchmarks) * len(ways)
    for done, ((benchmark, rules), way) in enumerate(((b, w) for b in at.benchmarks for w in ways), start=1):
        rollouts = at.engine.sample(
            benchmark.problems(), per_problem=way.samples, sampling=way.sampling, place=("evaluate", benchmark.name, way.name)
        )
        verdicts = {mode: judge.judge(rollouts) for mode, judge in rules.items()}
        results += [
            replace(result(benchmark, way, mode, list(zip(rollouts, found, strict=True))), agreement=_agreement(mode, verdicts))
            for mode, found in verdicts.items()
        ]
        answers += [
            Answer(benchmark=benchmark.name, way=way.name, rollout=rollout, verdicts={mode: found[place] for mode, found in verdicts.items()})
            for place, rollout in enumerate(rollouts)
        ]
        at.progress.update(done, total, f"{benchmark.name} {way.name}")
    return results, answers


def _agreement(mode: str, verdicts: Mapping[str, Sequence[Verdict]]) -> dict[str, float]:
    out: dict[str, float] = {}
    for other, theirs in verdicts.items():
        pairs = [(a.ruling, b.ruling) for a, b in zip(verdicts[mode], theirs, strict=True) if Ruling.UNJUDGED not in (a.ruling, b.ruling)]
        if other != mode and pairs:
            out[other] = sum(a is b for a, b in pairs) / len(pairs)
    return out


def result(benchmark: Benchmark, way: Way, mode: str, judged: Sequence[Judged]) -> Result:
    """Counts and numbers. Unjudged answers are counted apart, never as wrong."""
    rulings = [verdict.ruling for _, verdict in judged]
    return Result(
        benchmark=benchmark.name,
        title=benchmark.title,
        modality=benchmark.modality,
        mode=mode,
        way=way.name,
        samples=way.samples,
        broken=tuple(benchmark.broken),
        items=len({rollout.problem.id for rollout, _ in judged}),
        answers=len(judged),
        truncated=sum(rollout.finish is Finish.LENGTH for rollout, _ in judged),
        closed=sum(not all(rollout.sampled) for rollout, _ in judged),
        unextracted=sum(verdict.ruling is Ruling.WRONG and verdict.extracted is None for _, verdict in judged),
        unjudged=rulings.count(Ruling.UNJUDGED),
        measures=(*benchmark.measures(judged), *(_of_several(benchmark, judged, way.samples) if way.samples > 1 else ())),
    )


def _of_several(benchmark: Benchmark, judged: Sequence[Judged], samples: int) -> Iterator[Measure]:
    """The numbers over everything again: counting an item as right where any of its answers is, and where its most frequent answer is."""
    items: dict[str, list[Judged]] = {}
    for rollout, verdict in judged:
        if verdict.ruling is not Ruling.UNJUDGED:
            items.setdefault(rollout.problem.id, []).append((rollout, verdict))
    chosen = {f"pass@{samples}": [_best(own) for own in items.values()], f"majority of {samples}": [_usual(own) for own in items.values()]}
    for name, one_each in chosen.items():
        for measure in benchmark.measures(one_each):
            if not measure.part:
                yield replace(measure, metric=name if measure.metric == "accuracy" else f"{measure.metric}, {name}")


def _best(own: Sequence[Judged]) -> Judged:
    return next((one for one in own if one[1].ruling is Ruling.RIGHT), own[0])


def _usual(own: Sequence[Judged]) -> Judged:
    """The first answer of those that were given most often; answers in which nothing was found do not vote unless there are no others."""
    votes = Counter(verdict.extracted for _, verdict in own if verdict.extracted is not None)
    if not votes:
        return own[0]
    most = votes.most_common(1)[0][0]  # among equals the one that was given first
    return next(one for one in own if one[1].extracted == most)
