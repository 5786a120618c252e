"""MMMU, validation split: multiple choice and short answers in 30 subjects, with the official parsers of both."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import finding, strict, tables
from vold.adapters.benchmarks.mmmu_pro import PICTURES, letter_of, literal, marked, named_last, options_of, pictures_of
from vold.adapters.benchmarks.mmstar import judged, lettered, option_prompt, option_read
from vold.adapters.benchmarks.reads import boxed_letter
from vold.adapters.benchmarks.spec import Extraction, Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, text_of
from vold.base.types import Item, Ruling, Verdict
from vold.core.measures import Measure

SUBJECTS = tuple(
    "Accounting Agriculture Architecture_and_Engineering Art Art_Theory Basic_Medical_Science Biology Chemistry Clinical_Medicine Computer_Science "
    "Design Diagnostics_and_Laboratory_Medicine Economics Electronics Energy_and_Power Finance Geography History Literature Manage Marketing "
    "Materials Math Mechanical_Engineering Music Pharmacy Physics Psychology Public_Health Sociology".split()
)
LETTER_ALONE = "Answer with the option's letter from the given choices directly."
PHRASE_ALONE = "Answer the question using a single word or phrase."
_TYPES = {"multiple-choice": "multiple-choice", "open": "open", "short-answer": "open"}

# -- rows and questions -------------------------------------------------------------------------------------------------------------


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:
    """One question. Pictures are in the order in which question and options show them, those that neither names first."""
    name = text_of(row.get("id"), "id")
    kind = _TYPES.get(str(row.get("question_type")))
    if kind is None:
        raise BadRow(f"unknown question_type {str(row.get('question_type'))[:60]!r}")
    question = text_of(row.get("question"), "question")
    options = options_of(row.get("options")) if kind == "multiple-choice" else ()
    return Item(
        id=f"mmmu/{name}",
        question=question,
        answer=letter_of(row.get("answer")) if options else alternatives_of(row.get("answer")),
        options=options,
        images=pictures_of(row, folder, [question, *options]),
        parts={"subject": subset if subset in SUBJECTS else re.sub(r"^[a-z]+_|_\d+$", "", name), "question type": kind},
    )


def alternatives_of(value: Any) -> str:
    """A short answer; several that are equally right as a JSON list. They may be written as a Python literal."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            listed = literal(value, "answers")
        except BadRow:  # an interval such as [0, 1)
            listed = None
        value = listed if listed and isinstance(listed, list) and all(isinstance(one, str) for one in listed) else value
    if isinstance(value, list | tuple) and len(value) > 1:
        return json.dumps([text_of(one, "answer") for one in value], ensure_ascii=False)
    answer = answer_of(value)
    if answer is None or answer == "?":
        raise BadRow("no answer")
    return answer


def golds(item: Item) -> list[str]:
    return _listed(item.answer) or [item.answer]


def _listed(text: str) -> list[str] | None:
    """The texts of a JSON list; None for anything else."""
    try:
        found = json.loads(text) if text.startswith("[") else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) and found and all(isinstance(one, str) for one in found) else None


def ask(item: Item, style: Style) -> str:
    """OFFICIAL and DIRECT are the same: no official prompt asks for reasoning."""
    listed = "\n".join(f"({letter}) {text}" for letter, text in lettered(item).items())
    text = f"{item.question}\n\n{listed}" if listed else item.question
    if style is not Style.REASONING:
        text = f"{text}\n\n{LETTER_ALONE if listed else PHRASE_ALONE}"
    return marked(item, text)


# -- the official rule --------------------------------------------------------------------------------------------------------------

_KEYS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_TRIVIAL = frozenset(":,.!?;'")
_NUMBERS = (  # a run of digits is read from its first digit only, so that long ones take one look
    re.compile(r"-?(?<!\w)\d{1,3}(?:,\d{3})+(?!\w)"),
    re.compile(r"-?(?<!\d)\d++(?:\.\d++)?e[+-]?\d+", re.IGNORECASE),
    re.compile(r"-?(?:(?<!\d)\d++\.\d++|\.\d++|(?<!\d)\d++(?!\w))(?!e[+-]?\d)(?![,\d])", re.IGNORECASE),
)


def extract(item: Item, response: str) -> str | None:
    """The letter, also that of a box that was asked for; or for a short answer the piece of the response that may hold it, several as a JSON list."""
    if item.options:
        return boxed_letter(response, lettered(item)) or named_last(response, lettered(item), forms=("({})", " {} "))
    pieces = key_pieces(response)
    return pieces[0] if len(pieces) == 1 and _listed(pieces[0]) is None else json.dumps(pieces, ensure_ascii=False)


def key_pieces(response: str) -> list[str]:
    """The shortest tail of each line after a word such as `is`; the whole response where no line has one."""
    text = response.strip().strip(".").lower()
    lines, pieces = text.split("\n"), []
    for place, line in enumerate(lines):
        shortest = ""
        for key in (*_KEYS, "=") if place == len(lines) - 1 else _KEYS:
            tail = line.rpartition(key)[2].strip() if key in line else None
            if tail is not None and (not shortest or len(tail) < len(shortest)):  # nothing after a later key forgets the earlier ones
                shortest = tail
        if shortest and shortest not in _TRIVIAL:
            pieces.append(shortest)
    return pieces or [text]


def accepts(item: Item, extracted: str | None) -> bool:
    """The same letter; or a number of the answer that equals the reference to two decimals, or a text of it that contains the reference."""
    if extracted is None or item.options:
        return extracted is not None and extracted.strip() == item.answer
    pieces = _listed(extracted) or [extracted]
    numbers = [number for piece in pieces for kind in _NUMBERS for number in kind.findall(piece)]
    said = {form for text in [*pieces, *numbers] for form in normal_forms(text)}
    wanted = [form for gold in golds(item) for form in normal_forms(gold)]
    texts = [form for form in said if isinstance(form, str)]
    return any(any(form in text for text in texts) if isinstance(form, str) else form in said for form in wanted)


def normal_forms(text: str) -> list[str | float]:
    """A number rounded to two decimals, or a text in small letters; one character with a blank on either side, so that it is no part of a word."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        text = text.lower()
    return [f" {text}", f"{text} "] if len(text) == 1 else [text]


# -- strict, judge, table -----------------------------------------------------------------------------------------------------------

SHORT_ASKED = """What does the response give as its final answer? Reply with that answer alone: a number, a word or a short phrase as it stands \
there, without a sentence around it. Do not solve the question and do not correct the answer. Reply NONE where the response gives none.

"""


def judged_either(item: Item, response: str) -> Verdict:
    """Strict: the option, or one of the references as a value or in words."""
    if item.options:
        return judged(item, response)
    verdicts = [(strict.words if is_text(gold) else strict.value)(item, response, gold=gold) for gold in golds(item)]
    order = (Ruling.RIGHT, Ruling.UNJUDGED, Ruling.WRONG)
    return min(verdicts, key=lambda verdict: order.index(verdict.ruling))


def is_text(gold: str) -> bool:
    """Whether a reference is words, and no number, quantity or expression."""
    plain = re.sub(r"\\[A-Za-z]+", "", gold).strip("$ {}")
    return not re.match(r"[-+.(\d]", plain) and (re.search(r"[A-Za-z]{2}", plain) is not None or re.search(r"\d", plain) is None)


def prompt(item: Item, response: str) -> str:
    if item.options:
        return option_prompt(item, response)
    return f"{SHORT_ASKED}Question: {item.question}\nResponse: {finding.final(response).strip()}\nAnswer:"


def read(item: Item, reply: str) -> str | None:
    if item.options:
        return option_read(item, reply)
    said = reply.strip().removeprefix("Answer:").strip()
    return said if said and said.rstrip(".").upper() != "NONE" else None


def measures(graded: Sequence[Graded]) -> list[Measure]:
    return tables.accuracy(graded, parts=("subject", "question type"))


SPEC = Spec(
    name="mmmu",
    title="MMMU",
    modality="image",
    hub="MMMU/MMMU",
    columns=frozenset({"id", "question", "options", "answer", "question_type", *PICTURES}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=judged_either,
    measures=measures,
    subsets=SUBJECTS,
    usual=SUBJECTS,
    split="validation",
    interleaved=True,
    extraction=Extraction(prompt=prompt, read=read),
    licence="Apache-2.0",
    note="Where no letter can be found the original draws one; here the answer is wrong. No official prompt asks for reasoning.",
)
