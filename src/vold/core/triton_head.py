"""The kernels behind core/kernels.py. One program a token, or a token and a stretch of the vocabulary."""

import triton
import triton.language as tl


@triton.jit
def read_rows(logits, targets, lse_out, mean_out, logprob_out, vocabulary, stride, low: tl.constexpr, block: tl.constexpr):
    """Largest, summed exponentials and expected logit in one reading, the sums scaled anew whenever a larger logit comes."""
    row = tl.program_id(0).to(tl.int64)
    start = logits + row * stride
    top = -1e30
    total = 0.0
    expected = 0.0
    for first in range(0, vocabulary, block):
        ids = first + tl.arange(0, block)
        z = tl.load(start + ids, mask=ids < vocabulary, other=-1e38)
        said = z > low
        higher = tl.maximum(top, tl.max(tl.where(said, z, -1e30), 0))
        exps = tl.where(said, tl.exp(z - higher), 0.0)
        kept = tl.exp(top - higher)
        total = total * kept + tl.sum(exps, 0)
        expected = expected * kept + tl.sum(tl.where(said, exps * z, 0.0), 0)
        top = higher
    lse = top + tl.log(total)
    tl.store(lse_out + row, lse)
    tl.store(mean_out + row, expected / total)
    tl.store(logprob_out + row, tl.load(start + tl.load(targets + row)) - lse)


@triton.jit
def slopes_of_rows(
    logits,
    targets,
    lse_in,
    mean_in,
    by_logprob,
    by_entropy,
    by_logits,
    out,
    scale,
    vocabulary,
    stride,
    out_stride,
    direct_stride,
    low: tl.constexpr,
    entropy: tl.constexpr,
    direct: tl.constexpr,
    block: tl.constexpr,
):
    """By log π: onehot - π. By the entropy: -π (log π + H), and log π + H is the logit less the expected one."""
    row = tl.program_id(0).to(tl.int64)
    ids = tl.program_id(1) * block + tl.arange(0, block)
    inside = ids < vocabulary
    z = tl.load(logits + row * stride + ids, mask=inside, other=-1e38)
    said = z > low
    prob = tl.where(said, tl.exp(z - tl.load(lse_in + row)), 0.0)
    slope = tl.load(by_logprob + row).to(tl.float32)
    factor = tl.zeros_like(z) + slope
    if entropy:
        factor += tl.where(said, (z - tl.load(mean_in + row)) * tl.load(by_entropy + row).to(tl.float32), 0.0)
    found = -prob * factor + tl.where(ids == tl.load(targets + row), slope, 0.0)
    if direct:
        found += tl.load(by_logits + row * direct_stride + ids, mask=inside, other=0.0).to(tl.float32)
    found = tl.where(said, found * scale, 0.0)
    tl.store(out + row * out_stride + ids, found.to(out.dtype.element_ty), mask=inside)
