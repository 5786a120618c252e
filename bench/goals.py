"""Every bench once, and one table of what came out against what the issues ask for.

    python bench/goals.py                    # small sizes, some minutes on two cores
    python bench/goals.py --full             # the sizes the goals are meant for
    python bench/goals.py --json out.json
    python bench/goals.py --from a.json …    # figures measured before, nothing is run

A goal that is not met is shown as such, and so is a figure that nothing measured. The exit code is 1 only where a bench fails.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BENCHES = ("head", "step", "sft", "growth", "paper_run", "rollout", "judge")
"""In the order they run; one that does not exist yet is passed over."""


@dataclass(frozen=True, kw_only=True)
class Goal:
    figure: str
    at_least: float | None = None
    at_most: float | None = None
    what: str

    def judged(self, value: float | None) -> str:
        if value is None:
            return "not measured"
        if self.at_least is None and self.at_most is None:
            return "reported"
        met = (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)
        return "met" if met else "NOT MET"

    @property
    def asked(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "" if self.at_most is None else f"<= {self.at_most:g}"


GOALS = (
    Goal(figure="head.memory_ratio", at_least=8, what="materialised logits' extra bytes over ours"),
    Goal(figure="head.time_vs_best_peer", at_least=1, what="the best peer's seconds over ours"),
    Goal(figure="step.vs_packed", at_least=1.4, what="our packs without savings over ours, reward mean 0.45"),
    Goal(figure="step.vs_trl", what="TRL's GRPOTrainer with our integration over ours"),
    Goal(figure="step.of_bound_packed", at_least=0.9, what="step.vs_packed over the accountant's FLOP bound"),
    Goal(figure="step.of_bound_trl", at_least=0.9, what="step.vs_trl over the accountant's FLOP bound"),
    Goal(figure="sft.vs_trl", at_least=1, what="TRL's SFTTrainer with packing over ours"),
    Goal(figure="growth.exponent", at_most=1.05, what="slope of log time over log tokens of a step"),
    Goal(figure="paper_run.gpu_hours", what="the paper's run at an H200's ceilings"),
    Goal(figure="rollout.vs_best", at_least=1, what="the best peer's decoding seconds over ours"),
    Goal(figure="judge.false_right", at_most=0, what="share of wrong answers judged right"),
    Goal(figure="judge.hung", at_most=0, what="hostile answers that held the judge up"),
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--full", action="store_true")
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--from", type=Path, nargs="+", default=[], dest="measured")
    given = arguments.parse_args()
    found: dict[str, float] = {}
    failed: list[str] = []
    for file in given.measured:
        found |= json.loads(file.read_text())["figures"]
    if not given.measured:
        for name in BENCHES:
            if (HERE / f"{name}.py").exists():
                figures = figures_of(name, full=given.full)
                found |= figures or {}
                failed += [name] if figures is None else []
    table(found)
    if failed:
        print(f"failed: {', '.join(failed)}")
    if given.json:
        rows = [
            {"figure": goal.figure, "goal": goal.asked, "value": found.get(goal.figure), "is": goal.judged(found.get(goal.figure))} for goal in GOALS
        ]
        given.json.write_text(json.dumps({"rows": rows, "figures": found}, indent=1) + "\n")
    sys.exit(1 if failed else 0)


def figures_of(name: str, *, full: bool) -> dict[str, Any] | None:
    """Run one bench, its output to the terminal; None where it fails."""
    print(f"== bench/{name}.py", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.json"
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *([] if full else ["--quick"]), "--json", str(out)], check=False)
        if done.returncode or not out.exists():
            return None
        figures: dict[str, Any] = json.loads(out.read_text())["figures"]
        return figures


def table(found: dict[str, float]) -> None:
    print(f"\n{'figure':28}{'goal':>8}{'measured':>12}   {'':14}what")
    for goal in GOALS:
        value = found.get(goal.figure)
        print(f"{goal.figure:28}{goal.asked:>8}{'' if value is None else f'{value:.3g}':>12}   {goal.judged(value):14}{goal.what}")


if __name__ == "__main__":
    main()
