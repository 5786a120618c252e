"""Stage 0: the teacher answers the prompts, and its answers become what the student is aligned to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vold.base.types import Finish, Rollout, Ruling, Trace
from vold.ports import CorpusStore, Judge, ProblemSource, Progress, RolloutEngine, Sampling
from vold.stages.left_out import verdicts_on


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusRun:
    """One run of the stage. `filter` is `none` (the paper: correctness is not checked) or `correct`."""

    sampling: Sampling
    batch: int
    filter: str = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that the stage meets. `judge` is None where no answers are known."""

    problems: ProblemSource
    engine: RolloutEngine
    judge: Judge | None
    store: CorpusStore
    progress: Progress


def corpus(run: CorpusRun, at: Ports, *, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask what has not been asked yet, batch by batch; drop answers cut off by the cap; return the manifest."""
    problems = at.problems.all()
    written = at.store.done()
    skipped = 0
    for start in range(0, len(problems), run.batch):
        batch = problems[start : start + run.batch]
        if all(problem.id in written for problem in batch):  # a batch is written whole or not at all
            skipped = start + len(batch)
            continue
        if skipped == start > 0:
            at.progress.update(start, len(problems), "prompts answered before")  # the pace counts from here
        rollouts = at.engine.sample(batch, per_problem=1, sampling=run.sampling, place=("corpus",))
        at.store.append(*sifted(rollouts, run, at.judge))
        at.progress.update(start + len(batch), len(problems), "prompts answered")
    if skipped and skipped == len(problems):
        at.progress.update(skipped, skipped, "prompts answered before")
    return at.store.close({**facts, "asked": len(problems)})


def sifted(rollouts: Sequence[Rollout], run: CorpusRun, judge: Judge | None) -> tuple[list[Trace], dict[str, str]]:
    """The traces kept, and why the others were not."""
    verdicts = [None] * len(rollouts) if judge is None else verdicts_on(rollouts, judge)
    kept: list[Trace] = []
    dropped: dict[str, str] = {}
    for rollout, verdict in zip(rollouts, verdicts, strict=True):
        if rollout.finish is Finish.FAILED:
            dropped[rollout.problem.id] = "no answer from the engine"
        elif rollout.finish is Finish.LENGTH:
            dropped[rollout.problem.id] = "over the length cap"
        elif run.filter == "correct" and (verdict is None or verdict.ruling is not Ruling.RIGHT):
            dropped[rollout.problem.id] = "not right" if verdict is None else verdict.ruling.value
        else:
            kept.append(Trace(problem=rollout.problem, response=rollout.text, response_ids=rollout.response_ids, verdict=verdict))
    return kept, dropped


def adopted(
    batches: Iterable[tuple[Sequence[Trace], Mapping[str, str]]],
    length: Callable[[Trace], int],
    *,
    cap: int,
    run: CorpusRun,
    judge: Judge | None,
    store: CorpusStore,
    facts: Mapping[str, Any],
) -> Mapping[str, Any]:
    """Ready-made traces through the same door, batch by batch: traces, and why others of the batch are none to learn from.

    Those over `cap` tokens by `length` (in the student's table) are dropped, and the filter is the same.
    """
    written, asked = store.done(), 0
    for traces, unfit in batches:
        asked += len(traces) + len(unfit)
        if any(name not in written for name in (*(trace.problem.id for trace in traces), *unfit)):  # a batch is written whole or not at all
            own = {trace.problem.id: trace for trace in traces}
            kept, dropped = sifted([_as_rollout(trace, length(trace), cap) for trace in traces], run, judge)
            store.append([replace(own[trace.problem.id], verdict=trace.verdict) for trace in kept], {**unfit, **dropped})
    return store.close({**facts, "asked": asked})


def _as_rollout(trace: Trace, length: int, cap: int) -> Rollout:
    """A ready-made trace as something that can be judged: its words, and whether it fits."""
    return Rollout(
        problem=trace.problem,
        sample=0,
        prompt_ids=(),
        response_ids=(),
        logprobs=(),
        sampled=(),
        policy_version=0,
        finish=Finish.STOP if length <= cap else Finish.LENGTH,
        text=trace.response,
    )
