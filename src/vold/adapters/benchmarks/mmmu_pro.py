"""MMMU-Pro: the same 1,730 questions with ten options, with four, and as screenshots; and what it shares with MMMU, which it grew out of.

The main number is the mean of the accuracy with ten options and that on screenshots. Items of one question in different settings are one cluster.
"""

import ast
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import tables
from vold.adapters.benchmarks.mmstar import judged, lettered, option_prompt, option_read
from vold.adapters.benchmarks.reads import boxed_letter
from vold.adapters.benchmarks.spec import Extraction, Graded, Spec, Style
from vold.adapters.fields import BadRow, picture_of, text_of
from vold.base.types import Item
from vold.core.measures import Measure, Unit

SETTINGS = {"standard (10 options)": "standard-10", "standard (4 options)": "standard-4", "vision": "vision"}
MAIN = ("standard-10", "vision")
PICTURES = tuple(f"image_{number}" for number in range(1, 8))
LINE = "The last line of your response should be of the following format: 'Answer: $LETTER' (without quotes) where LETTER is one of options."
REASONED = f"{LINE} Think step by step before answering."
DIRECTLY = "Answer with the option letter from the given choices directly."
PROMPTS = {
    ("standard", Style.OFFICIAL): f"Answer the preceding multiple choice question. {REASONED}",
    ("standard", Style.DIRECT): DIRECTLY,
    ("vision", Style.OFFICIAL): f"Write out the multiple-choice question in the image and then solve it. {REASONED}",
    ("vision", Style.DIRECT): f"{DIRECTLY} {LINE}",
    ("vision", Style.REASONING): "Answer the following multiple-choice question in the image.",
}
_MARK = re.compile(r"<image ([1-7])>")
"""Higher numbers have no picture in a row (validation_Math_7 of MMMU goes up to 30): such marks stay words."""
_LONGEST_LITERAL = 20_000
"""Longer lists are no options of a question: the longest of them has some 1,600 characters."""

# -- rows ---------------------------------------------------------------------------------------------------------------------------


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:
    """One question in one setting. Pictures are in the order in which question and options show them, those that neither names first."""
    setting = _setting(subset, row)
    name = text_of(row.get("id"), "id")
    question = "" if setting == "vision" else text_of(row.get("question"), "question")
    options = options_of(row.get("options"))
    return Item(
        id=f"mmmu-pro/{setting}/{name}",
        question=question,
        answer=letter_of(row.get("answer")),
        options=options,
        images=(picture_of(row.get("image"), folder),) if setting == "vision" else pictures_of(row, folder, [question, *options]),
        parts={"setting": setting, "subject": text_of(row.get("subject"), "subject")},
        cluster=name,
    )


def _setting(subset: str, row: Mapping[str, Any]) -> str:
    """By the name of the subset; a screenshot is known by its columns, whatever its subset is called."""
    setting = SETTINGS.get(subset)
    if setting is None and row.get("image") is not None and row.get("question") is None:
        return "vision"
    if setting is None:
        raise BadRow(f"which setting is subset {subset!r}? Expected one of {', '.join(SETTINGS)}")
    return setting


def options_of(value: Any) -> tuple[str, ...]:
    """The options' texts, from a list or from one written as a Python literal; what is no text in it as Python writes it."""
    found = literal(value, "options") if isinstance(value, str) else value
    if not found:
        raise BadRow("options are empty")
    if not isinstance(found, list | tuple):
        raise BadRow(f"options are no list but {type(found).__name__}")
    if len(found) > len(string.ascii_uppercase):
        raise BadRow(f"{len(found)} options are more than there are letters")
    return tuple(str(one) for one in found)


def literal(text: str, name: str) -> Any:
    """What a Python literal says. It is read, never run."""
    if len(text) > _LONGEST_LITERAL:
        raise BadRow(f"{name} have more than {_LONGEST_LITERAL} characters")
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise BadRow(f"{name} are no Python literal: {text[:60]!r}") from error


def letter_of(value: Any) -> str:
    letter = text_of(value, "answer").strip()
    if len(letter) != 1 or letter not in string.ascii_uppercase:
        raise BadRow(f"answer is no option letter: {letter[:60]!r}")
    return letter


def pictures_of(row: Mapping[str, Any], folder: Path | None, texts: Sequence[str]) -> tuple[bytes, ...]:
    """Pictures as `texts` show them: those that no `<image 1>` names first, then one for every mark in their order."""
    stored = {number: row[column] for number, column in enumerate(PICTURES, start=1) if row.get(column) is not None}
    marks = [int(number) for text in texts for number in _MARK.findall(text)]
    missing = [number for number in marks if number not in stored]
    if missing or not stored:
        raise BadRow(f"no image for the mark <image {missing[0]}>" if missing else "no image")
    if any("<image>" in text for text in texts):
        raise BadRow("a mark <image> without a number: which picture it shows is not said")
    read = {number: picture_of(value, folder) for number, value in stored.items()}
    return tuple(read[number] for number in [*(one for one in read if one not in marks), *marks])


# -- questions ----------------------------------------------------------------------------------------------------------------------


def marked(item: Item, text: str) -> str:
    """`text` with `<image>` for every `<image 1>`, and one at its start for every picture that none of them names."""
    text, shown = _MARK.subn("<image>", text)
    return "<image>" * (len(item.images) - shown) + text


def ask(item: Item, style: Style) -> str:
    if item.parts["setting"] == "vision":
        return marked(item, PROMPTS["vision", style])
    listed = "\n".join(f"{letter}. {text}" for letter, text in lettered(item).items())
    prompt = PROMPTS.get(("standard", style))
    return marked(item, f"{item.question}\n{listed}" + (f"\n{prompt}" if prompt else ""))


# -- the official rule --------------------------------------------------------------------------------------------------------------


def extract(item: Item, response: str) -> str | None:
    """The letter of a box that was asked for; otherwise the only one after the last `Answer:`, and where there is none or more than one, the option
    that is named last."""
    options = lettered(item)
    boxed = boxed_letter(response, options)
    if boxed is not None:
        return boxed
    _, mark, said = response.rpartition("Answer:")
    named = [letter for letter in options if mark and letter in said]
    return named[0] if len(named) == 1 else named_last(response, options, forms=("({})", "{} ", "{}."))


def named_last(response: str, options: Mapping[str, str], *, forms: Sequence[str]) -> str | None:
    """The option that is named last, in the first of `forms` that names any; in more than five words otherwise by its text.

    Punctuation is taken off both ends, kind by kind. None where the original draws a letter.
    """
    text = response
    for sign in ",.!?;:'":
        text = text.strip(sign)
    text = f" {text} "
    for form in forms:
        named = [letter for letter in options if form.format(letter) in text]
        if named:
            sign = form if form == "({})" else " {} "  # so searched whatever form named them; where that is nowhere, the first wins
            return _last(text, {letter: sign.format(letter) for letter in named})
    lowered = text.lower()
    spelled = {letter: option.lower() for letter, option in options.items() if option.lower() in lowered}
    return _last(lowered, spelled) if len(text.split()) > 5 else None


def _last(text: str, signs: Mapping[str, str]) -> str | None:
    """The letter whose sign comes last in a text."""
    return max(signs, key=lambda letter: text.rfind(signs[letter])) if signs else None


def accepts(item: Item, extracted: str | None) -> bool:
    return extracted is not None and extracted.strip() == item.answer


# -- table --------------------------------------------------------------------------------------------------------------------------


def measures(graded: Sequence[Graded]) -> list[Measure]:
    """The mean of both main settings, or the only one there is; then every setting and every subject."""
    settings = [name for name in SETTINGS.values() if _units(graded, (name,))]
    main = tuple(name for name in MAIN if name in settings) or tuple(settings)
    found = [_mean(graded, main, "" if len(main) != 1 else f"setting: {main[0]}")]
    found += [_mean(graded, (name,), f"setting: {name}") for name in settings if (name,) != main]
    for subject in tables.values(graded, "subject"):
        within = [one for one in graded if one.item.parts["subject"] == subject]
        found.append(_mean(within, main, f"subject: {subject}"))
    return [one for one in found if one.units or one is found[0]]


def _mean(graded: Sequence[Graded], settings: Sequence[str], part: str) -> Measure:
    """The mean of the settings' accuracies: of those in which an answer was judged."""
    units = _units(graded, settings)
    strata = sorted({unit.stratum for unit in units})
    if len(strata) < 2:
        return Measure(metric="accuracy", part=part, units=tuple(replace(unit, stratum="") for unit in units))
    return Measure(metric="accuracy", part=part, units=units, weights={name: 1 / len(strata) for name in strata})


def _units(graded: Sequence[Graded], settings: Sequence[str]) -> tuple[Unit, ...]:
    within = ([one for one in graded if one.item.parts["setting"] == name] for name in settings)
    return tuple(replace(unit, stratum=name) for name, ones in zip(settings, within, strict=True) for unit in tables.units(ones))


SPEC = Spec(
    name="mmmu-pro",
    title="MMMU-Pro",
    modality="image",
    hub="MMMU/MMMU_Pro",
    columns=frozenset({"id", "question", "options", "answer", "subject", "image", *PICTURES}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=judged,
    measures=measures,
    subsets=tuple(SETTINGS),
    usual=("standard (10 options)", "vision"),
    interleaved=True,
    extraction=Extraction(prompt=option_prompt, read=option_read),
    licence="Apache-2.0",
    note=(
        "Where no letter can be found the original draws one; here the answer is wrong. validation_Accounting_29 has one option and the answer B: "
        "the official rule can never call it right, and the strict one leaves it unjudged."
    ),
)
