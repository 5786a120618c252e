"""Untrained models of any shape, without a tokenizer: what memory and recomputation are measured on."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel
from vold.ports import Example

NUMBERS = {"float32": 4, "bfloat16": 2, "float64": 8}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """By the names of a config, as `core.memory.Shape` has it."""

    num_hidden_layers: int = 3
    hidden_size: int = 64
    intermediate_size: int = 192
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 16
    vocab_size: int = 500
    tie_word_embeddings: bool = False


def model_of(
    shape: Shape, *, family: str = "qwen2", dtype: str = "float32", attention: str = "sdpa", seed: int = 0, device: str = "cpu"
) -> LanguageModel:
    config_class: Any = Qwen3Config if family == "qwen3" else Qwen2Config
    model_class: Any = Qwen3ForCausalLM if family == "qwen3" else Qwen2ForCausalLM
    config = config_class(**vars(shape), dtype=dtype, pad_token_id=None)
    config._attn_implementation = attention
    torch.manual_seed(seed)
    model = model_class(config).to(device=device, dtype=getattr(torch, dtype)).eval()
    return LanguageModel(folder=Path(), model=model, tokenizer=None, image_processor=None)  # type: ignore[arg-type]


def learner_of(model: LanguageModel, **settings: Any) -> SingleLearner:
    banned_V = torch.zeros(len(model.head), dtype=torch.bool, device=model.device)
    return SingleLearner(**{"student": model, "adam": Adam(), "banned_V": banned_V, "token_budget": 10**9} | settings)


def examples_of(*lengths: int, prompt: int = 4) -> list[Example]:
    return [
        Example(prompt_ids=tuple(i % 50 for i in range(prompt)), response_ids=tuple(7 * i % 50 for i in range(n - prompt)), name=str(n))
        for n in lengths
    ]
