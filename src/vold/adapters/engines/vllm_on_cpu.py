"""Two repairs that vLLM needs on a CPU, made by importing this in its worker before a model is loaded."""

from typing import Any

import torch
import vllm.model_executor.layers.utils as layers
from torch import Tensor
from torch.nn.functional import linear, pad
from vllm.model_executor.layers.attention import Attention

NARROWEST = 32
"""The narrowest heads that vLLM's attention on a CPU computes; those of the laptop world's models have 16."""
PREPACKING = layers.dispatch_cpu_unquantized_gemm
"""What vLLM does by itself."""


def _not_prepacked(layer: Any, remove_weight: bool) -> None:  # noqa: ARG001
    layer.cpu_linear = linear


def keep_weights_where_they_are() -> None:
    """Linear weights are not packed into oneDNN's own layout. vLLM does so when it loads them and frees the parameters, after which weights loaded
    later go nowhere: the engine answers on from the old ones, without a word."""
    layers.dispatch_cpu_unquantized_gemm = _not_prepacked


def widen_narrow_heads() -> None:
    """Narrow heads get zeros behind their numbers: products of queries and keys are the same, the scale is given apart, and what the zeros of the
    values become is cut off again."""
    own_init, own_forward = Attention.__init__, Attention.forward

    def init(self: Any, num_heads: int, head_size: int, *given: Any, **named: Any) -> None:
        own_init(self, num_heads, max(head_size, NARROWEST), *given, **named)
        self.vold_width = head_size

    def forward(self: Any, query: Tensor, key: Tensor, value: Tensor, *given: Any, **named: Any) -> Tensor:
        width, more = self.vold_width, self.head_size - self.vold_width
        if not more:
            return own_forward(self, query, key, value, *given, **named)
        wide = [pad(states.reshape(-1, width), (0, more)).view(len(states), -1) for states in (query, key, value)]
        out: Tensor = own_forward(self, *wide)
        return out.view(len(out), -1, self.head_size)[..., :width].flatten(1)

    Attention.__init__, Attention.forward = init, forward


if not torch.cuda.is_available():
    keep_weights_where_they_are()
    widen_narrow_heads()
