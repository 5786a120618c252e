"""How much of a layer's forward pass is kept for the backward one, and how much is done again there. The values are the same, bit by bit.

`full` keeps a layer's input alone. `light` keeps what matrix products and fused attention made as well and does again what is cheap: norms, rotary
positions, the gated product. Attention written out ("eager") is done again whole, for what it would keep is length × length.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from vold.adapters.packed import attending

Recompute = Literal["none", "light", "full"]

PRODUCTS = ("mm", "addmm")
ATTENTION = (
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_cudnn_attention",
    "_varlen_attn",
)


@contextmanager
def recomputed(body: nn.Module, level: Recompute) -> Iterator[None]:
    """The body's layers run so inside the block, and as they were after it; the backward pass may come later."""
    layers: list[nn.Module] = list(body.layers) if level != "none" else []  # type: ignore[arg-type]
    own = [layer.__dict__.get("forward") for layer in layers]
    for layer in layers:
        layer.forward = partial(_run, body, layer.forward, _contexts_of(layer, level))
    try:
        yield
    finally:
        for layer, forward in zip(layers, own, strict=True):
            del layer.forward
            if forward is not None:
                layer.forward = forward


def _run(body: Any, forward: Callable[..., Any], contexts: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
    """A layer now, and again in the backward pass, when the body's attention has long been put back to what it was."""
    if not torch.is_grad_enabled():
        return forward(*args, **kwargs)
    attention = body.config._attn_implementation

    def again(*args: Any, **kwargs: Any) -> Any:
        with attending(body, attention):
            return forward(*args, **kwargs)

    return checkpoint(again, *args, use_reentrant=False, preserve_rng_state=False, **contexts, **kwargs)


def _contexts_of(layer: Any, level: Recompute) -> dict[str, Any]:
    if level == "full":
        return {}
    last = layer.mlp.down_proj.weight
    return {"context_fn": partial(create_selective_checkpoint_contexts, partial(_policy, last))}


def _policy(last: Tensor, _: Any, op: Any, *args: Any, **__: Any) -> CheckpointPolicy:
    """What a layer's last product makes is read by no backward pass, so it is not kept either."""
    kind = _kind(op)
    keep = kind is ATTENTION or (kind is PRODUCTS and not any(_same(last, of) for of in args))
    return CheckpointPolicy.MUST_SAVE if keep else CheckpointPolicy.PREFER_RECOMPUTE


@cache
def _kind(op: Any) -> tuple[str, ...] | None:
    name = op._schema.name.rpartition("::")[2]
    return next((kind for kind in (ATTENTION, PRODUCTS) if name in kind), None)


def _same(weight: Tensor, of: object) -> bool:
    """Whether a tensor is this weight, as it is or transposed."""
    return isinstance(of, Tensor) and of.untyped_storage().data_ptr() == weight.untyped_storage().data_ptr()
