"""The test: zero-shot answers on text and on images the student was never trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

from vold.base.types import Answer, Finish, Rollout, Ruling, Verdict
from vold.core.stats import Tally
from vold.ports import Benchmark, Judge, Progress, RolloutEngine, Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way of answering: greedy once, or sampled several times."""

    name: str
    sampling: Sampling
    samples: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that the stage meets."""

    engine: RolloutEngine
    benchmarks: Sequence[Benchmark]
    judge: Judge
    progress: Progress


def evaluate(ways: Sequence[Way], at: Ports) -> tuple[list[Tally], list[Answer]]:
    """One tally a benchmark, way and difficulty, and one over all difficulties; with every answer behind them."""
    tallies: list[Tally] = []
    answers: list[Answer] = []
    total = len(at.benchmarks) * len(ways)
    for done, (benchmark, way) in enumerate(((b, w) for b in at.benchmarks for w in ways), start=1):
        problems = benchmark.problems()
        rollouts = at.engine.sample(problems, per_problem=way.samples, sampling=way.sampling, place=("evaluate", benchmark.name, way.name))
        verdicts = at.judge.judge(rollouts)
        tallies += tallied(benchmark, way, rollouts, verdicts)
        answers += [Answer(benchmark=benchmark.name, way=way.name, rollout=r, verdict=v) for r, v in zip(rollouts, verdicts, strict=True)]
        at.progress.update(done, total, f"{benchmark.name} {way.name}")
    return tallies, answers


def tallied(benchmark: Benchmark, way: Way, rollouts: Sequence[Rollout], verdicts: Sequence[Verdict]) -> list[Tally]:
    """Counts by difficulty, and overall under difficulty None. Unjudged answers are counted apart, never as wrong."""
    pairs = list(zip(rollouts, verdicts, strict=True))
    levels: list[int | None] = [*sorted({r.problem.difficulty for r, _ in pairs if r.problem.difficulty is not None}), None]
    out: list[Tally] = []
    for level in levels:
        chosen = [(r, v) for r, v in pairs if level is None or r.problem.difficulty == level]
        right: dict[str, list[bool]] = {}
        for rollout, verdict in chosen:
            if verdict.ruling is not Ruling.UNJUDGED:
                right.setdefault(rollout.problem.id, []).append(verdict.ruling is Ruling.RIGHT)
        out.append(
            Tally(
                benchmark=benchmark.name,
                modality=benchmark.modality,
                way=way.name,
                difficulty=level,
                scores=tuple(sum(flags) / len(flags) for flags in right.values()),
                unjudged=sum(v.ruling is Ruling.UNJUDGED for _, v in chosen),
                truncated=sum(r.finish is Finish.LENGTH for r, _ in chosen),
                answers=len(chosen),
            )
        )
    return out
