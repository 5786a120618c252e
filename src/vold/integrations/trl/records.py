"""From TRL's padded tensors to vold's groups, and from groups to the micro-batches that TRL counts."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor

from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, Verdict
from vold.core.batching import Behaviour, Row, rows_of
from vold.core.plan import Plan

Key = tuple[str, int]
"""(problem id, sample): a rollout's name in its batch, the same on every rank."""

UNKNOWN = float("nan")
"""A log-probability that nobody gave: whoever reads it shows."""

ROUNDING = 1e-6
"""TRL adds rewards up in float32, where 0.7 + 0.2 + 0.1 may fall short of 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Micro:
    """What one forward and backward pass of one rank trains, and what its update divides by: the same on all its micro-batches and ranks."""

    rows: tuple[Row, ...]
    plan: Plan
    z: int


def key_of(rollout: Rollout) -> Key:
    return rollout.problem.id, rollout.sample


def problem_at(step: int, place: int) -> Problem:
    """The problem of one group. TRL's dataset rows have no id, and may hold one prompt twice."""
    return Problem(id=f"{step}/{place}", prompt="", answer=None, source="trl")


def rollouts_of(output: Mapping[str, Any], *, step: int, first: int, group_size: int, end_ids: Collection[int]) -> list[Rollout]:
    """What this rank sampled, in TRL's order. `first` is the place of its first rollout among those of all ranks.

    Where TRL's sampler gives no log-probabilities they are NaN; where it gives some, a token without counts as inserted. `text` stays empty: TRL
    has shown it to the reward functions.
    """
    prompts, responses = _unpadded(output["prompt_ids"], output["prompt_mask"]), _unpadded(output["completion_ids"], output["completion_mask"])
    by_tools = output.get("tool_mask")
    by_sampler = output.get("sampling_per_token_logps")
    found: list[Rollout] = []
    for place, (prompt_ids, response_ids) in enumerate(zip(prompts, responses, strict=True)):
        length = len(response_ids)
        group, sample = divmod(first + place, group_size)
        logprobs = [UNKNOWN] * length if by_sampler is None else by_sampler[place, :length].tolist()
        sampled = [True] * length if by_tools is None else by_tools[place, :length].bool().tolist()
        found.append(
            Rollout(
                problem=problem_at(step, group),
                sample=sample,
                prompt_ids=prompt_ids,
                response_ids=response_ids,
                logprobs=tuple(logprobs),
                sampled=tuple(s and (by_sampler is None or not math.isnan(logprob)) for s, logprob in zip(sampled, logprobs, strict=True)),
                policy_version=step,
                finish=Finish.STOP if response_ids[-1] in end_ids else Finish.LENGTH,
                text="",
            )
        )
    return found


def _unpadded(ids_BT: Tensor, mask_BT: Tensor) -> list[tuple[int, ...]]:
    return [tuple(ids_T[mask_T].tolist()) for ids_T, mask_T in zip(ids_BT.cpu(), mask_BT.bool().cpu(), strict=True)]


def verdict_of(reward: float, right_at: float) -> Verdict:
    """Right from `right_at` on; a reward that is NaN was given by no reward function, and the rollout is unjudged."""
    if math.isnan(reward):
        return Verdict(ruling=Ruling.UNJUDGED, extracted=None, note="every reward function returned None")
    right = reward >= right_at - ROUNDING * max(1.0, abs(right_at))
    return Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=None, reward=reward)


def groups_of(rollouts: Sequence[Rollout], rewards: Sequence[float], *, group_size: int, right_at: float) -> list[Group]:
    """The judged groups of all ranks: every `group_size` rollouts answer one problem."""
    members = [ScoredRollout(rollout=r, verdict=verdict_of(reward, right_at)) for r, reward in zip(rollouts, rewards, strict=True)]
    cuts = range(0, len(members), group_size)
    return [Group(problem=members[cut].rollout.problem, members=tuple(members[cut : cut + group_size])) for cut in cuts]


def updates_of(groups: Sequence[Group], count: int, *, ranks: int) -> list[list[Group]]:
    """A batch's groups by update. With several updates every rank's rollouts are whole groups, `count` runs of them one after the other."""
    size = len(groups) if count == 1 else len(groups) // (ranks * count)
    runs = [groups[start : start + size] for start in range(0, len(groups), size)]
    return [[group for run in runs[update::count] for group in run] for update in range(count)]


def micros_of(groups: Sequence[Group], plan: Plan, behaviour: Behaviour | None, *, mine: Collection[Key], parts: int) -> list[Micro]:
    """One update's groups as `parts` micro-batches of this rank, longest rows together. Counts are over all ranks, rows are this rank's."""
    counts = plan.counts(groups)
    rows = rows_of(groups, plan, counts, behaviour=behaviour)
    trained = [m.rollout for group in groups for m, touched in zip(group.members, plan.touches(group), strict=True) if touched]
    own = [row for row, rollout in zip(rows, trained, strict=True) if key_of(rollout) in mine]
    return [Micro(rows=part, plan=plan, z=counts.z) for part in dealt(own, parts)]


def dealt(rows: Sequence[Row], parts: int) -> list[tuple[Row, ...]]:
    """Rows in `parts` runs of nearly equal size, longest first; some are empty where there are fewer rows than parts."""
    ordered = sorted(rows, key=lambda row: -row.length)
    size, more = divmod(len(ordered), parts)
    ends = [place * size + min(place, more) for place in range(parts + 1)]
    return [tuple(ordered[start:end]) for start, end in pairwise(ends)]
