"""The boxed answer against the reference."""

from collections.abc import Sequence
from dataclasses import dataclass

from vold.base.types import Rollout, Ruling, Verdict
from vold.core.answers import last_boxed, same_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxedJudge:
    r"""Compares the last \boxed{...}: `equivalence` as numbers or as strings without blanks, `exact` to the letter (the paper's words)."""

    exact: bool = False

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [self._verdict(rollout) for rollout in rollouts]

    def _verdict(self, rollout: Rollout) -> Verdict:
        gold = rollout.problem.answer
        found = last_boxed(rollout.text)
        if gold is None:
            return Verdict(ruling=Ruling.UNJUDGED, extracted=found, note="the problem has no reference answer")
        if found is None:
            return Verdict(ruling=Ruling.WRONG, extracted=None, note="no boxed answer")
        right = found == gold if self.exact else same_answer(found, gold)
        return Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=found)
