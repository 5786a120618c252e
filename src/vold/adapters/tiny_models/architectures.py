"""The laptop world's tokenizer and its untrained models: the real classes, very small."""

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from vold.tiny import words as w

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|> {{ message.role }} "
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}{% if part.type == 'image' %}<|vision_start|> <|image_pad|> <|vision_end|> "
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)
"""ChatML over whole words, the image before the text, one placeholder an image as in the real template."""


def word_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, split at blanks; ids are places in `WORDS`."""
    ids = {word: place for place, word in enumerate(w.WORDS)}
    inner = Tokenizer(WordLevel(ids, unk_token=None))
    inner.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        eos_token=w.TURN_END,
        pad_token=w.PAD,
        additional_special_tokens=[t for t in w.SPECIALS if t not in (w.PAD, w.TURN_END, w.THINK, w.THINK_END)],
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def word_id(word: str) -> int:
    return w.WORDS.index(word)


def image_processor() -> Qwen2VLImageProcessorPil:
    """The student's own image processor with its default settings: patches of 14, merged two by two."""
    return Qwen2VLImageProcessorPil()


def student(seed: int) -> Qwen2_5_VLForConditionalGeneration:
    """An untrained base VLM of about 0.44 M parameters, tied, with query and key projections wide enough to learn look-ups."""
    torch.manual_seed(seed)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": w.ROWS,
            "hidden_size": 64,
            "intermediate_size": 192,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 512,
            "initializer_range": 0.08,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4},
            "tie_word_embeddings": True,
            "bos_token_id": word_id(w.PAD),
            "eos_token_id": word_id(w.TURN_END),
            "pad_token_id": word_id(w.PAD),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 4,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [0, 1],
            "initializer_range": 0.08,
        },
        image_token_id=word_id(w.IMAGE_PAD),
        video_token_id=word_id(w.VIDEO_PAD),
        vision_start_token_id=word_id(w.VISION_START),
        vision_end_token_id=word_id(w.VISION_END),
        tie_word_embeddings=True,
        dtype="float32",
    )
    config._attn_implementation = "eager"  # twice as fast as sdpa at this size
    model = Qwen2_5_VLForConditionalGeneration(config)
    for layer in model.model.language_model.layers:
        torch.nn.init.normal_(layer.self_attn.q_proj.weight, std=0.2)  # Qwen2.5 has no QK norm: at a small width logits start near zero
        torch.nn.init.normal_(layer.self_attn.k_proj.weight, std=0.2)
    with torch.no_grad():
        model.model.visual.merger.mlp[-1].weight.mul_(0.2)  # start near the scale of the text embeddings
    _set_generation(model)
    return model


def teacher(seed: int) -> Qwen3ForCausalLM:
    """An untrained text-only teacher of about 0.20 M parameters, tied."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=w.ROWS,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=512,
        initializer_range=0.08,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        tie_word_embeddings=True,
        bos_token_id=word_id(w.PAD),
        eos_token_id=word_id(w.TURN_END),
        pad_token_id=word_id(w.PAD),
        dtype="float32",
    )
    config._attn_implementation = "eager"
    model = Qwen3ForCausalLM(config)
    _set_generation(model)
    return model


def _set_generation(model: Qwen2_5_VLForConditionalGeneration | Qwen3ForCausalLM) -> None:
    model.generation_config.pad_token_id = word_id(w.PAD)
    model.generation_config.eos_token_id = word_id(w.TURN_END)
    model.generation_config.bos_token_id = word_id(w.PAD)


def save(folder: Path, model: Qwen2_5_VLForConditionalGeneration | Qwen3ForCausalLM) -> None:
    """A folder in Hugging Face layout: config, safetensors, tokenizer and, for a VLM, the image processor."""
    model.save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    if isinstance(model, Qwen2_5_VLForConditionalGeneration):
        image_processor().save_pretrained(folder)
