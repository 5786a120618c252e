"""The alignment check: is the student close enough to the teacher for the teacher's pull to help?

    problems -> rollouts of the student -> what student and teacher say at each of its tokens -> numbers -> verdict

Nothing is trained. The answers are the student's own, so the numbers are those of the states at which the joint stage would pull.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vold.base.errors import DataError, Diverged, SettingsError
from vold.base.types import Finish, Problem, Rollout, View
from vold.core.closeness import Closeness, Tokens, closeness_of, joined, read
from vold.core.objective import Want
from vold.core.scale import Scale, Verdict, verdict_of
from vold.ports import Place, Progress, RolloutEngine, Sampling, TeacherScorer


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignRun:
    """One check. `batch` problems are answered and read at a time: what is kept of them is a few numbers a token."""

    samples: int
    sampling: Sampling
    batch: int
    scale: Scale
    place: Place = ("align",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A model that reads rollouts, and the head that makes logits of its hidden states."""

    scorer: TeacherScorer
    head_VH: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything outside that the stage meets. `banned_V` marks the ids, of the student's rows, that not both models may say."""

    problems: Sequence[Problem]
    engine: RolloutEngine
    student: Reader
    teacher: Reader
    banned_V: Tensor
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a check has found: the numbers, where they stand on the scale, the share of rollouts cut off by the length cap, their mean length."""

    closeness: Closeness
    verdict: Verdict
    problems: int
    truncated: float
    mean_length: float


def align(run: AlignRun, at: Ports) -> Measured:
    """The student answers, both models read its answers, and their distance is taken at every token it sampled."""
    refuse_unfit(run, at)
    parts: list[Tokens] = []
    lengths: list[int] = []
    finishes: list[Finish] = []
    for done, problems in batches(at.problems, run.batch):
        asked = at.engine.sample(problems, per_problem=run.samples, sampling=run.sampling, place=run.place)
        rollouts = [rollout for rollout in asked if rollout.finish is not Finish.FAILED]
        if rollouts:
            parts.append(compared(rollouts, run, at))
        lengths += [sum(rollout.sampled) for rollout in rollouts]
        finishes += [rollout.finish for rollout in rollouts]
        at.progress.update(done, len(at.problems), f"{sum(lengths)} tokens")
    if not parts:
        raise DataError(f"the engine could answer none of the {len(at.problems)} problems, the first: {asked[0].note}. Ask others.")
    tokens = joined(parts)
    refuse_broken(tokens)
    closeness = closeness_of(tokens, lengths)
    return Measured(
        closeness=closeness,
        verdict=verdict_of(closeness, run.scale),
        problems=len(at.problems),
        truncated=finishes.count(Finish.LENGTH) / len(finishes),
        mean_length=sum(lengths) / len(lengths),
    )


def refuse_unfit(run: AlignRun, at: Ports) -> None:
    """Raise DataError without problems, SettingsError where rollouts would not be drawn from the whole policy, whose distance is asked for."""
    if not at.problems:
        raise DataError("an alignment check needs at least one problem. Ask for more with --count, or give joint.problems some.")
    if run.sampling.greedy or not run.sampling.whole:
        raise SettingsError(
            "an alignment check draws from the whole policy, as the joint stage does. Set joint.sampling to temperature above 0, top_p = 1.0 "
            "and top_k = 0."
        )


def batches(problems: Sequence[Problem], size: int) -> Iterator[tuple[int, Sequence[Problem]]]:
    """Problems a batch at a time, each with how many are done once it is."""
    for start in range(0, len(problems), size):
        chosen = problems[start : start + size]
        yield start + len(chosen), chosen


def compared(rollouts: Sequence[Rollout], run: AlignRun, at: Ports) -> Tokens:
    """Both models' numbers at the sampled tokens of these rollouts, in their order."""
    ours = at.student.scorer.score(rollouts, want=Want.HIDDEN)
    theirs = at.teacher.scorer.score(rollouts, want=Want.HIDDEN)
    device = at.student.head_VH.device
    both = [(r, x, y) for r, x, y in zip(rollouts, ours, theirs, strict=True) if x is not None and y is not None]
    if not both:
        raise DataError(f"none of {len(rollouts)} rollouts could be read by both models. Look at what the teacher says of them.")
    rollouts, read_by_student, read_by_teacher = zip(*both, strict=True)
    targets = [i for rollout in rollouts for i, sampled in zip(rollout.response_ids, rollout.sampled, strict=True) if sampled]
    return read(
        states_of(rollouts, read_by_student, device),
        at.student.head_VH,
        states_of(rollouts, read_by_teacher, device),
        at.teacher.head_VH.to(device),
        torch.tensor(targets, device=device),
        banned_V=at.banned_V.to(device),
        temperature=run.sampling.temperature,
    )


def states_of(rollouts: Sequence[Rollout], views: Sequence[View | None], device: torch.device) -> Tensor:
    """The hidden states before each sampled token, laid flat."""
    parts = []
    for rollout, view in zip(rollouts, views, strict=True):
        assert view is not None, "a reader in this process leaves nobody out"
        assert view.hidden is not None, "hidden states were asked for"
        parts.append(view.hidden[torch.tensor(rollout.sampled, device=view.hidden.device)].to(device))
    return torch.cat(parts)


def refuse_broken(tokens: Tokens) -> None:
    """Raise Diverged where a number is not finite: a model with broken weights has no distance to another."""
    bad = int((~torch.isfinite(tokens.log_ratio_N)).sum() + (~torch.isfinite(tokens.kl_N)).sum())
    if bad:
        raise Diverged(
            f"{bad} of the log-ratios and divergences are not finite, so one of the two models has weights or activations that are not. "
            "Look at the losses in the journal of stage 1, and load both models in a wider dtype."
        )
