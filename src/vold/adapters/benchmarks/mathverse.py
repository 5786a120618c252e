"""MathVerse: 788 problems in six versions, from all in words to all in the picture; the score is the mean over the five with a picture."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import strict, tables
from vold.adapters.benchmarks.letters import can_infer
from vold.adapters.benchmarks.spec import Extraction, Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, picture_of, text_of
from vold.base.types import Item, Ruling, Verdict
from vold.core.choices import letter_in
from vold.core.measures import Measure, Unit

TEXT_ONLY = "Text Only"
WITH_IMAGE = ("Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only")
CHOICE, FREE = "multi-choice", "free-form"
LETTERS = "ABCDEFGH"
WANTED = {CHOICE: "the correct option letter, e.g., A, B, C, D", FREE: "the final value, e.g., 1, 2.5, 300"}
LAST_WORDS = 30
"""So many words, parted by single blanks, the authors' extraction looks at."""
SHOWN = "Answer the question shown in the image."
"""Put where all words are in the picture and no official prompt is wanted."""

_CHOICES = re.compile(r"^([A-H])\s?[:.](.*)$", re.MULTILINE)

# -- rows and questions -------------------------------------------------------------------------------------------------------------


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001
    """One version of a problem. Versions share a cluster; those without a picture count their rows anew, hence their ids."""
    version, kind, metadata = row.get("problem_version"), row.get("question_type"), row.get("metadata")
    if version not in (TEXT_ONLY, *WITH_IMAGE):
        raise BadRow(f"unknown problem version {version!r}")
    if kind not in WANTED:
        raise BadRow(f"unknown question type {kind!r}")
    name, problem, answer = answer_of(row.get("sample_index")), answer_of(row.get("problem_index")), answer_of(row.get("answer"))
    if name is None or problem is None or answer is None:
        raise BadRow("no sample_index" if name is None else "no problem_index" if problem is None else "no answer")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    subject = str(metadata.get("subject") or "unknown")
    question = "" if version == "Vision Only" and not row.get("question") else text_of(row.get("question"), "question")
    told = str(row.get("question_for_eval") or question)
    return Item(
        id=f"mathverse/{'text-only-' if version == TEXT_ONLY else ''}{name}",
        question=question,
        answer=answer,
        options=_options(question or told) if kind == CHOICE else (),
        images=() if version == TEXT_ONLY else (picture_of(row.get("image"), folder),),
        facts={
            "question_type": kind,
            "question_for_eval": told,
            "query_cot": str(row.get("query_cot") or _query(question, kind, "first conduct reasoning, and then answer the question", ", at the end")),
            "query_wo": str(row.get("query_wo") or _query(question, kind, "directly answer the question", "")),
        },
        parts={"problem_version": version, "subject": subject, "subfield": f"{subject}, {metadata.get('subfield') or 'unknown'}"},
        cluster=problem,
    )


def _query(question: str, kind: str, how: str, end: str) -> str:
    """The authors' prompt, for rows that do not bring it."""
    if question:
        return f"Please {how} and provide {WANTED[kind]}{end}.\nQuestion: {question}"
    return f"According to the question shown in the image, please {how} and provide {WANTED[kind]}{end}."


def _options(question: str) -> tuple[str, ...]:
    """The lines `A:…`, `B:…` at the end of a question; empty where it has none."""
    texts: list[str] = []
    for letter, text in _CHOICES.findall(question):
        texts = [text.strip()] if letter == "A" else [*texts, text.strip()] if letter == LETTERS[len(texts)] else texts
    return tuple(texts) if len(texts) > 1 else ()


def ask(item: Item, style: Style) -> str:
    """The published queries, or the question alone."""
    if style is Style.REASONING:
        return item.question or SHOWN
    return str(item.facts["query_cot" if style is Style.OFFICIAL else "query_wo"])


# -- the rules ----------------------------------------------------------------------------------------------------------------------


def extract(item: Item, response: str) -> str | None:
    """The declared answer; where there is none, the option that the last thirty words name, or the last number in them."""
    said = strict.said(response)
    if said is not None:
        return said
    tail = last_words(response)
    if item.facts["question_type"] == CHOICE:
        found = can_infer(tail, dict(zip(LETTERS, item.options or LETTERS[:6], strict=False)))
        return None if found == "Z" else found
    numbers = re.findall(r"-?\d+(?:,\d{3})*(?:\.\d+)?", tail[-2000:])
    return numbers[-1] if numbers else None


def last_words(response: str) -> str:
    return " ".join(strict.final(response).rsplit(" ", LAST_WORDS)[-LAST_WORDS:])


def accepts(item: Item, extracted: str | None) -> bool:
    """Equal to the letter, the same option, also by its text, or the same value."""
    if extracted is None:
        return False
    if extracted.strip() == item.answer:
        return True
    if item.facts["question_type"] == FREE:
        return _agrees(extracted, item.answer) is True
    letter = letter_in(extracted) if len(extracted) <= 500 else None
    return strict.option(item, f"\\boxed{{{letter or extracted}}}").ruling is Ruling.RIGHT


def strictly(item: Item, response: str) -> Verdict:
    """The option, or the value of the reference without its label."""
    if item.facts["question_type"] == CHOICE and (item.options or letter_in(item.answer)):
        return strict.option(item, response, letters=None if item.options else LETTERS)
    found = strict.said(response)
    if found is None:
        return Verdict(ruling=Ruling.WRONG, extracted=None, note="no final answer", exact=False)
    agrees = _agrees(found, item.answer)
    ruling = Ruling.UNJUDGED if agrees is None else Ruling.RIGHT if agrees else Ruling.WRONG
    return Verdict(ruling=ruling, extracted=found, exact=found.strip() == item.answer.strip())


_LABEL = re.compile(r"^[\s$]*(?:\\text\s*\{)?\s*(?=[A-Za-z. ]{3})[A-Za-z][A-Za-z. ]*\}?\s*\$?\s*(?:=|:(?!.*:))")
_BEARING = re.compile(r"(\^\s*\{?\s*\\circ\s*\}?|°)\s*(?:\\text\s*\{\s*)?T\b\s*\}?")
_UNITS = re.compile(r"(?:(?:cubic|square)\s+)?units?\s*(?:\^\s*\{?[23]\}?)?\s*\.?$")
_DOMAIN = re.compile(r"^\W*domain\W*?\s*[:=]?\s*([(\[{\\].*?)[\s,;.$]*(?:and)?\s*(?:the )?range\s*[:=]?\s*(.+)$", re.IGNORECASE | re.DOTALL)


def _agrees(answer: str, gold: str) -> bool | None:
    """Whether an answer is the reference; one in words only where it is the same words. None where the judge failed."""
    if len(answer) > 500:
        return answer.strip() == gold
    pair = [_DOMAIN.match(text) for text in (_bare(answer), _bare(gold))]
    if pair[0] and pair[1]:
        verdicts = [strict.same_value(pair[0][part].strip(" $."), pair[1][part].strip(" $.")) for part in (1, 2)]
        return False if False in verdicts else None if None in verdicts else True
    left, right = _unlabelled(answer), _unlabelled(gold)
    same = strict.same_value(left, right)
    words = "".join(left.split()).casefold() == "".join(right.split()).casefold()
    return words or bool(same) if same is not None or _in_words(right) else None
