"""What a comparison of training prompts with benchmark questions found: in the terminal, on the page, and as `overlaps.json`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vold.base.errors import DataError
from vold.base.files import write_json
from vold.core.overlap import SAME_QUESTION, Findings, Kind, Overlap
from vold.report.escaping import shortened
from vold.report.files import read_object

NAME = "overlaps.json"
SCHEMA = 1
EXAMPLES = 10


def to_json(found: Findings) -> dict[str, Any]:
    """Everything, and for each benchmark how many of its questions were met; `from_json` gives the findings back."""
    return {
        "schema": SCHEMA,
        "threshold": found.threshold,
        "prompts": found.prompts,
        "benchmarks": {name: asdict(asked) | _counts(found, name) for name, asked in found.asked.items()},
        "left_out": sorted(found.left_out),
        "overlaps": [asdict(overlap) for overlap in found.overlaps],
    }


def from_json(value: dict[str, Any]) -> Findings:
    """Raises KeyError or pydantic's ValidationError for what `to_json` did not write."""
    kept = {key: value[key] for key in ("threshold", "prompts", "left_out", "overlaps")}
    return TypeAdapter(Findings).validate_python({**kept, "asked": value["benchmarks"]})


def write(folder: Path, found: Findings) -> Path:
    """Write `overlaps.json` into a folder, in one move."""
    path = folder / NAME
    write_json(path, to_json(found))
    return path


def read(folder: Path) -> Findings | None:
    """The findings in a folder; None where nobody has looked. Raises DataError for a file that is not what `write` writes."""
    path = folder / NAME
    value = read_object(path)
    if value is None:
        return None
    if value.get("schema") != SCHEMA:
        raise DataError(f"{path} has schema {value.get('schema')!r}, expected {SCHEMA}. Delete it and compare again.")
    try:
        return from_json(value)
    except (ValidationError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{path} does not hold overlaps ({type(error).__name__}: {reason}). Delete it and compare again.") from error


def lines(found: Findings, *, examples: int = EXAMPLES) -> list[str]:
    """What a terminal shows: one line a benchmark, what becomes of the prompts, and the closest pairs, at most `examples` of a kind."""
    said = [
        f"Compared {_many(found.prompts, 'training prompt')} with {_many(_asked(found), 'question')}; near from {found.threshold:g} similarity on."
    ]
    said += [f"  {name}: {_of_benchmark(found, name)}" for name in found.asked]
    said += [_fate(found)]
    for kind in Kind:
        pairs = sorted((one for one in found.overlaps if one.kind is kind), key=lambda one: -one.similarity)
        said += [_pair(one) for one in pairs[:examples]]
        if len(pairs) > examples:
            said.append(f"  … and {_many(len(pairs) - examples, 'more pair')} of kind {kind.value}")
    return said


def paragraph(found: Findings) -> str:
    """What the page says, in a few sentences."""
    met = [name for name in found.asked if sum(_of_kind(found, name, SAME_QUESTION).values())]
    compared = f"{_many(found.prompts, 'training prompt')} {'was' if found.prompts == 1 else 'were'} compared"
    head = f"{compared} with {_many(_asked(found), 'question')} of {', '.join(found.asked)}."
    if not met:
        return f"{head} None repeats a question.{_blind(found)}"
    return f"{head} {' '.join(f'{name}: {_repeated(found, name)}.' for name in met)} {_fate(found)}{_blind(found)}"


def _counts(found: Findings, name: str) -> dict[str, int]:
    kinds = found.questions_by_kind(name)
    return {kind.value: kinds[kind] for kind in Kind} | {"trained_on": found.trained_on(name)}


def _of_kind(found: Findings, name: str, kinds: Sequence[Kind]) -> dict[Kind, int]:
    counted = found.questions_by_kind(name)
    return {kind: counted[kind] for kind in kinds if counted[kind]}


def _repeated(found: Findings, name: str) -> str:
    kinds = _of_kind(found, name, SAME_QUESTION)
    told = ", ".join(f"{count} {kind.value}" for kind, count in kinds.items())
    return f"{sum(kinds.values())} of {_many(found.asked[name].questions, 'question')} repeated{f' ({told})' if told else ''}"


def _of_benchmark(found: Findings, name: str) -> str:
    asked, templates = found.asked[name], found.questions_by_kind(name)[Kind.TEMPLATE]
    said = [_repeated(found, name)]
    if templates:
        said.append(f"{templates} met only with other numbers, signs, words or pictures, which counts as another problem")
    if asked.short:
        said.append(f"{asked.short} short, compared to the letter or with their pictures")
    if asked.wordless:
        said.append(f"{asked.wordless} without words, compared by their pictures alone")
    return "; ".join(said)


def _fate(found: Findings) -> str:
    stay = found.repeated - found.left_out
    if not found.repeated:
        return "No training prompt repeats a question."
    if not stay:
        return f"{_many(len(found.left_out), 'prompt')} left out of training; none that repeats a question stays."
    out = f"{_many(len(found.left_out), 'prompt')} left out of training, " if found.left_out else ""
    return f"{out}{_many(len(stay), 'prompt')} that repeat{'s' if len(stay) == 1 else ''} a question stay{'s' if len(stay) == 1 else ''} in training."


def _blind(found: Findings) -> str:
    wordless = {name: asked.wordless for name, asked in found.asked.items() if asked.wordless}
    told = ", ".join(f"{name} {count}" for name, count in wordless.items())
    return f" Questions without words, compared by their pictures alone: {told}." if told else ""


def _pair(one: Overlap) -> str:
    why = f" ({one.why})" if one.why else ""
    return f"  {one.kind.value} {one.similarity:.2f}  {shortened(one.prompt_id)} and {shortened(one.question_id)}{why}: {shortened(one.prompt)}"


def _asked(found: Findings) -> int:
    return sum(asked.questions for asked in found.asked.values())


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
