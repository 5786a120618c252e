"""A rehearsal at true shapes: two steps of every stage on real rows with untrained models, stopped half-way and gone on with, and a table of phases.

    python bench/rehearsal.py DATA                   # small models, a laptop
    python bench/rehearsal.py DATA --size paper      # Qwen2.5-VL-3B and Qwen3-8B with random weights, one GPU
    python bench/rehearsal.py DATA --root DIR        # where the run lies while it lasts: a 3B student's checkpoint has 45 GB
    python bench/rehearsal.py DATA --json out.json

DATA is a folder as `vold real-data` takes it (docs/data.md). Each stage that trains is interrupted after its first step and resumed, as a run on a
borrowed machine would be. The table says what each phase took in the last step, its share of the machine's rate of matrix products (MFU, by the
operations it needs at the least), and its share of the ideal seconds (compute or bytes, whichever is slower, operator by operator). Random weights
learn nothing, and rollouts are short: generation here is the path, not the speed. --json writes {"hardware", "versions", "rows", "figures"}.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vold.adapters.facts import hardware, spent, versions
from vold.adapters.metering import measured
from vold.config.load import Resolved, load
from vold.wiring import real_data, runs

SHORT = (
    "joint.arms=['vold']",
    "sft.steps=2",
    "joint.steps=2",
    "joint.validation.every=2",
    "eval.samples=0",
)
STAGES = {"sft": "sft", "joint": "joint-vold"}
TITLES = {"sft": "SFT", "joint": "VOLD"}
"""What the bars of the stages that train are called."""
GOALS = {"update": 0.50, "teacher": 0.60}
"""Shares of the machine's matrix rate that are aimed at with the paper's models, at 16k packed tokens."""


class Interrupted(Exception):
    """The machine goes away after the first step."""


@dataclass(frozen=True)
class Bar:
    title: str
    stop: bool

    def update(self, done: int, total: int, note: str = "") -> None:
        print(f"  {self.title} {done}/{total} {note}", flush=True)
        if self.stop and done == 1:
            raise Interrupted(self.title)


@contextmanager
def stopping(title: str) -> Iterator[Bar]:
    yield Bar(title, stop=title in TITLES.values())


@contextmanager
def going_on(title: str) -> Iterator[Bar]:
    yield Bar(title, stop=False)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--size", choices=("small", "paper"), default="small")
    arguments.add_argument("--root", type=Path)
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("-s", "--set", action="append", default=[], help="a setting, such as joint.token_budget=16384")
    given = arguments.parse_args()
    print(f"{hardware(torch.get_num_threads())}, torch {torch.__version__}")
    work = Path(tempfile.mkdtemp(prefix="rehearsal-"))
    try:
        settings = [*real_data.prepared(given.data, work, size=given.size), *SHORT, *given.set]
        root = (given.root or work) / "run"
        rehearsed(settings, root)
        rows = phases(load(real_data.RECIPE, assignments=settings), root)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    figures = shown(rows)
    print(spent())
    if given.json:
        told = {"hardware": hardware(torch.get_num_threads()), "versions": versions(), "size": given.size, "rows": rows, "figures": figures}
        given.json.write_text(json.dumps(told, indent=1) + "\n")


def rehearsed(settings: Sequence[str], root: Path) -> None:
    """Run every stage; SFT and stage 2 are stopped after one step and gone on with."""
    stopped: list[str] = []
    while True:
        bars = going_on if len(stopped) == len(STAGES) else stopping
        try:
            runs.run(load(real_data.RECIPE, assignments=[*settings, *saving(stopped)]), root=root, bars=bars, say=print)
        except Interrupted as at:
            if str(at) in stopped:
                raise SystemExit(f"{at} began anew instead of going on") from at
            stopped.append(str(at))
            print(f"  stopped after the first step of {at}; going on")
            continue
        break
    for stage in STAGES.values():
        steps = [json.loads(line)["step"] for line in (root / stage / "journal.jsonl").read_text().splitlines()]
        assert steps == [0, 1], f"{stage}: steps {steps}"


def saving(stopped: Sequence[str]) -> list[str]:
    """Checkpoints of the stages that are still to be stopped, and of no other: they are large."""
    return [f"{stage}.checkpoint_every={int(title not in stopped)}" for stage, title in TITLES.items()]


def phases(resolved: Resolved, root: Path) -> list[dict[str, Any]]:
    """What the last step of each stage took."""
    s = resolved.settings
    machine = measured(torch.device(s.student.device), getattr(torch, s.student.dtype))
    rows: list[dict[str, Any]] = []
    for stage, folder in STAGES.items():
        timed = json.loads((root / folder / "timing.jsonl").read_text().splitlines()[-1])
        values = json.loads((root / folder / "journal.jsonl").read_text().splitlines()[-1])["values"]
        for phase, seconds in timed["phases"].items():
            flops = values.get(f"flops/{phase}")
            rows.append(
                {
                    "stage": stage,
                    "phase": phase,
                    "seconds": seconds,
                    "flops": flops,
                    "mfu": None if flops is None or not seconds else flops / seconds / machine.flops,
                    "of_ideal": timed["of_ideal"].get(phase),
                }
            )
    return rows


def shown(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The table, and its figures."""
    print(f"{'stage':8}{'phase':12}{'seconds':>10}{'TFLOP':>10}{'MFU':>8}{'of ideal':>10}")
    for row in rows:
        flops = "" if row["flops"] is None else f"{row['flops'] / 1e12:.3f}"
        shares = ["" if row[name] is None else f"{row[name]:.3f}" for name in ("mfu", "of_ideal")]
        print(f"{row['stage']:8}{row['phase']:12}{row['seconds']:10.3f}{flops:>10}{shares[0]:>8}{shares[1]:>10}")
    return {f"rehearsal.{row['stage']}.{row['phase']}": row["mfu"] for row in rows if row["phase"] in GOALS and row["mfu"] is not None}


if __name__ == "__main__":
    main()
