"""What each estimator of a pull costs in the head: one forward and backward pass from hidden states, side by side in one process.

    python bench/pulls.py                 # the paper's pair: 151,936 ids, widths 2,048 and 4,096; needs a GPU
    python bench/pulls.py --quick         # small sizes, two CPU cores, under two minutes
    python bench/pulls.py --json out.json

Prints a table and, with --json, writes {"hardware", "versions", "rows", "figures"}. The row `dense` forms both models' whole logits at once,
as a reading of the equation would. Times are medians of several passes; memory is the peak above what the inputs take (GPU only).
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vold.core.batching import Batch, Hidden
from vold.core.descent import descend
from vold.core.objective import K2, NO_CREDIT, TEACHER, Estimator, Objective, Pull
from vold.core.plan import plan_of

PULLS = {
    "k2": Pull(TEACHER, 1.0, K2),
    "top-k (64)": Pull(TEACHER, 1.0, Estimator.TOP_K, top=64),
    "full-student-to-partner": Pull(TEACHER, 1.0, Estimator.FULL_STUDENT_TO_PARTNER),
    "full-partner-to-student": Pull(TEACHER, 1.0, Estimator.FULL_PARTNER_TO_STUDENT),
    "jsd (0.5)": Pull(TEACHER, 1.0, Estimator.JSD, mix=0.5),
}


@dataclass(frozen=True, kw_only=True)
class Size:
    tokens: int
    vocabulary: int
    student: int
    teacher: int
    chunk: int
    passes: int


PAIR = Size(tokens=8192, vocabulary=151_936, student=2048, teacher=4096, chunk=2048, passes=7)
QUICK = Size(tokens=256, vocabulary=8192, student=128, teacher=256, chunk=64, passes=5)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    hidden_NH: Tensor
    head_VH: Tensor
    teacher_NK: Tensor
    head_VK: Tensor
    batch: Batch


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    size = QUICK if given.quick else PAIR
    device = "cuda" if torch.cuda.is_available() else "cpu"
    inputs = made(size, device)
    rows = [measured(name, step_of(inputs, pull, size.chunk), inputs, size) for name, pull in PULLS.items()]
    rows.append(measured("dense", lambda: dense(inputs), inputs, size))
    base = rows[0]
    for row in rows:
        row["time / k2"] = row["seconds"] / base["seconds"]
        row["memory / k2"] = row["peak_bytes"] / base["peak_bytes"] if base["peak_bytes"] else None
    show(size, device, rows)
    full = next(row for row in rows if row["row"] == "full-student-to-partner")
    figures = {"pulls.full_over_k2_time": full["time / k2"], "pulls.dense_over_full_time": rows[-1]["seconds"] / full["seconds"]}
    if full["peak_bytes"]:
        figures |= {"pulls.full_over_k2_memory": full["memory / k2"], "pulls.dense_over_full_memory": rows[-1]["peak_bytes"] / full["peak_bytes"]}
    if given.json:
        record = {"hardware": hardware(device), "versions": {"torch": torch.__version__, "python": platform.python_version()}}
        given.json.write_text(json.dumps({**record, "size": size.__dict__, "rows": rows, "figures": figures}, indent=1) + "\n")


def made(size: Size, device: str) -> Inputs:
    draw = torch.Generator(device=device).manual_seed(0)
    dtype = torch.bfloat16 if device == "cuda" else torch.float32

    def normal(*shape: int, scale: float) -> Tensor:
        return (torch.randn(*shape, generator=draw, device=device) * scale).to(dtype)

    n = size.tokens
    targets_N = torch.randint(size.vocabulary, (n,), generator=draw, device=device)
    hidden_NH = normal(n, size.student, scale=1.0).requires_grad_()
    head_VH = normal(size.vocabulary, size.student, scale=size.student**-0.5).requires_grad_()
    teacher_NK, head_VK = normal(n, size.teacher, scale=1.0), normal(size.vocabulary, size.teacher, scale=size.teacher**-0.5)
    ones = torch.ones(n, device=device)
    batch = Batch(
        ids_T=targets_N,
        spans=(n,),
        before_N=torch.arange(n, device=device),
        targets_N=targets_N,
        lengths=(n,),
        advantage_N=ones * 0,
        share_N=ones,
        weights_PN=ones[None],
        teacher_N=-ones,
        reference_N=ones * float("nan"),
        sampler_N=ones * float("nan"),
        behaviour_N=None,
        hidden={TEACHER: Hidden(at_M=torch.arange(n, device=device), states_MH=teacher_NK)},
    )
    return Inputs(hidden_NH=hidden_NH, head_VH=head_VH, teacher_NK=teacher_NK, head_VK=head_VK, batch=batch)


def step_of(inputs: Inputs, pull: Pull, chunk: int) -> Callable[[], None]:
    objective = Objective(NO_CREDIT, None, pulls=(pull,))
    plan = plan_of(objective, step=0, length_cap=1)
    batch = inputs.batch if pull.by.vocabulary_wide else replace(inputs.batch, hidden={})

    def step() -> None:
        hidden_NH, head_VH = inputs.hidden_NH.detach(), inputs.head_VH.detach()
        heads, grad_VH = {TEACHER: inputs.head_VK}, torch.zeros_like(head_VH)
        descend(plan, batch, hidden_NH, head_VH, only_update=True, heads=heads, chunk=chunk, grad_VH=grad_VH)

    return step


def dense(inputs: Inputs) -> None:
    """KL(student ‖ teacher) as it is written down: two [tokens, vocabulary] softmaxes."""
    own = (inputs.hidden_NH @ inputs.head_VH.T).float().log_softmax(1)
    with torch.no_grad():
        teacher = (inputs.teacher_NK @ inputs.head_VK.T).float().log_softmax(1)
    (own.exp() * (own - teacher)).sum().backward()


def measured(name: str, step: Callable[[], None], inputs: Inputs, size: Size) -> dict[str, float | str | None]:
    cuda = inputs.hidden_NH.is_cuda
    seconds: list[float] = []
    peak = 0
    for _ in range(size.passes + 2):  # the first two warm up
        inputs.hidden_NH.grad = inputs.head_VH.grad = None
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        start = time.perf_counter()
        step()
        if cuda:
            torch.cuda.synchronize()
            peak = torch.cuda.max_memory_allocated() - before
        seconds.append(time.perf_counter() - start)
    return {"row": name, "seconds": statistics.median(seconds[2:]), "spread": max(seconds[2:]) - min(seconds[2:]), "peak_bytes": peak}


def show(size: Size, device: str, rows: list[dict[str, float | str | None]]) -> None:
    print(f"{hardware(device)}, torch {torch.__version__}; {size.tokens} tokens, {size.vocabulary} ids, widths {size.student} and {size.teacher}")
    print(f"{'estimator':26}{'ms':>10}{'± ms':>8}{'peak MiB':>10}{'time / k2':>11}{'memory / k2':>13}")
    for row in rows:
        memory = f"{row['memory / k2']:.2f}" if row["memory / k2"] else "-"
        peak = f"{row['peak_bytes'] / 2**20:.0f}" if row["peak_bytes"] else "-"
        print(f"{row['row']:26}{1e3 * row['seconds']:10.1f}{1e3 * row['spread'] / 2:8.1f}{peak:>10}{row['time / k2']:11.2f}{memory:>13}")


def hardware(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


if __name__ == "__main__":
    main()
