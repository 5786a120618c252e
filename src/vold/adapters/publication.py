"""A corpus ready to be published: parquet shards and a data-set card, as `datasets.load_dataset` reads them.

Both are derived from the traces and the manifest and can be written again at any time: the same corpus gives the same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from vold.adapters.card import card_of
from vold.adapters.corpora import ShardedCorpus
from vold.base.files import fresh, read_json, settle, write_text
from vold.base.ids import digest_of_file
from vold.base.types import Trace

SCHEMA = pa.schema(
    [
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("num_tokens", pa.int64()),
        ("source", pa.string()),
        ("problem_id", pa.string()),
        ("answer", pa.string()),
        ("verdict", pa.string()),
    ]
)
ROWS = 500
"""Rows written at once, and of a row group."""
SHARD_BYTES = 256 * 2**20
"""Text of a shard, before compression."""


def publish(corpus: Path, *, shard_bytes: int = SHARD_BYTES) -> Path:
    """Write `publish/` in the folder of a closed corpus, in one move, and return it. Holds one shard's open row group in memory, no more."""
    half = fresh(corpus / ".publish.half")
    shards = _Shards(folder=half / "data", size=shard_bytes)
    shards.folder.mkdir()
    rows: list[dict[str, Any]] = []
    for trace in ShardedCorpus(folder=corpus).stream():
        rows.append(row_of(trace))
        if len(rows) == ROWS:
            shards.write(rows)
            rows = []
    shards.write(rows)
    names = shards.close()
    digests = {name: digest_of_file(half / "data" / name) for name in names}
    write_text(half / "README.md", card_of(read_json(corpus / "manifest.json"), digests=digests, rows=shards.rows, size=shards.text))
    folder = corpus / "publish"
    settle(half, folder)
    return folder


def row_of(trace: Trace) -> dict[str, Any]:
    """One published row; `source` is where the question comes from, `num_tokens` the length of the answer in its writer's own ids."""
    turns = [("system", trace.problem.system)] if trace.problem.system else []
    turns += [("user", trace.problem.prompt), ("assistant", trace.response)]
    return {
        "messages": [{"role": role, "content": words} for role, words in turns],
        "num_tokens": trace.num_tokens if trace.response_ids is None else len(trace.response_ids),
        "source": trace.problem.origin or trace.problem.source,
        "problem_id": trace.problem.id,
        "answer": trace.problem.answer,
        "verdict": None if trace.verdict is None else trace.verdict.ruling.value,
    }


@dataclass(kw_only=True)
class _Shards:
    """Files that are cut by the text in them, and get their names when it is known how many there are."""

    folder: Path
    size: int
    rows: int = 0
    text: int = 0
    _files: list[Path] = field(default_factory=list)
    _writer: pq.ParquetWriter | None = None
    _filled: int = 0

    def write(self, rows: list[dict[str, Any]]) -> None:
        if not rows:  # a shard without rows could not be loaded
            return
        if self._writer is None:
            self._files.append(self.folder / f"{len(self._files):05d}.parquet")
            self._writer = pq.ParquetWriter(self._files[-1], SCHEMA, compression="zstd")
        self._writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))
        said = sum(len(turn["content"].encode()) for row in rows for turn in row["messages"])
        self.rows, self.text, self._filled = self.rows + len(rows), self.text + said, self._filled + said
        if self._filled >= self.size:
            self._finish()

    def close(self) -> list[str]:
        self._finish()
        return list(self._named())

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._filled = None, 0

    def _named(self) -> Iterator[str]:
        for place, file in enumerate(self._files):
            name = f"train-{place:05d}-of-{len(self._files):05d}.parquet"
            file.replace(self.folder / name)
            yield name
