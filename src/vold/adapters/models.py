"""Checkpoint folders to models: a student that sees, a teacher that reads."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.utils import logging as hf_logging

from vold.adapters.fused import fuse
from vold.adapters.packed import Spans, packed
from vold.adapters.pictures import Pictures, Shown, pictures_of
from vold.base.errors import ModelError
from vold.core.roofline import shape_of
from vold.core.vocabulary import TokenTable

hf_logging.disable_progress_bar()  # our own bars tell what is going on

Vision = Literal["frozen", "merger", "trained"]
"""What is trained of a vision tower: nothing, what brings its pictures into the language part's width, or all of it."""

PLACEHOLDERS = ("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>")


@dataclass(slots=True, kw_only=True)
class LanguageModel:
    """A causal language model, with or without eyes, and the tokenizer it came with.

    `body` maps ids to hidden states without ever touching the vision tower; `tower` is None for a text-only model.
    """

    folder: Path
    model: Any
    """A transformers model; `Any` because its parts (`model.visual`, `config.image_token_id`) depend on the family."""
    tokenizer: PreTrainedTokenizerBase
    image_processor: Any | None
    learned: bool = False
    """Whether the tokenizer has words that the folder's has not, and must be written anew with the weights."""

    def __post_init__(self) -> None:
        if self.model is not None:  # a tokenizer alone is asked for its words too
            fuse(self.body)

    @property
    def body(self) -> nn.Module:
        inner: Any = self.model.model
        body: nn.Module = inner.language_model if hasattr(inner, "language_model") else inner
        return body

    @property
    def tower(self) -> nn.Module | None:
        return getattr(self.model.model, "visual", None)

    @property
    def head(self) -> Tensor:
        return self.model.get_output_embeddings().weight

    @property
    def device(self) -> torch.device:
        return self.head.device

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end an answer; the first is the one a student is taught to end with: the tokenizer's own where it is among them."""
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, list) else [configured]
        own = self.tokenizer.eos_token_id
        known = sorted({int(i) for i in (*ids, own) if i is not None}, key=lambda i: i != own)
        if not known:
            raise ModelError(f"{self.folder} names no end token, neither in generation_config.json nor in its tokenizer. Add eos_token_id.")
        return tuple(known)

    @property
    def quadratic(self) -> float:
        """What a pair of tokens costs in training, over what a token costs."""
        return shape_of(self.model.config).quadratic

    @property
    def pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return self.end_ids[0] if pad is None else int(pad)

    @property
    def table(self) -> TokenTable:
        return table_of(self.tokenizer, self.head.shape[0])

    def hidden(self, ids_BT: Tensor) -> Tensor:
        """Last hidden states of right-padded text; the causal mask keeps padding unseen, equal positions on all axes make it plain text."""
        return self.body(input_ids=ids_BT, position_ids=self.positions(ids_BT), use_cache=False).last_hidden_state

    def packed(self, ids_T: Tensor, lengths: tuple[int, ...], shown: Shown = (), behind: tuple[int | None, ...] = ()) -> Tensor:
        """Last hidden states of sequences laid end to end, of these lengths, each by itself: nothing is padded, none sees another.

        `shown` are each sequence's pictures. The tower sees each different one once, and none where nothing is shown. With `behind` a span is a
        prompt, or a response that goes on behind the prompt of that place.
        """
        body: Any = self.body
        spans = Spans(lengths=lengths, device=ids_T.device, plain=body.config._attn_implementation == "eager", behind=behind)
        pictures = pictures_of(self.image_processor, shown, ids_T.device)
        if pictures is None:
            positions_1T = spans.positions[None]
            positions = positions_1T if self.tower is None else positions_1T.expand(3, *positions_1T.shape)
            with packed(body):
                states: Tensor = body(input_ids=ids_T[None], position_ids=positions, spans=spans, use_cache=False).last_hidden_state
            return states[0]
        positions_31T = self._positions(ids_T, spans, pictures)
        with packed(body):
            states = body(**self._seen(ids_T[None], pictures), position_ids=positions_31T, spans=spans, use_cache=False).last_hidden_state
        return states[0]

    def _seen(self, ids_1T: Tensor, pictures: Pictures) -> dict[str, Any]:
        """What the language part is given: words, and in the places of pictures what the tower says of them, those that several sequences show
        repeated; with Qwen3-VL what it says to the first layers too. (That the whole model takes it ready-made is new in transformers; before, it
        left it aside without a word.)"""
        body: Any = self.body
        seen = self.model.model.get_image_features(pictures.patches, pictures.grids, return_dict=True)
        shown_1T = ids_1T == self.model.config.image_token_id
        words_1TH = body.embed_tokens(ids_1T)
        states_PH = torch.cat([seen.pooler_output[place] for place in pictures.in_order]).to(words_1TH.dtype)
        given = {"inputs_embeds": words_1TH.masked_scatter(shown_1T[..., None], states_PH)}
        levels = getattr(seen, "deepstack_features", None)
        if levels is None:
            return given
        sizes = [len(states) for states in seen.pooler_output]
        deep = [level if isinstance(level, (list, tuple)) else level.split(sizes) for level in levels]
        return given | {
            "visual_pos_masks": shown_1T,
            "deepstack_visual_embeds": [torch.cat([level[place] for place in pictures.in_order]) for level in deep],
        }

    def _positions(self, ids_T: Tensor, spans: Spans, pictures: Pictures) -> Tensor:
        """Time, height and width of each token: equal in text, and after a picture counted on from its longer side."""
        found_3T = spans.positions.expand(3, spans.total).clone()
        parts = found_3T.split(spans.lengths, dim=1)
        ids = ids_T.split(spans.lengths)
        for own, places in enumerate(pictures.places):
            if places:
                kinds_1T = (ids[own][None] == self.model.config.image_token_id).int()
                of_row, _ = self.model.model.get_rope_index(ids[own][None], mm_token_type_ids=kinds_1T, image_grid_thw=pictures.grids[list(places)])
                parts[own].copy_(of_row[:, 0])
        for own, prompt in enumerate(spans.behind):
            if prompt is not None and pictures.places[prompt]:
                parts[own].add_(parts[prompt].max() + 1 - spans.lengths[prompt])
        return found_3T[:, None]

    def twin(self) -> "LanguageModel":
        """The same parameters in modules of their own, so that one may generate in a thread while the other is trained in another."""
        shared = {id(tensor): tensor for tensor in self.model.parameters()}
        return replace(self, model=copy.deepcopy(self.model, shared), tokenizer=copy.deepcopy(self.tokenizer))

    def positions(self, ids_BT: Tensor) -> Tensor:
        """Those of right-padded text, as the model takes them."""
        positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device).expand_as(ids_BT)
        return positions_BT if self.tower is None else positions_BT.expand(3, *ids_BT.shape)

    def frozen_parameters(self, vision: Vision = "frozen") -> Iterator[tuple[str, nn.Parameter]]:
        """The vision tower: with its merger, without it, or nothing of it."""
        tower = self.tower
        if tower is not None and vision != "trained":
            named = tower.named_parameters(prefix="visual")
            yield from ((name, parameter) for name, parameter in named if vision == "frozen" or "merger" not in name)

    def trainable_parameters(self, vision: Vision = "frozen") -> list[tuple[str, nn.Parameter]]:
        """Everything else, each shared tensor once."""
        frozen = {id(p) for _, p in self.frozen_parameters(vision)}
        return [(name, p) for name, p in self.model.named_parameters() if id(p) not in frozen]


def load(folder: Path, *, dtype: str = "float32", attention: str = "eager", device: str = "cpu", pixels: tuple[int, int] = (0, 0)) -> LanguageModel:
    """A model from a folder in Hugging Face layout (or a hub id). Raises ModelError when something is missing or of the wrong kind.

    Pictures are scaled to so many `pixels` at least and at most; 0 is what the checkpoint's processor says.
    """
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder} holds no config.json, so it is not a checkpoint in Hugging Face layout. Point to the folder that save_pretrained wrote."
        )
    try:
        config = AutoConfig.from_pretrained(folder)
        sees = hasattr(config, "vision_config")
        family: Any = AutoModelForImageTextToText if sees else AutoModelForCausalLM
        model, found = family.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation=attention, output_loading_info=True)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"{folder} could not be loaded as a model: {error} Check the path, and that config, weights and tokenizer are all there."
        ) from error
    if found["missing_keys"]:
        named = sorted(found["missing_keys"])
        raise ModelError(
            f"{folder} lacks {len(named)} tensors that its config asks for, the first is {named[0]}: transformers would make them up at random. "
            "Download or copy the folder again."
        )
    eyes = image_processor_at(folder, min_pixels=pixels[0], max_pixels=pixels[1]) if sees else None
    loaded = LanguageModel(folder=folder, model=model.to(device).eval(), tokenizer=tokenizer, image_processor=eyes)
    refuse_model(loaded, f"model in {folder}")
    return loaded


def refuse_model(model: LanguageModel, what: str) -> None:
    """Raise ModelError for a model whose log-probabilities are not softmax(hidden · headᵀ): a soft cap, a scale, a bias, an adapter."""
    if not hasattr(model.model, "model") or hasattr(model.model, "peft_config"):
        raise ModelError(
            f"the {what} ({type(model.model).__name__}) is not a plain causal language model of transformers with its body under `.model`. "
            "Merge adapters first; other families are not supported."
        )
    cap = getattr(model.model.config.get_text_config(), "final_logit_softcapping", None)
    ids = torch.tensor([[*model.end_ids[:1], model.pad_id]], device=model.device)
    with torch.no_grad():
        said = model.model(input_ids=ids, use_cache=False).logits.float()
        read = (model.hidden(ids) @ model.head.T).float()
    if cap is not None or not torch.allclose(said, read, rtol=0.02, atol=0.02 * float(said.abs().max())):
        raise ModelError(
            f"the {what} ({type(model.model).__name__}) changes its logits after the head (a soft cap, a scale or a bias): they differ from "
            f"hidden · headᵀ by {float((said - read).abs().max()):.2g}. Its log-probabilities would be wrong. Use a model without."
        )


def sees(folder: Path) -> bool:
    """Whether a checkpoint has a vision tower, by its config alone."""
    return hasattr(AutoConfig.from_pretrained(folder), "vision_config")


def tokenizer_at(folder: Path) -> tuple[PreTrainedTokenizerBase, int]:
    """The tokenizer of a checkpoint and the rows of its embedding, without loading its weights."""
    try:
        config = AutoConfig.from_pretrained(folder).get_text_config()
        return AutoTokenizer.from_pretrained(folder), int(config.vocab_size)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"the tokenizer of {folder} could not be loaded: {error} Check the path, and that config and tokenizer are there."
        ) from error


def table_at(folder: Path) -> TokenTable:
    """The token table of a checkpoint, without loading its weights."""
    return table_of(*tokenizer_at(folder))


def table_of(tokenizer: PreTrainedTokenizerBase, rows: int) -> TokenTable:
    words = {i: word for word, i in tokenizer.get_vocab().items()}
    return TokenTable(words=words, rows=rows, placeholders=frozenset(i for i, word in words.items() if word in PLACEHOLDERS))


def image_processor_at(folder: Path, *, min_pixels: int = 0, max_pixels: int = 0) -> Any:
    """The image processor of a checkpoint. Raises ModelError: AutoProcessor would hand out a bare tokenizer instead, without a word."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    try:
        processor = Qwen2VLImageProcessorPil.from_pretrained(folder)
    except OSError as error:
        raise ModelError(
            f"{folder} has a vision tower but no preprocessor_config.json. Copy the base model's processor files beside its weights."
        ) from error
    limits = dict(processor.size)
    if min_pixels:
        limits["shortest_edge"] = min_pixels
    if max_pixels:
        limits["longest_edge"] = max_pixels
    processor.size = limits
    return processor
