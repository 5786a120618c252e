"""Traces on disk: one shard a batch, each written in one move, so that a crash loses at most the batch in flight."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vold.adapters.records import trace_from_json, trace_to_json
from vold.base.files import lines_of, read_json, write_json, write_text
from vold.base.ids import digest_of, digest_of_file
from vold.base.types import Ruling, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardedCorpus:
    """A corpus folder: `traces/00000.jsonl` and on, then `manifest.json`. Every line is a trace or a problem id with the reason it gave none."""

    folder: Path

    def done(self) -> frozenset[str]:
        return frozenset(row["dropped"] if "dropped" in row else row["problem"]["id"] for row in self._rows())

    def append(self, kept: Sequence[Trace], dropped: Mapping[str, str]) -> None:
        lines = [trace_to_json(trace) for trace in kept] + [{"dropped": key, "why": why} for key, why in dropped.items()]
        shard = self.folder / "traces" / f"{len(self._shards()):05d}.jsonl"
        write_text(shard, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    def traces(self) -> Sequence[Trace]:
        return list(self.stream())

    def stream(self) -> Iterator[Trace]:
        """The same one after another, no more than one shard in memory."""
        return (trace_from_json(row) for row in self._rows() if "dropped" not in row)

    def close(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        kept = 0
        rulings: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        for row in self._rows():
            if "dropped" in row:
                dropped[row["why"]] += 1
                continue
            kept += 1
            if row["verdict"] is not None:
                rulings[row["verdict"]["ruling"]] += 1
        judged = rulings[Ruling.RIGHT.value] + rulings[Ruling.WRONG.value]
        shards = {shard.name: digest_of_file(shard) for shard in self._shards()}
        manifest = {
            **facts,
            "kept": kept,
            "dropped": dict(dropped),
            "judged": dict(rulings),
            "error_rate": rulings[Ruling.WRONG.value] / judged if judged else None,
            "shards": shards,
            "digest": digest_of(shards),
        }
        write_json(self.folder / "manifest.json", manifest)
        return manifest

    def digest(self) -> str:
        """The digest in the manifest: known once the corpus is closed."""
        return str(read_json(self.folder / "manifest.json")["digest"])

    def _shards(self) -> list[Path]:
        return sorted((self.folder / "traces").glob("*.jsonl"))

    def _rows(self) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for shard in self._shards() for line in lines_of(shard))
