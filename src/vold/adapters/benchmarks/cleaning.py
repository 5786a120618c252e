r"""Answers in LaTeX made alike by rewriting strings, as the graders around the MATH data set do, and their boxes.

`hendrycks` is the clean-up of Hendrycks et al. as verl's maths reward has it; `prm800k_grade` and `mathruler_grade` add PRM800K's normalisation and
its rules for tuples and fractions. Their last step, computer algebra, is the exact comparison of the strict mode, in processes of its own.
"""

import re
from collections.abc import Callable

from vold.adapters.benchmarks.strict import same_value

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
    text = _replaced(text, [*((sign, "") for sign in _GONE), *_RENAMED])
    parts = text.split("\\text{ ")
    if len(parts) > 2:
        raise _Failed
    text = led_by_zero(_replaced(parts[0], [(sign, "") for sign in gone]))
    left, sign, right = text.partition("=")
    text = right if sign and "=" not in right and len(left) <= 2 else text
    text = braced_fractions(braced_roots(text).replace(" ", ""))
    return slash_as_fraction("\\frac{1}{2}" if text == "0.5" else text)


def _replaced(text: str, pairs: list[tuple[str, str]]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def led_by_zero(text: str) -> str:
    """`.5` as `0.5`, at the beginning, after a blank and after a brace."""
    text = text.replace(" .", " 0.").replace("{.", "{0.")
    return "0" + text if text.startswith(".") else text


def braced_roots(text: str) -> str:
    r"""`\sqrt3` as `\sqrt{3}`: one sign, whatever it is."""
    first, *rest = text.split("\\sqrt")
    return first + "".join("\\sqrt" + (after if _first(after) == "{" else f"{{{after[0]}}}{after[1:]}") for after in rest)


def braced_fractions(text: str) -> str:
    r"""`\frac12` and `\frac1{2}` as `\frac{1}{2}`: one sign each. Where one has too few signs, everything stays."""
    first, *rest = text.split("\\frac")
    done = [first]
    for after in rest:
        if _first(after) == "{":
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


def _first(text: str) -> str:
    if not text:
        raise _Failed
    return text[0]


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


def prm800k_grade(given: str | None, gold: str) -> bool:
    """PRM800K's verdict, which MATH-500 came with."""
    return given is not None and _graded(given, gold, ("\\%",))


def mathruler_grade(given: str | None, gold: str) -> bool:
    """MathRuler's verdict: PRM800K's with bare percent signs gone from the start."""
    return given is not None and _graded(given, gold, ("\\%", "%"))


def _graded(given: str, gold: str, gone: tuple[str, ...]) -> bool:
    if _unwrapped_and_cleaned(given, gone) == _unwrapped_and_cleaned(gold, gone):
        return True
    left, right = normalised(given), normalised(gold)
    if left == right:
        return True
    if not left:
        return False
    parts, wanted = _elements(left), _elements(right)
    if len(wanted) > 1 and (left[0], left[-1]) != (right[0], right[-1]):
        return False
    return len(parts) == len(wanted) and all(map(_same_element, parts, wanted))


_TEXT = re.compile(r"\\text\{(.+?)\}")
_UNITS = re.compile(
    "(?:degree|cm|centimeter|meter|mile|second|minute|hour|day|week|month|year|foot|feet|inch|yard)(?:es)?s? {0,99}(?:\\^[0-9]{1,99})?"
)
_LARGE = (("million", "*10^6"), ("billion", "*10^9"), ("trillion", "*10^12"))
_MIXED = re.compile(r"([0-9]) +([0-9])")
_GROUPED = re.compile(r"[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.0*)?")
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}\.?0{0,300}")
_FRACTION = re.compile(r"-?[0-9]+.?/0*[1-9][0-9]*.?")
_LETTER = re.compile(r"[a-zA-Z]")
_NOT_FOR_ALGEBRA = re.compile(r"\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]")


def _unwrapped_and_cleaned(text: str, gone: tuple[str, ...]) -> str:
    bare = text.strip()
    if bare.startswith("\\text{") and bare.endswith("}") and "\n" not in bare and len(bare) > len("\\text{}"):
        bare = bare[len("\\text{") : -1].strip()
    cleaned = hendrycks(bare, gone=gone)
    return text.strip() if cleaned is None else cleaned


def normalised(text: str) -> str:
    """PRM800K's second form: no units, no braces, no blanks, small letters, LaTeX as plain text."""
    if text.startswith("\\text{") and text.endswith("}") and "\n" not in text and len(text) > len("\\text{}"):
        text = text[len("\\text{") : -1]
    text = _replaced(text, [("\\%", "%"), ("\\$", "$"), ("$", ""), ("%", ""), (" or ", " , "), (" and ", " , "), *_LARGE])
    text = re.sub(r"\^ *\\circ", "", _UNITS.sub("", text))
    text = text[1:-1] if text.startswith("{") and text.endswith("}") and len(text) > 1 else text
    text = re.sub(r",\\! *", "", text)
    text = _whole_or_as_is(text)
    text = _in_words(text) if "\\" in text else text
    text = re.sub(r"- +", "-", text)
    text = _MIXED.sub(r"\1+\2", text)
    text = text.replace(" ", "").replace("{", "").replace("}", "").lower()
    return _whole_or_as_is(text.replace(",", "")) if _GROUPED.fullmatch(text) else text
