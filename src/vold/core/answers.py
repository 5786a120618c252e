"""Answers in a response, and when two of them are the same."""

import re
from decimal import Decimal, InvalidOperation

_BRACES = re.compile(r"\\boxed\s*\{|(?<!\\)[{}]")
_LOOSE = re.compile(r"(?<!\w) | (?!\w)")


def last_boxed(text: str) -> str | None:
    r"""The content of the last \boxed{...} whose braces balance, stripped; None when there is none. One pass; `\{` and `\}` are signs, not braces."""
    opened: list[int | None] = []  # for every brace still open, where its box begins, or None when it is not a box's
    found: tuple[int, int] | None = None
    for match in _BRACES.finditer(text):
        if match[0].endswith("{"):
            opened.append(match.end() if match[0].startswith("\\boxed") else None)
        elif opened:
            start = opened.pop()
            if start is not None and (found is None or start > found[0]):
                found = start, match.start()
    return None if found is None else text[found[0] : found[1]].strip()


def as_number(answer: str) -> Decimal | None:
    """A plain number (grouping commas allowed), exactly; None for anything else."""
    plain = answer.replace(r"\,", "").strip().removeprefix("$").removesuffix("$").strip()
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?", plain):
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
    return _closed_up(answer) == _closed_up(gold)


def _closed_up(answer: str) -> str:
    """`x = 5` as `x=5`; a blank between two words or numbers stays, since `5 6` is not `56`."""
    return _LOOSE.sub("", " ".join(answer.split()))
