"""The paper's words: the answer is right when it is the reference to the letter."""

from collections.abc import Sequence

from vold.base.types import Rollout, Ruling, Verdict
from vold.core.answers import find_answer, not_found


class ExactJudge:
    """Compares the answer with the reference to the letter, blanks around them left aside. Holds no processes."""

    def __init__(self, *, formats: Sequence[str] = ("boxed",)) -> None:
        self.formats = tuple(formats)

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [self._verdict(rollout) for rollout in rollouts]

    def unreadable(self, golds: Sequence[str | None]) -> list[str | None]:
        """A reference can be compared with as long as something stands in it."""
        return [None if gold is not None and gold.strip() else "the reference is empty" for gold in golds]

    def close(self) -> None:
        """There is nothing to end."""

    def _verdict(self, rollout: Rollout) -> Verdict:
        found, gold = find_answer(rollout.text, self.formats), rollout.problem.answer
        if gold is None or not gold.strip():
            note = "the problem has no reference answer" if gold is None else "the reference is empty"
            return Verdict(ruling=Ruling.UNJUDGED, extracted=found, note=note)
        if found is None:
            return Verdict(ruling=Ruling.WRONG, extracted=None, note=not_found(self.formats), exact=False)
        right = found == gold.strip()
        return Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=found, exact=right)
