r"""MathVision: 3,040 problems of mathematics competitions with their pictures, in 16 subjects and five levels, with options or without."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import strict, tables
from vold.adapters.benchmarks.cleaning import braced_fractions, braced_roots, led_by_zero, replaced, slash_as_fraction
from vold.adapters.benchmarks.numeric import number_in
from vold.adapters.benchmarks.reads import boxed_letter
from vold.adapters.benchmarks.spec import Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, difficulty_of, picture_of, text_of
from vold.base.types import Item, Ruling, Verdict
from vold.core.measures import Measure

LETTERS = "ABCDE"
STEP_BY_STEP = (
    'Please solve the problem step by step and put your answer in one "\\boxed{}". If it is a multiple choice question, only one letter is allowed '
    'in the "\\boxed{}".\n'
)
IN_A_WORD = "\nAnswer the question using a single word or phrase."

# -- rows and questions -------------------------------------------------------------------------------------------------------------


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001
    """A problem with the one picture that shows everything; where options are drawn in it, their texts are their letters."""
    name, level = answer_of(row.get("id")), difficulty_of(row.get("level"))
    if name is None or row.get("answer") in (None, ""):
        raise BadRow("no id" if name is None else "no answer")
    answer = text_of(row.get("answer"), "answer")
    if level is None:
        raise BadRow("no level")
    options = _options(row.get("options"))
    if options and answer not in tuple(LETTERS[: len(options)]):
        raise BadRow(f"answer {answer!r} is none of the {len(options)} options")
    picture = row.get("image") if row.get("decoded_image") is None else row.get("decoded_image")
    return Item(
        id=f"mathvision/{name}",
        question=text_of(row.get("question"), "question"),
        answer=answer,
        options=options,
        images=(picture_of(picture, folder),),
        parts={"subject": text_of(row.get("subject"), "subject"), "level": str(level)},
    )


def _options(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise BadRow("options are no list of texts")
    if any(not one.strip() for one in value):
        raise BadRow("an option is empty")
    if len(value) not in (0, len(LETTERS)):
        raise BadRow(f"{len(value)} options where there should be {len(LETTERS)}")
    return tuple(value)


def ask(item: Item, style: Style) -> str:
    """The authors' prompt for an answer with steps, or in a word, or the problem alone; options that are drawn are not written."""
    drawn = "".join(item.options) == LETTERS
    options = "" if drawn else "".join(f"({letter}) {text}\n" for letter, text in zip(LETTERS, item.options, strict=False))
    problem = f"{item.question}\n{options}"
    if style is Style.OFFICIAL:
        return STEP_BY_STEP + problem
    return problem + IN_A_WORD if style is Style.DIRECT else problem.strip()


# -- the authors' rule --------------------------------------------------------------------------------------------------------------

_PHRASES = ("the final answer is", "the answer is", "the correct answer is", "the answer should be")
_BOX = "oxed{"
_TIDIED = (
    (" ", ""), ("\\,", ""), ("∞", "\\infty"), ("+\\infty", "\\infty"), ("\\\\", "\\"), ("\n", ""), ("\\text", ""), ("\\mbox", ""),
    ("bmatrix", "pmatrix"), ("\\left", ""), ("\\right", ""), ("^{\\circ}", ""), ("^\\circ", ""), ("{m}^3", ""), ("m^3", ""), ("{units}", ""),
    ("units", ""), ("{km}", ""), ("km", ""),
)  # fmt: skip
_CLEANED = (
    ("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""), ("^{\\circ}", ""),
    ("^\\circ", ""), ("\\$", ""), ("$", ""),
)  # fmt: skip
_BARE_LETTERS = tuple((f"{opens}{letter.lower()}{closes}", letter.lower()) for opens, closes in ("()", "{}") for letter in LETTERS)


def extract(item: Item, response: str) -> str | None:
    """The answer by the authors' string rules, in small letters and without blanks; None where nothing is left of it. Of a box that was asked for its
    option, in a small letter too."""
    boxed = boxed_letter(response, dict(zip(LETTERS, item.options, strict=False))) if item.options else None
    if boxed is not None:
        return boxed.lower()
    text = response.strip()
    for letter in LETTERS:
        if text.endswith((f" {letter}.", f" ({letter}).")) or text.startswith((f"{letter}\n", f"({letter})\n", f"({letter}) {letter}\n")):
            text = letter
    number = text.split("is ")[-1].rstrip(".")
    text = number if _is_float(number) else text
    if _BOX not in text:
        text = _declared(text)
    elif text.count(_BOX) > 1:
        text = "\\" + "b" + _BOX + text.split(_BOX)[-1]
    found = replaced(_cleaned(_content(text)), _BARE_LETTERS).rstrip(".").lstrip(":").strip()
    return found or None


def _is_float(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _declared(text: str) -> str:
    """What follows the last of each phrase in turn, up to the end of its line or sentence."""
    for phrase in _PHRASES:
        for spelled in (phrase, phrase.replace("the", "The")):
            _, there, after = text.rpartition(spelled)
            text = after.strip().split("\n")[0].split(". ")[0] if there else text.strip()
    return text


def _content(text: str) -> str:
    """What is in the box, up to the last brace of the text, or everything; then only what follows the last `=` and the last `≈`."""
    text = text.lower().replace("{}", "")
    start, end = text.find(_BOX), text.rfind("}")
    text = text[start + len(_BOX) : end] if 0 <= start <= end - len(_BOX) else text
    closing, opening = text.find("}"), text.find("{")
    text = text[:closing] if closing >= 0 and (opening < 0 or closing < opening) else text
    return text.split("=")[-1].split("\\approx")[-1]


def _cleaned(text: str) -> str:
    """The authors' own tidying and their version of Hendrycks' clean-up."""
    text = replaced(replaced(text, _TIDIED), _CLEANED)
    text = led_by_zero(text.split("\\text{ ")[0].replace("\\%", ""))
    for sign in ("=", "\\approx"):
        parts = text.split(sign)
        text = parts[1] if len(parts) == 2 else text
    rooted = "sqrt" in text
    text = braced_roots(text, strictly=False) if rooted else text
    text = text.replace(" ", "")
    text = braced_fractions(text, strictly=False) if rooted else text
    return slash_as_fraction("\\frac{1}{2}" if text == "0.5" else text)


def accepts(item: Item, extracted: str | None) -> bool:
    """The reference, or the text of its option, letter by letter or as a number of two decimals."""
    if extracted is None:
        return False
    text = item.options[LETTERS.index(item.answer)] if item.options else ""
    return is_equal(item.answer, extracted) or is_equal(text, extracted)


def is_equal(left: str, right: str) -> bool:
    """Equal in small letters, as tuples of numbers of two decimals, or as such numbers; what is blank or has no number equals nothing."""
    left, right = left.lower(), right.lower()
    if not left.replace(" ", "") or not right.replace(" ", ""):
        return False
    if left.strip() == right.strip():
        return True
    if (left[0], left[-1], left.count(",")) == (right[0], right[-1], right.count(",")) and _evaluated(left) == _evaluated(right):
        return True
    values = [_rounded(text) for text in (left, right)]
    return None not in values and values[0] == values[1]


def _rounded(text: str) -> float | None:
    value = number_in(text)
    try:
        return None if value is None else round(value, 2)
    except (OverflowError, ValueError):
        return None


def _evaluated(text: str) -> str:
    """A tuple or list with its elements as numbers, except infinities and the letter a; as it was where one has no number."""
    elements = text[1:-1].split(",")
    if len(elements) < 2 or (text[0], text[-1]) not in (("(", ")"), ("[", "]")):
        return text
    done = list(_elements(elements))
    return text[0] + ",".join(done) + text[-1] if len(done) == len(elements) else text


def _elements(elements: Sequence[str]) -> Iterator[str]:
    """Each as it is compared, up to the first without a number."""
    for element in elements:
        value = element if "infty" in element or element in ("a", "-a") else _rounded(element)
        if value is None:
            return
        yield str(value)


# -- strict, tables, everything -----------------------------------------------------------------------------------------------------


def strictly(item: Item, response: str) -> Verdict:
    """The option, or the same value as the reference, whose published slips (`\\x0crac`, a unit in bare braces) are put right."""
    if item.options:
        return strict.option(item, response)
    gold = re.sub(r"(?<!sqrt)\{([a-z]{3,})\}$", r"\\text{ \1}", item.answer.replace("\x0c", "\\f"))
    verdict = strict.value(item, response, gold=gold)
    copied = verdict.ruling is Ruling.WRONG and verdict.extracted is not None and verdict.extracted.strip() == item.answer.strip()
    return replace(verdict, ruling=Ruling.RIGHT, note="the reference to the letter") if copied else verdict


def measures(graded: Sequence[Graded]) -> list[Measure]:
    return tables.accuracy(graded, parts=("subject", "level"))


SPEC = Spec(
    name="mathvision",
    title="MathVision",
    modality="image",
    hub="MathLLMs/MathVision",
    columns=frozenset(["id", "question", "options", "image", "decoded_image", "answer", "level", "subject"]),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strictly,
    measures=measures,
    licence="MIT",
    note=(
        "The authors' rule takes the letter or the text of an option, and numbers that agree to two decimals. They read LaTeX with latex2sympy and "
        "then as Python; here a reader of its own does, which knows numbers, roots, fractions, powers, circular functions and logarithms."
    ),
)
