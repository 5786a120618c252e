"""The card of a published corpus: what `datasets` must know to load it, and what a reader must know to trust it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vold.base.ids import digest_of

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))

HEADER = """---
# Set the licence before publishing: that of the prompts and of the teacher's outputs decide what it can be.
license: other
license_name: to-be-set-by-the-publisher
task_categories:
- text-generation
size_categories:
- {category}
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
dataset_info:
  features:
  - name: messages
    list:
    - name: role
      dtype: string
    - name: content
      dtype: string
  - name: num_tokens
    dtype: int64
  - name: source
    dtype: string
  - name: problem_id
    dtype: string
  - name: answer
    dtype: string
  - name: verdict
    dtype: string
  splits:
  - name: train
    num_bytes: {size}
    num_examples: {rows}
---
"""

COLUMNS = """
| column | what it is |
|---|---|
| `messages` | a system turn where the question came with one, the question, the trace |
| `num_tokens` | length of the trace in the ids of the model that wrote it, end token included; null where it is not known |
| `source` | where the question was taken from |
| `problem_id` | its name in the run that made the corpus |
| `answer` | the reference answer; null where none is known |
| `verdict` | right, wrong or unjudged, as the run's judge found the trace; null where nobody judged |
"""

PROMPTING = """The suffix was put after every question that does not itself say how to answer. Neither it nor the template's own system prompt is in
`messages`."""


def card_of(manifest: Mapping[str, Any], *, digests: Mapping[str, str], rows: int, size: int) -> str:
    """README.md of the published folder, from the corpus' manifest and the SHA-256 of each shard."""
    category = next((name for limit, name in SIZES if rows < limit), "n>10M")
    parts = [
        HEADER.format(category=category, size=size, rows=rows),
        "# Reasoning traces\n",
        _about(manifest, rows),
        _made(manifest),
        "## Where the questions come from\n\n" + _table(_questions(manifest)),
        _dropped(manifest),
        _judged(manifest),
        "## Columns\n" + COLUMNS,
        '## Loading\n\n```python\nfrom datasets import load_dataset\n\ntraces = load_dataset("THIS_FOLDER_OR_HUB_ID", split="train")\n```\n\n'
        'As the corpus of another run of `vold`: `corpus.from = "dataset"`, `corpus.kind = "messages"`, and `corpus.path` this folder or hub id.\n',
        "## Shards\n\n| file | SHA-256 |\n|---|---|\n"
        + "".join(f"| `data/{name}` | `{digest}` |\n" for name, digest in digests.items())
        + f"\nDigest of all shards: `{digest_of(dict(digests))}`; of the traces they were made from: `{manifest.get('digest', '')}`.\n",
    ]
    return "\n".join(part for part in parts if part)


def _about(manifest: Mapping[str, Any], rows: int) -> str:
    writer = f"written by {_public(manifest['teacher'])}" if manifest.get("teacher") else "written by others, and adopted as they are"
    return f"{rows} questions with one reasoning trace each, {writer}. Made by stage 0 of `vold`, for aligning a student by supervised fine-tuning.\n"


def _made(manifest: Mapping[str, Any]) -> str:
    facts: dict[str, Any] = {}
    if manifest.get("teacher"):
        facts["teacher"] = _public(manifest["teacher"])
        facts["digest of its files"] = manifest.get("teacher_digest")
    elif manifest.get("path"):
        facts["traces of"] = _public(manifest["path"])
    facts |= {f"sampling: {name}": value for name, value in (manifest.get("sampling") or {}).items()}
    facts |= {f"prompting: {name}": value for name, value in (manifest.get("prompting") or {}).items()}
    if "cap" in manifest:
        facts["longest trace, prompt included (tokens of the student)"] = manifest["cap"]
    if manifest.get("filter"):
        facts["filter"] = {"none": "none: answers were not checked", "correct": "only answers judged right"}.get(manifest["filter"])
    note = f"\n{PROMPTING}\n" if manifest.get("prompting") else ""
    return "## How it was made\n\n" + _table(facts) + note


def _questions(manifest: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(manifest.get("problems") or manifest.get("read") or {})
    found.pop("bad_rows", None)
    bad = found.pop("bad", {})
    if "path" in found:
        found["path"] = _public(found["path"])
    return found | {"asked": manifest.get("asked")} | {f"rows left out: {why}": count for why, count in bad.items()}


def _dropped(manifest: Mapping[str, Any]) -> str:
    dropped = manifest.get("dropped") or {}
    said = _table(dropped) if dropped else "Nothing.\n"
    return f"## Dropped, by reason\n\n{said}"


def _judged(manifest: Mapping[str, Any]) -> str:
    judged = manifest.get("judged") or {}
    if not judged:
        return "## Verdicts\n\nNobody judged these traces: they may be wrong.\n"
    rate = manifest.get("error_rate")
    return "## Verdicts\n\n" + _table(dict(judged) | {"error rate": "unknown" if rate is None else f"{rate:.4f} of those judged right or wrong"})


def _table(facts: Mapping[str, Any]) -> str:
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {_cell(value)} |\n" for name, value in facts.items() if value not in (None, "", [], {}, ()))


def _cell(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    shown = text.replace("\n", "↵").replace("|", "\\|").replace("`", "ˋ")
    return f"`{shown}`" if isinstance(value, str) else shown


def _public(path: str) -> str:
    """A hub id as it is; of a path on this machine only the last name."""
    local = Path(path)
    return local.name if local.is_absolute() or len(local.parts) > 2 else path
