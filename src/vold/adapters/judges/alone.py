"""What the judges without processes share: reading the answer out of a response, one rollout at a time."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from vold.base.types import Rollout, Ruling, Verdict
from vold.core.answers import find_answer, not_found

NO_REFERENCE = "the problem has no reference answer"


class AloneJudge:
    """Judges each rollout by itself in this process. Subclasses say what can be a reference and when an answer is right."""

    def __init__(self, *, formats: Sequence[str] = ("boxed",)) -> None:
        self.formats = tuple(formats)

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """One verdict a rollout, in order."""
        return [self._verdict(rollout.text, rollout.problem.answer) for rollout in rollouts]

    def unreadable(self, golds: Sequence[str | None]) -> list[str | None]:
        """Why each reference cannot be judged against; None where it can."""
        return [NO_REFERENCE if gold is None else self.reason(gold) for gold in golds]

    def reason(self, gold: str) -> str | None:
        """Why one reference cannot be judged against."""
        return None if gold.strip() else "the reference is empty"

    def right(self, found: str, gold: str) -> tuple[bool, str]:
        """(verdict, note) of an answer that was found."""
        raise NotImplementedError

    def found(self, text: str) -> str | None:
        """The answer in a response."""
        return find_answer(text, self.formats)

    def _verdict(self, text: str, gold: str | None) -> Verdict:
        found = self.found(text)
        reason = NO_REFERENCE if gold is None else self.reason(gold)
        if gold is None or reason is not None:
            return Verdict(ruling=Ruling.UNJUDGED, extracted=found, note=reason or "")
        if found is None:
            return Verdict(ruling=Ruling.WRONG, extracted=None, note=not_found(self.formats), exact=False)
        right, note = self.right(found, gold)
        exact = found.strip() == gold.strip()
        return Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=found, note=note, exact=exact)

    def close(self) -> None:
        """Nothing to end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
