"""LogicVista: 448 puzzles of five skills, a few of them with two right options, one with a number, one with neither question nor answer."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from vold.adapters.benchmarks import strict, tables
from vold.adapters.benchmarks.spec import Extraction, Graded, Spec, Style
from vold.adapters.fields import picture_of, text_of
from vold.base.types import Item, Verdict
from vold.core.measures import Measure

LETTERS = frozenset("ABCDEFG")
SKILLS = ("inductive", "deductive", "numerical", "spatial", "mechanical")
NOTHING = "ZZZZZ"
_LONGEST = 500
"""An answer of more characters is none."""
_OPENING = re.compile(  # the options that an answer begins with: `B`, `(A) and (C)`, `option C, because`
    r"\W*+(?:(?:the|both|options?|choices?|letters?|images?|figures?|box(?:es)?)\W++){0,3}(?-i:[A-G])(?![A-Za-z0-9'’])"
    r"(?:[\s)\]}*]*+(?:[,;/&]|and\b|or\b)[\s(\[{*]*+(?:(?:and|or)\b[\s(\[{*]*+)?(?-i:[A-G])(?![A-Za-z0-9'’]))*+",
    re.IGNORECASE,
)
_ALONE = re.compile(r"\W*+([A-Ga-g])\W*+")
_RUN = re.compile(r"\W*+([A-G]{2,7})\W*+")
_STATED = re.compile(r"\b(?i:option|choice|letter)\s(?:is\s)?[(\[]?([A-G])(?![A-Za-z0-9'’])(?!\W{1,3}(?:is|was)\s(?:not|wrong|incorrect|false)\b)")
_MARKED = re.compile(r"(?<![A-Za-z0-9])(?:[(\[]([A-G])[)\]]|([A-G])(?:[.:)]|\s?[-–—]\s))(?![A-Za-z(])")
_NUMBER = re.compile(r"\W*(?:option|choice|number)?\W*(\d{1,2})\W*", re.IGNORECASE)


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001 - it has one subset
    question, answer = text_of(row.get("question"), "question"), text_of(row.get("answer"), "answer").strip()
    image = picture_of(row.get("image") or row.get("imagename"), folder)
    name = row.get("id") or PurePath(str(row.get("imagename") or "")).stem
    skill = row.get("skill") or ()
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
    """The letters, or the number, of the declared answer; of the whole response where it declares none and is short. As in `B, D`.

    Stands in for the language model of the original, which lists what it takes to be chosen.
    """
    declared = strict.answer_in(response)
    text = (strict.final(response) if declared is None else declared).strip()
    if not text or len(text) > _LONGEST:
        return None
    plain = re.sub(r"\\[A-Za-z]+", " ", text)
    letters = letters_in(plain, declared=declared is not None)
    number = _NUMBER.fullmatch(plain)
    return ", ".join(sorted(letters)) if letters else number[1] if number is not None else None


def letters_in(text: str, *, declared: bool) -> set[str]:
    """Of an answer those it begins with; of any text those that are all of it, or the only one that it calls or marks as an option."""
    opening = _OPENING.match(text)
    if opening is not None and (declared or not re.search(r"\w", text[opening.end() :])):
        return set(re.findall(r"(?<![A-Za-z0-9])[A-G](?![A-Za-z0-9])", opening[0]))
    alone, run = _ALONE.fullmatch(text), _RUN.fullmatch(text)
    if alone is not None:
        return {alone[1].upper()}
    if run is not None:
        return set(run[1]) if len(set(run[1])) == len(run[1]) else set()
    stated = set(_STATED.findall(text))
    marked = stated or {found[1] or found[2] for found in _MARKED.finditer(text)}
    return marked if len(marked) == 1 else set()


def accepts(item: Item, extracted: str | None) -> bool:
    """Every option of the reference and no other, in any order and as often as in the reference; case does not matter."""
    return extracted is not None and sorted(extracted.lower().split(", ")) == sorted(item.answer.lower().split(", "))


def judged(item: Item, response: str) -> Verdict:
    gold = frozenset(item.answer.split(", "))
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
    return f"{CHOSEN}Question: {item.question}\nAnswer: {strict.final(response).strip()}\nChosen:"


def read(item: Item, reply: str) -> str | None:  # noqa: ARG001 - every item is read alike
    """The letters or numbers of a reply that is nothing but a list of them."""
    listed = reply.strip().removeprefix("Chosen:").strip().strip("[].")
    chosen = [one.strip(" \"'().") for one in re.split(r",|\band\b|\s+", listed) if one.strip(" \"'().")] if len(listed) <= _LONGEST else []
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
    extraction=Extraction(prompt=prompt, read=read),
    licence="Apache-2.0 (repository); many of its sources carry none",
    note=(
        "The original has a language model find the choices; the official rule here finds them without. It takes a lone G for an answer, which the "
        "original throws away unasked. There is no official prompt."
    ),
)
