"""The default judge: the same number, string, set, interval or expression."""

import importlib.util
import re
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from vold.adapters.judges.pool import Limits, Pool, Question, Reply
from vold.base.errors import SettingsError
from vold.base.types import Rollout, Ruling, Verdict
from vold.core.answers import find_answer, not_found, same_answer
from vold.core.latex import LONGEST, balanced, tidy
from vold.core.readings import Value, Words, read, read_both
from vold.core.sameness import same

Pair = tuple[str, str]


class EquivalenceJudge:
    """Decides what it can by numbers and notations in this process; the rest goes to math-verify, in processes that are ended at their deadline.

    The first answer that needs algebra starts the processes; `close`, the end of a `with` block, or the end of this object ends them.
    """

    def __init__(
        self, *, formats: Sequence[str] = ("boxed",), deadline: float = 5.0, workers: int = 0, memory_mb: int = 1024, recycle: int = 1000
    ) -> None:
        if importlib.util.find_spec("math_verify") is None:
            raise SettingsError('judge.kind = "equivalence" needs math-verify. Install it (pip install math-verify), or set judge.kind = "exact".')
        self.formats = tuple(formats)
        self.pool = Pool(Limits(deadline=deadline, workers=workers, memory_mb=memory_mb, recycle=recycle))

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        """One verdict a rollout, in order."""
        found = [find_answer(rollout.text, self.formats) for rollout in rollouts]
        golds = [rollout.problem.answer for rollout in rollouts]
        asked = [(place, (a, g)) for place, (a, g) in enumerate(zip(found, golds, strict=True)) if a is not None and g is not None]
        verdicts = dict(zip([place for place, _ in asked], self.compare([pair for _, pair in asked]), strict=True))
        return [verdicts[place] if place in verdicts else self._alone(found[place], golds[place]) for place in range(len(rollouts))]

    def _alone(self, found: str | None, gold: str | None) -> Verdict:
        """The verdict where there are no two things to compare."""
        if gold is None:
            return Verdict(ruling=Ruling.UNJUDGED, extracted=found, note="the problem has no reference answer")
        reason = _plainly_unreadable(gold)
        if reason is not None:
            return Verdict(ruling=Ruling.UNJUDGED, extracted=None, note=reason)
        return Verdict(ruling=Ruling.WRONG, extracted=None, note=not_found(self.formats), exact=False)

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """A verdict for each (answer, gold), in order; the same pair is worked out once."""
        looked_at = {pair: _quickly(*pair) for pair in dict.fromkeys(pairs)}
        replies = {pair: reply for pair, reply in looked_at.items() if reply is not None}
        hard = [pair for pair in looked_at if pair not in replies]
        slow = self.pool.ask([Question("same", answer=answer, gold=gold) for answer, gold in hard]) if hard else []
        replies |= dict(zip(hard, slow, strict=True))
        return [_verdict(answer, gold, replies[answer, gold]) for answer, gold in pairs]

    def unreadable(self, golds: Sequence[str | None]) -> list[str | None]:
        """Why each reference cannot be judged against; None where it can."""
        reasons: dict[str | None, str | None] = {None: "the problem has no reference answer"}
        hard = []
        for gold in dict.fromkeys(golds):
            if gold is None:
                continue
            reasons[gold] = _plainly_unreadable(gold)
            if reasons[gold] is None and not _plainly_readable(gold):
                hard.append(gold)
        replies = self.pool.ask([Question("read", gold=gold) for gold in hard]) if hard else []
        reasons |= {gold: None if reply.verdict else reply.note for gold, reply in zip(hard, replies, strict=True)}
        return [reasons[gold] for gold in golds]

    def close(self) -> None:
        """End its processes. It may be asked again, and then starts fresh ones."""
        self.pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _plainly_unreadable(gold: str) -> str | None:
    if not gold.strip():
        return "the reference is empty"
    if len(gold) > LONGEST:
        return f"the reference is longer than {LONGEST} characters"
    text = tidy(gold)
    return None if text and balanced(text) else f"the reference cannot be read: {gold[:60]!r}"


def _plainly_readable(gold: str) -> bool:
    reading = read(gold)
    if isinstance(reading, Value):
        return reading.number is not None or (len(reading.text) == 1 and reading.text.isalpha())
    return isinstance(reading, Words)


def _quickly(answer: str, gold: str) -> Reply | None:
    """A verdict by numbers and notations alone; None where algebra is needed, or where looking at it fails: a process of its own may try."""
    try:
        return _compared(answer, gold)
    except (RecursionError, ValueError, ArithmeticError, re.error):
        return None


def _compared(answer: str, gold: str) -> Reply | None:
    reason = _plainly_unreadable(gold)
    if reason is not None:
        return Reply(None, reason)
    if same_answer(answer, gold) and _plainly_readable(gold):
        return Reply(True, "")
    if len(answer) > LONGEST:
        return Reply(False, f"longer than {LONGEST} characters")
    found = same(*read_both(answer, gold))
    if found is True or (found is False and _plainly_readable(gold)):
        return Reply(found, "")
    return None


def _verdict(answer: str, gold: str, reply: Reply) -> Verdict:
    ruling = Ruling.UNJUDGED if reply.verdict is None else Ruling.RIGHT if reply.verdict else Ruling.WRONG
    return Verdict(ruling=ruling, extracted=answer, note=reply.note, exact=answer.strip() == gold.strip() if gold.strip() else None)
