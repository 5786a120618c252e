"""Whether a model can be shown a problem at all: found out with its tokenizer alone, before any weight is loaded."""

from dataclasses import dataclass, field
from pathlib import Path

from transformers import AutoConfig, PreTrainedTokenizerBase

from vold.adapters.models import LanguageModel, image_processor_at, sees, tokenizer_at
from vold.adapters.pictures import tokens_of
from vold.adapters.templates import Template, layout_of, refuse_marks
from vold.base.errors import DataError
from vold.base.types import Problem
from vold.config import schema

TURNS = 64
"""More tokens than a chat template adds around a question."""


@dataclass(kw_only=True, eq=False)
class Fit:
    """Says why a problem cannot be shown to a model that has `room` tokens to answer; None where it can."""

    who: str
    template: Template
    context: int
    room: int
    _open: bool = field(init=False)

    def __post_init__(self) -> None:
        self._open = is_open(self.template.of.tokenizer)

    def __call__(self, problem: Problem) -> str | None:
        eyes = self.template.of.image_processor
        if problem.images and eyes is None:
            return f"it shows an image, and the {self.who} in {self.template.of.folder} cannot see"
        try:
            refuse_marks(problem, self.template.of.tokenizer)
            if self._open and not problem.images and self._certainly_fits(problem):
                return None
            length = len(self.template.ids(problem)) + tokens_of(eyes, problem.images) - len(problem.images)
        except DataError as error:
            return str(error)
        if length + self.room <= self.context:
            return None
        return f"its prompt is {length} tokens for the {self.who}, and with {self.room} for the answer that is over its context of {self.context}"

    def _certainly_fits(self, problem: Problem) -> bool:
        """A token is at least one byte."""
        text = f"{problem.system or self.template.system}{problem.prompt}{self.template.suffix}"
        return len(text.encode(errors="surrogatepass")) + TURNS + self.room <= self.context


def is_open(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer knows every text; a closed one, such as the laptop world's, knows its own words only."""
    try:
        return len(tokenizer("☃ zq7", add_special_tokens=False).input_ids) > 0
    except Exception:  # a closed vocabulary raises nothing more specific
        return False


def context_at(folder: Path) -> int:
    """How many tokens a model can read and write together."""
    return int(AutoConfig.from_pretrained(folder).get_text_config().max_position_embeddings)


def spoken_to(settings: schema.ModelSettings, folder: Path) -> Template:
    """How a model is spoken to, by its tokenizer and image processor alone: nothing of it can answer."""
    eyes = image_processor_at(folder, min_pixels=settings.min_pixels, max_pixels=settings.max_pixels) if sees(folder) else None
    bare = LanguageModel(folder=folder, model=None, tokenizer=tokenizer_at(folder)[0], image_processor=eyes)
    return template_of(bare, settings)


def template_of(model: LanguageModel, settings: schema.ModelSettings, *, suffix_everywhere: bool = False) -> Template:
    """How the settings say a model is spoken to."""
    return Template(
        of=model,
        system=settings.system,
        suffix=settings.suffix,
        options=dict(settings.template_options),
        layout=layout_of(settings.template),
        suffix_everywhere=suffix_everywhere,
    )
