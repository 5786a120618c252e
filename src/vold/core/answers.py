"""Answers in a response, and when two of them are the same."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

_BRACES = re.compile(r"\\boxed\s*\{|\\\\(?!boxed)|\\[{}]|[{}]")
_TAGS = re.compile(r"<(/?)answer>", re.IGNORECASE)
_LINES = re.compile(r"^[^\S\n]*[*_]{0,3}(?:(?i:(?:the )?(?:final )?answer)|A)[*_]{0,3}[^\S\n]*[:：]([^\n]*)$", re.MULTILINE)
_HASHES = re.compile(r"(?<!#)####(?!#)([^\n]*)")
_LOOSE = re.compile(r"(?!(?<=\d,) \d{3}(?!\d))(?:(?<!\w) | (?!\w))")


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} whose braces balance, stripped; None when there is none. One pass; `\{` and `\}` are signs, not braces."""
    opened: list[int | None] = []  # for every brace still open, where its box begins, or None when it is not a box's
    found: tuple[int, int] | None = None
    for match in _BRACES.finditer(text):
        sign = match[0]
        if sign[0] == "\\" and not sign.startswith("\\boxed"):
            continue
        if sign.endswith("{"):
            opened.append(match.end() if sign[0] == "\\" else None)
        elif opened:
            start = opened.pop()
            if start is not None and (found is None or start > found[0]):
                found = start, match.start()
    return None if found is None else text[found[0] : found[1]].strip()


def last_tagged(text: str) -> str | None:
    """The content of the last <answer>…</answer>, or of the last box inside it; None when no pair is closed."""
    start, found = None, None
    for match in _TAGS.finditer(text):
        if not match[1]:
            start = match.end()
        elif start is not None:
            found, start = text[start : match.start()], None
    return None if found is None else _unwrapped(found)


def last_line(text: str) -> str | None:
    """What follows the last `Answer:` (or `A:`, GSM8K's way) that begins a line, or the last box in it; None when no line has one."""
    found = [match[1] for match in _LINES.finditer(text)]
    full = [line for line in found if line.strip(" \t*_")]
    return _unwrapped(full[-1].strip().strip("*_")) if full else None


def last_hashes(text: str) -> str | None:
    """What follows the last `####`, up to the end of its line; None when there is none."""
    full = [match[1].strip() for match in _HASHES.finditer(text) if match[1].strip()]
    return full[-1] if full else None


def _unwrapped(text: str) -> str:
    boxed = last_boxed(text)
    return text.strip() if boxed is None else boxed


FORMATS: Mapping[str, Callable[[str], str | None]] = {
    "boxed": last_boxed,
    "answer-tag": last_tagged,
    "answer-line": last_line,
    "hashes": last_hashes,
}
"""Where an answer may stand, by the names recipes use."""

MISSING: Mapping[str, str] = {"boxed": "boxed answer", "answer-tag": "answer tag", "answer-line": "answer line", "hashes": "answer after ####"}


def find_answer(text: str, formats: Sequence[str] = ("boxed",)) -> str | None:
    """The answer by the first format that finds one; None when none does."""
    for name in formats:
        found = FORMATS[name](text)
        if found is not None:
            return found
    return None


def not_found(formats: Sequence[str]) -> str:
    """What a verdict notes when no format finds an answer."""
    return "no " + " and no ".join(MISSING[name] for name in formats)


def as_number(answer: str) -> Decimal | None:
    """A plain number (grouping commas allowed), exactly; None for anything else."""
    plain = answer.replace(r"\,", "").strip().removeprefix("$").removesuffix("$").strip()
    if re.fullmatch(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?", plain):
        plain = plain.replace(",", "")
    if not re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)", plain):
        return None
    try:
        return Decimal(plain)
    except InvalidOperation:
        return None


def same_answer(answer: str, gold: str) -> bool:
    """Equal as numbers, or as strings whatever blanks surround their signs. The exact fast path: it never calls unequal things equal."""
    left, right = as_number(answer), as_number(gold)
    if left is not None and right is not None:
        return left == right
    return closed_up(answer) == closed_up(gold)


def closed_up(answer: str) -> str:
    """`x = 5` as `x=5`; a blank stays between two words or numbers, since `5 6` is not `56`, and where `120, 150` would become one number."""
    return _LOOSE.sub("", " ".join(answer.split()))
