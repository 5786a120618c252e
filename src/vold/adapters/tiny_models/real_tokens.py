"""Untrained models of the real architectures over the real token tables: 151,936 rows, and everything else very small or of the paper's sizes."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging as hf_logging

from vold.adapters.tiny_models.architectures import image_processor
from vold.base.errors import ModelError

hf_logging.disable_progress_bar()

ROWS = 151_936
"""Rows of the embeddings of Qwen2.5-VL-3B and of every Qwen3: more than there are tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the two models are, and in what numbers their weights are kept on disk."""

    student: Mapping[str, Any]
    tower: Mapping[str, Any]
    teacher: Mapping[str, Any]
    dtype: str
    device: str


SMALL = Size(
    student={"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
    tower={"depth": 2, "hidden_size": 64, "intermediate_size": 128, "num_heads": 4, "out_hidden_size": 64, "fullatt_block_indexes": [1]},
    teacher={"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24},
    dtype="float32",
    device="cpu",
)
PAPER = Size(
    student={"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 2},
    tower={
        "depth": 32,
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "num_heads": 16,
        "out_hidden_size": 2048,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
    teacher={
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
    },
    dtype="bfloat16",
    device="cuda",
)
SIZES = {"small": SMALL, "paper": PAPER}


def build(folder: Path, tokenizers: Path, *, size: Size = SMALL, seed: int = 0) -> tuple[Path, Path]:
    """A student (Qwen2.5-VL with its vision tower) and a teacher (Qwen3) in `folder`, with random weights and the tokenizers that lie in
    `tokenizers/qwen2.5-vl` and `tokenizers/qwen3`. What is there already is built anew. Raises ModelError where a tokenizer is missing."""
    student, teacher = folder / "student", folder / "teacher"
    for place, made, words in ((student, _student, "qwen2.5-vl"), (teacher, _teacher, "qwen3")):
        if not (tokenizers / words / "tokenizer.json").is_file():
            raise ModelError(f"{tokenizers / words} holds no tokenizer.json. Give a folder with tokenizers/qwen2.5-vl and tokenizers/qwen3.")
        torch.manual_seed(seed)
        before = torch.get_default_dtype()
        torch.set_default_dtype(getattr(torch, size.dtype))
        try:
            with torch.device(size.device):
                model = made(size)
        finally:
            torch.set_default_dtype(before)
        _saved(place, model, tokenizers / words)
    image_processor().save_pretrained(student)
    return student, teacher


def _student(size: Size) -> Qwen2_5_VLForConditionalGeneration:
    heads = size.student["hidden_size"] // size.student["num_attention_heads"]
    config = Qwen2_5_VLConfig(
        text_config={
            **size.student,
            "vocab_size": ROWS,
            "max_position_embeddings": 32_768,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "mrope_section": [heads // 8, heads * 3 // 16, heads * 3 // 16], "rope_theta": 1e6},
            "tie_word_embeddings": True,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
        },
        vision_config=dict(size.tower),
        image_token_id=151655,
        video_token_id=151656,
        vision_start_token_id=151652,
        vision_end_token_id=151653,
        tie_word_embeddings=True,
        dtype=size.dtype,
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def _teacher(size: Size) -> Qwen3ForCausalLM:
    config = Qwen3Config(
        **size.teacher,
        vocab_size=ROWS,
        max_position_embeddings=32_768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=size is SMALL,
        bos_token_id=151643,
        eos_token_id=151645,
        dtype=size.dtype,
    )
    return Qwen3ForCausalLM(config)


def _saved(folder: Path, model: Qwen2_5_VLForConditionalGeneration | Qwen3ForCausalLM, tokenizer: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    model.generation_config.eos_token_id = [151645, 151643]
    model.generation_config.pad_token_id = 151643
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, folder / name)
