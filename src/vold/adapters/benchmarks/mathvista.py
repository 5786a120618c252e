"""MathVista: mathematics in pictures from 31 sources; 1,000 public questions with options or with a number or a list of numbers for an answer."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import finding, strict, tables
from vold.adapters.benchmarks.distance import distance
from vold.adapters.benchmarks.letters import can_infer
from vold.adapters.benchmarks.mathvista_examples import extraction_in, extraction_prompt
from vold.adapters.benchmarks.numeric import bare_value, in_digits, number_in, without_remark, without_unit_powers
from vold.adapters.benchmarks.reads import Boxed, declared_in
from vold.adapters.benchmarks.spec import Extraction, Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, picture_of, text_of
from vold.base.types import Item, Ruling, Verdict
from vold.core.answers import as_number
from vold.core.measures import Measure

CHOICE, FREE = "multi_choice", "free_form"
TYPES = ("text", "integer", "float", "list")
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PARTS = ("answer_type", "question_type", "task", "source", "category", "context", "grade", "language")

# -- rows and questions -------------------------------------------------------------------------------------------------------------


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001
    """A question with its picture. The answer to one with options is the text of an option, not its letter."""
    name, answer = answer_of(row.get("pid")), row.get("answer")
    if name is None or not isinstance(answer, str) or not answer.strip():
        raise BadRow("no pid" if name is None else "no answer")
    asked, kind = row.get("question_type"), row.get("answer_type")
    if asked not in (CHOICE, FREE):
        raise BadRow(f"unknown question type {asked!r}")
    if kind not in TYPES:
        raise BadRow(f"unknown answer type {kind!r}")
    options = _options(row.get("choices"), answer) if asked == CHOICE else ()
    told = row.get("metadata") if isinstance(row.get("metadata"), Mapping) else {}
    assert isinstance(told, Mapping)
    stored = row.get("image") if row.get("decoded_image") is None else row.get("decoded_image")
    return Item(
        id=f"mathvista/{name}",
        question=text_of(row.get("question"), "question"),
        answer=answer,
        options=options,
        images=(picture_of(stored, folder),),
        facts={
            "answer_type": kind,
            "precision": _precision(row.get("precision"), kind),
            "unit": row.get("unit") or "",
            "query": text_of(row.get("query"), "query"),
            "skills": tuple(told.get("skills") or ()),
        },
        parts={"answer_type": kind, "question_type": asked} | {part: str(told[part]) for part in PARTS if told.get(part)},
    )


def _options(value: Any, answer: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise BadRow("no choices")
    if not all(isinstance(one, str) and one.strip() for one in value):
        raise BadRow("a choice is empty")
    if answer not in value:
        raise BadRow(f"answer {answer[:60]!r} is none of the {len(value)} choices")
    return tuple(value)


def _precision(value: Any, kind: str) -> int:
    """Decimals of a float; 0 for everything else."""
    if kind != "float":
        return 0
    if not isinstance(value, int | float) or value not in (1, 2):
        raise BadRow(f"a float with precision {value!r}: expected 1 or 2")
    return int(value)


def ask(item: Item, style: Style) -> str:
    """The published query, which opens with a hint of what to answer; the question with its unit and choices alone for reasoning."""
    if style is not Style.REASONING:
        return str(item.facts["query"])
    unit = f" (Unit: {item.facts['unit']})" if item.facts["unit"] else ""
    choices = "".join(f"\n({letter}) {text}" for letter, text in zip(LETTERS, item.options, strict=False))
    return (f"{item.question}{unit}" + (f"\nChoices:{choices}" if choices else "")).strip()


# -- the authors' rule --------------------------------------------------------------------------------------------------------------

_QUOTED = 'The answer is "'
_NUMBER = re.compile(r"(?:(?<![\w.)\]}])[-−])?(?:\d+(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<![\w.])[-−]?\.\d+")
_LIST = re.compile(r"\[[-−0-9.,\s]{1,200}\]")
_ASIDE = re.compile(r"[,;]\s|\s(?:because|since|as|which|where|with|out of|of|rounded)\s", re.IGNORECASE)
"""What follows one of these says more about a declared number, and may have numbers of its own."""
_BRACKETED = re.compile(r"\(([a-zA-Z])\)")
_SHORT = 100


def extract(item: Item, response: str) -> str | None:
    """What the authors' quick steps find, else the option or the last number that the response names; None for none."""
    quick = plainly(item, response)
    if quick is not None:
        return quick
    quoted = _quoted(response)
    if quoted is not None:
        return quoted
    kind, declared = item.facts["answer_type"], declared_in(response)
    find = _option if item.options else _list if kind == "list" else _declared_number
    found = None if declared is None else find(item, declared)
    if found is not None:
        return found
    if not isinstance(response, Boxed):
        find = _last_number if find is _declared_number else find
        found = find(item, finding.final(response))
    return found or (declared if item.options and declared and len(declared) <= _SHORT else None)


def plainly(item: Item, response: str) -> str | None:
    """The authors' first steps: a response that is a choice to the letter, or nothing but a number."""
    bare, kind = response.strip(), item.facts["answer_type"]
    if item.options and bare in item.options:
        return bare
    return _plain_number(bare, kind) if kind in ("integer", "float") and not item.options else None


def _plain_number(text: str, kind: str) -> str | None:
    try:
        return str(int(text)) if kind == "integer" else str(float(text))
    except ValueError:
        return None


def _quoted(response: str) -> str | None:
    """What stands in `The answer is "…".` on one line."""
    for line in response.split("\n"):
        start = line.find(_QUOTED)
        end = line.rfind('".', start + len(_QUOTED)) if start >= 0 else -1
        if end >= 0:
            return line[start + len(_QUOTED) : end]
    return None


def _option(item: Item, text: str) -> str | None:
    letter = can_infer(text, dict(zip(LETTERS, item.options, strict=False)))
    return None if letter == "Z" else letter


def _list(item: Item, text: str) -> str | None:  # noqa: ARG001
    """The last list of numbers, as Python writes it."""
    found = _LIST.findall(text)
    numbers = _NUMBER.findall(found[-1]) if found else []
    return f"[{', '.join(numbers)}]" if numbers else None


def _declared_number(item: Item, text: str) -> str | None:
    """The value of a declared answer, without unit and remark; where it is more than a value, its first number after the last equals sign."""
    plain = without_remark(text)
    found = _value(item, plain)
    if found is not None:
        return found
    plain = _ASIDE.split(plain, maxsplit=1)[0]
    plain = without_unit_powers(plain.rpartition("=")[2] or plain)
    return _value(item, plain) or next(map(_digits, _NUMBER.findall(plain)), None)


def _last_number(item: Item, text: str) -> str | None:
    """The value that a text is, else the last number in it."""
    plain = without_unit_powers(without_remark(text))
    found = _NUMBER.findall(plain)
    return _value(item, plain) or (_digits(found[-1]) if found else None)


def _value(item: Item, text: str) -> str | None:
    r"""The value of a short notation such as `\frac{3}{4}` or `25 \text{ cm}^2`. For a whole number `25\%` is 25."""
    if len(text) > _SHORT:
        return None
    value = bare_value(text)
    if value is not None and (not value.percent or item.facts["answer_type"] == "integer"):
        return in_digits(value)
    number = number_in(text) if "\\" in text or "^" in text else None
    return None if number is None else str(number)


def _digits(number: str) -> str:
    return number.replace(",", "").replace("−", "-")


def accepts(item: Item, extracted: str | None) -> bool:
    """Whether the extraction, brought into the form of the answer, is the answer to the letter."""
    return extracted is not None and normalised(item, extracted) == item.answer


def normalised(item: Item, extracted: str) -> str | None:
    """An option for every extraction, however far off; a number cut or rounded to the wanted form; None where it is no number."""
    if item.options:
        return _nearest_option(item, extracted.strip())
    kind = item.facts["answer_type"]
    try:
        if kind == "integer":
            return str(int(float(extracted)))
        if kind == "float":
            return str(round(float(extracted), item.facts["precision"]))
    except (ValueError, OverflowError):
        return None
    return extracted


def _nearest_option(item: Item, text: str) -> str:
    bracketed = _BRACKETED.search(text)
    text = bracketed[1].upper() if bracketed is not None else text
    letters = LETTERS[: len(item.options)]
    if len(text) == 1 and text in letters:
        return item.options[letters.index(text)]
    return min(item.options, key=lambda option: distance(text, option))


# -- strict, tables, everything -----------------------------------------------------------------------------------------------------


def strictly(item: Item, response: str) -> Verdict:
    """The option; the same whole number or list; for a float the same value, or one with more decimals that rounds to it without doubt."""
    if item.options:
        return strict.option(replace(item, answer=LETTERS[item.options.index(item.answer)]), response)
    if item.facts["answer_type"] == "text":
        return strict.words(item, response)
    verdict = strict.value(item, response)
    given, wanted = as_number(verdict.extracted or ""), as_number(item.answer)
    if item.facts["answer_type"] != "float" or verdict.ruling is not Ruling.WRONG or given is None or wanted is None:
        return verdict
    within = abs(given - wanted) < Decimal(5).scaleb(-1 - item.facts["precision"])
    finer = -int(given.as_tuple().exponent) > item.facts["precision"]
    return replace(verdict, ruling=Ruling.RIGHT, note="rounds to the reference") if within and finer else verdict


def measures(graded: Sequence[Graded]) -> list[Measure]:
    """Accuracy, by every field of the authors' report, and by skill, where a question counts for each of its skills."""
    found = tables.accuracy(graded, parts=PARTS)
    for skill in sorted({skill for one in graded for skill in one.item.facts["skills"]}):
        within = [one for one in graded if skill in one.item.facts["skills"]]
        found.append(Measure(metric="accuracy", part=f"skill: {skill}", units=tables.units(within)))
    return found


SPEC = Spec(
    name="mathvista",
    title="MathVista",
    modality="image",
    hub="AI4Math/MathVista",
    columns=frozenset("pid question image decoded_image choices unit precision answer question_type answer_type metadata query".split()),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strictly,
    measures=measures,
    split="testmini",
    extraction=Extraction(prompt=extraction_prompt, read=extraction_in, quick=plainly),
    licence="CC BY-SA 4.0; not to be trained on",
    note=(
        "The authors extract answers with a language model and five examples (mode `judge`; the examples are ours). Without one, their quick steps "
        'come first (the response is a choice or a number, or has `The answer is "…".`), then VLMEvalKit\'s finder for options, or the last number '
        "or list, in the declared answer and then in all that follows the thinking, then a short declared answer itself, which stands for the most "
        "similar option. What none of them finds is wrong, where the authors' rule goes on to take some option. Whole numbers are cut as in the "
        "current script, int(float(x)); the published runs used int(x). A list must be written as the reference."
    ),
)
