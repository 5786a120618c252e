"""A user's own run, very small: traces with think marks, problems in a JSONL file, and an untrained pair on disk."""

import json
from pathlib import Path

from support import pairs

RECIPE = """
name = "pair"
threads = 1
engine = { scripted = "half", rows = 16 }
[student]
path = "STUDENT"
[teacher]
path = "TEACHER"
[corpus]
from = "dataset"
kind = "mot"
path = "traces.jsonl"
[sft]
steps = 2
traces_per_step = 4
warmup = 0
lr = 1e-3
max_tokens = 400
[joint]
steps = 2
prompts_per_step = 4
group_size = 4
warmup = 0
lr = 1e-4
problems = { kind = "jsonl", path = "problems.jsonl" }
sampling = { max_new_tokens = 120 }
[arms.vold]
objective = { base = "VOLD" }
[arms.whole]
objective = { base = "VOLD_FULL" }
[eval]
benchmarks = [{ name = "t", kind = "jsonl", path = "problems.jsonl", size = 2 }]
sampling = { max_new_tokens = 8 }
"""


def write(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def put_data(folder: Path) -> None:
    """traces.jsonl and problems.jsonl: eight sums each."""
    sums = [(a, a + 3) for a in range(8)]
    said = [(f"What is {a} + {b}?", f"<think>\n{a}+{b}\n</think>\n\n\\boxed{{{a + b}}}") for a, b in sums]
    write(folder / "traces.jsonl", [{"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in said])
    write(folder / "problems.jsonl", [{"prompt": f"What is {a} + {b}?", "answer": a + b} for a, b in sums])


def put_recipe(folder: Path, pair: pairs.Pair) -> str:
    """The path of a recipe over this pair and the data beside it."""
    (folder / "own.toml").write_text(RECIPE.replace("STUDENT", str(pair.student)).replace("TEACHER", str(pair.teacher)))
    return str(folder / "own.toml")
