"""The kernels behind adapters/fused.py: root-mean-square norms and the gated product of a SwiGLU, forward and backward."""

import triton
import triton.language as tl


@triton.jit
def norm_forward(states, weight, out, scale_out, rows, width, eps, tile: tl.constexpr, block: tl.constexpr):
    """A tile of rows: weight times the row over its root mean square, rounded where transformers rounds."""
    row = (tl.program_id(0).to(tl.int64) * tile + tl.arange(0, tile))[:, None]
    column = tl.arange(0, block)[None, :]
    inside = (row < rows) & (column < width)
    x = tl.load(states + row * width + column, mask=inside, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(x * x, 1, keep_dims=True) / width + eps)
    normed = (x * scale).to(out.dtype.element_ty).to(tl.float32)
    by = tl.load(weight + column, mask=column < width, other=0.0).to(tl.float32)
    tl.store(out + row * width + column, (by * normed).to(out.dtype.element_ty), mask=inside)
    tl.store(scale_out + row, scale, mask=row < rows)


@triton.jit
def norm_backward(states, weight, scale_in, grad, grad_states, grad_weight, rows, width, turns, tile: tl.constexpr, block: tl.constexpr):
    """So many tiles of rows one after the other; the weight's part of each program is added up by whoever called."""
    program = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)[None, :]
    by = tl.load(weight + column, mask=column < width, other=0.0).to(tl.float32)
    added = tl.zeros([tile, block], dtype=tl.float32)
    for turn in range(turns):
        row = ((program * turns + turn) * tile + tl.arange(0, tile))[:, None]
        inside = (row < rows) & (column < width)
        x = tl.load(states + row * width + column, mask=inside, other=0.0).to(tl.float32)
        scale = tl.load(scale_in + row, mask=row < rows, other=0.0)
        slope = tl.load(grad + row * width + column, mask=inside, other=0.0).to(tl.float32)
        normed = x * scale
        added += slope * normed
        slope *= by
        mean = tl.sum(slope * normed, 1, keep_dims=True) / width
        tl.store(grad_states + row * width + column, (scale * (slope - normed * mean)).to(grad_states.dtype.element_ty), mask=inside)
    tl.store(grad_weight + program * width + column, tl.sum(added, 0, keep_dims=True), mask=column < width)


@triton.jit
def gated_forward(gate, up, out, count, block: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = place < count
    g = tl.load(gate + place, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
    silu = (g / (1.0 + tl.exp(-g))).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + place, (silu * u).to(out.dtype.element_ty), mask=inside)


@triton.jit
def gated_backward(gate, up, grad, grad_gate, grad_up, count, block: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * block + tl.arange(0, block)
    inside = place < count
    g = tl.load(gate + place, mask=inside, other=0.0).to(tl.float32)
    u = tl.load(up + place, mask=inside, other=0.0).to(tl.float32)
    slope = tl.load(grad + place, mask=inside, other=0.0).to(tl.float32)
    sigmoid = 1.0 / (1.0 + tl.exp(-g))
    silu = g * sigmoid
    tl.store(grad_up + place, (slope * silu).to(grad_up.dtype.element_ty), mask=inside)
    tl.store(grad_gate + place, (slope * u * (sigmoid + silu * (1.0 - sigmoid))).to(grad_gate.dtype.element_ty), mask=inside)
