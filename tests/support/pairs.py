"""Pairs of untrained models over byte-level token tables that differ as the real ones do: the teacher has four words more, and rows are padded."""

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")
PLAIN = ("<tool_call>", "</tool_call>")
TEACHERS = ("<tool_response>", "</tool_response>", "<think>", "</think>")
BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
FIRST = len(BYTES)
STUDENT_WORDS = FIRST + len(SPECIAL) + len(PLAIN)
TEACHER_WORDS = STUDENT_WORDS + len(TEACHERS)
ROWS = 288


def tokenizer(*, teacher: bool = False, swapped: bool = False) -> PreTrainedTokenizerFast:
    """One id a byte, then added tokens; the teacher's last four are no special tokens, as in the real table. `swapped`: two bytes change places."""
    alphabet = [*BYTES[1:2], *BYTES[:1], *BYTES[2:]] if swapped else BYTES
    inner = Tokenizer(BPE({word: place for place, word in enumerate(alphabet)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL])
    inner.add_tokens([AddedToken(word, special=False, normalized=False) for word in (*PLAIN, *(TEACHERS if teacher else ()))])
    return PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>", clean_up_tokenization_spaces=False)


def id_of(word: str) -> int:
    return FIRST + (*SPECIAL, *PLAIN, *TEACHERS).index(word)


def vlm(rows: int = ROWS, *, context: int = 512, tied: bool = True, seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    torch.manual_seed(seed)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": rows,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": context,
            "initializer_range": 0.1,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4},
            "tie_word_embeddings": tied,
            "bos_token_id": FIRST,
            "eos_token_id": id_of("<|im_end|>"),
        },
        vision_config={
            "depth": 1,
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [0],
        },
        image_token_id=id_of("<|image_pad|>"),
        video_token_id=id_of("<|video_pad|>"),
        vision_start_token_id=id_of("<|vision_start|>"),
        vision_end_token_id=id_of("<|vision_end|>"),
        tie_word_embeddings=tied,
        dtype="float32",
    )
    return _ending(Qwen2_5_VLForConditionalGeneration(config))


def text_model(rows: int = ROWS, *, context: int = 512, width: int = 48, seed: int = 1) -> Qwen3ForCausalLM:
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=rows,
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=12,
        max_position_embeddings=context,
        initializer_range=0.1,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        tie_word_embeddings=True,
        bos_token_id=FIRST,
        eos_token_id=id_of("<|im_end|>"),
        dtype="float32",
    )
    return _ending(Qwen3ForCausalLM(config))


def _ending(model):  # type: ignore[no-untyped-def]
    model.generation_config.eos_token_id = [id_of("<|im_end|>"), FIRST]
    model.generation_config.pad_token_id = FIRST
    return model


def save(folder: Path, model, words: PreTrainedTokenizerFast) -> Path:  # type: ignore[no-untyped-def]
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    if isinstance(model, Qwen2_5_VLForConditionalGeneration):
        Qwen2VLImageProcessorPil().save_pretrained(folder)
    return folder


@dataclass(frozen=True)
class Pair:
    """A student and a teacher on disk."""

    student: Path
    teacher: Path


def saved(folder: Path, *, student_rows: int = ROWS, teacher_rows: int = ROWS, context: int = 512) -> Pair:
    """The ordinary pair: a VLM without the four words and a text model with them."""
    return Pair(
        student=save(folder / "student", vlm(student_rows, context=context), tokenizer()),
        teacher=save(folder / "teacher", text_model(teacher_rows, context=context), tokenizer(teacher=True)),
    )
