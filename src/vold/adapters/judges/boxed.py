"""The boxed answer against the reference, in this process and without algebra: what the laptop world needs."""

from collections.abc import Sequence
from dataclasses import dataclass

from vold.base.types import Rollout, Ruling, Verdict
from vold.core.answers import last_boxed, same_answer


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxedJudge:
    r"""Compares the last \boxed{...}: as numbers or as strings without blanks, or `exact`, to the letter (the paper's words)."""

    exact: bool = False

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """One verdict a rollout, in order."""
        return [self._verdict(rollout) for rollout in rollouts]

    def unreadable(self, golds: Sequence[str | None]) -> list[str | None]:
        """Why each reference cannot be judged against; None where it can."""
        return ["the problem has no reference answer" if gold is None else None if gold.strip() else "the reference is empty" for gold in golds]

    def close(self) -> None:
        """Nothing to end."""

    def _verdict(self, rollout: Rollout) -> Verdict:
        gold = rollout.problem.answer
        found = last_boxed(rollout.text)
        if gold is None:
            return Verdict(ruling=Ruling.UNJUDGED, extracted=found, note="the problem has no reference answer")
        if found is None:
            return Verdict(ruling=Ruling.WRONG, extracted=None, note="no boxed answer", exact=False)
        letter_by_letter = found == gold.strip()
        right = letter_by_letter if self.exact else same_answer(found, gold)
        return Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=found, exact=letter_by_letter)
