"""Benchmarks from settings: which rows, from where, and a digest of what they say."""

from collections.abc import Callable, Sequence
from hashlib import blake2b

from vold.adapters.benchmarks.asked import PlainBenchmark, Rows
from vold.adapters.benchmarks.registry import named
from vold.adapters.problems.files import FileBenchmark, problem_file
from vold.adapters.problems.tiny import TinyBenchmark
from vold.adapters.rows import DataSet
from vold.base.ids import digest_of
from vold.base.types import Item, Problem
from vold.config import schema


def rows_of(settings: schema.BenchmarkSettings, *, fits: Callable[[Item], str | None]) -> Rows:
    """The rows of a published benchmark: from its hub id, or from a file or folder in the hub's schema."""
    spec = named(settings.kind)
    path = settings.path or spec.hub
    data = DataSet(
        path=path,
        subsets=settings.subsets,
        split=settings.split or spec.split,
        usual=spec.usual,
        noun="benchmark",
    )
    return Rows(spec=spec, data=data, size=settings.size, only=settings.only, fits=fits)


def plain_benchmark(settings: schema.BenchmarkSettings) -> PlainBenchmark:
    """The laptop world's problems (the same as text and as images), or those of a file, a folder or the hub."""
    if settings.kind == "tiny":
        drawn = TinyBenchmark(
            name=settings.name,
            modality=settings.modality,
            seed=0,
            source=settings.split or "development",
            difficulties=settings.difficulties,
            size=settings.size or 200,
        )
        return PlainBenchmark(name=settings.name, modality=settings.modality, read=drawn.problems)
    found = problem_file(
        settings.path,
        kind=settings.kind,
        source=settings.name,
        subsets=settings.subsets,
        split=settings.split or "test",
        limit=settings.size,
        distinct=False,
    )
    of = FileBenchmark(of=found, modality=settings.modality)
    return PlainBenchmark(name=settings.name, modality=settings.modality, read=of.problems, file=of)


def digest_of_problems(problems: Sequence[Problem]) -> str:
    """One digest over everything that a problem says; the same as ever where it has no system prompt and asks for no form of answer."""
    rows = ([p.id, p.prompt, p.answer, p.difficulty, *(blake2b(image).hexdigest() for image in p.images)] for p in problems)
    return digest_of([[*row, *([p.system, p.instructed] if p.system or p.instructed else [])] for row, p in zip(rows, problems, strict=True)])
