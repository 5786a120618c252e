"""LogicVista: 448 puzzles of five skills, a few of them with two right options, one with a number, one with neither question nor answer."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from vold.adapters.benchmarks import finding, strict, tables
from vold.adapters.benchmarks.reads import declared_in
from vold.adapters.benchmarks.spec import Extraction, Graded, Spec, Style
from vold.adapters.fields import BadRow, picture_of, shown, text_of
from vold.base.types import Item, Verdict
from vold.core.measures import Measure

LETTERS = frozenset("ABCDEFG")
SKILLS = ("inductive", "deductive", "numerical", "spatial", "mechanical")
NOTHING = "ZZZZZ"
_LONGEST = 500
"""An answer of more characters is none."""
_OPENING = re.compile(  # the options that an answer begins with: `B`, `(A) and (C)`, `option C, because`; not `B or C`
    r"\W*+(?:(?:the|both|options?|choices?|letters?|images?|figures?|shapes?|box(?:es)?)\W++){0,3}(?-i:[A-G])(?![A-Za-z0-9'’])"
    r"(?:[\s)\]}*]*+(?:[,;/&]|and\b)[\s(\[{*]*+(?:and\b[\s(\[{*]*+)?(?-i:[A-G])(?![A-Za-z0-9'’]))*+"
    r"(?![\s)\]}*,]*+or\b)",
    re.IGNORECASE,
)
_LISTED = re.compile(  # a list of letters and nothing else, small ones where commas part them
    r"\W*+(?:(?:both|options?|choices?|letters?)\W++){0,2}[A-G]"
    r"(?:(?:[\s)\]}*.]*+(?:[,;&]|and\b)[\s(\[{*]*+(?:and\b[\s(\[{*]*+)?|[)\]}*]*+\s++[(\[{*]*+(?-i:(?=[A-G])))[A-G](?![A-Za-z0-9'’]))++\W*+",
    re.IGNORECASE,
)
_AFFIRMED = re.compile(
    r"\W*+(?:is|are)\s(?:(?:both|the|my)\s){0,2}(?:correct|right|true|best|answers?)(?:\s(?:answers?|options?|choices?|ones?))?\W*+", re.IGNORECASE
)
_PLURAL = re.compile(r"\b(?:answers|(?:correct|right) (?:options|choices|ones|letters|figures|shapes|images))\s+are\b[: \t]*+(.*)", re.IGNORECASE)
_DENIED = re.compile(
    r"(?:\b(?:not|neither|n?or|either|except|but|rul(?:e|es|ed|ing) out|(?:exclud|eliminat|reject|discard)(?:e|es|ed|ing))|n['’]t|cannot)\W{1,3}"
    r"(?:(?:be|the|that|it|is|an?|option|choice|letter)\W{1,3}){0,2}$"
    r"|\b[A-G]\W{1,3}(?:and|or)\W{1,3}$",
    re.IGNORECASE,
)
"""What stands before an option that is not chosen, or not alone."""
_ALONE = re.compile(r"\W*+([A-Ga-g])\W*+")
_BOLD = re.compile(r"\*\*([^*]+)\*\*\.?")
_RUN = re.compile(r"\W*+([A-G]{2,7})\W*+")
_TYPEFACE = re.compile(r"\\(?:text|math)?(?:bf|rm|it|sf)?\s*\{([^{}]*)\}|\\[A-Za-z]+|\\[ ,;:!]")
_STATED = re.compile(r"\b(?i:option|choice|letter)\s(?:is\s)?[(\[]?([A-G])(?![A-Za-z0-9'’])(?!\W{1,3}(?:is|was)\s(?:not|wrong|incorrect|false)\b)")
_MARKED = re.compile(r"(?<![A-Za-z0-9])(?:[(\[]([A-G])[)\]]|([A-G])(?:[.:)]|\s?[-–—]\s))(?![A-Za-z(])")
_NUMBER = re.compile(r"\W*(?:option|choice|number)?\W*(\d{1,2})\W*", re.IGNORECASE)


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001 - it has one subset
    question, answer = text_of(row.get("question"), "question"), text_of(row.get("answer"), "answer").strip()
    image = picture_of(row.get("image") or row.get("imagename"), folder)
    name = row.get("id") or PurePath(str(row.get("imagename") or "")).stem
    skill = row.get("skill") or ()
    if not isinstance(skill, str | list | tuple):
        raise BadRow(f"skill is neither text nor a list but {shown(skill)}")
    return Item(
        id=f"logicvista/{name or hashlib.blake2b(image + question.encode(), digest_size=8).hexdigest()}",
        question=question,
        answer=answer,
        images=(image,),
        parts={"skill": skill if isinstance(skill, str) else ", ".join(map(str, skill))} if skill else {},
    )


def ask(item: Item, style: Style) -> str:  # noqa: ARG001 - there is no instruction to add
    return item.question


def extract(item: Item, response: str) -> str | None:  # noqa: ARG001 - found without looking at the reference
    """The letters, or the number, of the declared answer; where it declares none, those in bold that are its last line, else those of the whole
    response if it is short. As in `B, D`.

    Stands in for the language model of the original, which lists what it takes to be chosen.
    """
    declared = declared_in(response) or _bold_end(response)
    text = finding.final(response) if declared is None else declared
    plural = list(_PLURAL.finditer(text)) if declared is None else []
    text = (plural[-1][1] if plural else text).strip()
    if not text or len(text) > _LONGEST:
        return None
    plain = _TYPEFACE.sub(lambda found: f" {found[1] or ''} ", text)
    letters = letters_in(plain, declared=declared is not None or bool(plural))
    number = _NUMBER.fullmatch(plain)
    return ", ".join(sorted(letters)) if letters else number[1] if number is not None else None


def _bold_end(text: str) -> str | None:
    """The letters that are all of a last line and stand in bold: `**B**`."""
    line = finding.final(text).rstrip().rpartition("\n")[2].strip()
    found = _BOLD.fullmatch(line) if len(line) <= _LONGEST else None
    return None if found is None or not (_ALONE.fullmatch(found[1]) or _LISTED.fullmatch(found[1])) else found[1]


def letters_in(text: str, *, declared: bool) -> set[str]:
    """Of an answer those it begins with; of any text those that are all of it or that it ends by calling correct, or the only one that it calls or
    marks as an option and does not deny."""
    opening = _OPENING.match(text)
    if _LISTED.fullmatch(text) is not None:
        return _single(text.upper())
    if opening is not None and (declared or not re.search(r"\w", text[opening.end() :]) or _AFFIRMED.fullmatch(text, opening.end())):
        return _single(opening[0])
    alone, run = _ALONE.fullmatch(text), _RUN.fullmatch(text)
    if alone is not None:
        return {alone[1].upper()}
    if run is not None:
        return set(run[1]) if len(set(run[1])) == len(run[1]) else set()
    stated = _named(_STATED, text)
    marked = stated or _named(_MARKED, text)
    return marked if len(marked) == 1 else set()


def _single(text: str) -> set[str]:
    return set(re.findall(r"(?<![A-Za-z0-9])[A-G](?![A-Za-z0-9])", text))


def _named(pattern: re.Pattern[str], text: str) -> set[str]:
    """The letters in a pattern's groups, save those that what stands before them denies."""
    return {next(filter(None, one.groups())) for one in pattern.finditer(text) if not _DENIED.search(text[max(0, one.start() - 40) : one.start()])}


def accepts(item: Item, extracted: str | None) -> bool:
    """Every option of the reference and no other, in any order and as often as in the reference; case does not matter."""
    return extracted is not None and sorted(extracted.lower().split(", ")) == sorted(_gold(item.answer.lower()))


def _gold(answer: str) -> list[str]:
    return re.split(r",\s*", answer)


def judged(item: Item, response: str) -> Verdict:
    gold = frozenset(_gold(item.answer))
    return strict.options(item, response, gold=gold) if gold <= LETTERS else strict.value(item, response)


# -- judge and table ----------------------------------------------------------------------------------------------------------------

CHOSEN = f"""Below is a question about a picture, and what somebody answered. List what the answer chooses: the letters of the options, or their \
numbers where options are numbered. Write them with a comma and a blank between them and nothing else, such as B or A, C. Where the answer gives the \
text of an option, list its letter. Where you can see no choice in it, write {NOTHING}.

Question: Which two shapes are round? (A) circle (B) square (C) disc
Answer: A circle is round and so is a disc, so I would take the first and the third.
Chosen: A, C

Question: Which number comes next? Select from 1-4
Answer: I am sorry, but I cannot see the picture.
Chosen: {NOTHING}

"""


def prompt(item: Item, response: str) -> str:
    return f"{CHOSEN}Question: {item.question}\nAnswer: {finding.final(response).strip()}\nChosen:"


def read(item: Item, reply: str) -> str | None:  # noqa: ARG001 - every item is read alike
    """The letters or numbers of a reply that is a list of them, declares one or ends with one in bold."""
    declared = finding.answer_in(reply) or _bold_end(reply)
    listed = (finding.final(reply) if declared is None else declared).strip(" *`\n").removeprefix("Chosen:").strip(" *`\n").strip("[].")
    chosen = [one.strip(" \"'().*`") for one in re.split(r",|\band\b|\s+", listed) if one.strip(" \"'().*`")] if len(listed) <= _LONGEST else []
    return ", ".join(chosen) if chosen and all(re.fullmatch(r"[A-Za-z]|\d{1,2}", one) for one in chosen) else None


def measures(graded: Sequence[Graded]) -> list[Measure]:
    """Accuracy, then of each skill: a row counts for every skill that its text names."""
    found = tables.accuracy(graded)
    for skill in SKILLS:
        units = tables.units([one for one in graded if skill in one.item.parts.get("skill", "").lower()])
        if units:
            found.append(Measure(metric="accuracy", part=f"skill: {skill}", units=units))
    return found


SPEC = Spec(
    name="logicvista",
    title="LogicVista",
    modality="image",
    hub="lscpku/LogicVista",
    columns=frozenset({"id", "imagename", "image", "question", "answer", "skill"}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=judged,
    measures=measures,
    extraction=Extraction(prompt=prompt, read=read, nothing=NOTHING),
    licence="Apache-2.0 (repository); many of its sources carry none",
    note=(
        "The original has a language model find the choices; the official rule here finds them without. It takes a lone G for an answer, which the "
        "original throws away unasked. There is no official prompt."
    ),
)
