"""How a step's time and memory grow with its tokens: by more rollouts, and by longer ones until attention outweighs the layers.

    python bench/growth.py                  # two CPU cores; on a GPU the paper's models
    python bench/growth.py --quick          # under two minutes
    python bench/growth.py --json out.json

One step is score, train and update on the same recorded rollouts, said over again or drawn longer. The exponent is the slope of log time over log
tokens, fitted over all points at which the accountant gives attention less than half of the layers' operations: 1 is proportional. Longer rollouts
have more of attention, so theirs stands beside that of the operations themselves. Memory is the most held above what was there before the step,
gradients included. Prints a table; --json writes {"hardware", "versions", "rows", "figures"}.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from parts import steps
from parts.traces import Trace
from parts.worlds import END, PAPER, TINY, Size, World, made

from vold.adapters.allocations import peak_of
from vold.adapters.metering import shape_in
from vold.base.types import Group
from vold.core import roofline
from vold.core.plan import plan_of
from vold.core.zoo import VOLD

MORE, LONGER = "more rollouts", "longer rollouts"


@dataclass(frozen=True, kw_only=True)
class Series:
    size: Size
    base: Trace
    budget: int
    factors: tuple[int, ...]
    passes: int


def series(*, quick: bool, cuda: bool) -> Series:
    if cuda:
        base = Trace(accuracy=0.45, equal=True, prompts=4, mean=512, cap=16_384, prompt=150)
        return Series(size=PAPER, base=base, budget=16_384, factors=(1, 2, 4) if quick else (1, 2, 4, 8, 16), passes=3)
    base = Trace(accuracy=0.45, equal=True, prompts=8, mean=32, cap=4096)
    return Series(size=TINY, base=base, budget=2048, factors=(1, 2, 4) if quick else (1, 2, 4, 8, 16), passes=3 if quick else 5)


def main() -> None:
    given = steps.asked(__doc__)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    of = series(quick=given.quick, cuda=device.type == "cuda")
    world = made(of.size, device, budget=of.budget)
    world.learner.recompute = "light" if device.type == "cuda" else "none"
    base = of.base.groups(world.ids, END)
    points = [(MORE, repeated(base, factor)) for factor in of.factors]
    points += [(LONGER, replace(of.base, mean=of.base.mean * factor).groups(world.ids, END)) for factor in of.factors]
    rows = measured(world, points, of)
    figures = {
        "growth.exponent": exponent(rows, MORE, "seconds"),
        "growth.exponent_longer": exponent(rows, LONGER, "seconds"),
        "growth.exponent_longer_flops": exponent(rows, LONGER, "flops"),
        "growth.memory_exponent": max(0.0, *(exponent(rows, way, "peak_extra_bytes") for way in (MORE, LONGER))),
    }
    steps.record(given.json, rows, figures)


def repeated(groups: Sequence[Group], times: int) -> list[Group]:
    """The same rollouts for so many times the problems."""

    def renamed(group: Group, turn: int) -> Group:
        problem = replace(group.problem, id=f"{group.problem.id}/{turn}")
        return Group(problem=problem, members=tuple(replace(m, rollout=replace(m.rollout, problem=problem)) for m in group.members))

    return [renamed(group, turn) for turn in range(times) for group in groups]


def measured(world: World, points: Sequence[tuple[str, list[Group]]], of: Series) -> list[dict[str, Any]]:
    """All points in turn, several times over; the first turn warms up and counts the memory."""
    shape = shape_in(world.student)
    plans = [plan_of(VOLD, step=0, length_cap=of.base.cap) for _ in points]
    peaks = []
    for (_, groups), plan in zip(points, plans, strict=True):
        with peak_of(world.student.device) as peak:
            steps.ours(world, groups, plan)
        peaks.append(peak.extra)
    times: list[list[float]] = [[] for _ in points]
    for _ in range(of.passes):
        for place, ((_, groups), plan) in enumerate(zip(points, plans, strict=True)):
            times[place].append(sum(steps.ours(world, groups, plan).values()))
    rows = []
    print(f"{of.size.name}\n  {'grown by':18}{'tokens':>9}{'ms':>9}{'± ms':>8}{'extra MiB':>11}{'attention':>11}")
    for (way, groups), seconds, extra in zip(points, times, peaks, strict=True):
        spans = roofline.spans_in(groups)
        layers, attention, _ = shape.reading(spans).operators
        share = attention[0] / (layers[0] + attention[0])
        row = {"row": way, "tokens": sum(span.length for span in spans), "seconds": statistics.median(seconds), "peak_extra_bytes": extra}
        row["flops"] = shape.training(spans).flops
        rows.append({**row, "spread": (max(seconds) - min(seconds)) / 2, "attention_share": share})
        print(f"  {way:18}{row['tokens']:9}{1e3 * rows[-1]['seconds']:9.0f}{1e3 * rows[-1]['spread']:8.0f}{extra / 2**20:11.1f}{share:11.0%}")
    return rows


def exponent(rows: Sequence[dict[str, Any]], way: str, what: str) -> float:
    """The least-squares slope of log `what` over log tokens."""
    points = [(math.log(row["tokens"]), math.log(max(1e-9, row[what]))) for row in rows if row["row"] == way and row["attention_share"] < 0.5]
    middle = statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / sum((x - middle[0]) ** 2 for x, _ in points)


if __name__ == "__main__":
    main()
