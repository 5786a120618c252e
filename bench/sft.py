"""One step of supervised fine-tuning on the same traces: ours beside TRL's SFTTrainer with packing on.

    python bench/sft.py                  # CPU: two sizes; GPU: the paper's student
    python bench/sft.py --quick          # two CPU cores, under two minutes
    python bench/sft.py --json out.json

Both train the same weights in the same precision, threads, attention and optimizer, with as many tokens a micro-batch at the most, in turn and in
one process; the first step does not count. Each is measured with and without gradient checkpointing (--quick: without; on a GPU: with), and the
better counts; where it is on, ours runs on recompute = "light", which keeps what matrix products made. The gradients of both must agree; where a
Qwen2.5-VL in TRL lets packed traces see each other (its positions are three-dimensional, and the mask is made from plain ones), the student is a
text-only Qwen3 of the same size instead, and that is said. Prints a table; --json writes {"hardware", "versions", "rows", "figures"}.
"""

import gc
import statistics
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from datasets import Dataset
from parts import steps, trl_steps
from parts.traces import Trace
from parts.worlds import END, PAPER, TINY, WIDE, Size, World, made, text_only
from trl import SFTConfig, SFTTrainer, pack_dataset

from vold.adapters.metering import measured, shape_in
from vold.adapters.recompute import Recompute
from vold.core import roofline
from vold.ports import Example

warnings.filterwarnings("ignore", category=FutureWarning)  # checkpointing by its former name, which transformers 5.17 has alone
OURS, TRL = "ours", "TRL, packing"
AGREE = {torch.float32: 2e-4, torch.bfloat16: 0.1}


@dataclass(frozen=True, kw_only=True)
class Case:
    size: Size
    trace: Trace
    budget: int
    passes: int


def cases(*, quick: bool, cuda: bool) -> list[Case]:
    """The last is what the figure is of."""
    tiny = Trace(accuracy=0.5, equal=False, prompts=6 if quick else 16, mean=64, cap=240)
    wide = Trace(accuracy=0.5, equal=False, prompts=3 if quick else 8, mean=20 if quick else 32, cap=100)
    if cuda:
        traces = Trace(accuracy=0.5, equal=False, prompts=4, mean=3500, cap=8000, prompt=150)
        return [Case(size=replace(PAPER, teacher=TINY.teacher), trace=traces, budget=8192, passes=2 if quick else 4)]
    return [
        Case(size=TINY, trace=tiny, budget=1024, passes=4 if quick else 9),
        Case(size=WIDE, trace=wide, budget=256 if quick else 1024, passes=3 if quick else 5),
    ]


def main() -> None:
    given = steps.asked(__doc__)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows: list[dict[str, Any]] = []
    for case in cases(quick=given.quick, cuda=device.type == "cuda"):
        rows += measured_case(case, device, modes=(device.type == "cuda",) if given.quick or device.type == "cuda" else (False, True))
    last = {row["row"]: row for row in rows if row["size"] == rows[-1]["size"]}
    figures = {"sft.vs_trl": last[TRL]["ratio"]}
    steps.record(given.json, rows, figures)


def measured_case(case: Case, device: torch.device, *, modes: Sequence[bool]) -> list[dict[str, Any]]:
    world = made(case.size, device, budget=case.budget)
    examples = examples_of(case, world)
    off = apart(case, world, examples, checkpointing=modes[0])
    name = type(world.student.model).__name__
    if off > AGREE[world.student.head.dtype]:
        print(
            f"{case.size.name}: in {name} TRL's gradient is {off:.1%} of its norm from that of traces which do not see each other; text-only instead"
        )
        del world
        gc.collect()  # two of the paper's students fit no GPU
        world = made(text_only(case.size), device, budget=case.budget)
        off, name = apart(case, world, examples, checkpointing=modes[0]), type(world.student.model).__name__
        assert off < AGREE[world.student.head.dtype], f"TRL's gradient is {off:.1e} of its norm from ours"
    rows = [
        row
        for checkpointing in modes
        for row in timed(
            case, world, examples, checkpointing=checkpointing, passes=case.passes if checkpointing is modes[0] else max(1, case.passes // 3)
        )
    ]
    best = {way: min(row["seconds"] for row in rows if row["row"] == way) for way in (OURS, TRL)}
    work = shape_in(world.student).training([roofline.Span(len(e.prompt_ids), len(e.response_ids)) for e in examples])
    machine = measured(device, world.student.head.dtype)
    ideal = work.seconds(machine)
    tokens = sum(len(e.prompt_ids) + len(e.response_ids) for e in examples)
    print(f"{case.size.name}, {name}: {len(examples)} traces, {tokens} tokens; at least {work.flops / 1e9:.0f} GFLOP, {1e3 * ideal:.0f} ms here")
    print(f"  {'way':24}{'checkpointing':>14}{'ms':>9}{'± ms':>8}{'tokens/s':>10}{'ratio':>8}")
    for row in rows:
        row |= {"size": case.size.name, "model": name, "tokens_per_second": tokens / row["seconds"], "of_ideal": ideal / row["seconds"]}
        if row["row"] == TRL:
            row["ratio"] = best[TRL] / best[OURS]
        ratio = f"{row['ratio']:8.2f}" if "ratio" in row else ""
        checkpointed = str(row["checkpointing"])
        print(f"  {row['row']:24}{checkpointed:>14}{1e3 * row['seconds']:9.0f}{1e3 * row['spread']:8.0f}{row['tokens_per_second']:10.0f}{ratio}")
    return rows


def examples_of(case: Case, world: World) -> list[Example]:
    world.learner.banned_V = torch.zeros_like(world.learner.banned_V)  # TRL leaves no id out of the softmax
    rollouts = [member.rollout for group in case.trace.groups(world.ids, END) for member in group.members]
    return [Example(prompt_ids=rollout.prompt_ids, response_ids=rollout.response_ids) for rollout in rollouts]


def level_of(checkpointing: bool) -> Recompute:
    return "light" if checkpointing else "none"


def apart(case: Case, world: World, examples: Sequence[Example], *, checkpointing: bool) -> float:
    """How far the gradients of the first step lie apart, both at norm 1."""
    world.learner.banned_V = torch.zeros_like(world.learner.banned_V)
    with steps.recomputing(world, level_of(checkpointing)):
        world.learner.accumulate_examples(examples)
    expected = steps.gathered(world, 1.0)
    beside = with_trl(case, world, examples, steps_made=1, checkpointing=checkpointing, after=lambda: None)
    return steps.apart(steps.unit(beside.gradient), steps.unit(expected))


def timed(case: Case, world: World, examples: Sequence[Example], *, checkpointing: bool, passes: int) -> list[dict[str, Any]]:
    """Both in turn; the first turn is not among the numbers."""
    own: list[float] = []

    def after() -> None:
        with steps.recomputing(world, level_of(checkpointing)):
            watch = steps.Watch(world.student.device)
            world.learner.accumulate_examples(examples)
            world.learner.apply(sum(len(e.response_ids) for e in examples), lr=steps.LR)
            watch("step")
        own.append(watch.times["step"])

    beside = with_trl(case, world, examples, steps_made=passes + 1, checkpointing=checkpointing, after=after)
    world.student.model.gradient_checkpointing_disable()
    world.student.model.eval()
    found = {TRL: beside.seconds[1:], OURS: own[1:]}
    return [
        {"row": way, "checkpointing": checkpointing, "seconds": statistics.median(seconds), "spread": (max(seconds) - min(seconds)) / 2}
        for way, seconds in found.items()
    ]


def with_trl(case: Case, world: World, examples: Sequence[Example], *, steps_made: int, checkpointing: bool, after: Any) -> trl_steps.Beside:
    """Steps of all traces each, packed by TRL under the same budget."""
    rows = [{"input_ids": [*e.prompt_ids, *e.response_ids], "labels": [-100] * len(e.prompt_ids) + list(e.response_ids)} for e in examples]
    data = Dataset.from_list(rows)
    packs = len(pack_dataset(data, case.budget, "bfd"))
    args = SFTConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=world.student.device.type == "cpu",
        bf16=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        gradient_checkpointing=checkpointing,
        packing=True,
        max_length=case.budget,
        per_device_train_batch_size=1,
        gradient_accumulation_steps=packs,
        max_steps=steps_made,
        learning_rate=steps.LR,
        lr_scheduler_type="constant",
        seed=0,
    )
    beside = trl_steps.Beside(world.student.device, after, of=steps.compared(world))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = SFTTrainer(world.student.model, args=args, processing_class=world.student.tokenizer, train_dataset=data, callbacks=[beside])
        trl_steps.quiet(trainer)
        trainer.train()
    return beside


if __name__ == "__main__":
    main()
