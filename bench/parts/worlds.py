"""Random-weight students and teachers in the sizes the benches use, all of real classes and from explicit configs."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM

from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.tiny_models import real_tokens
from vold.adapters.tiny_models.architectures import CHAT_TEMPLATE
from vold.adapters.vocabulary import banned_ids
from vold.tiny import words as w

END = w.WORDS.index(w.TURN_END)


@dataclass(frozen=True, kw_only=True)
class Size:
    name: str
    vocabulary: int
    student: Mapping[str, int]
    teacher: Mapping[str, int]
    tied_teacher: bool = True
    tower: Mapping[str, Any] | None = None
    sees: bool = True
    """Whether the student is a VLM; else it is a Qwen3 of these sizes, its head tied."""


def text_only(size: Size) -> Size:
    return replace(size, sees=False)


def text(layers: int, hidden: int, intermediate: int, heads: int, kv_heads: int, **more: int) -> dict[str, int]:
    named = {"num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": intermediate}
    return {**named, "num_attention_heads": heads, "num_key_value_heads": kv_heads, **more}


TINY = Size(name="tiny", vocabulary=64, student=text(4, 64, 192, 4, 2), teacher=text(4, 64, 192, 4, 2, head_dim=16))
WIDE = Size(
    name="2 layers, 151,936 ids",
    vocabulary=151_936,
    student=text(2, 256, 704, 4, 2),
    teacher=text(2, 384, 1056, 6, 2, head_dim=64),
    tied_teacher=False,
)
PAPER = Size(
    name="Qwen2.5-VL-3B and Qwen3-8B",
    vocabulary=151_936,
    student=real_tokens.PAPER.student,
    teacher=real_tokens.PAPER.teacher,
    tied_teacher=False,
    tower=real_tokens.PAPER.tower,
)


@dataclass(frozen=True, kw_only=True)
class World:
    """One student, with its learner, and its teacher."""

    size: Size
    learner: SingleLearner
    teacher: LocalTeacher
    budget: int

    @property
    def student(self) -> LanguageModel:
        return self.learner.student

    @property
    def ids(self) -> list[int]:
        """What a rollout may say."""
        return [i for i in range(self.size.vocabulary) if i not in (END, self.student.pad_id) and not self.learner.banned_V[i]]


def made(size: Size, device: torch.device, *, budget: int) -> World:
    """Single precision on a CPU, half on a GPU; scaled-dot-product attention."""
    tokenizer = _tokenizer(size.vocabulary)
    student = _reader(_built(_student, size, device), tokenizer)
    teacher = _reader(_built(_teacher, size, device), tokenizer)
    teacher.model.requires_grad_(False)
    banned_V = banned_ids(student, teacher)
    learner = SingleLearner(student=student, adam=Adam(), banned_V=banned_V, token_budget=budget)
    scorer = LocalTeacher(reader=teacher, template=None, banned_V=banned_V, token_budget=budget)
    return World(size=size, learner=learner, teacher=scorer, budget=budget)


def speaker_of(size: Size, device: torch.device) -> LanguageModel:
    """The student alone, for what generates."""
    return _reader(_built(_student, size, device), _tokenizer(size.vocabulary))


def _tokenizer(rows: int) -> PreTrainedTokenizerFast:
    """A word for every row, so that no id is banned but a picture's placeholders."""
    words = [*w.WORDS, *(f"word{place}" for place in range(len(w.WORDS), rows))]
    inner = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token=None))
    inner.pre_tokenizer = WhitespaceSplit()
    found = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token=w.TURN_END, pad_token=w.PAD, clean_up_tokenization_spaces=False)
    found.chat_template = CHAT_TEMPLATE
    return found


def _reader(model: Any, tokenizer: PreTrainedTokenizerFast) -> LanguageModel:
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = END, w.WORDS.index(w.PAD)
    return LanguageModel(folder=Path(tempfile.gettempdir()), model=model.eval(), tokenizer=tokenizer, image_processor=None)


def _built(form: Any, size: Size, device: torch.device) -> Any:
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    try:
        with torch.device(device):
            return form(size)
    finally:
        torch.set_default_dtype(before)


def _named(place: str) -> int:
    return w.WORDS.index(place)


def _student(size: Size) -> Qwen2_5_VLForConditionalGeneration | Qwen3ForCausalLM:
    if not size.sees:
        return _teacher(replace(size, teacher=size.student, tied_teacher=True))
    head = size.student["hidden_size"] // size.student["num_attention_heads"]
    small = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": size.student["hidden_size"]}
    config = Qwen2_5_VLConfig(
        text_config={
            **size.student,
            "vocab_size": size.vocabulary,
            "max_position_embeddings": 32_768,
            "rope_parameters": {"rope_type": "default", "mrope_section": [head // 8, head * 3 // 16, head * 3 // 16], "rope_theta": 1e6},
            "tie_word_embeddings": True,
            "bos_token_id": _named(w.PAD),
            "eos_token_id": END,
            "pad_token_id": _named(w.PAD),
        },
        vision_config=dict(size.tower or {**small, "fullatt_block_indexes": [0]}),
        image_token_id=_named(w.IMAGE_PAD),
        video_token_id=_named(w.VIDEO_PAD),
        vision_start_token_id=_named(w.VISION_START),
        vision_end_token_id=_named(w.VISION_END),
        tie_word_embeddings=True,
    )
    config._attn_implementation = "sdpa"
    return Qwen2_5_VLForConditionalGeneration(config)


def _teacher(size: Size) -> Qwen3ForCausalLM:
    config = Qwen3Config(
        **size.teacher,
        vocab_size=size.vocabulary,
        max_position_embeddings=32_768,
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        tie_word_embeddings=size.tied_teacher,
        bos_token_id=_named(w.PAD),
        eos_token_id=END,
        pad_token_id=_named(w.PAD),
    )
    config._attn_implementation = "sdpa"
    return Qwen3ForCausalLM(config)
