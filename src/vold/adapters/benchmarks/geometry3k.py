"""Geometry3K: what is asked for in a plane figure, by its value, or as one of four choices where rows have a letter for an answer."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import strict, tables
from vold.adapters.benchmarks.cleaning import mathruler_boxed
from vold.adapters.benchmarks.graders import mathruler_grade
from vold.adapters.benchmarks.spec import Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, picture_of, text_of
from vold.base.ids import digest_of
from vold.base.types import Item, Verdict
from vold.core.measures import Measure

MARK = "<image>"
THINKING = (
    " You FIRST think about the reasoning process as an internal monologue and then provide the final answer. The reasoning process MUST BE enclosed "
    r"within <think> </think> tags. The final answer MUST BE put in \boxed{}."
)
"""What reinforcement learning on this data set puts after the problem."""
VALUE, FOUR_CHOICES = "value", "4 choices"
LETTERS = "ABCD"

_NAMED = (re.compile(r"[Aa]nswer\s*[:=]\s*\(?([A-Da-d])\)?"), re.compile(r"\b([A-Da-d])\s*[.)\]]"))
_ALONE = re.compile(r"\b([A-Da-d])\b")


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:
    """A problem by its value, or by its letter where the row has a `ground_truth` beside `choices`, or the subset is called `4 choices`."""
    problem = text_of(row.get("problem"), "problem")
    stored = row.get("images")
    pictures = tuple(picture_of(one, folder) for one in (stored if isinstance(stored, list | tuple) else [] if stored is None else [stored]))
    if not pictures:
        raise BadRow("no image")
    marks = problem.count(MARK)
    if marks not in (0, len(pictures)):
        raise BadRow(f"{marks} {MARK} marks for {len(pictures)} images")
    question = problem if marks else MARK * len(pictures) + problem
    letter = answer_of(row.get("answer_letter") if row.get("ground_truth") is None else row.get("ground_truth"))
    value = answer_of(row.get("answer"))
    asked = FOUR_CHOICES if subset == FOUR_CHOICES or (value is None and letter is not None) else VALUE
    options = _choices(row.get("choices"), letter) if asked == FOUR_CHOICES else ()
    answer = letter if asked == FOUR_CHOICES else value
    if answer is None:
        raise BadRow("no answer")
    return Item(
        id=f"geometry3k/{digest_of([question, answer, options, [picture.hex() for picture in pictures]])}",
        question=question,
        answer=answer,
        options=options,
        images=pictures,
        parts={"asked": asked},
    )


def _choices(value: Any, letter: str | None) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not all(isinstance(one, str) and one.strip() for one in value):
        raise BadRow("empty choices")
    if letter not in tuple(LETTERS[: len(value)]):
        raise BadRow(f"answer {letter!r} is none of the {len(value)} choices")
    return tuple(value)


def ask(item: Item, style: Style) -> str:
    """The problem alone, or with the instruction of reinforcement learning; choices a line each."""
    text = item.question
    if item.options:
        text += "\nChoices:\n" + "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, item.options, strict=False))
    return text + THINKING if style is Style.OFFICIAL else text


def extract(item: Item, response: str) -> str | None:
    """The last box, which must be closed; a response of one line without any is taken for the content of one. For four choices a letter."""
    if item.options:
        return _letter(item, response)
    bare = response.strip()
    if bare and "\n" not in bare and "\\boxed{" not in bare:
        return bare
    boxed = mathruler_boxed(response)
    return None if boxed == "None" else boxed


def _letter(item: Item, response: str) -> str | None:
    """By lmms-eval's rule, the last match of the first form there is: `answer: B`; `B.`, `B)` or `B]`; a line of its own; any lone letter, also an
    article `a`; otherwise the first choice whose text occurs."""
    lines = [line.strip() for line in response.splitlines()]
    forms = [
        *(pattern.findall(response) for pattern in _NAMED),
        [line for line in lines if len(line) == 1 and line in "ABCDabcd"],
        _ALONE.findall(response),
    ]
    for found in forms:
        if found:
            return str(found[-1]).upper()
    return next((letter for letter, choice in zip(LETTERS, item.options, strict=False) if choice.lower() in response.lower()), None)


def accepts(item: Item, extracted: str | None) -> bool:
    if extracted is None:
        return False
    return extracted == item.answer if item.options else mathruler_grade(extracted, item.answer)


def strictly(item: Item, response: str) -> Verdict:
    """The same value, or the same choice."""
    return strict.option(item, response) if item.options else strict.value(item, response)


def measures(graded: Sequence[Graded]) -> list[Measure]:
    """Accuracy by value, and apart from it that of four choices; where there are only choices, theirs is the main number."""
    by_value = [one for one in graded if not one.item.options]
    by_letter = [one for one in graded if one.item.options]
    found = tables.accuracy(by_value) if by_value or not by_letter else []
    return [*found, Measure(metric="accuracy", part=FOUR_CHOICES, units=tables.units(by_letter))] if by_letter else found


SPEC = Spec(
    name="geometry3k",
    title="Geometry3K",
    modality="image",
    hub="hiyouga/geometry3k",
    columns=frozenset(["images", "problem", "answer", "choices", "ground_truth", "answer_letter"]),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strictly,
    measures=measures,
    interleaved=True,
    licence="MIT",
    note=(
        "Scored by value, as in reinforcement learning on it; the official rule is MathRuler's grade of the last box. Rows of choices and a letter, "
        "or the subset `4 choices` of rows that have both, are scored by lmms-eval's letter rule, a number of its own. The official prompt is that "
        "of reinforcement learning; there is no prompt without reasoning: `direct` is the problem alone. Rows have no name on the hub, an item is "
        "called by a digest of its content."
    ),
)
