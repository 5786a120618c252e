"""The test: zero-shot answers on text and on images the student was never trained on."""

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from vold.base.types import Answer, Finish, Rollout, Ruling, Verdict
from vold.core.measures import Measure, Unit
from vold.core.readings import Group, Opaque, Option, Reading, Relation, Value, Words, read
from vold.core.sameness import squeezed
from vold.ports import Answerer, Benchmark, Judge, Progress, Sampling
from vold.stages.left_out import verdicts_on

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
    """Answers that could not be judged, those left out among them."""
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
        verdicts = {mode: verdicts_on(rollouts, judge) for mode, judge in rules.items()}
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
    """The numbers over everything again, with one answer an item: a right one where any is right, and one that says what was said most often.

    Fewer tries succeed less often: in pass@k an item counts as not judged unless all `samples` answers to it were, and the share of items left out
    so comes last, where there are any. A majority is that of the judged answers.
    """
    items: dict[str, list[Judged]] = {}
    for one in judged:
        items.setdefault(one[0].problem.id, []).append(one)
    known = {name: [one for one in own if one[1].ruling is not Ruling.UNJUDGED] for name, own in items.items()}
    left = {name for name, own in known.items() if len(own) < samples}
    chosen = {
        f"pass@{samples}": [_unjudged(own[0]) if name in left else _best(own) for name, own in items.items()],
        f"majority of {samples}": [_usual(known[name]) if known[name] else own[0] for name, own in items.items()],
    }
    for name, one_each in chosen.items():
        # numbers that take several items together, such as a worst case, do so sample by sample
        for measure in benchmark.measures([(replace(rollout, sample=0), verdict) for rollout, verdict in one_each]):
            if not measure.part:
                yield replace(measure, metric=name if measure.metric == "accuracy" else f"{measure.metric}, {name}")
    if left:
        yield Measure(metric=f"left out of pass@{samples}", units=tuple(Unit(id=name, value=float(name in left)) for name in items))


def _unjudged(one: Judged) -> Judged:
    return one[0], replace(one[1], ruling=Ruling.UNJUDGED)


def _best(own: Sequence[Judged]) -> Judged:
    return next((one for one in own if one[1].ruling is Ruling.RIGHT), own[0])


def _usual(own: Sequence[Judged]) -> Judged:
    """The first answer of those that say what was said most often; answers in which nothing was found do not vote unless there are no others."""
    voting = [(one, verdict.extracted) for one in own if (verdict := one[1]).extracted is not None]
    if not voting:
        return own[0]
    votes = said([answer for _, answer in voting])
    most = Counter(votes).most_common(1)[0][0]  # among equals the one that was said first
    return voting[votes.index(most)][0]


# -- what answers say, without the reference ----------------------------------------------------------------------------------------

LONGEST = 200
"""Longer answers are no values and are compared as texts."""
_NAMED = re.compile(r"\\?[a-zA-Z]+(?:_(?:\w|\{\w+\}))?")


def said(answers: Sequence[str]) -> list[Hashable]:
    r"""What each of several answers to one question says, so that those which say the same are equal: \frac{1}{2}, 1/2 and 0.5; 1,234 and 1234.

    A percentage says the share it is where another answer says that share, and otherwise its number: 50 % is 0.5 beside a 0.5, and else 50.
    """
    meanings = {answer: _meaning(read(answer) if len(answer) <= LONGEST else Opaque(answer)) for answer in dict.fromkeys(answers)}
    numbers = set(meanings.values())
    return [meaning.of(numbers) if isinstance(meaning := meanings[answer], _Percent) else meaning for answer in answers]


@dataclass(frozen=True, slots=True)
class _Percent:
    number: Fraction

    def of(self, numbers: Set[Hashable]) -> Fraction:
        share = self.number / 100
        return share if share in numbers else self.number


def _meaning(reading: Reading) -> Hashable:
    """A number whatever its notation and its unit, words in any case, `x = 5` as 5, bare lists and sets in any order; all else by its notation.

    It looks at every part once. `sameness` knows more, but only of two answers, and by it what is the same as the same need not be the same.
    """
    if isinstance(reading, Value):
        exact = squeezed(reading.text) if reading.number is None else reading.number
        return _Percent(reading.number) if reading.percent and reading.number is not None else exact
    if isinstance(reading, Words):
        return reading.text.casefold()
    if isinstance(reading, Option):
        return reading.letter
    if isinstance(reading, Relation) and reading.signs == ("=",) and _NAMED.fullmatch(squeezed(reading.texts[0])):
        return _meaning(reading.members[1])
    if isinstance(reading, Relation):
        return reading.signs, tuple(map(_meaning, reading.members))
    if isinstance(reading, Group):
        items = tuple(map(_meaning, reading.items))
        return frozenset(Counter(items).items()) if reading.opens in ("", r"\{") else (reading.opens, items, reading.closes)
    return squeezed(reading.text) if isinstance(reading, Opaque) else reading
