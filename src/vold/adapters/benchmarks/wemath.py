"""We-Math: 525 problems, each asked whole and in its steps; what is scored is whether a model that knows the steps masters the whole."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import finding, strict, tables
from vold.adapters.benchmarks.spec import Graded, Spec, Style
from vold.adapters.fields import BadRow, picture_of, text_of
from vold.base.types import Item, Verdict
from vold.core.measures import Measure, Unit

LETTERS = "ABCDEFGH"
STEPS = {"2steps": ("2steps_1", "2steps_2"), "3steps": ("3steps_1", "3steps_2", "3steps_3")}
"""The keys of the sub-questions of a problem; its multi-step question is `2steps_multi` or `3steps_multi`."""
TEMPLATE = (
    "Regarding the format, please answer following the template below, and be sure to include two <> symbols:\n"
    "<Thought process>: <<your thought process>> <Answer>: <<your option>>"
)
KNOWLEDGE, GENERALISATION, MASTERY, ROTE = "insufficient knowledge", "inadequate generalisation", "complete mastery", "rote memorisation"
SCORES = {KNOWLEDGE: 0.0, GENERALISATION: 0.5, MASTERY: 1.0, ROTE: 0.0}

_IN_TEMPLATE = re.compile(r"<Answer>\s*+:\s*+(?:<<)?([^<>\n]*)")


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001
    """One question of a problem: a step or the whole."""
    problem, key = text_of(row.get("ID"), "ID").strip(), row.get("key")
    length = problem.partition("_")[0]
    if length not in STEPS:
        raise BadRow(f"the ID {problem!r} begins neither with 2steps nor with 3steps")
    if key not in (*STEPS[length], f"{length}_multi"):
        raise BadRow(f"{key!r} is no key of a problem like {problem}")
    answer = text_of(row.get("answer"), "answer").strip()
    return Item(
        id=f"wemath/{problem}/{key}",
        question=text_of(row.get("question"), "question"),
        answer=answer,
        options=options_of(text_of(row.get("option"), "option"), answer),
        images=(picture_of(row.get("image_path"), folder),),
        facts={"key": key},
        parts={"steps": length[0], "key": key, "concept": str(row.get("knowledge concept") or "unknown")},
        cluster=problem,
    )


def options_of(text: str, answer: str) -> tuple[str, ...]:
    """`A. 6; B. 10;C. 16` as texts, parted by semicolons before the next letter; by blanks only where semicolons leave the answer out."""
    found: tuple[str, ...] = ()
    for between in (r"[;；]\s*", r"[;；,\s]\s*"):
        found = _parted(text, between)
        if answer in tuple(LETTERS[: len(found)]) and len(found) > 1 and all(found):
            return found
    if len(found) < 2 or not all(found):
        raise BadRow(f"empty options: {text[:60]!r}")
    raise BadRow(f"answer {answer!r} is none of the {len(found)} options")


def _parted(text: str, between: str) -> tuple[str, ...]:
    """Up to a letter that does not follow; `…;C.;…` inside a text is none."""
    first = re.match(r"\s*A\s*[.．]", text)
    if first is None:
        return ()
    found, start = [], first.end()
    for letter in LETTERS[1:]:
        mark = re.compile(rf"{between}{letter}\s*[.．](?!\s*;)").search(text, start)
        if mark is None:
            break
        found.append(text[start : mark.start()].strip())
        start = mark.end()
    return (*found, text[start:].strip())


def ask(item: Item, style: Style) -> str:
    """Question and options; the authors' answer template where the official prompt is wanted."""
    listed = "".join(f"{letter}. {text}\n" for letter, text in zip(LETTERS, item.options, strict=False))
    if style is Style.REASONING:
        return f"{item.question}\n{listed}".rstrip("\n")
    return f"Question: {item.question}\nOptions:\n{listed}" + (f"\n{TEMPLATE}" if style is Style.OFFICIAL else "")


def extract(item: Item, response: str) -> str | None:  # noqa: ARG001
    """The first sign after the last `Answer`, or of the whole response, that is none of > < : . and no blank, where it is one of A to H."""
    said = response.rpartition("Answer")[2].strip()
    for sign in "><:.":
        said = said.replace(sign, "")
    said = said.strip()
    return said[0] if said and said[0] in LETTERS else None


def accepts(item: Item, extracted: str | None) -> bool:
    return extracted == item.answer


def strictly(item: Item, response: str) -> Verdict:
    """The option, also in the authors' template."""
    told = _IN_TEMPLATE.findall(finding.final(response))
    return strict.option(item, f"\\boxed{{{told[-1].strip()}}}" if told else response)


# -- the four-dimensional metric ----------------------------------------------------------------------------------------------------

Verdicts = Mapping[str, bool | None]
"""By key, what one sample of every question of a problem got."""


def mastery(length: str, verdicts: Verdicts, *, loose: bool) -> str:
    """Which of the four a problem is. A question without a verdict is wrong; the loose setting forgives missing steps as long as one is right."""
    steps = [bool(verdicts.get(key)) for key in STEPS[length]]
    if not verdicts.get(f"{length}_multi"):
        return GENERALISATION if all(steps) else KNOWLEDGE
    return MASTERY if (any(steps) if loose else all(steps)) else ROTE


def measures(graded: Sequence[Graded]) -> list[Measure]:
    """Strict and loose score, the rates of the four kinds, S1 (all steps), S2 and S3 (the wholes of two and of three steps), and plain accuracy."""
    problems = _problems(graded)
    found = [Measure(metric=f"{name} score", units=_mean(problems, SCORES.__getitem__, loose=loose)) for name, loose in _SETTINGS]
    for kind in (KNOWLEDGE, GENERALISATION):
        found.append(Measure(metric=kind, units=_share(problems, kind, loose=False)))
    for name, loose in _SETTINGS:
        found.append(Measure(metric=f"{MASTERY} ({name})", units=_share(problems, MASTERY, loose=loose)))
        found.append(Measure(metric=f"{ROTE} ({name})", units=_rote(problems, loose=loose)))
    for part, keys in _QUESTIONS.items():
        found.append(Measure(metric="accuracy", part=part, units=tables.units([one for one in graded if one.item.facts["key"] in keys])))
    found += tables.accuracy(graded)
    whole = {problem for problem, keys in _keys(graded).items() if len(keys) == len(STEPS[problem.partition("_")[0]]) + 1}
    if len(whole) < len(_keys(graded)):
        kept = {problem: samples for problem, samples in problems.items() if problem in whole}
        part = f"the {len(whole)} of {len(_keys(graded))} problems with all questions"
        found.append(Measure(metric="strict score", part=part, units=_mean(kept, SCORES.__getitem__, loose=False)))
    return found


_SETTINGS = (("strict", False), ("loose", True))
_QUESTIONS = {
    "S1: single steps": (*STEPS["2steps"], *STEPS["3steps"]),
    "S2: problems of two steps": ("2steps_multi",),
    "S3: problems of three steps": ("3steps_multi",),
}


def _keys(graded: Sequence[Graded]) -> dict[str, set[str]]:
    """Which questions of a problem there are."""
    keys: dict[str, set[str]] = {}
    for one in graded:
        keys.setdefault(one.item.cluster, set()).add(one.item.facts["key"])
    return keys


def _problems(graded: Sequence[Graded]) -> dict[str, dict[int, Verdicts]]:
    """By problem and sample, the verdicts on its questions. A sample in which one of them could not be judged is left out."""
    problems: dict[str, dict[int, dict[str, bool | None]]] = {}
    for one in graded:
        problems.setdefault(one.item.cluster, {}).setdefault(one.sample, {})[one.item.facts["key"]] = one.right
    return {
        problem: {sample: verdicts for sample, verdicts in samples.items() if None not in verdicts.values()} for problem, samples in problems.items()
    }


def _mean(problems: Mapping[str, Mapping[int, Verdicts]], value: Callable[[str], float], *, loose: bool) -> tuple[Unit, ...]:
    """One unit a problem: the mean over its samples."""
    units = []
    for problem, samples in problems.items():
        values = [value(mastery(problem.partition("_")[0], verdicts, loose=loose)) for verdicts in samples.values()]
        if values:
            units.append(Unit(id=f"wemath/{problem}", value=sum(values) / len(values), cluster=problem))
    return tuple(units)


def _share(problems: Mapping[str, Mapping[int, Verdicts]], wanted: str, *, loose: bool) -> tuple[Unit, ...]:
    return _mean(problems, lambda kind: float(kind == wanted), loose=loose)


def _rote(problems: Mapping[str, Mapping[int, Verdicts]], *, loose: bool) -> tuple[Unit, ...]:
    """The share of rote memorisation among the wholes answered right: one unit a problem and sample of these."""
    units = []
    for problem, samples in problems.items():
        for sample, verdicts in samples.items():
            kind = mastery(problem.partition("_")[0], verdicts, loose=loose)
            if kind in (MASTERY, ROTE):
                units.append(Unit(id=f"wemath/{problem}/{sample}", value=float(kind == ROTE), cluster=problem))
    return tuple(units)


SPEC = Spec(
    name="wemath",
    title="We-Math",
    modality="image",
    hub="We-Math/We-Math",
    columns=frozenset(["ID", "key", "question", "option", "answer", "image_path", "knowledge concept"]),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strictly,
    measures=measures,
    split="testmini",
    licence="CC BY-NC 4.0",
    note=(
        "The main number is the strict score over problems: 1 for complete mastery, one half for inadequate generalisation, 0 otherwise. Shares are "
        "of the problems loaded (525 in testmini); a question that is missing counts as wrong, as in the authors' script, and a problem of which one "
        "could not be judged is left out. The rate of rote memorisation is that among problems answered right as a whole. The official prompt is "
        "question and options with the authors' template, the direct one has no template. The official rule reads one letter behind the last "
        "`Answer`, so `(B)` and `**B**` are wrong. Means over groups of knowledge concepts are not reported."
    ),
)
