"""What a benchmark is: how its rows are read, how it is asked, by which rules an answer is right, and what its table says.

Every benchmark is one file of this folder that ends in a `Spec`. Nothing here generates, and no rule draws lots: where a benchmark's own script
would guess at random, the answer counts as not extracted, and so as wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from vold.base.types import Item, Ruling, Verdict
from vold.core.measures import Measure


class Style(StrEnum):
    """How a question is put."""

    OFFICIAL = "official"
    """The benchmark's own prompt for answers with reasoning, where it has one."""
    DIRECT = "direct"
    """The benchmark's own prompt for an answer without reasoning, where it has one."""
    REASONING = "reasoning"
    r"""The question and its options alone: the suffix of the model asks for reasoning and a \boxed{} answer, as in training."""


class Mode(StrEnum):
    """By which rule an answer is right. A table always names it."""

    OFFICIAL = "official-rule"
    STRICT = "strict"
    JUDGE = "judge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """One answered item under one rule. `sample` counts the answers to one item; `right` is None where it could not be judged."""

    item: Item
    sample: int
    right: bool | None
    extracted: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """A benchmark's own way to have a language model find the answer in a response, for the judge mode.

    `prompt(item, response)` is what is sent; `read(item, reply)` is the answer in the reply, None where it found none. Where the benchmark also
    has its verdict given by the model, `ruling(item, extracted)` is the second prompt and `decide(reply)` its verdict (None: ask again).
    `quick(item, response)` is an answer for which no model is needed. Where `nothing` names the reply that says there is no answer, another reply
    that cannot be read is asked for again.
    """

    prompt: Callable[[Item, str], str]
    read: Callable[[Item, str], str | None]
    ruling: Callable[[Item, str], str] | None = None
    decide: Callable[[str], bool | None] | None = None
    quick: Callable[[Item, str], str | None] | None = None
    nothing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """Everything vold knows of a benchmark."""

    name: str
    """What settings call it: `mathvision`."""
    title: str
    """What tables call it: `MathVision`."""
    modality: Literal["text", "image"]
    hub: str
    """Its hub id."""
    columns: frozenset[str]
    """The columns of the hub's schema that are read."""
    item: Callable[[Mapping[str, Any], str, Path | None], Item]
    """An item of a row, its subset and the folder where pictures named by a path lie. Raises BadRow with the reason in words."""
    ask: Callable[[Item, Style], str]
    """The text of the question; with an `<image>` mark a picture where `interleaved`."""
    extract: Callable[[Item, str], str | None]
    """The answer that the benchmark's own rule finds in a whole response; None for none."""
    accepts: Callable[[Item, str | None], bool]
    """The benchmark's own verdict on an extracted answer, whoever extracted it."""
    strict: Callable[[Item, str], Verdict]
    """The verdict on a whole response that no near miss passes."""
    measures: Callable[[Sequence[Graded]], Sequence[Measure]]
    """The numbers of its table, the main one first; what was not judged is left out."""
    subsets: tuple[str, ...] = ()
    split: str = "test"
    usual: tuple[str, ...] = ()
    """Subsets that are read where a folder has them and settings name none."""
    interleaved: bool = False
    extraction: Extraction | None = None
    """For the judge mode; None where the benchmark has no such prompt: its options or its reference are then asked for in our words."""
    licence: str = ""
    note: str = ""
    """What a reader must know of the rule, such as a prompt or a random draw of the original that is done otherwise here."""


def official(spec: Spec, item: Item, response: str) -> Verdict:
    """The benchmark's own rule on a whole response: never raises, and what cannot be extracted is wrong."""
    found = spec.extract(item, response)
    if found is None:
        return Verdict(ruling=Ruling.WRONG, extracted=None, note="nothing extracted")
    return Verdict(ruling=Ruling.RIGHT if spec.accepts(item, found) else Ruling.WRONG, extracted=found)
