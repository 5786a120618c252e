"""Does a teacher say how likely the tokens are that it was asked about? The first answers are looked at before any gradient is made of them.

A wrong teacher is as quiet as a stale sampler: zeros pull toward the student's own certainty, and numbers of other tokens toward anything.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random

import torch

from vold.adapters.engines.verified import PRECISE, TOKENS, Tolerance
from vold.adapters.teachers.local import LocalTeacher, fitted
from vold.base.errors import LyingTeacher
from vold.base.seeds import seed_for
from vold.base.types import Rollout, View
from vold.core.objective import Want
from vold.ports import TeacherScorer

Reread = Callable[[Rollout], Sequence[float]]
ROWS = 3
CONSTANT = 8
"""So many tokens of one and the same log-probability are no accident."""


@dataclass(slots=True, kw_only=True)
class VerifiedTeacher:
    """Any teacher, and a look at its first answers. Raises LyingTeacher where they cannot be what was asked for.

    Every answer must have one finite log-probability a token, none above 0. The first ones are also asked again, one at a time and with the last
    token exchanged: the numbers before it must stay, its own must not. With `reread` they are held against a second reading by other code.
    """

    inner: TeacherScorer
    seed: int
    tolerance: Tolerance = PRECISE
    reread: Reread | None = None
    _looked: bool = field(default=False, init=False)

    @property
    def gives(self) -> Want:
        return self.inner.gives

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> Sequence[View | None]:
        views = self.inner.score(rollouts, want=want, top=top)
        if len(views) != len(rollouts):
            raise LyingTeacher(
                f"the teacher was asked about {len(rollouts)} rollouts and answered about {len(views)}, so none can be told apart. It must give one "
                "answer a rollout, in order, and None for one that it could not read."
            )
        told = [(rollout, view) for rollout, view in zip(rollouts, views, strict=True) if view is not None and rollout.response_ids]
        for rollout, view in told:
            refuse_numbers(rollout, view.logprobs)
        if told and not self._looked:
            self._looked = True
            refuse_constant(told)
            self._asked_again(told)
        return views

    def _asked_again(self, told: Sequence[tuple[Rollout, View]]) -> None:
        alike: list[bool] = []
        for rollout, view in Random(seed_for(self.seed, "verify", "teacher")).sample(told, min(ROWS, len(told))):
            short = _cut(rollout, rollout.response_ids[:TOKENS])
            first = view.logprobs[:TOKENS]
            self._agree(rollout, first, self._alone(short), "the same rollout alone", "It mixes rollouts up, or does not repeat itself.")
            if self.reread is not None:
                self._agree(rollout, first, self.reread(short), "a reading of its own weights, token by token", "It scores other ids.")
            other = next((i for i in short.response_ids if i != short.response_ids[-1]), None)
            if other is None:
                continue
            changed = self._alone(_cut(rollout, (*short.response_ids[:-1], other)))
            self._agree(rollout, first[:-1], changed[:-1], "the same rollout with another last token", "What comes later must not matter.")
            if changed:
                alike.append(changed[-1] == first[-1])
        if alike and all(alike):  # one such pair may be an accident of rounding
            raise LyingTeacher(
                f"the teacher gives the last token of {len(alike)} rollouts exactly the number of another token put in its place. "
                "It does not read the ids that it is given. Look at what is sent to it."
            )

    def _alone(self, rollout: Rollout) -> Sequence[float]:
        (view,) = self.inner.score([rollout], want=Want.SAMPLED)
        return () if view is None else view.logprobs

    def _agree(self, rollout: Rollout, one: Sequence[float], other: Sequence[float], what: str, meaning: str) -> None:
        if not one or not other:
            return  # a second question that was not answered proves nothing
        gaps = [abs(x - y) for x, y in zip(one, other, strict=True)]
        if not self.tolerance.holds(gaps):
            raise LyingTeacher(
                f"the teacher contradicts itself on {_named(rollout)}: beside {what}, its {len(gaps)} log-probabilities lie "
                f"{self.tolerance.told(gaps)}. {meaning}"
            )


def refuse_numbers(rollout: Rollout, logprobs: Sequence[float]) -> None:
    """Raise LyingTeacher for a wrong count, for what is not a number, and for what is no logarithm of a probability."""
    if len(logprobs) != len(rollout.response_ids):
        raise LyingTeacher(
            f"the teacher gave {len(logprobs)} log-probabilities for the {len(rollout.response_ids)} tokens of {_named(rollout)}; expected one a "
            "token. Look at how its answer is read."
        )
    bad = next((place for place, value in enumerate(logprobs) if not math.isfinite(value) or value > 1e-3), None)
    if bad is not None:
        raise LyingTeacher(
            f"the teacher's log-probability of token {bad} of {_named(rollout)} is {logprobs[bad]}; expected a finite number of at most 0. Where "
            "it is minus infinity the student may say what the teacher cannot: ban that id for both. Otherwise look at the teacher's logits."
        )


def refuse_constant(told: Sequence[tuple[Rollout, View]]) -> None:
    """Raise LyingTeacher where every token is as likely as every other, zeros above all."""
    values = [value for _, view in told for value in view.logprobs]
    if len(values) >= CONSTANT and len(set(values)) == 1:
        raise LyingTeacher(
            f"the teacher gives {values[0]:g} to all of {len(values)} tokens of {len(told)} rollouts, so it has not read them. A failed call that "
            "was filled with zeros looks like this. It must answer None for what it could not read."
        )


def token_by_token(teacher: LocalTeacher) -> Reread:
    """A second reading of a local teacher's weights that shares nothing with its packs: one whole forward pass, all logits, one softmax."""

    @torch.no_grad()
    def reread(rollout: Rollout) -> Sequence[float]:
        prompt = teacher.prompt(rollout)
        reader = teacher.reader
        with teacher.awake():
            ids_1T = torch.tensor([[*prompt, *rollout.response_ids]], device=reader.device)
            hidden_TH = reader.hidden(ids_1T)[0, len(prompt) - 1 : -1]
            logits_TV = (
                torch.nn.functional.linear(hidden_TH, reader.head).to(torch.promote_types(reader.head.dtype, torch.float32)) / teacher.temperature
            )
            logprobs_TV = logits_TV.masked_fill(fitted(teacher.banned_V, reader.head), float("-inf")).log_softmax(-1)
            found: list[float] = logprobs_TV.gather(1, ids_1T[0, len(prompt) :, None])[:, 0].tolist()
        return found

    return reread


def _cut(rollout: Rollout, ids: tuple[int, ...]) -> Rollout:
    return replace(rollout, response_ids=ids, logprobs=rollout.logprobs[: len(ids)], sampled=rollout.sampled[: len(ids)])


def _named(rollout: Rollout) -> str:
    return f"{rollout.problem.id}, sample {rollout.sample}"
