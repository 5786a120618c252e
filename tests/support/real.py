"""Where real data lie, and their rows."""

import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

DATA = Path(os.environ.get("VOLD_REAL_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data").resolve()


def needs(folder: str) -> list[pytest.MarkDecorator]:
    """The marks of tests that read this folder of the real data."""
    reason = f"no real data in {DATA}: set VOLD_REAL_DATA to the folder with {folder}"
    return [pytest.mark.real_data, pytest.mark.skipif(not (DATA / folder).is_dir(), reason=reason)]


def lines(path: str) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines, compressed or not."""
    data = (DATA / path).read_bytes()
    return [json.loads(line) for line in (gzip.decompress(data) if path.endswith(".gz") else data).decode().split("\n") if line.strip()]


def samples(path: str) -> list[dict[str, Any]]:
    """The rows of a parquet file, pictures as stored."""
    import pyarrow.parquet as pq

    found: list[dict[str, Any]] = pq.read_table(DATA / path).to_pylist()
    return found
