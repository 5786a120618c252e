"""How a model is spoken to: a chat template, an optional system prompt, and a suffix after the question."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from vold.adapters.models import LanguageModel
from vold.adapters.pictures import patched
from vold.base.errors import DataError, ModelError
from vold.base.types import Problem

MARK = "<image>"
CHATML = resources.files("vold.adapters").joinpath("chatml.jinja").read_text(encoding="utf-8")


def layout_of(name: str) -> str | None:
    """The template a setting names: `chatml`, `own` (None: the checkpoint's), or a file's text. Raises ModelError for a file that is not there."""
    if name in ("chatml", "own"):
        return CHATML if name == "chatml" else None
    try:
        text = Path(name).read_text(encoding="utf-8")
        jinja2.Environment().parse(text)
    except (OSError, UnicodeDecodeError, jinja2.TemplateSyntaxError) as error:
        raise ModelError(f"template = {name!r} is neither chatml nor own, and cannot be used as a file: {error}. Give one of the three.") from error
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A rendered prompt: ids with one placeholder an image token, and the images' patches."""

    ids: tuple[int, ...]
    patches: Tensor | None = None
    grids: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """How a model is spoken to. `layout` is the text of a chat template; None means the checkpoint's own."""

    of: LanguageModel
    system: str = ""
    suffix: str = ""
    options: dict[str, Any] | None = None
    layout: str | None = None
    suffix_everywhere: bool = False
    """Whether the suffix also follows questions that say themselves how to answer."""

    def words(self, problem: Problem) -> str:
        """The prompt as text, up to where the model speaks; an image is one placeholder."""
        text = problem.prompt if problem.instructed and not self.suffix_everywhere else f"{problem.prompt}{self.suffix}"
        refuse_marks(problem, self.of.tokenizer)
        system = problem.system or self.system
        content = _content(problem, text) if problem.images else text
        messages: list[Any] = ([{"role": "system", "content": system}] if system else []) + [{"role": "user", "content": content}]
        if self.layout is None and not self.of.tokenizer.chat_template:
            raise ModelError(f'the tokenizer in {self.of.folder} has no chat template of its own. Set template = "chatml", or give a .jinja file.')
        rendered = self.of.tokenizer.apply_chat_template(
            messages, chat_template=self.layout, tokenize=False, add_generation_prompt=True, **(self.options or {})
        )
        return str(rendered)

    def render(self, problem: Problem) -> Prompt:
        """The prompt as ids, up to where the model speaks."""
        ids = self.ids(problem)
        if not problem.images:
            return Prompt(ids=ids)
        return self._with_images(problem, ids)

    def ids(self, problem: Problem) -> tuple[int, ...]:
        """The prompt's ids with one placeholder an image, however many tokens it has."""
        return tuple(self._encoded(self.words(problem), of=f"problem {problem.id}"))

    def length(self, problem: Problem, response: str) -> int:
        """Tokens of a prompt and a response together, the end token included."""
        return len(self.ids(problem)) + len(self._encoded(response, of="a response")) + 1

    def ids_of(self, response: str) -> tuple[int, ...]:
        """A response in words as ids, the end token included."""
        return (*self._encoded(response, of="a response"), self.of.end_ids[0])

    def _encoded(self, text: str, *, of: str) -> list[int]:
        try:
            ids: list[int] = self.of.tokenizer(text, add_special_tokens=False).input_ids
        except Exception as error:  # a closed vocabulary, such as the laptop world's, raises nothing more specific
            raise DataError(f"{of} has words that the model in {self.of.folder} does not know ({error}): {text[:80]!r}.") from error
        return ids

    def _with_images(self, problem: Problem, ids: Sequence[int]) -> Prompt:
        if self.of.image_processor is None:
            raise DataError(f"problem {problem.id} shows an image, but the model in {self.of.folder} cannot see. Use text problems, or a VLM.")
        patches, grids = patched(self.of.image_processor, problem.images, of=f"problem {problem.id}")
        counts = (grids.prod(1) // self.of.image_processor.merge_size**2).tolist()
        return Prompt(ids=tuple(spread(ids, self.of.model.config.image_token_id, counts)), patches=patches, grids=grids)


def shown_by(speaker: LanguageModel, prompts: Sequence[Prompt], ids_BT: Tensor) -> dict[str, Tensor]:
    """The pictures of prompts, and which of their tokens stand for pictures: without the latter positions come out as plain text."""
    patches = [p.patches for p in prompts if p.patches is not None]
    if not patches:
        return {}
    grids = [p.grids for p in prompts if p.grids is not None]
    return {
        "pixel_values": torch.cat(patches).to(speaker.device),
        "image_grid_thw": torch.cat(grids).to(speaker.device),
        "mm_token_type_ids": (ids_BT == speaker.model.config.image_token_id).int(),
    }


def _content(problem: Problem, text: str) -> list[dict[str, str]]:
    """Pictures and words in the order in which they are shown."""
    if not problem.interleaved:
        return [*({"type": "image"} for _ in problem.images), {"type": "text", "text": text}]
    pieces = text.split(MARK)
    if len(pieces) != len(problem.images) + 1:
        raise DataError(f"problem {problem.id} has {len(pieces) - 1} {MARK} marks for {len(problem.images)} images. Repair or drop the row.")
    out: list[dict[str, str]] = []
    for place, piece in enumerate(pieces):
        out += [{"type": "image"}] * (place > 0) + [{"type": "text", "text": piece}] * bool(piece)
    return out


def refuse_marks(problem: Problem, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise DataError for a problem whose text holds a control token: encoded, it would end the turn or stand for a picture."""
    found = _marks(tokenizer).search(f"{problem.system}\n{problem.prompt}")
    if found is not None:
        raise DataError(f"problem {problem.id} holds {found[0]!r} in its text, which the model reads as a control token. Repair or drop the row.")


@lru_cache(maxsize=16)
def _marks(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    """Every special token of a tokenizer, as something to look for in a text."""
    words = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special and token.content.strip()}
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or r"(?!)")


def spread(ids: Sequence[int], placeholder: int, counts: Sequence[int]) -> list[int]:
    """Each placeholder repeated as often as its image has tokens."""
    left = iter(counts)
    out: list[int] = []
    for i in ids:
        out += [i] * next(left) if i == placeholder else [i]
    return out
