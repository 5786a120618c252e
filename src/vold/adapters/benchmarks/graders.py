r"""The verdicts of PRM800K's grader, which came with MATH-500, and of MathRuler, its near twin used with Geometry3K.

Strings first, after Hendrycks' clean-up and after a normalisation of their own; then tuples element by element, where a fraction must be written like
the reference. Their last step is computer algebra: here the exact comparison of the strict mode, in processes of its own.
"""

import re

from vold.adapters.benchmarks.cleaning import hendrycks, replaced
from vold.adapters.benchmarks.strict import same_value

_TEXT = "\\text{"
_WORDS = ((" or ", " , "), (" and ", " , "), ("million", "*10^6"), ("billion", "*10^9"), ("trillion", "*10^12"))
_SIGNS = (("\\%", "%"), ("\\$", "$"), ("$", ""), ("%", ""))
_UNITS = [
    re.compile(rf"{unit}(?:es)?s? *(?:\^[0-9]+)?")
    for unit in "degree cm centimeter meter mile second minute hour day week month year foot feet inch yard".split()
]
_GROUPED = re.compile(r"([0-9]),([0-9]{3})($|[^0-9])")
_FRACTION = re.compile(r"-?[0-9]+.?/0*[1-9][0-9]*.?")
_POWERS = re.compile(r"\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]")
_COMPUTED = re.compile(r"(?:[^\W_]|[+\-*/^()!]|(?<=[0-9])\.|\.(?=[0-9]))*")
"""What the original's parser takes: not an equation, a set, or a full stop behind a letter."""


def prm800k_grade(given: str | None, gold: str) -> bool:
    """PRM800K's verdict on an answer."""
    return given is not None and _graded(given, gold, ("\\%",))


def mathruler_grade(given: str | None, gold: str) -> bool:
    """MathRuler's: the same with bare percent signs gone from the start."""
    return given is not None and _graded(given, gold, ("\\%", "%"))


def _graded(given: str, gold: str, gone: tuple[str, ...]) -> bool:
    if _cleaned(given, gone) == _cleaned(gold, gone):
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


def _cleaned(text: str, gone: tuple[str, ...]) -> str:
    bare = text.strip()
    cleaned = hendrycks(_unwrapped(bare).strip(), gone=gone)
    return bare if cleaned is None else cleaned


def _unwrapped(text: str) -> str:
    r"""`\text{…}` without its wrapper; only its two ends are looked at."""
    inner = text[len(_TEXT) : -1]
    return inner if inner and "\n" not in inner and text.startswith(_TEXT) and text.endswith("}") else text


def normalised(text: str) -> str:
    """The second form: no units, even inside of words, no braces, no blanks, small letters, LaTeX as plain text, `7 3/4` as a sum."""
    text = replaced(_unwrapped(text), [*_SIGNS, *_WORDS])
    for unit in _UNITS:
        text = unit.sub("", text)
    text = re.sub(r"\^ *\\circ", "", text)
    text = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    text = re.sub(r",\\! *", "", text)
    number = _float(text)
    text = str(round(number)) if number is not None and _is_whole(number) else text
    text = _Plain(text).all() if "\\" in text else text
    text = re.sub(r"([0-9]) +([0-9])", r"\1+\2", re.sub(r"- *", "-", text))
    text = replaced(text, [(" ", ""), ("{", ""), ("}", "")]).lower()
    number = _whole_in(text)
    return text if number is None else str(number)


def _float(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_whole(number: float) -> bool:
    try:
        return abs(number - round(number)) <= 1e-7
    except (OverflowError, ValueError):
        return False


def _ungrouped(text: str) -> str:
    """`1,234` as `1234`; of two commas at three digits each the second one stays, as in the original."""
    for _ in range(10):
        shorter = _GROUPED.sub(r"\1\2\3", text)
        if shorter == text:
            break
        text = shorter
    return text


def _whole_in(text: str) -> int | None:
    number = _float(_ungrouped(text))
    if number is None or not _is_whole(number):
        return None
    return int(float(text.replace(",", "")))


def _elements(text: str) -> list[str]:
    """What stands between the commas of a tuple or interval; everything where it is none, or has brackets inside."""
    text = _ungrouped(text)
    inner = text[1:-1]
    enclosed = len(text) > 2 and text[0] in "()[]" and text[-1] in "()[]" and not set("()[]") & set(inner)
    return [part.strip() for part in inner.split(",")] if enclosed else [text] if text else []


def _same_element(given: str, gold: str) -> bool:
    if _FRACTION.fullmatch(given) and _FRACTION.fullmatch(gold):
        return given == gold
    if (_whole_in(given) is None) != (_whole_in(gold) is None):
        return False
    both = f"({gold})-({given})"
    if not _COMPUTED.fullmatch(both) or _POWERS.search(both):
        return False
    letters = {sign for sign in replaced(both, [("sqrt", ""), ("frac", "")]) if sign.isalpha()}
    return len(letters) <= 2 and same_value(given, gold) is True


_TOKENS = re.compile(r"\\[a-zA-Z]+\s*|\\.|[{}]|[^\\{}]", re.DOTALL)
_SYMBOLS = {
    "pi": "pi", "infty": "inf", "cup": "U", "cdot": "*", "times": "*", "div": "÷", "circ": "∘", "in": "∈", "leq": "≤", "le": "≤", "geq": "≥",
    "ge": "≥", "neq": "≠", "ne": "≠", "pm": "±", "mp": "∓", "cap": "∩", "emptyset": "∅", "varnothing": "∅", "mid": "|", "ldots": "…", "cdots": "⋯",
    "quad": "  ", "qquad": "    ", "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "theta": "θ", "lambda": "λ", "mu": "μ", "phi": "ϕ",
    "omega": "ω", "sigma": "σ", "Delta": "Δ", "Omega": "Ω", "angle": "∠", "perp": "⊥", "lfloor": "⌊", "rfloor": "⌋", "parallel": "∥",
    "to": "→", "equiv": "≡", "approx": "≈",
} | {name: name for name in "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh ln log exp max min lim".split()}  # fmt: skip
_DEEPEST = 60


class _Plain:
    r"""LaTeX as plain text: `\frac{a}{b}` as `a/b`, `\sqrt{a}` as `sqrt(a)`, symbols as one sign, commands that are not known as nothing."""

    def __init__(self, text: str) -> None:
        spaced = replaced(text, [("\\tfrac", "\\frac"), ("\\dfrac", "\\frac"), ("\\frac", " \\frac")])
        self.source, self.tokens, self.at = text, [found[0] for found in _TOKENS.finditer(spaced)], 0

    def all(self) -> str:
        done = []
        try:
            while self.at < len(self.tokens):
                done.append(self.one(0))
        except RecursionError:
            return self.source
        return "".join(done).strip()

    def one(self, depth: int) -> str:
        """The next token with its arguments, or group."""
        if depth > _DEEPEST:
            raise RecursionError
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        self.at += 1
        if token == "{":
            inner = []
            while self.at < len(self.tokens) and self.tokens[self.at] != "}":
                inner.append(self.one(depth + 1))
            self.at += 1
            return "".join(inner)
        if not token.startswith("\\"):
            return "" if token == "}" else token
        name = token[1:].strip()
        if not name or not name[0].isalpha():
            return name if name in ("{", "}", "%", "$", "#", "&", "_") else " " if name in (" ", ",", ";", ":") else "\n" if name == "\\" else ""
        if name == "frac":
            return f"{self.argument(depth)}/{self.argument(depth)}"
        if name == "sqrt":
            self.skip_option()
            return f"sqrt({self.argument(depth)})"
        return _SYMBOLS.get(name, "")

    def argument(self, depth: int) -> str:
        while self.at < len(self.tokens) and self.tokens[self.at].isspace():
            self.at += 1
        return self.one(depth + 1)

    def skip_option(self) -> None:
        """The degree of a root is lost."""
        if self.at < len(self.tokens) and self.tokens[self.at] == "[" and "]" in self.tokens[self.at : self.at + 20]:
            self.at = self.tokens.index("]", self.at) + 1
