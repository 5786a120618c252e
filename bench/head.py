"""The head, forward and backward from hidden states: ours beside other ways to get per-token log-probabilities and their gradients.

    python bench/head.py                  # CPU: width 256, 151,936 ids, 2,048 tokens; GPU: the paper's student and teacher at 4k, 16k and 64k
    python bench/head.py --quick          # small sizes, two CPU cores, under two minutes
    python bench/head.py --json out.json

Every row does the same work: log-probabilities of given ids, then the gradients of hidden states and head for a weight a token. The ways are run
in turn, several times over, in one process; times are medians, memory is the most that was held above the inputs and the two gradients, errors are
against float64. Rows that need what is not installed are left out, and said. Prints a table; --json writes {"hardware", "versions", "rows",
"figures"}.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vold.adapters.allocations import peak_of
from vold.adapters.facts import hardware, versions
from vold.core.head import Slopes, sweep, token_logprobs

Step = Callable[["Inputs"], tuple[Tensor, Tensor, Tensor]]
"""Log-probabilities, and the gradients of hidden states and head."""


@dataclass(frozen=True, kw_only=True)
class Size:
    name: str
    tokens: int
    width: int
    vocabulary: int
    passes: int
    train: bool = True


CPU = (Size(name="cpu", tokens=2048, width=256, vocabulary=151_936, passes=5),)
QUICK = (Size(name="quick", tokens=512, width=128, vocabulary=32_768, passes=5),)
TOKENS = (4096, 16_384, 65_536)
GPU = (
    *(Size(name=f"student {n}", tokens=n, width=2048, vocabulary=151_936, passes=5) for n in TOKENS),
    *(Size(name=f"teacher {n}", tokens=n, width=4096, vocabulary=151_936, passes=5, train=False) for n in TOKENS),
)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    hidden_NH: Tensor
    head_VH: Tensor
    targets_N: Tensor
    weight_N: Tensor


def made(size: Size, device: torch.device) -> Inputs:
    """States and weights whose softmax has an entropy of under one nat, as a trained model's has; targets drawn from it."""
    draw = torch.Generator(device=device).manual_seed(0)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    head_VH = torch.randn(size.vocabulary, size.width, generator=draw, device=device).to(dtype) * size.width**-0.5
    meant_N = torch.randint(size.vocabulary, (size.tokens,), generator=draw, device=device)
    noise_NH = torch.randn(size.tokens, size.width, generator=draw, device=device).to(dtype)
    hidden_NH = noise_NH + 15.0 * head_VH[meant_N]
    weight_N = torch.randn(size.tokens, generator=draw, device=device)
    return Inputs(hidden_NH=hidden_NH, head_VH=head_VH, targets_N=meant_N, weight_N=weight_N)


# -- ways -----------------------------------------------------------------------------------------------------------------------------


def ours(given: Inputs) -> tuple[Tensor, Tensor, Tensor]:
    """One sweep, the weights known while it goes: three matrix products."""
    grad_VH = torch.zeros_like(given.head_VH, dtype=torch.float32)
    swept = sweep(given.hidden_NH, given.head_VH, given.targets_N, lambda s: Slopes(logprobs_C=given.weight_N[s.start : s.stop]), grad_VH=grad_VH)
    assert swept.grad_NH is not None
    return swept.logprobs_N, swept.grad_NH, grad_VH


def by_autograd(logprobs_of: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Step:
    def step(given: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        hidden_NH, head_VH = given.hidden_NH.detach().requires_grad_(), given.head_VH.detach().requires_grad_()
        logprobs_N = logprobs_of(hidden_NH, head_VH, given.targets_N)
        return logprobs_N.detach(), *torch.autograd.grad((given.weight_N * logprobs_N).sum(), (hidden_NH, head_VH))

    return step


def materialised(hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor) -> Tensor:
    logits_NV = (hidden_NH @ head_VH.T).float()
    return logits_NV.gather(1, targets_N[:, None]).squeeze(1) - logits_NV.logsumexp(1)


def of_torch(hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor) -> Tensor:
    from torch.nn.functional import linear_cross_entropy  # since torch 2.13

    return -linear_cross_entropy(hidden_NH, head_VH, targets_N, reduction="none", options=torch.nn.LinearCrossEntropyOptions())


def of_trl(hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor) -> Tensor:
    from trl.kernels.chunked_logprob import ChunkedLogProbFunction

    found: Tensor = ChunkedLogProbFunction.apply(hidden_NH, head_VH, None, targets_N, 1.0, 32_768, None, 1.0, ())
    return found[0]


def of_liger(hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor) -> Tensor:
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    found: Any = liger_fused_linear_cross_entropy(hidden_NH, head_VH, targets_N, reduction="none")
    return -(found[0] if isinstance(found, tuple) else found)


def of_cce(hidden_NH: Tensor, head_VH: Tensor, targets_N: Tensor) -> Tensor:
    from cut_cross_entropy import linear_cross_entropy as cut

    found: Tensor = cut(hidden_NH, head_VH, targets_N, reduction="none", impl="cce_exact" if hidden_NH.is_cuda else "torch_compile")
    return -found


WAYS: dict[str, Step] = {
    "ours": ours,
    "ours, slopes known afterwards": by_autograd(lambda h, w, t: token_logprobs(h, w, t)),
    "materialised": by_autograd(materialised),
    "torch linear_cross_entropy": by_autograd(of_torch),
    "TRL fused head": by_autograd(of_trl),
    "Liger fused linear": by_autograd(of_liger),
    "cut cross-entropy": by_autograd(of_cce),
}
ERRORS = {"logprob_error": 11, "dH_error": 10}
"""Columns and their widths."""
OURS, PLAIN = "ours", "materialised"


def forward_only(step: Step, name: str) -> Step:
    """The same without gradients: what a scorer does."""
    forms = {"ours": token_logprobs, PLAIN: materialised, "torch linear_cross_entropy": of_torch, "TRL fused head": of_trl}
    form: Any = forms.get(name)

    def scored(given: Inputs) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            return form(given.hidden_NH, given.head_VH, given.targets_N), given.hidden_NH[:0], given.head_VH[:0]

    return scored if form is not None else step


# -- measuring ------------------------------------------------------------------------------------------------------------------------


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    sizes = QUICK if given.quick else GPU if device.type == "cuda" else CPU
    print(f"{hardware(torch.get_num_threads())}, torch {torch.__version__}")
    rows: list[dict[str, Any]] = []
    for size in sizes:
        rows += measured(size, device)
    figures = figures_of([row for row in rows if row["size"] == sizes[-1 if len(sizes) == 1 else 1].name])
    for name, value in figures.items():
        print(f"{name:32}{value:8.2f}")
    if given.json:
        record = {"hardware": hardware(torch.get_num_threads()), "versions": versions(), "rows": rows, "figures": figures}
        given.json.write_text(json.dumps(record, indent=1) + "\n")


def measured(size: Size, device: torch.device) -> list[dict[str, Any]]:
    given = made(size, device)
    exact = exactly(given, min(size.tokens, 256), size.train)
    ways = {
        name: step if size.train else forward_only(step, name) for name, step in WAYS.items() if size.train or name != "ours, slopes known afterwards"
    }
    usable: dict[str, Step] = {}
    rows: dict[str, dict[str, Any]] = {}
    print(
        f"{size.name}: {size.tokens} tokens, {size.vocabulary} ids, width {size.width}, "
        f"{given.hidden_NH.dtype}{'' if size.train else ', forward only'}"
    )
    for name, step in ways.items():
        try:
            found = step(given)  # what compiles does so now
            row = {"row": name, "size": size.name, **errors(found, exact)}
            kept = sum(tensor.nbytes for tensor in found)
            del found
        except (ImportError, RuntimeError, ValueError, TypeError) as error:
            print(f"  {name}: left out ({type(error).__name__}: {str(error).splitlines()[0][:90]})")
            continue
        try:
            with peak_of(device) as peak:
                step(given)
            row["peak_extra_bytes"] = max(0, peak.extra - kept)
        except RuntimeError as error:  # compiled code cannot be watched operator by operator
            print(f"  {name}: memory not counted ({str(error).splitlines()[0][:90]})")
            torch._dynamo.reset()  # what it failed to compile while watched would fail from now on
        rows[name], usable[name] = row, step
    times: dict[str, list[float]] = {name: [] for name in usable}
    for _ in range(size.passes):
        for name, step in usable.items():  # in turn, so that a slow spell falls on all alike
            times[name].append(seconds(step, given))
    flops = 2 * size.tokens * size.width * size.vocabulary * (3 if size.train else 1)
    print(f"  {'way':32}{'ms':>10}{'± ms':>9}{'GFLOP/s':>10}{'extra MiB':>11}{'log-prob':>11}{'dH':>10}")
    for name, row in rows.items():
        spread = (max(times[name]) - min(times[name])) / 2
        row |= {"seconds": statistics.median(times[name]), "spread": spread, "flops_needed_per_second": flops / statistics.median(times[name])}
        numbers = "".join(f"{row[key]:>{width}.1e}" if key in row else " " * width for key, width in ERRORS.items())
        rate = row["flops_needed_per_second"] / 1e9
        extra = f"{row['peak_extra_bytes'] / 2**20:.0f}" if "peak_extra_bytes" in row else "?"
        print(f"  {name:32}{1e3 * row['seconds']:10.0f}{1e3 * spread:9.0f}{rate:10.0f}{extra:>11}{numbers}")
    return list(rows.values())


def seconds(step: Step, given: Inputs) -> float:
    if given.hidden_NH.is_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    step(given)
    if given.hidden_NH.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def exactly(given: Inputs, tokens: int, train: bool) -> tuple[Tensor, Tensor | None]:
    """Log-probabilities, and the states' gradient, of the first tokens in float64."""
    hidden_NH, head_VH = given.hidden_NH.double(), given.head_VH.double()
    part_NV = (hidden_NH[:tokens] @ head_VH.T).log_softmax(1)
    targets_N = given.targets_N[:tokens]
    logprobs_N = part_NV.gather(1, targets_N[:, None]).squeeze(1)
    if not train:
        return logprobs_N, None
    slope_NV = -part_NV.exp() * given.weight_N[:tokens, None].double()
    slope_NV[torch.arange(tokens, device=targets_N.device), targets_N] += given.weight_N[:tokens].double()
    return logprobs_N, slope_NV @ head_VH


def errors(found: tuple[Tensor, Tensor, Tensor], exact: tuple[Tensor, Tensor | None]) -> dict[str, float]:
    logprobs_N, by_hidden = exact
    tokens = len(logprobs_N)
    told = {"logprob_error": float((found[0][:tokens].double() - logprobs_N).abs().max())}
    if by_hidden is not None:
        told["dH_error"] = float((found[1][:tokens].double() - by_hidden).norm() / by_hidden.norm())
    return told


def figures_of(rows: list[dict[str, Any]]) -> dict[str, float]:
    by_name = {row["row"]: row for row in rows}
    peers = [row["seconds"] for name, row in by_name.items() if not name.startswith(OURS)]
    own = by_name[OURS]
    return {
        "head.memory_ratio": by_name[PLAIN]["peak_extra_bytes"] / max(1, own["peak_extra_bytes"]),
        "head.time_vs_best_peer": min(peers) / own["seconds"],
        "head.time_vs_materialised": by_name[PLAIN]["seconds"] / own["seconds"],
    }


if __name__ == "__main__":
    main()
