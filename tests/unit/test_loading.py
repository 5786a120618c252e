"""A model is only loaded where its log-probabilities are softmax(hidden · headᵀ): everything here reads them so."""

import shutil
from pathlib import Path

import pytest
import torch
from transformers import Gemma2Config, Gemma2ForCausalLM

from vold.adapters.models import load
from vold.adapters.tiny_models.shipped import folder_of
from vold.base.errors import ModelError


def saved(folder: Path, *, cap: float | None) -> Path:
    """A random Gemma 2 with the laptop world's tokenizer; its final logits pass through cap·tanh(x / cap)."""
    torch.manual_seed(0)
    teacher = folder_of("teacher-a")
    for path in teacher.glob("*token*"):
        shutil.copy2(path, folder / path.name)
    config = Gemma2Config(
        vocab_size=load(teacher).head.shape[0], hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=cap, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    Gemma2ForCausalLM(config).save_pretrained(folder)
    return folder


def test_a_model_that_bends_its_logits_after_the_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"changes its logits after the head .* Use a model without"):
        load(saved(tmp_path, cap=30.0))


def test_the_same_model_without_a_cap_loads(tmp_path: Path) -> None:
    assert load(saved(tmp_path, cap=None)).head.shape[1] == 32
