r"""Answers in LaTeX made alike by rewriting strings, and boxes found, as the graders around the MATH data set do.

`hendrycks` is the clean-up of Hendrycks et al. as verl's maths reward has it; `graders` and MathVision's rule build on its pieces. Nothing here
computes: `2/4` and `1/2` stay different, and what the original stumbles over stays as it was.
"""

import re
from collections.abc import Sequence

_GONE = ("\n", "\\!")
_RENAMED = (("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""), ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""))
_BRACES = re.compile(r"[{}]")


class _Failed(Exception):
    """The original raises here, and its caller makes do with the text as it was."""


def hendrycks(text: str, *, gone: tuple[str, ...] = ("\\%",)) -> str | None:
    r"""`\dfrac12` as `\frac{1}{2}`, `x=0.5` as `\frac{1}{2}`, `30^\circ` as `30`; None where the original fails. `gone` goes wherever it stands."""
    try:
        return _cleaned(text, gone)
    except _Failed:
        return None


def _cleaned(text: str, gone: tuple[str, ...]) -> str:
    text = replaced(text, [*((sign, "") for sign in _GONE), *_RENAMED])
    parts = text.split("\\text{ ")
    if len(parts) > 2:
        raise _Failed
    text = led_by_zero(replaced(parts[0], [(sign, "") for sign in gone]))
    left, sign, right = text.partition("=")
    text = right if sign and "=" not in right and len(left) <= 2 else text
    text = braced_fractions(braced_roots(text).replace(" ", ""))
    return slash_as_fraction("\\frac{1}{2}" if text == "0.5" else text)


def replaced(text: str, pairs: Sequence[tuple[str, str]]) -> str:
    """The text after all replacements, one after the other."""
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def led_by_zero(text: str) -> str:
    """`.5` as `0.5`, at the beginning, after a blank and after a brace."""
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    return "0" + text if text.startswith(".") else text


def braced_roots(text: str, *, strictly: bool = True) -> str:
    r"""`\sqrt3` as `\sqrt{3}`: one sign, whatever it is. One at the end of the text is a failure, unless it is not so `strictly` meant."""
    first, *rest = text.split("\\sqrt")
    return first + "".join("\\sqrt" + (after if _first(after, strictly) in ("{", "") else f"{{{after[0]}}}{after[1:]}") for after in rest)


def braced_fractions(text: str, *, strictly: bool = True) -> str:
    r"""`\frac12` and `\frac1{2}` as `\frac{1}{2}`: one sign each. Where one has too few signs, everything stays; none at all is a failure."""
    first, *rest = text.split("\\frac")
    done = [first]
    for after in rest:
        if _first(after, strictly) == "{":
            done.append(after)
        elif len(after) < 2:
            return text
        else:
            done.append(f"{{{after[0]}}}{after[1:]}" if after[1] == "{" else f"{{{after[0]}}}{{{after[1]}}}{after[2:]}")
    return "\\frac".join(done)


def slash_as_fraction(text: str) -> str:
    r"""`-3/4` as `\frac{-3}{4}` where both are whole numbers without anything around them."""
    found = re.fullmatch(r"(0|-?[1-9][0-9]{0,4000})/(0|-?[1-9][0-9]{0,4000})", text)
    return text if found is None else f"\\frac{{{found[1]}}}{{{found[2]}}}"


def _first(text: str, strictly: bool) -> str:
    if strictly and not text:
        raise _Failed
    return text[:1]


def verl_equal(given: str, gold: str) -> bool:
    """Equal after the clean-up, or as they stand where it fails."""
    left, right = hendrycks(given), hendrycks(gold)
    return given == gold if left is None or right is None else left == right


def verl_boxed(text: str) -> str | None:
    r"""What verl's reward takes for the answer: after a last `\boxed ` up to a dollar sign, else in the last box, which must be closed."""
    if "\\boxed " in text:
        return text.rpartition("\\boxed ")[2].partition("$")[0]
    return _closed(text, text.rfind("\\boxed"))


def mathruler_boxed(text: str) -> str:
    r"""The content of the last `\boxed{`; the word None where it is not closed or there is none."""
    found = _closed(text, text.rfind("\\boxed{"))
    return "None" if found is None else found.strip()


def _closed(text: str, start: int) -> str | None:
    if start < 0 or not text.startswith("\\boxed{", start):
        return None
    depth = 0
    for brace in _BRACES.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return text[start + len("\\boxed{") : brace.start()]
    return None
