"""The whole method on real data with real token tables and untrained models: what it needs, and what it shows."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vold.adapters.tiny_models import real_tokens
from vold.base.errors import DataError
from vold.base.files import lines_of, read_json, write_text
from vold.report.verdicts import judged

RECIPE = "real-data-cpu"
PAPER = (
    "student.device=cuda",
    "student.dtype=bfloat16",
    "teacher.device=cuda",
    "teacher.dtype=bfloat16",
    "joint.arms=['vold']",
    "joint.sampling.max_new_tokens=256",
    "joint.problems.count=40",
    "joint.token_budget=512",
    "sft.max_tokens=768",
    "sft.token_budget=1024",
    "threads=8",
)
"""What differs where the models have the paper's sizes: one GPU that holds 32-bit master weights, gradients and Adam's state beside the teacher."""
ORZ = ("orz57k/orz57k_prefix.jsonl.gz", "orz57k/orz57k_original_format_60.json")
"""Where orz-57k may lie below the data folder, the larger part first."""
TRACES = ("mot_sample/qwen3_traces.jsonl", "mot_sample/r1_and_qwen3_notebook_traces.jsonl", "mot_sample/qwen25_3b_rl_think_gsm8k.jsonl.gz")
GSM8K = "gsm8k/test.jsonl.gz"
GEOMETRY = "bench/geometry3k/sample.parquet"


def prepared(data: Path, work: Path, *, size: str = "small") -> list[str]:
    """Build the models, gather the traces, and return the settings that point the recipe to all of it. Raises DataError for what is missing."""
    orz = next((data / name for name in ORZ if (data / name).is_file()), None)
    missing = [str(data / name) for name in (*TRACES, GSM8K, GEOMETRY) if not (data / name).is_file()]
    if orz is None or missing:
        wanted = missing or [str(data / name) for name in ORZ]
        raise DataError(
            f"there is no {wanted[0]}. Give a folder that holds orz57k, mot_sample, gsm8k, bench/geometry3k and tokenizers (docs/data.md)."
        )
    student, teacher = real_tokens.build(work / "models", data / "tokenizers", size=real_tokens.SIZES[size])
    write_text(work / "traces.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for name in TRACES for row in traces_in(data / name)))
    geometry = json.dumps(str(data / GEOMETRY))
    validation = f"joint.validation.benchmark.path={geometry}"
    benchmarks = [
        f'{{ name = "gsm8k", kind = "gsm8k", modality = "text", path = {json.dumps(str(data / GSM8K))}, split = "test", size = 8 }}',
        f'{{ name = "geometry3k", kind = "geometry3k", modality = "image", path = {geometry}, split = "validation", size = 4 }}',
    ]
    return [
        f"student.path={json.dumps(str(student))}",
        f"teacher.path={json.dumps(str(teacher))}",
        f"corpus.path={json.dumps(str(work / 'traces.jsonl'))}",
        f"joint.problems.path={json.dumps(str(orz))}",
        validation,
        f"eval.benchmarks=[{', '.join(benchmarks)}]",
        *(PAPER if size == "paper" else ()),
    ]


def by_teacher(data: Path) -> list[str]:
    """Settings that let the teacher write a few traces: untrained, it never ends one, and all are dropped at the cap."""
    return [
        "corpus.from=teacher",
        "corpus.path=",
        "corpus.problems.kind=gsm8k",
        f"corpus.problems.path={json.dumps(str(data / GSM8K))}",
        "corpus.problems.count=4",
        "corpus.sampling.max_new_tokens=16",
    ]


def traces_in(path: Path) -> Iterator[dict[str, Any]]:
    """The traces of a file as conversations; rows with a question and a response become one of two turns."""
    lines = gzip.decompress(path.read_bytes()).decode().split("\n")[:-1] if path.suffix == ".gz" else lines_of(path)
    for line in lines:
        row = json.loads(line)
        if "messages" in row:
            yield {"messages": row["messages"], "source": row.get("source", path.name)}
        else:
            turns = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["response"]}]
            yield {"messages": turns, "source": path.name}


def told(root: Path) -> list[str]:
    """What happened, line by line: traces kept and dropped, kinds of groups a step, and how verdicts were reached."""
    lines = [f"corpus: {_manifest(folder / 'corpus')}" for folder in (root, root.with_name(f"{root.name}-teacher"))]
    lines.append(f"sft: {_counted(Counter(read_json(root / 'sft' / 'examples.json')))}")
    for folder in sorted(root.glob("joint-*")):
        for step in (json.loads(line) for line in lines_of(folder / "journal.jsonl")):
            kinds = Counter(_kind(group["rulings"]) for group in step["groups"])
            lines.append(f"{folder.name} step {step['step']}: groups {_counted(kinds)}")
    lines += [f"{stage.stage} verdicts: {_counted(stage.ways)}" for stage in judged(root) if stage.stage.startswith("joint")]
    return lines


def _manifest(folder: Path) -> str:
    manifest = read_json(folder / "manifest.json")
    return f"from the {manifest['from']}, {manifest['kept']} traces kept, dropped: {_counted(Counter(manifest['dropped'])) or 'none'}"


def _kind(rulings: str) -> str:
    seen = set(rulings)
    return {frozenset("r"): "all-right", frozenset("w"): "all-wrong"}.get(frozenset(seen), "unjudged" if "u" in seen else "mixed")


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
