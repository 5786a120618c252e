"""Score, train and update on the same recorded rollouts: ours beside our own packed trainer without its savings, and beside TRL's GRPOTrainer.

    python bench/step.py                  # CPU: two sizes, three reward means, log-normal and equal lengths; GPU: the paper's models
    python bench/step.py --quick          # one trace a size, two CPU cores, under two minutes
    python bench/step.py --json out.json

The baselines: "packed" has our packs and kernels and no saving (the teacher reads every rollout, every row is trained, the old policy has a pass of
its own, the head is formed twice). "TRL" is TRL 1.16's GRPOTrainer with our integration, which pads; it is given the rollouts and generates
nothing. All three train the same weights in the same precision, threads, attention and optimizer, about as many tokens a micro-batch, in turn and
in one process; the first step does not count. Each is measured with and without gradient checkpointing (--quick: without; on a GPU: with), and the
better counts; where it is on, our packs run on recompute = "light", which keeps what matrix products made.
Before anything is timed the gradients of all three must agree. "bound" is what the accountant says the ratio were if every operation took as long
as any other. Prints a table; --json writes {"hardware", "versions", "rows", "figures"}.
"""

import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from parts import steps, trl_steps
from parts.traces import Trace
from parts.worlds import PAPER, TINY, WIDE, Size, World, made

from vold.adapters.metering import measured, shape_in
from vold.adapters.recompute import Recompute
from vold.base.types import Group
from vold.core import roofline
from vold.core.plan import Plan, plan_of
from vold.core.roofline import Step
from vold.core.zoo import VOLD

OURS, PACKED, TRL = "ours", "packed, nothing saved", "TRL"
warnings.filterwarnings("ignore", category=FutureWarning)  # checkpointing by its former name, which transformers 5.17 has alone
MEANS = (0.3, 0.45, 0.6)
AGREE = {torch.float32: 2e-4, torch.bfloat16: 0.1}
"""How far gradients of the same objective may lie apart in a precision."""


@dataclass(frozen=True, kw_only=True)
class Case:
    size: Size
    trace: Trace
    budget: int
    passes: int

    @property
    def name(self) -> str:
        return f"{self.size.name}, {self.trace.name}"


def cases(*, quick: bool, cuda: bool) -> list[Case]:
    """The last is what the figures are of."""
    if cuda:
        paper = Trace(accuracy=0.45, equal=False, prompts=8 if quick else 16, mean=2048, cap=8192, prompt=150)
        return [Case(size=PAPER, trace=trace, budget=16_384, passes=2 if quick else 3) for trace in ([paper] if quick else _traces(paper, MEANS))]
    tiny = Trace(accuracy=0.45, equal=False, prompts=10, mean=48, cap=160)
    wide = Trace(accuracy=0.45, equal=False, prompts=8, mean=32, cap=96)
    if quick:
        return [
            Case(size=TINY, trace=tiny, budget=1024, passes=3),
            Case(size=WIDE, trace=replace(wide, prompts=4, mean=16, cap=48), budget=512, passes=2),
        ]
    return [
        *(Case(size=TINY, trace=trace, budget=2048, passes=7) for trace in _traces(replace(tiny, prompts=24), MEANS)),
        *(Case(size=WIDE, trace=trace, budget=1024, passes=4) for trace in _traces(wide, MEANS)),
    ]


def _traces(of: Trace, means: Sequence[float]) -> list[Trace]:
    found = [replace(of, accuracy=mean, equal=equal) for mean in means for equal in (True, False)]
    return sorted(found, key=lambda trace: (trace.accuracy == of.accuracy, not trace.equal))


# -- measuring ------------------------------------------------------------------------------------------------------------------------


def main() -> None:
    given = steps.asked(__doc__)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows: list[dict[str, Any]] = []
    worlds: dict[str, World] = {}
    for case in cases(quick=given.quick, cuda=device.type == "cuda"):
        if case.size.name not in worlds:
            worlds = {case.size.name: made(case.size, device, budget=case.budget)}
        rows += measured_case(case, worlds[case.size.name], modes=(device.type == "cuda",) if given.quick or device.type == "cuda" else (False, True))
    figures = figures_of(rows)
    steps.record(given.json, rows, figures)


def measured_case(case: Case, world: World, *, modes: Sequence[bool]) -> list[dict[str, Any]]:
    groups = case.trace.groups(world.ids, world.student.end_ids[0])
    plan = plan_of(VOLD, step=0, length_cap=case.trace.cap)
    bounds, told = bounds_of(case, world, groups, plan)
    print(f"{case.name}: {len(groups)} groups, {told}")
    with steps.recomputing(world, level_of(modes[0])):
        agreement(world, groups, plan)
    rows = [
        row
        for checkpointing in modes
        for row in timed(
            case, world, groups, plan, checkpointing=checkpointing, passes=case.passes if checkpointing is modes[0] else max(1, case.passes // 3)
        )
    ]
    best = {way: min(row["seconds"] for row in rows if row["row"] == way) for way in (OURS, PACKED, TRL)}
    read = {
        "teacher": sum(span.length for span in roofline.scored_in(groups, plan)),
        "train": sum(span.length for span in roofline.trained_in(groups, plan)),
    }
    print(f"  {'way':24}{'checkpointing':>14}{'ms':>9}{'± ms':>8}{'ratio':>8}{'bound':>8}{'of bound':>10}   parts, ms")
    for row in rows:
        row |= {"size": case.size.name, "reward": case.trace.accuracy, "lengths": "equal" if case.trace.equal else "log-normal"}
        if row["row"] == OURS:
            row["rates"] = {part: tokens / row["parts"][part] for part, tokens in read.items()}
        if row["row"] != OURS:
            ratio = best[row["row"]] / best[OURS]
            row |= {"ratio": ratio, "bound": bounds[row["row"]], "of_bound": ratio / bounds[row["row"]]}
        compared = "".join(
            f"{row[name]:>{width}.2f}" if name in row else " " * width for name, width in (("ratio", 8), ("bound", 8), ("of_bound", 10))
        )
        parts = ", ".join(f"{name} {1e3 * seconds:.0f}" for name, seconds in row["parts"].items())
        print(f"  {row['row']:24}{row['checkpointing']!s:>14}{1e3 * row['seconds']:9.0f}{1e3 * row['spread']:8.0f}{compared:26}   {parts}")
    return rows


def bounds_of(case: Case, world: World, groups: Sequence[Group], plan: Plan) -> tuple[dict[str, float], str]:
    """The FLOP bound against each baseline, and what the accountant says of the trace."""
    student, teacher = shape_in(world.student), shape_in(world.teacher.reader)
    step = Step(student=student, teacher=teacher, groups=groups, plan=plan)
    scored, trained = roofline.scored_in(groups, plan), roofline.trained_in(groups, plan)
    own = step.trained_on(scored, trained)
    padded = trl_steps.pushed(groups, plan, case.budget)
    bounds = {PACKED: roofline.flop_bound(step.plain(), own), TRL: roofline.flop_bound(step.trained_on(scored, padded, products=4), own)}
    machine = measured(world.student.device, world.student.head.dtype)
    said = sum(span.response for span in roofline.spans_in(groups))
    fractions = roofline.fractions(groups, plan)
    told = (
        f"{said} response tokens, reward {sum(m.reward for g in groups for m in g.members) / (len(groups) * len(groups[0].members)):.2f}, "
        f"never scored {fractions['work/never_scored']:.0%}, never trained {fractions['work/never_trained']:.0%}; at least "
        f"{roofline.flops_in(own) / 1e9:.0f} GFLOP, {1e3 * roofline.seconds_in(own, machine):.0f} ms here; TRL's rows hold "
        f"{roofline.token_efficiency(sum(span.length for span in trained), padded):.0%} tokens"
    )
    return bounds, told


def level_of(checkpointing: bool) -> Recompute:
    return "light" if checkpointing else "none"


def agreement(world: World, groups: Sequence[Group], plan: Plan) -> None:
    """Raises where the savings change the gradient. (TRL's is compared after its first step.)"""
    found = steps.gradient_of(world, steps.accumulate_ours, groups, plan)
    expected = steps.gradient_of(world, steps.accumulate_plain, groups, plan)
    off = steps.apart(found, expected)
    assert off < AGREE[world.student.head.dtype], f"the gradients with and without savings are {off:.1e} of their norm apart"


def timed(case: Case, world: World, groups: Sequence[Group], plan: Plan, *, checkpointing: bool, passes: int) -> list[dict[str, Any]]:
    """All three in turn; the first turn is not among the numbers."""
    own: list[steps.Times] = []
    plain: list[steps.Times] = []

    def after() -> None:
        with steps.recomputing(world, level_of(checkpointing)):
            plain.append(steps.plain(world, groups, plan))
            own.append(steps.ours(world, groups, plan))

    with steps.recomputing(world, level_of(checkpointing)):
        expected = steps.gradient_of(world, steps.accumulate_ours, groups, plan)
    beside = trl_steps.run(world, groups, VOLD, cap=case.trace.cap, steps=passes + 1, checkpointing=checkpointing, after=after)
    off = steps.apart(steps.unit(beside.gradient), steps.unit(expected))
    assert off < AGREE[world.student.head.dtype], f"TRL's gradient is {off:.1e} of its norm from ours"
    world.student.model.gradient_checkpointing_disable()
    world.student.model.eval()
    return [
        row_of(TRL, beside.seconds[1:], {}, checkpointing),
        row_of(PACKED, [sum(times.values()) for times in plain[1:]], medians(plain[1:]), checkpointing),
        row_of(OURS, [sum(times.values()) for times in own[1:]], medians(own[1:]), checkpointing),
    ]


def row_of(way: str, seconds: Sequence[float], parts: steps.Times, checkpointing: bool) -> dict[str, Any]:
    spread = (max(seconds) - min(seconds)) / 2
    return {"row": way, "checkpointing": checkpointing, "seconds": statistics.median(seconds), "spread": spread, "parts": parts}


def medians(of: Sequence[steps.Times]) -> steps.Times:
    return {part: statistics.median(times[part] for times in of) for part in of[0]}


def figures_of(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Of the last trace: reward mean 0.45, log-normal lengths, the real vocabulary."""
    last = {row["row"]: row for row in rows if all(row[key] == rows[-1][key] for key in ("size", "reward", "lengths"))}
    least = {way: min(row["of_bound"] for row in rows if row["row"] == way) for way in (PACKED, TRL)}
    return {
        "step.vs_packed": last[PACKED]["ratio"],
        "step.vs_trl": last[TRL]["ratio"],
        "step.of_bound_packed": last[PACKED]["of_bound"],
        "step.of_bound_trl": last[TRL]["of_bound"],
        "step.of_bound_packed_at_worst": least[PACKED],
        "step.of_bound_trl_at_worst": least[TRL],
    }


if __name__ == "__main__":
    main()
