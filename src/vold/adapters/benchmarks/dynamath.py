"""DynaMath: 501 seed questions in ten variants each, scored over all variants and over the worst variant of every seed."""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import finding, strict, tables
from vold.adapters.benchmarks.numeric import bare_value, in_digits, number_in
from vold.adapters.benchmarks.reads import Boxed
from vold.adapters.benchmarks.spec import Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, picture_of, text_of
from vold.base.types import Item, Ruling, Verdict
from vold.core.latex import tidy
from vold.core.measures import Measure, Unit
from vold.core.readings import Relation, Value, read

SPLITS = tuple(f"sample_variant{number}" for number in range(1, 11))
LETTERS = "ABCDEFGH"
FLOAT, CHOICE, TEXT = "float", "multiple choice", "text"
ASKED_FOR_FLOAT = "Please answer in a floating-point number."
GUIDE = (
    "\n## Answer Instruction Please provide an answer to the question outlined above. Your response should adhere \n"
    "to the following JSON format, which includes two keys: 'solution' and 'short answer'. The 'solution' key can contain \n"
    "detailed steps needed to solve the question, and the 'short answer' key should provide a concise response. "
    "If the problem is a multiple choice problem, just provide the corresponing choice option, \n"
    "such as 'A', 'B', 'C', or 'D'. If the answer is a numerical value, format it as a three-digit floating-point number.\n"
    "\nExample of expected JSON response format:\n\n"
)
"""The instruction of the authors' script for open models, with its spelling and its blanks before line ends."""
EXAMPLE = '{\n    "solution": "[Detailed step-by-step explanation]",\n    "short answer": "[Concise Answer]"\n}'

_INLINE = re.compile(r"\(([A-H])\)")
_LINED = re.compile(r"^([A-H])[.:]", re.MULTILINE)
_TYPEFACE = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]*)\}")
_NAMED = 10
"""So many seeds are named where some are left out; more are counted."""


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:
    """One variant of a seed question. Its number is the row's own, or else that of the split it comes from."""
    seed, kind = answer_of(row.get("id")), row.get("answer_type")
    if seed is None:
        raise BadRow("no id")
    if kind not in (FLOAT, CHOICE, TEXT):
        raise BadRow(f"unknown answer type {kind!r}")
    variant = _variant(row.get("variant"), subset)
    question = text_of(row.get("question"), "question")
    options = _options(question) if kind == CHOICE else ()
    stored = row.get("decoded_image")
    return Item(
        id=f"dynamath/{seed}-{variant}",
        question=question,
        answer=_reference(row.get("ground_truth"), kind, options),
        options=options,
        images=(picture_of(row.get("image") if stored is None else stored, folder),),
        facts={"answer_type": kind, "variant": variant},
        parts={
            "subject": str(row.get("subject") or "unknown"),
            "level": str(row.get("knowledge_level") or "unknown"),
            "answer type": kind,
            "variant": str(variant),
        },
        cluster=seed,
    )


def _variant(column: Any, subset: str) -> int:
    said = answer_of(column)
    found = re.fullmatch(r"sample_variant(\d{1,2})", subset) if said is None else re.fullmatch(r"(\d{1,2})(?:\.0)?", said)
    if found is None or not 1 <= int(found[1]) <= len(SPLITS):
        given = f"split {subset!r}" if said is None else f"variant {said!r}"
        raise BadRow(f"{given} is none of the ten variants: give a variant column, or read one split sample_variant1 … sample_variant10 at a time")
    return int(found[1])


def _reference(value: Any, kind: str, options: Sequence[str]) -> str:
    answer = answer_of(value)
    if answer is None:
        raise BadRow("no answer")
    if kind == FLOAT and not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", answer):
        raise BadRow(f"answer {answer!r} is no number")
    if kind == CHOICE and answer not in tuple(LETTERS[: len(options) or None]):
        raise BadRow(f"answer {answer!r} is none of the options {LETTERS[0]} to {LETTERS[: len(options) or None][-1]}")
    return answer


def _options(question: str) -> tuple[str, ...]:
    """The options written into a question, as `(A) Yes (B) No` or a line each: the longest run of letters; empty where there is none."""
    for pattern in (_INLINE, _LINED):
        run: list[re.Match[str]] = []
        longest: list[re.Match[str]] = []
        for mark in pattern.finditer(question):
            if mark[1] == "A":
                run = [mark]
            elif run and mark[1] == chr(ord(run[-1][1]) + 1):
                run.append(mark)
            longest = max(longest, run[:], key=len)
        if len(longest) > 1:
            ends = [mark.start() for mark in longest[1:]] + [len(question)]
            return tuple(question[mark.end() : end].strip() for mark, end in zip(longest, ends, strict=True))
    return ()


def ask(item: Item, style: Style) -> str:
    """The question alone, or as the authors put it; there is no prompt without reasoning."""
    if style is Style.REASONING:
        return item.question
    return f"## Question\n{item.question}{ASKED_FOR_FLOAT if item.facts['answer_type'] == FLOAT else ''}{GUIDE}{EXAMPLE}"


def extract(item: Item, response: str) -> str | None:
    """`short answer` of the object between the first { and the last }, without backslashes; where that is no JSON, the last line without its end.

    An object without that key says "None", as in the authors' script; JSON that is no object says nothing, and so does a line of one sign. A box
    that was asked for is the short answer.
    """
    if isinstance(response, Boxed):
        return _short(item, response) or None
    start, end = response.find("{"), response.rfind("}")
    told = response[start : end + 1].replace("\\", "") if 0 <= start < end else response
    try:
        found = json.loads(told, strict=False)
    except (ValueError, RecursionError):
        return told.split("\n")[-1][:-1] or None
    try:
        return str(found.get("short answer")) if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        return None


def _short(item: Item, box: str) -> str:
    """The content of a box as the rule reads short answers: the letter of an option, a number in digits without its unit, words without typeface."""
    kind = item.facts["answer_type"]
    if kind == CHOICE:
        letters = LETTERS[: len(item.options) or None]
        return strict.chosen(box, letters, dict(zip(letters, item.options, strict=False))) or box
    if kind == FLOAT:
        value = bare_value(box)
        if value is not None:
            return box if value.percent else in_digits(value)
        number = number_in(box.rpartition("=")[2])
        return box if number is None else str(number)
    return _TYPEFACE.sub(r"\1", box).replace("$", "").strip()


def accepts(item: Item, extracted: str | None) -> bool:
    """Within 0.001; the letter, or among the first three characters of a longer answer; the reference anywhere in a text."""
    if extracted is None:
        return False
    if item.facts["answer_type"] == FLOAT:
        return _within(extracted, item.answer)
    if item.facts["answer_type"] == CHOICE:
        return extracted == item.answer if len(extracted) == 1 else item.answer in extracted[:3]
    return item.answer in extracted


def _within(answer: str, gold: str) -> bool:
    first = answer if answer.isdigit() else answer.split(" ", 1)[0]
    try:
        number = float(first.split("π", 1)[0]) * math.pi if "π" in first and not answer.isdigit() else float(first)
        return abs(number - float(gold)) <= 0.001
    except (ValueError, OverflowError):
        return False


def strictly(item: Item, response: str) -> Verdict:
    """The option; the number to three decimals or all that the reference has; the same text, sign by sign."""
    short = _short_answer(finding.final(response))
    response = response if short is None else f"\\boxed{{{short}}}"
    if item.facts["answer_type"] == CHOICE:
        return strict.option(item, response, letters=None if item.options else LETTERS)
    found = finding.said(response)
    if found is None:
        return Verdict(ruling=Ruling.WRONG, extracted=None, note="no final answer", exact=False)
    same = _same_number(found, item.answer) if item.facts["answer_type"] == FLOAT else _same_text(found, item.answer)
    ruling = Ruling.UNJUDGED if same is None else Ruling.RIGHT if same else Ruling.WRONG
    return strict.unless_a_sentence(Verdict(ruling=ruling, extracted=found, exact=found.strip() == item.answer), response)


_OBJECT = re.compile(r'\{\s*+"(?:solution|short answer)"')
_BACKSLASH = re.compile(r'\\(?:(["\\/]|n(?![a-z])|u[0-9a-fA-F]{4})|)')


def _short_answer(text: str) -> str | None:
    """What the last JSON object of a response gives as its short answer; LaTeX in it need not be escaped."""
    starts = [found.start() for found in _OBJECT.finditer(text)]
    if not starts:
        return None
    told = _BACKSLASH.sub(lambda found: found[0] if found[1] else "\\\\", text[starts[-1] :])
    try:
        short = json.JSONDecoder(strict=False).raw_decode(told)[0].get("short answer")
        return str(short) if isinstance(short, str | int | float) and not isinstance(short, bool) else None
    except (ValueError, RecursionError):
        return None


def _same_number(found: str, gold: str) -> bool | None:
    """The same value; where the reference has three decimals or more, also one that rounds to it, or to which it rounds at three decimals or more."""
    decimals = len(gold.partition(".")[2])
    reading = read(found) if len(found) <= 500 else None
    if isinstance(reading, Relation) and set(reading.signs) <= {"=", r"\approx"}:
        reading = reading.members[-1]
    if not isinstance(reading, Value) or reading.percent or reading.ratio:
        return strict.same_value(found, gold)
    value = reading.number
    if value is None and decimals >= 3 and "_" not in reading.text:
        number = number_in(reading.text)
        value = Fraction(number) if number is not None and math.isfinite(number) else None
    if value is None:
        return strict.same_value(found, gold)
    written = re.fullmatch(r"[+-]?[\d,]*(?:\.(\d*))?", reading.text)
    kept = decimals if written is None else min(decimals, len(written[1] or ""))
    apart = abs(value - Fraction(gold))
    return apart == 0 or (kept >= 3 and apart <= Fraction(1, 2 * 10 ** min(kept, 9)))


_PIECES = re.compile(r"(?<![\w)])-\s*\d+(?:\.\d+)?|\d+(?:\.\d+)?|[^\W\d_]+|\S")
_MONTHS = frozenset("january february march april may june july august september october november december".split())


def _same_text(found: str, gold: str) -> bool:
    """Word by word and sign by sign, numbers by their value; a month may be written out, and `x =` be left out."""
    if len(found) > 500:
        return False
    (name, pieces), (other, expected) = _pieces(found), _pieces(gold)
    return pieces == expected and (name == other or not name or not other)


def _pieces(text: str) -> tuple[str, list[str | Fraction]]:
    """The letter before an equals sign, and what follows."""
    plain = re.sub(r"\\text\s*\{([^{}]*)\}", r"\1", tidy(text)).replace("$", "").casefold()
    named = re.match(r"\s*([a-z])\s*=", plain)
    pieces = _PIECES.findall(plain[named.end() :] if named else plain)
    return named[1] if named else "", [
        Fraction(one.replace(" ", "")) if re.search(r"\d", one) else one[:3] if one in _MONTHS else one for one in pieces
    ]


def measures(graded: Sequence[Graded]) -> list[Measure]:
    """Average, worst and best case, each by subject and level; then the seeds that the worst case cannot count."""
    found = tables.accuracy(graded, parts=("subject", "level"))
    loaded = {one.item.parts["variant"] for one in graded}
    named = "" if len(loaded) == len(SPLITS) else f" of {len(loaded)} variant{'s' if len(loaded) > 1 else ''}"
    for metric, over in (("worst case", all), ("best case", any)):
        found.append(Measure(metric=metric + named, units=_over_variants(graded, loaded, over)))
        for part in ("subject", "level"):
            for value in tables.values(graded, part):
                within = [one for one in graded if one.item.parts[part] == value]
                found.append(Measure(metric=metric + named, part=f"{part}: {value}", units=_over_variants(within, loaded, over)))
    counted = {unit.cluster for unit in _over_variants(graded, loaded, all)}
    missing = sorted({one.item.cluster for one in graded} - counted, key=lambda seed: (len(seed), seed))
    if missing:
        listed = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")
        left = [one for one in graded if one.item.cluster in missing]
        found.append(Measure(metric="accuracy", part=f"seeds not in worst and best case: {listed}", units=tables.units(left)))
    return found


def _over_variants(graded: Sequence[Graded], loaded: set[str], over: Callable[[Iterable[bool]], bool]) -> tuple[Unit, ...]:
    """One unit a seed with every loaded variant: in which share of its samples `over` holds of them. A sample with an unjudged one is left out."""
    seeds: dict[str, dict[int, dict[str, bool | None]]] = {}
    for one in graded:
        seeds.setdefault(one.item.cluster, {}).setdefault(one.sample, {})[one.item.parts["variant"]] = one.right
    units = []
    for seed, samples in seeds.items():
        whole = [
            over(bool(right) for right in rights.values()) for rights in samples.values() if set(rights) == loaded and None not in rights.values()
        ]
        if whole:
            units.append(Unit(id=f"dynamath/{seed}", value=sum(whole) / len(whole), cluster=seed))
    return tuple(units)


SPEC = Spec(
    name="dynamath",
    title="DynaMath",
    modality="image",
    hub="DynaMath/DynaMath_Sample",
    columns=frozenset(
        ["id", "variant", "question", "image", "decoded_image", "ground_truth", "answer_type", "subject", "knowledge_level"],
    ),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strictly,
    measures=measures,
    split="+".join(SPLITS),
    licence="Apache-2.0",
    note=(
        "The hub has one split a variant, sample_variant1 to sample_variant10, and no column that names it: each split is read by itself, under its "
        "name; a file of one's own may have a column `variant`. Accuracy is the published average; a seed counts for the worst and the best case "
        "where every loaded variant of it was judged, and the others are named. Reasoning robustness, worst over average, is left to the reader. "
        "The official rule reads the JSON that the official prompt asks for, or a box that was asked for instead, and finds nothing in an answer of "
        "another form. There is no prompt without reasoning: `direct` is the official one."
    ),
)
