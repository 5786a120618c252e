"""Students that see, of both families with pictures, very small, untrained and in float64; and what they are shown."""

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from support.models import unrounded
from support.pairs import FIRST, ROWS, id_of, tokenizer
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3VLConfig, Qwen3VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from vold.adapters.models import LanguageModel
from vold.adapters.pictures import patched
from vold.adapters.templates import spread

FAMILIES = ("qwen2.5-vl", "qwen3-vl")
START, PAD, END = id_of("<|vision_start|>"), id_of("<|image_pad|>"), id_of("<|vision_end|>")
_MARKS = {"image_token_id": PAD, "video_token_id": id_of("<|video_pad|>"), "vision_start_token_id": START, "vision_end_token_id": END}


def student(family: str, *, dtype: torch.dtype = torch.float64, seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    text = {
        "vocab_size": ROWS, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "initializer_range": 0.15, "bos_token_id": FIRST, "eos_token_id": id_of("<|im_end|>"),
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}, "tie_word_embeddings": True,
    }  # fmt: skip
    eyes = {"depth": 2, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32, "initializer_range": 0.15}
    if family == "qwen2.5-vl":
        config = Qwen2_5_VLConfig(text_config=text, vision_config=eyes | {"fullatt_block_indexes": [1]}, tie_word_embeddings=True, **_MARKS)
        model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation="sdpa")
    else:
        deep = eyes | {"patch_size": 14, "deepstack_visual_indexes": [0, 1], "num_position_embeddings": 64}
        config = Qwen3VLConfig(text_config=text | {"head_dim": 8}, vision_config=deep, tie_word_embeddings=True, **_MARKS)
        model = Qwen3VLForConditionalGeneration._from_config(config, attn_implementation="sdpa")
    unrounded(model)
    return LanguageModel(
        folder=Path("untrained"), model=model.to(dtype).eval(), tokenizer=tokenizer(), image_processor=Qwen2VLImageProcessorPil(min_pixels=28 * 28)
    )


def picture(seed: int, width: int = 56, height: int = 84) -> bytes:
    """A file of noise: (width · height) / 28² tokens."""
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (height, width, 3), generator=draw, dtype=torch.uint8).numpy()
    kept = io.BytesIO()
    Image.fromarray(pixels).save(kept, format="PNG")
    return kept.getvalue()


def prompt(student: LanguageModel, words: Sequence[int], images: Sequence[bytes]) -> tuple[int, ...]:
    """Ids of a prompt that shows pictures between its words."""
    if not images:
        return tuple(words)
    _, grids = patched(student.image_processor, images, of="a test")
    counts = (grids.prod(1) // 4).tolist()
    marked = [words[0], *(i for _ in images for i in (START, PAD, END)), *words[1:]]
    return tuple(spread(marked, PAD, counts))
