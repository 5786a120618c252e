"""How publishers lay out their problems: for each kind, what of a row is question, answer and the rest."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vold.adapters.fields import BadRow, asked_in, difficulty_of, picture_of, text_of
from vold.core.answers import last_boxed

DAPO_BEFORE = (
    "Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer (without quotes) "
    "where $Answer is the answer to the problem.\n\n"
)
DAPO_AFTER = '\n\nRemember to put your answer on its own line after "Answer:".'

BOX = "\\boxed"
FORM = re.compile(r"####|\bAnswer:", re.IGNORECASE)
"""How prompts of verl's data sets ask for the answer, where not in a box."""
FORMAT = re.compile(
    r"```|</?answer>|\bAnswer:|\b(?:answer|respond|response|reply|output|result|solution)\b[^.?!\n]{0,80}"
    r"\b(?:format|form of|tags?|brackets?|parenthes[ei]s|braces|JSON|enclosed?|wrapped|single letter|only the letter|within|inside)\b",
    re.IGNORECASE,
)
"""How questions of science ask for a form of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a row says, before anybody has looked whether it suffices. `answer` is as found; where it is missing, `why` may say so better."""

    prompt: str
    answer: Any = None
    why: str = "no answer"
    id: Any = None
    difficulty: int | None = None
    images: tuple[bytes, ...] = ()
    system: str = ""
    instructed: bool = False
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A kind of rows: the columns it reads, and what a row of a subset says. `usual` are the subsets that are read where none is named."""

    columns: frozenset[str]
    draft: Callable[[Any, str, Path | None], Draft]
    wanted: str
    usual: tuple[str, ...] = ()
    named: bool = False
    """Rows may bring ids of their own, and are otherwise called by their line."""
    otherwise: str = ""
    """How a file is read whose name does not say it."""


def _fields(row: Any) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise BadRow("no object with named fields")
    return row


def _plain(row: Any, subset: str, folder: Path | None) -> Draft:
    del subset
    fields = _fields(row)
    return Draft(
        id=fields.get("id"),
        prompt=text_of(fields.get("prompt"), "prompt"),
        answer=fields.get("answer"),
        difficulty=difficulty_of(fields.get("difficulty")),
        images=shown_in(fields, folder),
    )


def _orz(row: Any, subset: str, folder: Path | None) -> Draft:
    """The original pair of turns (which `datasets` turns into columns 0 and 1), the evaluation files, and the flat mirrors."""
    del subset, folder
    if isinstance(row, Mapping) and {"0", "1"} <= row.keys():
        row = [row["0"], row["1"]]
    if isinstance(row, list):
        if len(row) != 2 or not all(isinstance(turn, Mapping) for turn in row):
            raise BadRow(f"{len(row)} turns, expected a question and its ground truth")
        truth = row[1].get("ground_truth")
        return Draft(prompt=asked_in(row[:1], "the first turn")[1], answer=truth.get("value") if isinstance(truth, Mapping) else None)
    fields = _fields(row)
    system, prompt = asked_in(fields.get("prompt") if fields.get("prompt") is not None else fields.get("problem"), "prompt")
    return Draft(system=system, prompt=prompt, answer=_first(fields, "answer", "final_answer"))


def _mot(row: Any, subset: str, folder: Path | None) -> Draft:
    """The question of a Mixture-of-Thoughts row; its trace is left unread."""
    del folder
    fields = _fields(row)
    system, prompt = asked_in(fields["messages"] if fields.get("messages") is not None else fields.get("prompt"), "messages")
    origin = words_or_nothing(fields.get("source"))
    return Draft(system=system, prompt=prompt, answer=fields.get("answer"), instructed=asks_for_a_form(prompt, subset, origin), origin=origin)


def asks_for_a_form(prompt: str, subset: str, origin: str) -> bool:
    """Whether a question of Mixture-of-Thoughts says how to answer: those of code always do, those of science sometimes.

    Where the subset is not known, `origin` (the column `source`) tells.
    """
    unknown = subset in ("", "all")
    code = subset == "code" or (unknown and "codeforces" in origin)
    science = subset == "science" or (unknown and "nemotron" in origin.lower())
    return code or (science and bool(FORMAT.search(prompt)))


def _dapo(row: Any, subset: str, folder: Path | None) -> Draft:
    """Without the sentences that DAPO wraps around a problem: templates say how to answer."""
    del subset, folder
    fields = _fields(row)
    system, prompt = asked_in(fields.get("prompt"), "prompt")
    bare = prompt.removeprefix(DAPO_BEFORE).removesuffix(DAPO_AFTER)
    return Draft(system=system, prompt=text_of(bare, "prompt"), answer=_ground_truth(fields))


def _gsm8k(row: Any, subset: str, folder: Path | None) -> Draft:
    """The number after the last #### of the solution, without commas."""
    del subset, folder
    fields = _fields(row)
    solution = fields.get("answer")
    answer = solution.rsplit("####", 1)[1].replace(",", "") if isinstance(solution, str) and "####" in solution else None
    return Draft(prompt=text_of(fields.get("question"), "question"), answer=answer, why="no number after #### in the answer")


def _math(row: Any, subset: str, folder: Path | None) -> Draft:
    """The answer where one is given, else what the solution boxes last."""
    del subset, folder
    fields = _fields(row)
    answer, solution = fields.get("answer"), fields.get("solution")
    if answer is None or not str(answer).strip():
        answer = last_boxed(solution) if isinstance(solution, str) else answer
    return Draft(
        prompt=text_of(fields.get("problem"), "problem"),
        answer=answer,
        why="no answer, and no closed box in the solution" if isinstance(solution, str) else "no answer",
        difficulty=difficulty_of(fields.get("level")),
    )


def _verl(row: Any, subset: str, folder: Path | None) -> Draft:
    del subset
    fields = _fields(row)
    system, prompt = asked_in(fields.get("prompt"), "prompt")
    pictures = _pictures(fields.get("images"), folder)
    return Draft(
        system=system,
        prompt=without_marks(prompt, len(pictures)),
        answer=_ground_truth(fields),
        images=pictures,
        instructed=bool(FORM.search(prompt) or FORM.search(system)),
        origin=words_or_nothing(fields.get("data_source")),
    )


def _geometry3k(row: Any, subset: str, folder: Path | None) -> Draft:
    del subset
    fields = _fields(row)
    pictures = _pictures(fields["images"] if fields.get("images") is not None else fields.get("image"), folder)
    if not pictures:
        raise BadRow("no image")
    return Draft(prompt=without_marks(text_of(fields.get("problem"), "problem"), len(pictures)), answer=fields.get("answer"), images=pictures)


def shown_in(fields: Mapping[str, Any], folder: Path | None) -> tuple[bytes, ...]:
    """The pictures of a plain row: `images`, a list of them, or `image`, one; an empty cell is none."""
    return _pictures(fields["images"] if fields.get("images") is not None else fields.get("image") or None, folder)


def _pictures(value: Any, folder: Path | None) -> tuple[bytes, ...]:
    return tuple(picture_of(one, folder) for one in (value if isinstance(value, list) else [] if value is None else [value]))


def without_marks(prompt: str, pictures: int) -> str:
    """The words without `<image>`: pictures are shown before them."""
    marks = prompt.count("<image>")
    if marks and marks != pictures:
        raise BadRow(f"{marks} <image> marks for {pictures} images")
    return text_of(prompt.replace("<image>", "").strip(), "prompt") if marks else prompt


def _ground_truth(fields: Mapping[str, Any]) -> Any:
    model = fields.get("reward_model")
    return model.get("ground_truth") if isinstance(model, Mapping) else _first(fields, "answer", "solution", "ground_truth")


def words_or_nothing(value: Any) -> str:
    """A name that came with a row; "" for what is none."""
    return value if isinstance(value, str) else ""


def _first(fields: Mapping[str, Any], *names: str) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _layout(draft: Callable[[Any, str, Path | None], Draft], wanted: str, *columns: str, usual: tuple[str, ...] = (), **rest: Any) -> Layout:
    return Layout(columns=frozenset(columns), draft=draft, wanted=wanted, usual=usual, **rest)


PLAIN = ("prompt", "answer", "id", "difficulty", "image", "images")
LAYOUTS: dict[str, Layout] = {
    "jsonl": _layout(_plain, "a prompt and an answer", *PLAIN, named=True, otherwise=".jsonl"),
    "csv": _layout(_plain, "a prompt and an answer", *PLAIN, named=True, otherwise=".csv"),
    "orz": _layout(_orz, "a question and its ground truth", "0", "1", "prompt", "problem", "answer", "final_answer"),
    "mot": _layout(_mot, "messages of one question", "messages", "prompt", "answer", "source", usual=("math", "code", "science")),
    "dapo": _layout(_dapo, "a prompt and reward_model.ground_truth", "prompt", "reward_model", "answer", "solution", "ground_truth"),
    "gsm8k": _layout(_gsm8k, "a question and an answer with ####", "question", "answer", usual=("main",)),
    "math": _layout(_math, "a problem and an answer or a boxed solution", "problem", "answer", "solution", "level"),
    "verl": _layout(_verl, "a prompt and reward_model.ground_truth", "prompt", "reward_model", "images", "data_source", "answer", "ground_truth"),
    "geometry3k": _layout(_geometry3k, "images, a problem and an answer", "images", "image", "problem", "answer"),
}


def says_how(draft: Draft) -> bool:
    """Whether the question itself, or the system prompt that came with it, says how to answer."""
    return draft.instructed or BOX in draft.prompt or BOX in draft.system
