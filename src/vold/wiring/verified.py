"""The looks that are taken at the sampler and at the teacher before anything is learned from them."""

from collections.abc import Callable, Sequence

import torch

from vold.adapters.engines.verified import VerifiedEngine, tolerance_for
from vold.adapters.metering import Meter
from vold.adapters.models import LanguageModel
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.teachers.verified import VerifiedTeacher, token_by_token
from vold.adapters.teachers.vllm import VllmServerTeacher
from vold.base.types import Rollout
from vold.config.schema import Settings
from vold.ports import RolloutEngine


def looked_at(s: Settings, reader: LanguageModel, banned_V: torch.Tensor, meter: Meter) -> Callable[[RolloutEngine], RolloutEngine]:
    """What wraps an engine whose rollouts are learned from. `reader` holds the live weights, in modules that only the engine's thread uses."""

    def reread(rollouts: Sequence[Rollout], temperature: float) -> Sequence[Sequence[float]]:
        own = LocalTeacher(reader=reader, template=None, banned_V=banned_V, temperature=temperature, token_budget=s.joint.token_budget)
        return [view.logprobs for view in own.score(rollouts)]

    def wrapped(engine: RolloutEngine) -> RolloutEngine:
        if s.engine.verify == "never":
            return engine
        tolerance = tolerance_for(str(reader.head.dtype))
        return VerifiedEngine(inner=engine, reread=reread, tolerance=tolerance, seed=s.seed, when=s.engine.verify, told=meter.note)

    return wrapped


def teacher_looked_at(teacher: LocalTeacher | VllmServerTeacher, s: Settings) -> VerifiedTeacher:
    """A teacher whose first answers are asked for again, and where its weights are here held against a second reading of them."""
    assert s.teacher is not None
    reread = token_by_token(teacher) if isinstance(teacher, LocalTeacher) else None
    return VerifiedTeacher(inner=teacher, seed=s.seed, tolerance=tolerance_for(s.teacher.dtype), reread=reread)
