"""The kernels behind adapters/engines/graphed.py: one query a row over as many columns of keys and values as that row has, and no more."""

import triton
import triton.language as tl


@triton.jit
def partly(
    query, keys, values, seen, out, top_out, sum_out, heads, capacity, parts, scale,
    shared: tl.constexpr, shared_block: tl.constexpr, width: tl.constexpr, width_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """One part of a row's columns under the queries that share a head of keys: their mixed values, not yet divided, the largest score, the sum."""
    row, head, part = tl.program_id(0).to(tl.int64), tl.program_id(1), tl.program_id(2)
    count = tl.load(seen + row)
    each = tl.cdiv(tl.cdiv(count, parts), block) * block
    first = part * each
    last = tl.minimum(first + each, count)
    asks, across = tl.arange(0, shared_block), tl.arange(0, width_block)
    asked = (asks < shared)[:, None] & (across < width)[None, :]
    at = row * heads + head
    asking = tl.load(query + (at * shared + asks)[:, None] * width + across[None, :], mask=asked, other=0.0)
    top = tl.full([shared_block], float("-inf"), dtype=tl.float32)
    total = tl.zeros([shared_block], dtype=tl.float32)
    mixed = tl.zeros([shared_block, width_block], dtype=tl.float32)
    for start in range(first, last, block):
        column = start + tl.arange(0, block)
        inside = (column < last)[:, None] & (across < width)[None, :]
        place = (at * capacity + column)[:, None] * width + across[None, :]
        key = tl.load(keys + place, mask=inside, other=0.0)
        score = tl.dot(asking, tl.trans(key), input_precision="ieee") * scale
        score = tl.where((column < last)[None, :], score, float("-inf"))
        higher = tl.maximum(top, tl.max(score, 1))
        weight = tl.exp(score - higher[:, None])
        shrink = tl.exp(top - higher)
        value = tl.load(values + place, mask=inside, other=0.0)
        mixed = mixed * shrink[:, None] + tl.dot(weight.to(value.dtype), value, input_precision="ieee")
        total = total * shrink + tl.sum(weight, 1)
        top = higher
    where = (at * parts + part) * shared + asks
    tl.store(top_out + where, top, mask=asks < shared)
    tl.store(sum_out + where, total, mask=asks < shared)
    tl.store(out + where[:, None] * width + across[None, :], mixed, mask=asked)


@triton.jit
def together(
    partial, top_in, sum_in, out, parts,
    shared: tl.constexpr, width: tl.constexpr, width_block: tl.constexpr, parts_block: tl.constexpr,
):  # fmt: skip
    """The parts of one query put together."""
    at, ask = tl.program_id(0).to(tl.int64), tl.program_id(1)
    part, across = tl.arange(0, parts_block), tl.arange(0, width_block)
    where = (at * parts + part) * shared + ask
    top = tl.load(top_in + where, mask=part < parts, other=float("-inf"))
    total = tl.load(sum_in + where, mask=part < parts, other=0.0)
    weight = tl.exp(top - tl.max(top, 0))
    inside = (part < parts)[:, None] & (across < width)[None, :]
    mixed = tl.load(partial + where[:, None] * width + across[None, :], mask=inside, other=0.0)
    mean = tl.sum(mixed * weight[:, None], 0) / tl.sum(total * weight, 0)
    tl.store(out + (at * shared + ask) * width + across, mean.to(out.dtype.element_ty), mask=across < width)
