"""Traces on disk: one shard a batch, each written in one move, so that a crash loses at most the batch in flight."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from vold.adapters.records import trace_from_json, trace_to_json
from vold.base.errors import DataError
from vold.base.files import lines_of, read_json, write_json, write_text
from vold.base.ids import digest_of, digest_of_file
from vold.base.types import Problem, Ruling, Trace


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
        return [trace_from_json(row) for row in self._rows() if "dropped" not in row]

    def close(self, facts: Mapping[str, Any]) -> Mapping[str, Any]:
        rows = self._rows()
        kept = [row for row in rows if "dropped" not in row]
        rulings = Counter(row["verdict"]["ruling"] for row in kept if row["verdict"] is not None)
        judged = rulings[Ruling.RIGHT.value] + rulings[Ruling.WRONG.value]
        shards = {shard.name: digest_of_file(shard) for shard in self._shards()}
        manifest = {
            **facts,
            "kept": len(kept),
            "dropped": dict(Counter(row["why"] for row in rows if "dropped" in row)),
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

    def _rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for shard in self._shards() for line in lines_of(shard)]


@dataclass(frozen=True)
class ReadyMadeTraces:
    """Somebody else's traces from a JSONL file: `messages` (one user and one assistant turn), or `prompt` and `response`; `answer` is optional."""

    path: Path
    source: str

    @cached_property
    def traces(self) -> Sequence[Trace]:
        """Raises DataError naming the first line that cannot be read."""
        if not self.path.is_file():
            raise DataError(f"no corpus file {self.path}. Set corpus.path to a JSONL file with messages, or prompt and response, on every line.")
        traces = [self._trace(place, line) for place, line in enumerate(lines_of(self.path)) if line.strip()]
        if not traces:
            raise DataError(f"{self.path} holds no trace. Set corpus.path to a file with at least one.")
        return traces

    def _trace(self, place: int, line: str) -> Trace:
        where = f"{self.path}, line {place + 1}"
        try:
            row = json.loads(line)
            if "messages" in row:
                turns = [(message["role"], message["content"]) for message in row["messages"] if message["role"] != "system"]
                (_, prompt), (_, response) = turns
                if [role for role, _ in turns] != ["user", "assistant"]:
                    raise ValueError(f"roles {[role for role, _ in turns]}")
            else:
                prompt, response = row["prompt"], row["response"]
            if not isinstance(prompt, str) or not isinstance(response, str):
                raise TypeError("prompt and response must be text")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{where}: found {line[:80]!r}, expected messages with a user and an assistant turn, or prompt and response "
                f"({error!r}). Repair or remove the line."
            ) from error
        answer = row.get("answer")
        problem = Problem(id=f"{self.source}/{place}", prompt=prompt, answer=None if answer is None else str(answer), source=self.source)
        return Trace(problem=problem, response=response, response_ids=None)
