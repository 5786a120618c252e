"""Rows of one file: JSON lines, a JSON list, CSV or parquet, each also compressed with gzip."""

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from vold.base.errors import DataError

ENDINGS = (".jsonl", ".json", ".csv", ".parquet")
BATCH = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row, or why it cannot be read."""

    number: int
    """0-based, among the rows of the file or subset."""
    line: int | None
    """1-based line at which it begins, where there are lines."""
    value: Any = None
    why: str = ""
    """Why there is no value; the row as found is then in `value` as text."""
    subset: str = ""


def ending_of(path: Path) -> str:
    """`.jsonl` for `a.jsonl` and for `a.jsonl.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return ([suffix for suffix in suffixes[-2:] if suffix != ".gz"] or [""])[-1] if suffixes and suffixes[-1] == ".gz" else (suffixes or [""])[-1]


def rows_of_file(path: Path, columns: Collection[str], *, otherwise: str = "") -> Iterator[Row]:
    """The rows of a file. What is wrong with one row is said in it; raises DataError where the file as a whole cannot be read."""
    ending = ending_of(path)
    if ending not in ENDINGS:
        ending = otherwise
    if not ending:
        raise DataError(f"{path}: its name says nothing about its layout. Expected {', '.join(ENDINGS)}, each also with .gz. Rename it.")
    try:
        with _opened(path) as file:
            if ending == ".parquet":
                yield from _parquet(file, path, columns)
            elif ending == ".csv":
                yield from _csv(file, path)
            elif ending == ".json":
                yield from _json(file, path)
            else:
                yield from _json_lines(file)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}. Give the file again, undamaged.") from error


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def parsed(text: str) -> Any:
    """JSON. Raises ValueError, with a reason in words, for what is none."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error


def _json_lines(file: IO[bytes]) -> Iterator[Row]:
    """Lines are cut at line feeds only: JSON may hold other separators (U+2028, U+0085) as they are."""
    number = 0
    for line, raw in enumerate(file, start=1):
        data = raw.removeprefix(b"\xef\xbb\xbf") if line == 1 else raw
        if not data.strip():
            continue
        try:
            yield Row(number=number, line=line, value=parsed(data.decode("utf-8")))
        except UnicodeDecodeError as error:
            yield Row(number=number, line=line, value=data.decode("utf-8", "replace"), why=f"not UTF-8 text: {error.reason} at byte {error.start}")
        except ValueError as error:
            yield Row(number=number, line=line, value=data.decode("utf-8"), why=f"not JSON: {error}")
        number += 1


def _json(file: IO[bytes], path: Path) -> Iterator[Row]:
    """A list of rows, one row over several lines, or JSON lines under the shorter name."""
    data = file.read()
    if not data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        row = _one_row(data, path)
        yield from (Row(number=0, line=None, value=row),) if row is not None else _json_lines(io.BytesIO(data))
        return
    try:
        rows = parsed(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}. Save it as UTF-8.") from error
    except ValueError as error:
        if b"\n[" not in data.strip():
            raise DataError(f"{path} is no JSON list: {error}. Give the whole file again, or write one row a line and call it .jsonl.") from error
        yield from _json_lines(io.BytesIO(data))  # every line a list of its own
        return
    yield from (Row(number=number, line=None, value=row) for number, row in enumerate(rows))


def _one_row(data: bytes, path: Path) -> dict[str, Any] | None:
    """The row of a file that is one object; None for several lines of JSON. Raises DataError for an object that holds the rows."""
    try:
        found = parsed(data.decode("utf-8-sig"))
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    lists = [name for name, value in found.items() if isinstance(value, list) and value and all(isinstance(one, dict) for one in value)]
    if len(found) == len(lists) == 1 and lists[0] not in ("messages", "conversations", "prompt"):
        raise DataError(f'{path} is one object that holds its rows under "{lists[0]}". Give that list alone, or write one row a line (.jsonl).')
    return found


def _csv(file: IO[bytes], path: Path) -> Iterator[Row]:
    """A header and rows; quoted fields may hold line breaks. Bytes that are no UTF-8 spoil their own row only."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # its default of 131,072 characters is less than a long trace
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        lines = csv.reader(text, strict=True)
        header, number = next(lines, []), 0
        while True:
            begin = lines.line_num + 1
            try:
                fields = next(lines)
            except StopIteration:
                return
            except csv.Error as error:
                if "end of data" in str(error) and lines.line_num > begin:  # an open quote has swallowed every row after it
                    raise DataError(
                        f"{path}: a quote that is opened in line {begin} or after it is never closed, so {lines.line_num - begin + 1} lines cannot "
                        'be told apart. Close it, or double a quote that is part of the text ("").'
                    ) from error
                yield Row(number=number, line=begin, value="", why=f"not CSV: {error}")
                number += 1
                continue
            if fields:  # not an empty line
                yield _csv_row(header, fields, number, begin)
                number += 1
    except csv.Error as error:
        raise DataError(
            f"{path}: the header of a CSV file cannot be read: {error}. Give names of columns in its first line, such as prompt,answer."
        ) from error
    finally:
        text.detach()  # it would close the file, which is not its own


def _csv_row(header: list[str], fields: list[str], number: int, line: int) -> Row:
    why = ""
    if len(fields) != len(header):
        why = f"{len(fields)} fields under a header of {len(header)}"
    elif any("\udc80" <= sign <= "\udcff" for field in fields for sign in field):
        why = "not UTF-8 text"
    if why:
        return Row(number=number, line=line, value=",".join(fields).encode("utf-8", "replace").decode(), why=why)
    return Row(number=number, line=line, value=dict(zip(header, fields, strict=True)))


def _parquet(file: IO[bytes], path: Path, columns: Collection[str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(io.BytesIO(file.read()) if path.suffix.lower() == ".gz" else path)
        kept = [name for name in table.schema_arrow.names if name in columns]
        if not kept:
            raise DataError(
                f"{path}: found columns {', '.join(table.schema_arrow.names)}, expected some of {', '.join(sorted(columns))}. "
                "Choose the kind that this file has."
            )
        number = 0
        for batch in table.iter_batches(batch_size=BATCH, columns=kept):
            for value in batch.to_pylist():
                yield Row(number=number, line=None, value=value)
                number += 1
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}. Give the file again, undamaged.") from error
