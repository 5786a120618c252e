"""Multiple choice: the option's letter, whatever stands around it."""

from collections.abc import Sequence

from vold.base.types import Rollout, Ruling, Verdict
from vold.core.answers import find_answer, not_found
from vold.core.choices import letters_in


class ChoiceJudge:
    """Compares the option letters of answer and reference; where the reference names several, as sets. Holds no processes."""

    def __init__(self, *, formats: Sequence[str] = ("boxed",)) -> None:
        self.formats = tuple(formats)

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [self._verdict(rollout) for rollout in rollouts]

    def unreadable(self, golds: Sequence[str | None]) -> list[str | None]:
        """A reference must name an option."""
        return [_unreadable(gold) for gold in golds]

    def close(self) -> None:
        """There is nothing to end."""

    def _verdict(self, rollout: Rollout) -> Verdict:
        found, gold = find_answer(rollout.text, self.formats), rollout.problem.answer
        reason = _unreadable(gold)
        if reason is not None or gold is None:
            return Verdict(ruling=Ruling.UNJUDGED, extracted=found, note=reason or "")
        if found is None:
            return Verdict(ruling=Ruling.WRONG, extracted=None, note=not_found(self.formats), exact=False)
        letters, exact = letters_in(found), found == gold.strip()
        if letters is None:
            return Verdict(ruling=Ruling.WRONG, extracted=found, note="names no option, or more than one", exact=exact)
        right = letters == letters_in(gold)
        return Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=found, exact=exact)


def _unreadable(gold: str | None) -> str | None:
    if gold is None:
        return "the problem has no reference answer"
    return None if letters_in(gold) is not None else f"the reference names no option: {gold[:60]!r}"
