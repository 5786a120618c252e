"""Untrained models of the real architectures over the real token tables: 151,936 rows, everything else very small."""

import shutil
from pathlib import Path

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging as hf_logging

from vold.adapters.tiny_models.architectures import image_processor
from vold.base.errors import ModelError

hf_logging.disable_progress_bar()

ROWS = 151_936
"""Rows of the embeddings of Qwen2.5-VL-3B and of every Qwen3: more than there are tokens."""


def build(folder: Path, tokenizers: Path, *, rows: int = ROWS, teacher_rows: int = ROWS, seed: int = 0) -> tuple[Path, Path]:
    """A student (Qwen2.5-VL with its vision tower) and a teacher (Qwen3) in `folder`, with random weights and the tokenizers that lie in
    `tokenizers/qwen2.5-vl` and `tokenizers/qwen3`. What is there already is built anew. Raises ModelError where a tokenizer is missing."""
    student, teacher = folder / "student", folder / "teacher"
    torch.manual_seed(seed)
    _saved(student, Qwen2_5_VLForConditionalGeneration(student_config(rows)), tokenizers / "qwen2.5-vl")
    image_processor().save_pretrained(student)
    _saved(teacher, Qwen3ForCausalLM(teacher_config(teacher_rows)), tokenizers / "qwen3")
    return student, teacher


def student_config(rows: int) -> Qwen2_5_VLConfig:
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": rows,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32_768,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6},
            "tie_word_embeddings": True,
            "bos_token_id": 151643,
            "eos_token_id": 151645,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
        image_token_id=151655,
        video_token_id=151656,
        vision_start_token_id=151652,
        vision_end_token_id=151653,
        tie_word_embeddings=True,
        dtype="float32",
    )


def teacher_config(rows: int) -> Qwen3Config:
    return Qwen3Config(
        vocab_size=rows,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=24,
        max_position_embeddings=32_768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=True,
        bos_token_id=151643,
        eos_token_id=151645,
        dtype="float32",
    )


def _saved(folder: Path, model: Qwen2_5_VLForConditionalGeneration | Qwen3ForCausalLM, tokenizer: Path) -> None:
    if not (tokenizer / "tokenizer.json").is_file():
        raise ModelError(f"{tokenizer} holds no tokenizer.json. Give a folder with the tokenizers qwen2.5-vl and qwen3 in Hugging Face layout.")
    shutil.rmtree(folder, ignore_errors=True)
    model.generation_config.eos_token_id = [151645, 151643]
    model.generation_config.pad_token_id = 151643
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tokenizer / name, folder / name)
