"""Writes that are whole or not there."""

import json
import os
import shutil
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
