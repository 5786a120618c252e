"""Writes that are whole or not there, and files that are only ever appended to."""

import json
import os
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from vold.base.errors import DataError


def write_text(path: Path, text: str) -> None:
    """Replace `path` in one move: a reader sees the old content or the new, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.half")
    try:
        with half.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False) + "\n")


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def lines_of(path: Path) -> list[str]:
    """The lines of a file, cut at line feeds only: JSON may hold other separators (U+2028, U+0085) as they are. Raises DataError."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8.") from error
    return lines[:-1] if lines[-1] == "" else lines


def settle(half: Path, folder: Path) -> None:
    """Move a finished folder into place, replacing what an earlier attempt left there."""
    if folder.exists():
        shutil.rmtree(folder)
    half.replace(folder)


def fresh(folder: Path) -> Path:
    """An empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def kept_lines(path: Path, *, needs: Collection[str] = ()) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines that is only ever appended to; none where there is no file.

    A last line that was cut off while being written is removed from the file. Raises DataError for any other damage, and for an object without the
    names it `needs`.
    """
    try:
        found = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = found[: found.rfind(b"\n") + 1]
    if whole != found:
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return [_object(path, number, line, needs) for number, line in enumerate(whole.split(b"\n"), 1) if line]


def _object(path: Path, number: int, line: bytes, needs: Collection[str]) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not row.keys() >= set(needs):
        raise DataError(f"{path}, line {number} is damaged: {line[:40]!r}. Delete that line; what it held is made again.")
    return row


def append_lines(path: Path, lines: Iterable[str]) -> None:
    """Add lines to a file, on the disk before this returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
