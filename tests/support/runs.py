"""Whole runs, very small: what tests interrupt, damage, compare and look into."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vold import pipeline
from vold.config.load import load
from vold.wiring import runs

SMALL = """
extends = "tiny"
name = "small"
about = "Every stage of the method in a few steps."
seed = 3
threads = 1

[engine]
rows = 64

[corpus]
filter = "none"
batch = 16

[corpus.problems]
count = 128
difficulties = [1, 2]

[sft]
steps = 32
traces_per_step = 8
lr = 1e-3
warmup = 2
checkpoint_every = 4

[joint]
arms = ["both", "reward"]
steps = 8
prompts_per_step = 6
group_size = 3
lr = 3e-4
warmup = 2
checkpoint_every = 2

[joint.problems]
difficulties = [1, 2]

[joint.sampling]
max_new_tokens = 32

[joint.validation]
every = 4
benchmark = { name = "held-out", modality = "image", split = "validation", difficulties = [1], size = 6 }

[arms.both]
label = "VOLD"
objective = { base = "VOLD", pull = { beta = 0.5 }, dynamic = true }

[arms.reward]
label = "GRPO"
objective = { base = "VOLD_RL", pulls = [{ toward = "reference", by = "k3", beta = { start = 0.1, target = 0.001, horizon = 100 } }] }

[eval]
benchmarks = [
    { name = "text", modality = "text", difficulties = [1, 2], size = 6 },
    { name = "pictures", modality = "image", difficulties = [1, 2], size = 6 },
]
samples = 2
examples = 2

[eval.sampling]
max_new_tokens = 32
"""

UNLIKE = ("stage.json", "timing.jsonl", "settings.json", "report.html", "summary.json", ".lock")
"""Files of a run that hold times, commits or machines."""


class Interrupted(Exception):
    """Raised out of a progress bar: the stage stops between two steps, as it would when the machine goes away."""


@dataclass(frozen=True)
class Bar:
    """A silent progress bar that stops the stage `title` at step `at`."""

    title: str
    stop: tuple[str, int] | None

    def update(self, done: int, total: int, note: str = "") -> None:
        del total, note
        if self.stop == (self.title, done):
            raise Interrupted(f"{self.title} at {done}")


def run_here(recipe: str | Path, root: Path, *assignments: str, stop: tuple[str, int] | None = None, **options: Any) -> pipeline.Done:
    """Run a recipe in this process. `stop` names a bar (corpus, SFT, an arm's label) and the step after which everything ends."""

    @contextmanager
    def bars(title: str) -> Iterator[Bar]:
        yield Bar(title, stop)

    said = options.pop("said", [])
    return runs.run(load(str(recipe), assignments=assignments), root=root, bars=bars, say=said.append, **options)


def results_of(root: Path) -> dict[str, bytes]:
    """Every result file of a run by its relative path: traces, journals, models, answers. Equal runs give equal dictionaries."""
    files = {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file() and p.name not in UNLIKE}
    return files | {"rows": json.dumps(summary_of(root)["rows"]).encode()}


def unlike(left: dict[str, bytes], right: dict[str, bytes]) -> list[str]:
    """The names of the files that are in one run only, or differ. (Comparing the dictionaries themselves would print megabytes.)"""
    return sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))


def summary_of(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "summary.json").read_text())
    return found


def journal_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def lines_in(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@dataclass(frozen=True)
class Ended:
    """What a process left: its exit code (negative: the signal that killed it) and what it said."""

    code: int
    out: str
    err: str


def vold(*arguments: str, cwd: Path, until: Callable[[], bool] | None = None, send: int = signal.SIGKILL) -> Ended:
    """Run `python -m vold` in a process of its own; as soon as `until` holds, send it a signal."""
    command: Sequence[str] = (sys.executable, "-m", "vold", *arguments)
    out, err = cwd / ".out", cwd / ".err"
    with out.open("w") as to_out, err.open("w") as to_err:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=to_out,
            stderr=to_err,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # a background shell may have it ignored
        )
        while until is not None and process.poll() is None:
            if until():
                process.send_signal(send)
                break
            time.sleep(0.002)
        code = process.wait(timeout=300)
    return Ended(code=code, out=out.read_text(), err=err.read_text())
