"""MMStar: 1,500 multiple-choice questions that need their picture, 250 for each of six capabilities. The main number is the mean over all of them."""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import finding, strict, tables
from vold.adapters.benchmarks.letters import can_infer
from vold.adapters.benchmarks.spec import Extraction, Graded, Spec, Style
from vold.adapters.fields import BadRow, picture_of, text_of
from vold.base.types import Item, Ruling, Verdict
from vold.core.measures import Measure

LETTERS = "ABCD"
HALVES = {  # the paper's two halves average to its overall number, so they are three capabilities each
    "coarse perception": "perception",
    "fine-grained perception": "perception",
    "instance reasoning": "perception",
    "logical reasoning": "reasoning",
    "science & technology": "reasoning",
    "math": "reasoning",
}
DIRECTLY = "\nAnswer with the option's letter from the given choices directly"
_IN_A_LINE = re.compile(r"\nOptions: A: (.*?), B: (.*?)(?:, C: (.*?))?(?:, D: (.*?))?\Z", re.DOTALL)
_IN_LINES = re.compile(r"\n\(A\) (.*?)\n\(B\) (.*?)(?:\n\(C\) (.*?))?(?:\n\(D\) (.*?))?\Z", re.DOTALL)


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001 - it has one subset
    index = row.get("index")
    if isinstance(index, bool) or not isinstance(index, int):
        raise BadRow("index is no whole number")
    question, answer = text_of(row.get("question"), "question"), text_of(row.get("answer"), "answer").strip()
    if len(answer) != 1 or answer not in LETTERS:
        raise BadRow(f"answer is no option letter: {answer[:60]!r}")
    category = text_of(row.get("category"), "category")
    if category not in HALVES:
        raise BadRow(f"unknown category {category[:60]!r}")
    options = options_in(question)
    if options and LETTERS.index(answer) >= len(options):
        raise BadRow(f"answer {answer} is none of {len(options)} options")
    return Item(
        id=f"mmstar/{index}",
        question=question,
        answer=answer,
        options=options,
        images=(picture_of(row.get("image"), folder),),
        parts={"half": HALVES[category], "category": category, "l2_category": text_of(row.get("l2_category"), "l2_category")},
    )


def options_in(question: str) -> tuple[str, ...]:
    """The texts of the options that a question ends with, less the `nan` that fill up to four; empty where there are none to be seen."""
    found = _IN_A_LINE.search(question) or _IN_LINES.search(question)
    texts = [text.strip() for text in found.groups() if text is not None] if found is not None else []
    while texts and texts[-1] == "nan":
        texts.pop()
    return tuple(texts)


def ask(item: Item, style: Style) -> str:
    """The question as it is, with its options in it: no official prompt asks for reasoning. DIRECT is the wording of lmms-eval."""
    return item.question + DIRECTLY if style is Style.DIRECT else item.question


def extract(item: Item, response: str) -> str | None:  # noqa: ARG001 - the rule looks for any letter
    """The letter that the response begins with: after `(`, `option ` or `the answer is `, or at once, be it the first letter of a word."""
    text = response.lower().strip().replace("\n", " ")
    for opening in ("(", "option ", "the answer is ", ""):
        if text.startswith(opening):
            letter = text[len(opening) : len(opening) + 1].upper()
            return letter if letter and letter in LETTERS else None
    return None


def accepts(item: Item, extracted: str | None) -> bool:
    return extracted is not None and extracted.strip().lower() == item.answer.lower()


# -- options by the strict rule and by a judge: the same in MMMU and MMMU-Pro ----------------------------------------------------------


def lettered(item: Item) -> dict[str, str]:
    return dict(zip(string.ascii_uppercase, item.options, strict=False))


def judged(item: Item, response: str) -> Verdict:
    """Strict: the reference's letter or text, and no other option's. Where texts differ in the case of letters alone (XaXa, XAXA), case matters."""
    texts = lettered(item)
    verdict = strict.option(item, response, letters=tuple(texts) or LETTERS)
    gold, taken = texts.get(item.answer, ""), texts.get(verdict.extracted or "", "")
    if verdict.ruling is not Ruling.RIGHT or taken == gold or taken.casefold() != gold.casefold():
        return verdict
    if (finding.said(response) or "").strip() == gold:
        return replace(verdict, extracted=item.answer)
    return replace(verdict, ruling=Ruling.WRONG, note="another option, which differs in the case of letters")


OPTION_ASKED = """Which option does the response choose? Compare what it gives as its answer with the options, and reply with one capital letter and \
nothing else. Reply Z where it chooses none of them, or more than one.

Question: Which of these is a fruit?
Options:
A. a stone
B. an apple
C. a chair
Response: It grows on trees, so it must be the apple.
Letter: B

Question: How many legs has a spider?
Options:
A. six
B. eight
Response: Insects have six legs. A spider is none, and I count ten.
Letter: Z

"""


def option_prompt(item: Item, response: str) -> str:
    """For items whose options are apart from their question."""
    listed = "\n".join(f"{letter}. {text}" for letter, text in lettered(item).items())
    return _option_prompt(f"{item.question or '(in the picture)'}\nOptions:\n{listed}", response)


def _option_prompt(question: str, response: str) -> str:
    return f"{OPTION_ASKED}Question: {question}\nResponse: {finding.final(response).strip()}\nLetter:"


def option_read(item: Item, reply: str) -> str | None:
    found = can_infer(reply, lettered(item) or {letter: letter for letter in LETTERS})
    return None if found == "Z" else found


# -- table ---------------------------------------------------------------------------------------------------------------------------


def measures(graded: Sequence[Graded]) -> list[Measure]:
    return tables.accuracy(graded, parts=("half", "category", "l2_category"))


SPEC = Spec(
    name="mmstar",
    title="MMStar",
    modality="image",
    hub="Lin-Chen/MMStar",
    columns=frozenset({"index", "question", "image", "answer", "category", "l2_category"}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=judged,
    measures=measures,
    split="val",
    extraction=Extraction(prompt=lambda item, response: _option_prompt(item.question, response), read=option_read),
    note="The official rule reads the first letter of a response, so that `Because` is B; it was made for answers without reasoning.",
)
