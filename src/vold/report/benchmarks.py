"""The scores of one evaluated model as one file, `scores.json`: the units behind every number, so that tables and comparisons need nothing else."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from vold.base.errors import DataError
from vold.base.files import write_text
from vold.core.measures import Measure
from vold.report.escaping import shortened

SCHEMA = 1
NAME = "scores.json"
REDO = "Evaluate the model again to rewrite it; answers that are kept are only scored again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Who answered."""

    label: str
    """Its name in tables."""
    path: str
    """The folder or hub id it was loaded from."""
    digest: str
    """Of its weights; empty where it is not known."""
    style: str
    """How questions were put to it: `reasoning`, `official`, …"""
    images_in_tuning: Literal["yes", "no", "–", "unknown"]
    """Whether it was tuned on images; `–` for a model that was not tuned."""
    contaminated: tuple[str, ...] = ()
    """Names of benchmarks on part of which it was trained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A row that could not be asked, and why."""

    id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What one benchmark says of the model, answered in one way and scored by one rule."""

    name: str
    title: str
    modality: Literal["text", "image"]
    mode: str
    """The scoring mode: `official-rule`, `strict` or `judge`."""
    way: str
    """How answers were drawn: `greedy`, `sampled`."""
    rows: int
    """Rows read, broken ones included."""
    broken: tuple[Broken, ...]
    items: int
    """Items asked."""
    answers: int
    """Items times samples."""
    truncated: int | None
    """Answers cut at the length cap; None where that is not known."""
    unextracted: int
    """Answers in which the rule found nothing: wrong, and counted here too."""
    unjudged: int
    """Answers left out of every number because the judge failed or the reference could not be read."""
    overlaps: int | None
    """Items whose question is among the training prompts; None where nobody looked."""
    measures: tuple[Measure, ...]
    """The main number first."""
    samples: int = 1
    kind: str = ""
    """Which published benchmark it is, whatever the settings call it; empty for plain problems, and for scores that do not say."""
    closed: int = 0
    """Answers whose thinking was ended for them."""
    agreement: Mapping[str, float] = field(default_factory=dict)
    """Of the judge mode: by every other mode, the share of answers on which the two agree, of those that both judged."""

    @property
    def is_of(self) -> str:
        """What the paper and lists of contaminated benchmarks know it by."""
        return self.kind or self.name

    @property
    def main(self) -> Measure | None:
        return self.measures[0] if self.measures else None

    @property
    def manner(self) -> str:
        """The way with its number of samples: `greedy`, `sampled, 8 answers an item`."""
        return self.way if self.samples == 1 else f"{self.way}, {self.samples} answers an item"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Everything measured of one model. `settings` are those that can change a number, under any names."""

    model: Model
    benchmarks: tuple[Benchmark, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)


_SCORES = TypeAdapter(Scores)


def save(scores: Scores, path: Path) -> None:
    """Write the file, atomically. Raises DataError for scores that `load` would refuse."""
    _check(scores, path)
    text = json.dumps({"schema": SCHEMA} | _SCORES.dump_python(scores, mode="json", exclude_defaults=True), ensure_ascii=False)
    write_text(path, text.encode("utf-8", "replace").decode("utf-8") + "\n")


def load(path: Path) -> Scores:
    """Read what `save` wrote, from the file or from the folder that holds it. Raises DataError for anything else."""
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"there is no {path}. Expected the scores of an evaluated model: evaluate it first, or give the folder of an evaluation.")
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not JSON ({error}). {REDO}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        schema = f"schema {found.get('schema')!r}" if isinstance(found, dict) else f"a {type(found).__name__}"
        raise DataError(f"{path} has {schema}, this version reads an object of schema {SCHEMA}. {REDO}")
    try:
        scores = _SCORES.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {place or 'the file'} is {shortened(repr(first['input']))}; {first['msg'].lower()}. {REDO}") from error
    _check(scores, path)
    return scores


def _check(scores: Scores, path: Path) -> None:
    """Refuse what would make a table or a pair of units ambiguous."""
    keys = Counter((one.name, one.mode, one.manner) for one in scores.benchmarks)
    for key, count in keys.items():
        if count > 1:
            raise DataError(f"{path} has {shortened(' / '.join(key))} {count} times, expected once. {REDO}")
    for benchmark in scores.benchmarks:
        wrong = next(filter(None, map(_wrong, benchmark.measures)), None) or _doubled(benchmark) or _negative(benchmark)
        if wrong is not None:
            raise DataError(f"{path}, benchmark {shortened(benchmark.name)}: {shortened(wrong, 200)}. {REDO}")


def _wrong(measure: Measure) -> str | None:
    named = f"{measure.metric} {measure.part}".strip()
    if not all(math.isfinite(number) for number in (*measure.weights.values(), *(unit.value for unit in measure.units))):
        return f"{named} has a unit or a weight that is not a finite number"
    strange = {unit.stratum for unit in measure.units} - set(measure.weights)
    if strange:
        return f"{named} has units of {min(strange)!r}, which has no weight"
    twice = [key for key, count in Counter((unit.stratum, unit.id) for unit in measure.units).items() if count > 1]
    return f"{named} has the unit {twice[0][1]!r} twice, expected one an item" if twice else None


def _doubled(benchmark: Benchmark) -> str | None:
    names = Counter((measure.metric, measure.part) for measure in benchmark.measures)
    return next((f"{' '.join(name).strip()} stands there {count} times, expected once" for name, count in names.items() if count > 1), None)


def _negative(benchmark: Benchmark) -> str | None:
    counts = ("rows", "items", "answers", "truncated", "unextracted", "unjudged", "overlaps", "samples", "closed")
    return next((f"{name} is {value}, expected a count" for name in counts if (value := getattr(benchmark, name)) is not None and value < 0), None)


RULES = ("official-rule", "strict", "judge")
"""The scoring modes of published benchmarks; everything else is the name of a run's judge."""


def evaluated_in(run: Path) -> list[Path]:
    """The folders of a run's evaluated models, in the order in which tables show them: base, aligned student, arms, further models."""
    order = {"base-direct": 0, "base-reasoning": 1, "sft": 2}
    found = [path.parent for path in run.glob(f"eval/*/{NAME}") if ".old-" not in path.parent.name]
    return sorted(found, key=lambda path: (order.get(path.name, 3 + path.name.startswith("model-")), path.name))


def published_in(run: Path) -> list[Scores]:
    """The scores of a run's models on published benchmarks; empty where it answered none."""
    found = [load(folder) for folder in evaluated_in(run)]
    kept = [replace(one, benchmarks=tuple(b for b in one.benchmarks if b.mode in RULES)) for one in found]
    return [one for one in kept if one.benchmarks]
