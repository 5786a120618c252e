"""Reading what a run left behind."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vold.base.errors import DataError


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None when there is no such file."""
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON ({error}). Delete it and let the run write it again.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path} holds a {type(value).__name__}, expected a JSON object. Delete it and let the run write it again.")
    return value


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The JSON objects of a JSONL file, none when it is missing. A last line without its newline is still being written and left out."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                value = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}, line {number} is not JSON ({error}). Restore the file or run the stage again.") from error
            if not isinstance(value, dict):
                raise DataError(f"{path}, line {number} holds no JSON object. Restore the file or run the stage again.")
            yield value


def caveats_in(run: Path) -> list[str]:
    """What the run's settings say a reader must know before believing its numbers."""
    return [str(caveat) for caveat in (read_object(run / "settings.json") or {}).get("caveats", [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a journal, verdicts left aside. A value that was not a number (null, NaN) is NaN."""

    number: int
    values: Mapping[str, float]


def read_journal(path: Path) -> tuple[Step, ...]:
    """The steps of one stage in the order they were written; empty when the stage left no journal."""
    return tuple(
        Step(number=int(line["step"]), values={key: math.nan if value is None else float(value) for key, value in line.get("values", {}).items()})
        for line in read_lines(path)
    )
