"""Norms and gated products of a model's layers in one kernel each, on a GPU with Triton: transformers' own take a pass over memory for every step.

A module is exchanged only where a kernel gives what the module itself gives on a trial, so a family with a norm of its own keeps it.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

BLOCK = 1024
"""Numbers a program of the gated product holds."""
TILE = 4096
"""Numbers a program of a norm holds: several rows where they are short."""
PROGRAMS = 1056
"""Programs among which the rows of a norm's backward pass are dealt: some for each of a GPU's processors."""


def fuse(body: nn.Module) -> int:
    """Exchange what can be exchanged in these layers; how many modules that were. Nothing off a GPU, or without Triton, or with VOLD_TRITON=0."""
    parameter = next(body.parameters())
    if not (parameter.is_cuda and parameter.dtype in (torch.bfloat16, torch.float16)) or _kernels() is None:
        return 0
    return exchanged(body)


def exchanged(body: nn.Module) -> int:
    agrees: dict[tuple[type, object], bool] = {}
    found = 0
    for module in body.modules():
        form = _form_of(module)
        if form is None:
            continue
        kind = (type(module), form)
        if kind not in agrees:
            agrees[kind] = _agrees(module, form)
        if agrees[kind]:
            module.forward = partial(form, module)
            found += 1
    return found


def _form_of(module: Any) -> Callable[[Any, Tensor], Tensor] | None:
    weight = getattr(module, "weight", None)
    if isinstance(weight, Tensor) and weight.ndim == 1 and hasattr(module, "variance_epsilon"):
        return normed
    if all(isinstance(getattr(module, name, None), nn.Linear) for name in ("gate_proj", "up_proj", "down_proj")) and hasattr(module, "act_fn"):
        return gated
    return None


@torch.no_grad()
def _agrees(module: Any, form: Callable[[Any, Tensor], Tensor]) -> bool:
    weight = module.weight if form is normed else module.gate_proj.weight
    draw = torch.Generator().manual_seed(0)
    trial = torch.randn(3, weight.shape[-1], generator=draw).to(weight)
    expected = module.forward(trial).float()
    return torch.allclose(form(module, trial).float(), expected, rtol=0.02, atol=0.02 * float(expected.abs().max()))


def normed(module: Any, states: Tensor) -> Tensor:
    """What the norm's own forward pass gives."""
    found: Tensor = _Norm.apply(states, module.weight, module.variance_epsilon)
    return found


def gated(module: Any, states: Tensor) -> Tensor:
    """The same of an MLP: down(silu(gate) · up)."""
    inner: Tensor = _Gated.apply(module.gate_proj(states), module.up_proj(states))
    down: Tensor = module.down_proj(inner)
    return down


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, eps: float) -> Tensor:
        flat = states.reshape(-1, states.shape[-1]).contiguous()
        rows, width = flat.shape
        out, scale = torch.empty_like(flat), flat.new_empty(rows, dtype=torch.float32)
        tile, block = _tile(width)
        _kernels().norm_forward[(-(-rows // tile),)](flat, weight, out, scale, rows, width, eps, tile=tile, block=block, num_warps=4)
        ctx.save_for_backward(flat, weight, scale)
        return out.view(states.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        flat, weight, scale = ctx.saved_tensors
        grad = grads[0].reshape(flat.shape).contiguous()
        rows, width = flat.shape
        tile, block = _tile(width)
        tiles = -(-rows // tile)
        turns = -(-tiles // PROGRAMS)
        programs = -(-tiles // turns)
        by_states, by_weight = torch.empty_like(flat), flat.new_empty(programs, width, dtype=torch.float32)
        _kernels().norm_backward[(programs,)](
            flat, weight, scale, grad, by_states, by_weight, rows, width, turns, tile=tile, block=block, num_warps=4
        )  # fmt: skip
        return by_states.view(grads[0].shape), by_weight.sum(0).to(weight.dtype), None


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        gate, up = gate.contiguous(), up.contiguous()
        out = torch.empty_like(gate)
        _kernels().gated_forward[(-(-gate.numel() // BLOCK),)](gate, up, out, gate.numel(), block=BLOCK, num_warps=4)
        ctx.save_for_backward(gate, up)
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad = grads[0].contiguous()
        by_gate, by_up = torch.empty_like(gate), torch.empty_like(up)
        _kernels().gated_backward[(-(-gate.numel() // BLOCK),)](gate, up, grad, by_gate, by_up, gate.numel(), block=BLOCK, num_warps=4)
        return by_gate, by_up


def _tile(width: int) -> tuple[int, int]:
    """Rows a program holds, and the columns of each: powers of two."""
    block = 1 << (width - 1).bit_length()
    return max(1, TILE // block), block


@cache
def _kernels() -> Any:
    if os.environ.get("VOLD_TRITON") == "0":
        return None
    try:
        from vold.adapters import triton_layers
    except ImportError:
        return None
    return triton_layers
