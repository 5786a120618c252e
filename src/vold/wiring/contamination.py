"""The guard before training: whether prompts repeat questions of the benchmarks that the same run is tested on."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vold.adapters.benchmarks.asked import PublishedBenchmark
from vold.adapters.benchmarks.spec import Style
from vold.adapters.contamination import RULES, Posed, check
from vold.adapters.ready_made import ReadyMadeTraces
from vold.base.errors import DataError
from vold.base.files import read_json, write_json
from vold.base.ids import digest_of
from vold.base.types import Problem, Trace
from vold.config import schema
from vold.core.overlap import Findings
from vold.report import overlaps
from vold.wiring.parts import Parts

Prompts = Callable[[], Iterator[Problem]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """What was found, and a digest of what was compared."""

    findings: Findings
    key: str

    def write(self, root: Path) -> None:
        """Keep the findings with the run."""
        write_json(root / overlaps.NAME, {**overlaps.to_json(self.findings), "key": self.key})


def guarded(parts: Parts, say: Callable[[str], None]) -> Guarded | None:
    """Compare, say what was found, and have `parts` leave out what is to be left out. None where there is nothing to compare.

    Raises DataError where overlaps are refused.
    """
    guard = searched(parts, say)
    if guard is not None:
        for line in overlaps.lines(guard.findings):
            say(line)
        acted_on(guard.findings, parts)
    return guard


def searched(parts: Parts, say: Callable[[str], None] = lambda _: None) -> Guarded | None:
    """What was found, and nothing done about it. Findings of the same prompts and questions in the run's folder are not made again."""
    c = parts.settings.contamination
    tested = _tested(parts.settings)
    if not (c.check and parts.settings.eval.trained and tested):
        return None
    sources = list(_sources(parts))
    if not sources:
        return None
    key = digest_of([[name, digest] for name, digest, _ in sources] + [parts.contents(tested), c.threshold, c.found, RULES])
    findings = _kept(parts.root, key)
    if findings is None:
        say("comparing training prompts with the benchmarks' questions")
        findings = check((p for _, _, prompts in sources for p in prompts()), _questions(parts, tested), threshold=c.threshold)
        findings = replace(findings, left_out=findings.repeated if c.found == "drop" else frozenset())
    return Guarded(findings=findings, key=key)


def acted_on(findings: Findings, parts: Parts) -> None:
    """Have `parts` leave out what is to be left out. Raises DataError where overlaps are refused."""
    if parts.settings.contamination.found == "refuse" and findings.repeated:
        raise DataError(
            f"{len(findings.repeated)} training prompts repeat a benchmark's question, such as {', '.join(sorted(findings.repeated)[:5])}, and "
            'contamination.found = "refuse". Leave them out with "drop", or name and mark them with "list".'
        )
    parts.leave_out(findings.left_out)


def left_out(s: schema.Settings, root: Path) -> frozenset[str]:
    """The prompts that the run of these settings in a folder trains without, as its comparison found."""
    findings = overlaps.read(root) if s.contamination.check and s.contamination.found == "drop" else None
    return frozenset() if findings is None else findings.left_out


def _kept(root: Path, key: str) -> Findings | None:
    try:
        if read_json(root / overlaps.NAME).get("key") != key:
            return None
    except (OSError, ValueError, AttributeError):
        return None
    return overlaps.read(root)


def _tested(s: schema.Settings) -> list[schema.BenchmarkSettings]:
    """The benchmarks with rows of their own, by name once; the laptop world's are drawn apart from its training problems."""
    held_out = s.joint.validation.benchmark
    tested = [*s.eval.benchmarks, *([held_out] if s.joint.validation.every and held_out is not None else [])]
    return list({one.name: one for one in reversed(tested) if one.kind != "tiny"}.values())[::-1]


def _questions(parts: Parts, tested: list[schema.BenchmarkSettings]) -> dict[str, Iterable[Posed | Problem]]:
    found: dict[str, Iterable[Posed | Problem]] = {}
    for settings in tested:
        benchmark = parts.benchmark(settings)
        found[settings.name] = posed(benchmark) if isinstance(benchmark, PublishedBenchmark) else benchmark.problems()
    return found


def posed(benchmark: PublishedBenchmark) -> Iterator[Posed]:
    """Every item with the texts by which its benchmark puts it, in whichever style."""
    ask = benchmark.spec.ask
    return (Posed(item=item, ways=tuple(dict.fromkeys(ask(item, style) for style in Style))) for item in benchmark.items.values())


def _sources(parts: Parts) -> Iterator[tuple[str, object, Prompts]]:
    """Where training prompts come from: a name, a digest of it all, and its prompts."""
    s = parts.settings
    if not s.reads_corpus:
        pass  # nothing is trained on it
    elif s.corpus.origin == "dataset":
        yield "corpus", parts.traces_digest(), partial(_prompts_of, parts.ready_made)
    elif s.corpus.problems.kind != "tiny":
        asked = parts.corpus_problems()
        yield "corpus.problems", parts.problems_digest(asked), partial(iter, asked.all())
    if s.joint.problems.kind != "tiny" and s.active_arms():
        trained = parts.joint_problems()
        yield "joint.problems", parts.problems_digest(trained), partial(iter, trained.all())


def _prompts_of(ready: ReadyMadeTraces) -> Iterator[Problem]:
    return (one.problem for one in ready.stream() if isinstance(one, Trace))
