"""References that no judge can read: found before training starts, since every rollout of such a problem would stay unjudged."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from vold.adapters.benchmarks.asked import PlainBenchmark
from vold.base.errors import DataError
from vold.base.types import Problem
from vold.wiring.parts import Parts

NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """How many references of one source of problems were looked at, and those that cannot be read: (problem, reference, why)."""

    where: str
    checked: int
    found: tuple[tuple[str, str, str], ...]

    def __str__(self) -> str:
        if not self.found:
            return f"all {self.checked} references of {self.where} can be read"
        named = "; ".join(f"{name}: {answer[:60]!r} ({why})" for name, answer, why in self.found[:NAMED])
        more = "; …" if len(self.found) > NAMED else ""
        return f"{len(self.found)} of {self.checked} references of {self.where} cannot be read, and their answers stay unjudged: {named}{more}"


def unreadable(parts: Parts, kinds: Collection[str] = ("corpus", "joint", "eval")) -> list[Unreadable]:
    """Look at every reference that these kinds of stages compare something with, source by source; the laptop world's and those of published
    benchmarks, whose rules read their own, are left out. Raises DataError where not one of a source can be read."""
    return [_looked_at(parts, where, problems) for where, problems in _sources(parts, kinds) if problems]


def _sources(parts: Parts, kinds: Collection[str]) -> Iterator[tuple[str, list[Problem]]]:
    s = parts.settings
    if "corpus" in kinds and s.corpus.origin == "teacher" and s.corpus.problems.kind != "tiny":
        yield "corpus.problems", _answered(parts.corpus_problems().all())
    if "joint" in kinds and parts.reads_verdicts and s.joint.problems.kind != "tiny":
        yield "joint.problems", _answered(parts.joint_problems().all())
    held_out = [s.joint.validation.benchmark] if "joint" in kinds and s.joint.validation.every else []
    for settings in (*held_out, *(s.eval.benchmarks if "eval" in kinds else ())):
        if settings is not None and settings.kind != "tiny" and isinstance(benchmark := parts.benchmark(settings), PlainBenchmark):
            yield f"benchmark {settings.name}", _answered(benchmark.problems())


def _looked_at(parts: Parts, where: str, problems: Sequence[Problem]) -> Unreadable:
    whys = parts.inner_judge.unreadable([problem.answer for problem in problems])
    found = tuple((p.id, p.answer or "", why) for p, why in zip(problems, whys, strict=True) if why is not None)
    if len(found) == len(problems):
        first, answer, why = found[0]
        raise DataError(
            f"not one of the {len(found)} references of {where} can be read by the judge; the first is {first}: {answer[:60]!r} ({why}). "
            'Repair the answers, or set judge.kind = "exact", which compares them to the letter.'
        )
    return Unreadable(where=where, checked=len(problems), found=found)


def _answered(problems: Sequence[Problem]) -> list[Problem]:
    return [problem for problem in problems if problem.answer is not None]
