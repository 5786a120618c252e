"""References that no judge can read: found before training starts, since every rollout of such a problem would stay unjudged."""

from collections.abc import Sequence
from dataclasses import dataclass

from vold.base.errors import DataError
from vold.base.types import Problem
from vold.wiring.parts import Parts

NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """How many references of stage 2 were looked at, and those that cannot be read: (problem, reference, why)."""

    checked: int
    found: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        if not self.found:
            return f"all {self.checked} references of joint.problems can be read"
        named = "; ".join(f"{name}: {answer[:60]!r} ({why})" for name, answer, why in self.found[:NAMED])
        more = "; …" if len(self.found) > NAMED else ""
        return f"{len(self.found)} of {self.checked} references of joint.problems cannot be read, and their rollouts stay unjudged: {named}{more}"


def unreadable(parts: Parts) -> Unreadable | None:
    """Look at the references of stage 2; None where no arm reads a verdict. Raises DataError where not one of them can be read."""
    if not parts.reads_verdicts:
        return None
    problems = _answered(parts.joint_problems().all())
    whys = parts.inner_judge.unreadable([problem.answer for problem in problems])
    found = tuple((p.id, p.answer or "", why) for p, why in zip(problems, whys, strict=True) if why is not None)
    if problems and len(found) == len(problems):
        first, answer, why = found[0]
        raise DataError(
            f"not one of the {len(found)} references of joint.problems can be read by the judge; the first is {first}: {answer[:60]!r} ({why}). "
            'Repair the answers, or set judge.kind = "exact", which compares them to the letter.'
        )
    return Unreadable(checked=len(problems), found=found)


def _answered(problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.answer is not None]
