"""MathVerse: 788 problems in six versions, from all in words to all in the picture; the score is the mean over the five with a picture."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import finding, strict, tables
from vold.adapters.benchmarks.letters import can_infer
from vold.adapters.benchmarks.numeric import bare_value, without_remark, without_unit_powers
from vold.adapters.benchmarks.reads import declared_in
from vold.adapters.benchmarks.spec import Extraction, Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, picture_of, text_of
from vold.base.types import Item, Ruling, Verdict
from vold.core.choices import letter_in, letters_in
from vold.core.measures import Measure

TEXT_ONLY = "Text Only"
WITH_IMAGE = ("Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only")
VERSIONS = (*WITH_IMAGE, TEXT_ONLY)
CHOICE, FREE = "multi-choice", "free-form"
LETTERS = "ABCDEFGH"
WANTED = {CHOICE: "the correct option letter, e.g., A, B, C, D", FREE: "the final value, e.g., 1, 2.5, 300"}
LAST_WORDS = 30
"""So many words, parted by single blanks, the authors' extraction looks at."""
SHOWN = "Answer the question shown in the image."
"""Put where all words are in the picture and no official prompt is wanted."""

_DENYING = re.compile(
    r"(?:\b(?:not|neither|nor|except|cannot|rul(?:e|es|ed|ing) out|(?:exclud|eliminat|reject)(?:e|es|ed|ing|s)?)|n['’]t)\W{1,3}"
    r"(?:(?:be|the|option|choice|answer|letter)\W{1,3}){0,3}$",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\W{1,3}(?:(?:is|was)\s(?:not|wrong|incorrect|false|ruled out|excluded)\b|(?:is|was)n['’]t\b)", re.IGNORECASE)
_CHOICES = re.compile(r"^([A-H])\s?[:.](.*)$", re.MULTILINE)

# -- rows and questions -------------------------------------------------------------------------------------------------------------


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001
    """One version of a problem. Versions share a cluster; those without a picture count their rows anew, hence their ids."""
    version, kind, metadata = row.get("problem_version"), row.get("question_type"), row.get("metadata")
    if version not in VERSIONS:
        raise BadRow(f"unknown problem version {version!r}")
    if kind not in (CHOICE, FREE):
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
        texts = [text.strip()] if letter == "A" else [*texts, text.strip()] if letter == LETTERS[len(texts) : len(texts) + 1] else texts
    return tuple(texts) if len(texts) > 1 else ()


def ask(item: Item, style: Style) -> str:
    """The published queries, or the question alone."""
    if style is Style.REASONING:
        return item.question or SHOWN
    return str(item.facts["query_cot" if style is Style.OFFICIAL else "query_wo"])


# -- the rules ----------------------------------------------------------------------------------------------------------------------


def extract(item: Item, response: str) -> str | None:
    """The declared answer. Where there is none: the option that the last thirty words name; a response of one line, from its last `is` on; the last
    number in the last thirty words."""
    found = declared_in(response)
    if found is not None:
        return found if _by_option(item) else _remarked(found)
    tail, line = last_words(response), finding.said(response)
    if _by_option(item):
        found = can_infer(tail, dict(zip(LETTERS, item.options or [""] * len(LETTERS), strict=False)))
        if found in (None, "Z"):
            return line
        return None if _is_denied(tail, found) else found
    if line is not None:
        return _remarked(re.split(r" (?:is|are|equals) ", line)[-1].strip())
    numbers = re.findall(r"-?\d+(?:,\d{3})*(?:\.\d+)?", without_unit_powers(without_remark(tail[-2000:])))
    return numbers[-1] if numbers else None


def _is_denied(text: str, letter: str | None) -> bool:
    """Whether the last place where a letter stands denies it: `not C`, `C is wrong`. The authors' judge wants an answer that matches completely."""
    places = list(re.finditer(rf"(?<![A-Za-z0-9]){letter}(?![A-Za-z0-9'’])", text)) if letter else []
    if not places:
        return False
    return bool(_DENYING.search(text[max(0, places[-1].start() - 40) : places[-1].start()]) or _DENIED.match(text, places[-1].end()))


def _remarked(found: str) -> str:
    """A number without the words in brackets behind it; anything else as it stands, since `3 (sin x)` has no remark."""
    plain = without_remark(found)
    return plain if bare_value(plain) is not None else found


def last_words(response: str) -> str:
    return " ".join(finding.final(response).rsplit(" ", LAST_WORDS)[-LAST_WORDS:])


def accepts(item: Item, extracted: str | None) -> bool:
    """Equal to the letter, the same option, also by its text, or the same value."""
    if extracted is None:
        return False
    if extracted.strip() == item.answer:
        return True
    if not _by_option(item):
        return _agrees(extracted, item.answer) is True
    letter = letter_in(extracted) if len(extracted) <= LONGEST else None
    if _is_denied(extracted, letter):
        return False
    return _option(item, f"\\boxed{{{letter or extracted}}}").ruling is Ruling.RIGHT


def strictly(item: Item, response: str) -> Verdict:
    """The option, all options where the reference names several, or the value of the reference without its label."""
    if _by_option(item):
        return _option(item, response)
    found = finding.said(response)
    if found is None:
        return Verdict(ruling=Ruling.WRONG, extracted=None, note="no final answer", exact=False)
    agrees = _agrees(found, item.answer)
    ruling = Ruling.UNJUDGED if agrees is None else Ruling.RIGHT if agrees else Ruling.WRONG
    return strict.unless_a_sentence(Verdict(ruling=ruling, extracted=found, exact=found.strip() == item.answer), response)


def _by_option(item: Item) -> bool:
    """Some references of multiple choice are an option's text; without options only the text can be compared."""
    return item.facts["question_type"] == CHOICE and bool(item.options or letters_in(item.answer, several=True))


def _option(item: Item, response: str) -> Verdict:
    known = LETTERS[: len(item.options) or None]
    several = None if item.answer in item.options else letters_in(item.answer, several=True)
    if several is not None and 1 < len(several & set(known)) == len(several):
        return strict.options(item, response, gold=several)
    return strict.option(item, response, letters=known)


LONGEST = 500
_LABEL = re.compile(r"^[\s$]*(?:\\text\s*\{\s*)?((?=[A-Za-z. ]{3})[A-Za-z][A-Za-z. ]*+)\}?[\s$]*=")
_SYMBOL = re.compile(r"\s*(?:\\mathrm\s*\{)?([A-Za-z]{1,2})\}?\s*=")
_BEARING = re.compile(r"(\^\s*\{?\s*\\circ\s*\}?|°)\s*(?:\\text\s*\{\s*T\s*\}|T\b)")
_UNITS = re.compile(r"(?:(?<=[\d\s])|\\text\s*\{\s*)(?:(cubic|square)\s+)?units?\s*\}?\s*(?:\^\s*\{?(\d)\}?|([²³]))?\s*\.?$")
_POWERS = {"square": 2, "²": 2, "cubic": 3, "³": 3}
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_DOMAIN = re.compile(r"\s*domain\s*[:=]?\s*([(\[{\\].*?)[\s,;.]*(?:and)?\s*(?:the )?range\s*[:=]?\s*(.+)", re.IGNORECASE | re.DOTALL)


def _agrees(answer: str, gold: str) -> bool | None:
    """Whether an answer is the reference, by value or word by word; domain and range each by itself. None where the judge failed."""
    if len(answer) > LONGEST:
        return answer.strip() == gold
    (name, found, power), (other, expected, wanted) = _parted(answer), _parted(gold)
    symbol = _SYMBOL.match(expected)
    if (name and other and name != other) or (name and symbol and not _stands_for(symbol[1], name)) or (power and wanted and power != wanted):
        return False
    both = _DOMAIN.fullmatch(_TEXT.sub(r"\1", found)), _DOMAIN.fullmatch(_TEXT.sub(r"\1", expected))
    if both[0] and both[1]:
        return _all([strict.same_value(both[0][part].strip(" ."), both[1][part].strip(" .")) for part in (1, 2)])
    if "".join(found.split()).casefold() == "".join(expected.split()).casefold():
        return True
    links, chain = found.split("="), expected.split("=")
    if len(links) == len(chain) > 2:
        return _all([strict.same_value(one, reference) for one, reference in zip(links, chain, strict=True)])
    same = strict.same_value(found, expected)
    worded = re.search(r"[A-Za-z]{4}", re.sub(r"\\(?!text)[A-Za-z]+", " ", expected))
    return False if same is None and worded else same


def _all(verdicts: Sequence[bool | None]) -> bool | None:
    return False if False in verdicts else None if None in verdicts else True


def _parted(text: str) -> tuple[str, str, int]:
    """The label before a value, `surface area`; the value without signs of mathematics mode and the T of a true bearing; and the power of units that
    are only called units, 0 where there are none."""
    label = _LABEL.match(text)
    plain = (text if label is None else text[label.end() :]).replace("掳", "°")  # a degree sign that was read in the wrong encoding
    for sign in ("$", r"\(", r"\)", r"\[", r"\]"):
        plain = plain.replace(sign, "")
    plain = _BEARING.sub(r"\1", plain).strip()
    units = _UNITS.search(plain)
    name = "" if label is None else " ".join(label[1].replace(".", " ").casefold().split()).removeprefix("the ")
    if units is None:
        return name, plain, 0
    return name, plain[: units.start()].strip(), next((_POWERS.get(one) or int(one) for one in units.groups() if one), 1)


def _stands_for(symbol: str, name: str) -> bool:
    """Whether a symbol is that of a quantity called so: `D` of a diameter, `y` in `value of y`."""
    words = name.split()
    return symbol.casefold() in (*words, "".join(word[0] for word in words))


def measures(graded: Sequence[Graded]) -> list[Measure]:
    """The mean over the versions with a picture that were loaded, then each version, and subjects and subfields over those with a picture."""
    by_version = {version: tables.units([one for one in graded if one.item.parts["problem_version"] == version]) for version in VERSIONS}
    loaded = [version for version in WITH_IMAGE if by_version[version]] or [TEXT_ONLY]
    units = tuple(replace(unit, stratum=version) for version in loaded for unit in by_version[version])
    part = "" if tuple(loaded) == WITH_IMAGE else f"problem_version: {', '.join(loaded)}"
    found = [Measure(metric="accuracy", units=units, part=part, weights={version: 1 / len(loaded) for version in loaded})]
    for version, own in by_version.items():
        if own and loaded != [version]:
            found.append(Measure(metric="accuracy", part=f"problem_version: {version}", units=own))
    within = [one for one in graded if one.item.parts["problem_version"] in loaded]
    return [*found, *tables.accuracy(within, parts=("subject", "subfield"))[1:]]


# -- judge mode: the authors' two steps, in their words -----------------------------------------------------------------------------

EXTRACT = (
    "I am providing you a response from a model to a math problem, termed 'Model Response'. You should extract the answer from the response as "
    "'Extracted Answer'. Directly output the extracted answer with no explanation.\n\n1.\nModel response: 'Rounded to two decimal places, the "
    "perimeter of the sector is approximately:\n\n(-2, 1)'\nExtracted Answer: (-2, 1)\n\n2.\nModel response: 'at those points.\n\nTherefore, "
    "the correct option that represents the meaning of the intersection points of the graphs is:\n\nD. They give the solutions to the equation "
    "$f(t)=g(t)$.\",'\nExtracted Answer: D\n\n3.\nModel response: ' at 1 (there's a closed circle at y = 1), the range in interval notation "
    "is \\((-4, 1]\\).\n\nFinal values:\nDomain: \\((-3, 3]\\)\nRange: \\((-4, 1]\\)'\nExtracted Answer: Domain: \\((-3, 3]\\)\nRange: \\((-4, "
    "1]\\)\n\n4.\nModel response: 'As it stands, I cannot provide the correct option letter because there isn't enough information to solve "
    "for 'y'.'\nExtracted Answer: null\n\n5.\nModel response: 'Given that AB = 17.6 meters, we can now substitute into the equation:\n\nd = "
    "17.6 / cos(38°)\n\nTherefore, to one decimal place, the distance d between Ned and Bart is approximately 22.3 meters.'\nExtracted answer: "
    "22.3\n\n6.\nModel response:  have all the coefficients for the quadratic function:\n\\( f(x) = ax^2 + bx + c \\)\n\\( f(x) = -1x^2 - 2x + "
    "1 \\)\n\nTherefore, the equation for the graphed function \\( f \\) is:\n\\( f(x) = -x^2 - 2x + 1 \\)\"'\nExtracted answer: f(x) = -x^2 - "
    "2x + 1\n\n7."
)
COMPARE = (
    "Below are two answers to a math question. Question is [Question], [Standard Answer] is the standard answer to the question, and "
    "[Model_answer] is the answer extracted from a model's output to this question.  Determine whether these two answers are consistent.\n"
    "Please note that only when the [Model_answer] completely matches the [Standard Answer] means they are consistent. For non-multiple-choice "
    "questions, if the meaning is expressed in the same way, it is also considered consistent, for example, 0.5m and 50cm.\nIf they are "
    "consistent, Judement is 1; if they are different, Judement is 0.\n\n[Question]: Write the set of numbers represented on the number line "
    "in interval notation.\n[Standard Answer]: (-2,1]\n[Model_answer] : Extracted Answer: \\((-2, 1)\\)\nJudgement: 0\n\n[Question]: Find the "
    "domain and range of the function f using interval notation.\n[Standard Answer]: domain: [-4, 0) and range: (-3, 1]\n[Model_answer] : "
    "Range: \\((-4, 1]\\)\nJudgement: 0\n\n\n[Question]: Two curves are symmetrical about the x-axis. Use the vertical line test to determine "
    "if this relation is a function.\nChoices:\nA:This is a function\nB:This is not a function\n[Standard Answer]: B\n[Model_answer] : This is "
    "not a function\nJudgement: 1\n\n[Question]: Given the graph of the ellipse that intersects with x-axis at 9 and -9 and with y-axis at 3 "
    "and -3, determine its equation.A. \\frac{x^2}{81} + \\frac{y^2}{9} = 1 B. Can not determine.\n\n[Standard Answer]: A\n[Model_answer] : "
    "\\frac{x^2}{81} + \\frac{y^2}{9} = 1\nJudgement: 1"
)


def _asked(item: Item, response: str) -> str:  # noqa: ARG001
    return f"{EXTRACT}\n\nModel response: '{last_words(response)}'\nExtracted Answer: "


def _found(item: Item, reply: str) -> str | None:  # noqa: ARG001
    said = reply.replace("Extracted Answer: ", "").strip()
    return None if said.strip("*`'\". ").lower() in ("", "null") else said


def _compared(item: Item, extracted: str) -> str:
    return f"{COMPARE}\n\n[Question]: {item.facts['question_for_eval']}\n[Standard Answer]: {item.answer}\n[Model_answer] : {extracted}\nJudgement: "


def _decided(reply: str) -> bool | None:
    return {"0": False, "1": True}.get(reply.replace("Judgement:", "").strip("*`. \n"))


SPEC = Spec(
    name="mathverse",
    title="MathVerse",
    modality="image",
    hub="AI4Math/MathVerse",
    columns=frozenset(
        """
        sample_index problem_index problem_version question image answer question_type metadata query_wo query_cot question_for_eval
        """.split()
    ),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strictly,
    measures=measures,
    subsets=("testmini", "testmini_text_only"),
    split="testmini",
    usual=("testmini",),
    extraction=Extraction(prompt=_asked, read=_found, ruling=_compared, decide=_decided),
    licence="MIT",
    note=(
        "The benchmark's own rule asks a language model twice, so that its scores are those of the judge mode. Without one, the official rule here "
        "takes the declared answer, or else what the last thirty words or the only line say, and compares letters, option texts and values. "
        "The main number is the mean over the five versions with a picture; where fewer are loaded it is over those and names them. Text Only is no "
        "part of it. Published tables often give Vision Only alone."
    ),
)
