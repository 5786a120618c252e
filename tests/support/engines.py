"""Engines of this package as subjects of the contract."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from support import dense
from support import models as m
from support.checks import TEXT
from support.engine_contract import Subject
from support.records import problem

from vold.adapters.models import LanguageModel
from vold.adapters.vocabulary import banned_ids
from vold.base.types import Problem, Rollout
from vold.ports import RolloutEngine

TOO_LONG = problem("long", " ".join(["1"] * 600))


def sized(count: int) -> Problem:
    return problem(f"of {count}", " ".join(str(place % 10) for place in range(count)))


def reading(speaker: LanguageModel, rollout: Rollout, temperature: float) -> Sequence[float]:
    if speaker.tower is not None:
        speaker.model.model.rope_deltas = None
    with torch.no_grad():
        found: list[float] = dense.logprobs_of(speaker.model, rollout, banned_ids(speaker), temperature).tolist()
    return found


def subject_of(speaker: LanguageModel, make: Callable[[int], RolloutEngine]) -> Subject:
    banned = frozenset(banned_ids(speaker).nonzero().squeeze(1).tolist())
    read = partial(reading, speaker)
    return Subject(make=make, read=read, problems=TEXT, too_long=TOO_LONG, ends=frozenset(speaker.end_ids), banned=banned, sized=sized, within=1e-5)


def transformers_subject(speaker: LanguageModel, decoder: str, **more: int) -> Subject:
    return subject_of(speaker, lambda seed: m.engine_of(speaker, seed=seed, decoder=decoder, **more))
