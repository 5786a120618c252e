"""Which part of a response a benchmark's own rule reads: these rules were written for answers without a chain of thought before them."""

import re
from collections.abc import Mapping
from typing import Literal

from vold.adapters.benchmarks import finding, strict
from vold.core.answers import last_boxed
from vold.core.latex import UPRIGHT

Reads = Literal["auto", "whole", "after-think", "boxed", "answer-tag"]

_LONGEST = 500
"""The content of a longer box stays as it is."""
_FACE = rf"\\(?:{'|'.join(sorted(map(re.escape, UPRIGHT)))}|rm|bf|underline)\s*"
_DRESSED = re.compile(rf"{_FACE}\{{([^{{}}]*(?:\{{[^{{}}]*\}}[^{{}}]*)*)\}}|\{{?\\(?:rm|bf)\s+([^{{}}\\]*)\}}?")
_MARK = re.compile(rf"{_FACE}\{{\s*([(\[]?[A-Z][)\]]?[.:]?)\s*\}}(?!\s*(?:[-+*/=^_<>|!]|\\[a-z]))")
_SPACED = re.compile(r"([(\[]?[A-Z][)\]]?[.:]?)\s*(?:(?:\\[ ,;:!]|~)\s*)+")
_EDGES = re.compile(r"^(?:\\[ ,;:!]|[\s~$])+|(?<!\\)[\s~$]+$|(?:\\[ ,;:!])+$|(?<!\\)\\$")


class Boxed(str):
    """The content of a box that was asked for. It declares an answer, for the rules that tell what is declared from what is only said."""

    __slots__ = ()


def read_part(response: str, reads: Reads, *, asked_for_box: bool = False) -> str:
    """The part of a response: all of it, what follows the last </think>, the last box in that, or the last <answer> tag in it.

    Where there is no box or no tag, what follows the thinking is read. `auto` is `boxed` where the prompt asked for one, else `after-think`.
    The content of a box comes without the typeface around it, and without that of the letter before it: most rules never saw a box.
    """
    if reads == "whole":
        return response
    said = response.rpartition("</think>")[2]
    if reads == "answer-tag":
        end = said.rfind("</answer>")
        start = said.rfind("<answer>", 0, max(end, 0))
        return said[start + len("<answer>") : end] if start >= 0 else said
    if reads == "boxed" or (reads == "auto" and asked_for_box):
        boxed = last_boxed(said)
        return said if boxed is None else Boxed(_undressed(boxed))
    return said


def declared_in(part: str) -> str | None:
    """What a part of a response declares to be its answer: a box that was asked for is that already."""
    return str(part) if isinstance(part, Boxed) else finding.answer_in(part)


def boxed_letter(part: str, options: Mapping[str, str]) -> str | None:
    """The option whose letter a box that was asked for gives, alone, beside its text or called an option: `C) 16`, `Option C`. None for a box without
    a letter or with several, and for all that is no box."""
    if not isinstance(part, Boxed):
        return None
    found = strict.chosen(part, tuple(options), dict(options))
    return found if found is not None and re.search(rf"(?<![A-Za-z]){found}(?![A-Za-z])", part) else None


def _undressed(text: str) -> str:
    r"""`\textbf{(C)}` as `(C)`, `\text{(C)}\ 12` as `(C) 12`; a typeface further on stays, since rules for LaTeX know units by it."""
    if len(text) > _LONGEST:
        return text
    for _ in range(3):
        text = _EDGES.sub("", _EDGES.sub("", text))
        whole = _DRESSED.fullmatch(text)
        if whole is None:
            break
        text = whole[1] if whole[1] is not None else whole[2]
    marked = _MARK.match(text)
    text = text if marked is None else f"{marked[1]} {text[marked.end() :].lstrip()}"
    spaced = _SPACED.match(text)
    return (text if spaced is None else f"{spaced[1]} {text[spaced.end() :]}").strip()
