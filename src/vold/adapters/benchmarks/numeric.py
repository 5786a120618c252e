r"""The number that a LaTeX notation stands for, read as MathVision's published verdicts read it: up to the first sign that cannot follow.

Nothing is evaluated as code: signs are read one by one, and whatever has a variable, a word or a sign without a value here has no number.
"""

import math
import re
from collections.abc import Callable
from decimal import Decimal

from vold.core.readings import Relation, Value, read

Number = int | float
LONGEST = 500
"""An answer of more characters is no number."""

_DIGITS = r"[0-9]+(?:,[0-9]{3})*"
_TOKENS = re.compile(
    rf"(?:\s|~|\$|\\,|\\q?quad(?![a-z])|\\displaystyle|\\left(?![a-z])|\\right(?![a-z]))*((?:{_DIGITS})?\.[0-9]+(?:\\%)?|{_DIGITS}(?:\\%)?|\\[a-z]+|\\.|.|)",
    re.DOTALL,
)
_ENDS = frozenset(["", "}", ")", "]", r"\}", ".", "&", "_", "^", r"\\", r"\to", r"\rightarrow", r"\rbrace", r"\rfloor"])
"""What stands behind a whole expression without spoiling it: the rest is left unread, as in `6\\sqrt{2}}centimeters`."""
_TIMES = {"*": False, r"\times": False, r"\cdot": False, "/": True, r"\div": True, ":": True}
_PAIRS = {"(": ")", "[": "]", "{": "}", r"\{": r"\}", r"\lbrace": r"\rbrace"}
_FUNCTIONS: dict[str, Callable[[float], float]] = {
    r"\sin": math.sin, r"\cos": math.cos, r"\tan": math.tan, r"\arcsin": math.asin, r"\arccos": math.acos, r"\arctan": math.atan,
    r"\sinh": math.sinh, r"\cosh": math.cosh, r"\tanh": math.tanh,
}  # fmt: skip
_INVERSE = {r"\sin": math.asin, r"\cos": math.acos, r"\tan": math.atan}
_APPLIED = frozenset([*_FUNCTIONS, r"\sqrt", r"\log", r"\exp"])
_FRACTIONS = frozenset([r"\frac", r"\dfrac", r"\tfrac"])
_BINOMIALS = frozenset([r"\binom", r"\dbinom", r"\tbinom"])
_CONSTANTS = {r"\pi": math.pi, r"\tau": math.tau}
_ASSIGNED = re.compile(r"\s*[a-z]\s*=")
_DEEPEST = 40
_MOST_BITS = 14_000


def bare_value(text: str) -> Value | None:
    r"""The number that is all there is of an answer but for typesetting, a currency sign, a unit or a percent sign: `\$1{,}234`, `25 \text{ cm}^2`.

    Of `x = 25` what the last equals sign gives. None for everything else.
    """
    reading = read(text) if len(text) <= LONGEST else None
    if isinstance(reading, Relation) and set(reading.signs) <= {"=", r"\approx"}:
        reading = reading.members[-1]
    return reading if isinstance(reading, Value) and reading.number is not None and not reading.ratio else None


_REMARK = re.compile(r"\s\((?=[^()]*[A-Za-z]{2})[^()]*\)[\s.*]*$")
_POWER = re.compile(r"(?<=[A-Za-z}])\}?\s?\^\s?\{?-?[1-4](?!\d)\}?")


def without_remark(text: str) -> str:
    """An answer without the words in brackets that end it: `25 (see step 2)`."""
    end = text.rstrip(" .*\n")
    start = end.rfind("(") if end.endswith(")") else -1
    return text[:start].rstrip() if start > 0 and _REMARK.match(end, start - 1) else text


def without_unit_powers(text: str) -> str:
    r"""A text without the exponents behind letters and `\text{…}`, which belong to units or unknowns and are no answers: `25 cm^2`."""
    return _POWER.sub("", text)


def in_digits(value: Value) -> str:
    """The number of a value as Python would write it: whole ones without a point, `50/2` as 25; plain decimals stay as they are."""
    assert value.number is not None
    if value.number.denominator == 1:
        return str(value.number.numerator)
    plain = value.text.replace(",", "")
    if re.fullmatch(r"[+-]?(?:[0-9]+\.[0-9]+|\.[0-9]+)", plain):
        return str(Decimal(plain))
    try:
        return str(value.number.numerator / value.number.denominator)
    except OverflowError:
        return plain


class _NoNumber(Exception):
    """The text has no number, or one too large to be an answer."""


def number_in(text: str) -> Number | None:
    r"""`\frac{3\sqrt{2}}{2}` as 2.1213…, `x=5` as 5; None where there is no number. Time linear in the length."""
    named = _ASSIGNED.match(text)
    try:
        return _Reader(text, named.end() if named else 0).whole()
    except (_NoNumber, ArithmeticError, ValueError, TypeError):
        return None


class _Reader:
    """One pass; `next` is the sign that was not read yet."""

    def __init__(self, text: str, start: int) -> None:
        self.text, self.at, self.depth = text, start, 0
        self.next = ""
        self.take()

    def take(self) -> str:
        taken = self.next
        found = _TOKENS.match(self.text, self.at)
        assert found is not None
        self.next, self.at = found[1], found.end()
        return taken

    def expect(self, sign: str) -> None:
        if self.take() != sign:
            raise _NoNumber

    def whole(self) -> Number:
        value = self.sum()
        if self.next not in _ENDS:
            raise _NoNumber
        return value

    def sum(self) -> Number:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _NoNumber
        value = self.product()
        while self.next in ("+", "-"):
            value = value + self.product() if self.take() == "+" else value - self.product()
        self.depth -= 1
        return value

    def product(self, *, argument: bool = False) -> Number:
        """Factors and quotients; those of an `argument` without brackets end before the next function."""
        value = self.signed(argument)
        while self.next in _TIMES:
            divided = _TIMES[self.take()]
            by = self.signed(argument)
            value = value / by if divided else _small(value * by)
        return value

    def signed(self, argument: bool) -> Number:
        sign = 1
        while self.next in ("+", "-"):
            sign = -sign if self.take() == "-" else sign
        value = self.factor()
        while not (
            self.next in _ENDS or self.next in _TIMES or self.next in ("+", "-") or (argument and (self.next in _APPLIED or self.next == "e"))
        ):
            value = _small(value * self.factor())
        return sign * value

    def factor(self) -> Number:
        value = self.atom()
        while self.next == "^":
            value = _power(value, self.exponent())
        while self.next == "!":
            self.take()
            value = math.factorial(value) if isinstance(value, int) and value < 2000 else _none()
        return value

    def exponent(self) -> Number:
        self.expect("^")
        if self.next == "{" or self.next in _CONSTANTS or _is_numeral(self.next):
            return self.atom()
        raise _NoNumber

    def atom(self) -> Number:
        token = self.take()
        if _is_numeral(token):
            return _numeral(token)
        if token in _PAIRS:
            value = self.sum()
            self.expect(_PAIRS[token])
            return value
        if token in _CONSTANTS:
            return _CONSTANTS[token]
        if token in _FRACTIONS or token in _BINOMIALS:
            above, below = self.braced(), self.braced()
            return above / below if token in _FRACTIONS else math.comb(above, below)  # type: ignore[arg-type]  # what is no whole number is refused
        if token == "e" and self.next == "^":
            return _exponential(self.exponent())
        if token == r"\lfloor":
            value = math.floor(self.sum())
            self.expect(r"\rfloor")
            return value
        return self.applied(token)

    def braced(self) -> Number:
        self.expect("{")
        value = self.sum()
        self.expect("}")
        return value

    def applied(self, token: str) -> Number:
        """A function of its argument."""
        if token == r"\sqrt":
            degree: Number = 2
            if self.next == "[":
                degree = self.atom()
            radicand = self.braced()
            return math.sqrt(radicand) if degree == 2 else _power(radicand, 1 / degree)
        if token == r"\log":
            base: Number = 10
            if self.next == "_":
                self.take()
                base = self.atom()
            return math.log(self.argument(), base)
        if token == r"\exp":
            return _exponential(self.argument())
        if token not in _FUNCTIONS:
            raise _NoNumber
        raised = self.exponent() if self.next == "^" else 1
        if raised == -1 and token in _INVERSE:
            return _INVERSE[token](self.argument())
        return _power(_FUNCTIONS[token](self.argument()), raised)

    def argument(self) -> Number:
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _NoNumber
        value = self.atom() if self.next in ("(", "{") else self.product(argument=True)
        self.depth -= 1
        return value


def _is_numeral(token: str) -> bool:
    return token[:1].isdigit() or (token[:1] == "." and len(token) > 1)


def _numeral(token: str) -> Number:
    """Whole numbers stay whole, also 3.0."""
    plain = token.removesuffix(r"\%").replace(",", "")
    value: Number = int(plain) if plain.isdigit() else float(plain)
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    if token.endswith("%"):
        return value // 100 if isinstance(value, int) and value % 100 == 0 else value / 100
    return value


def _exponential(power: Number) -> float:
    """e by itself has no number here."""
    return _none() if power == 1 else math.exp(power)


def _power(base: Number, power: Number) -> Number:
    if isinstance(base, int) and isinstance(power, int) and abs(base).bit_length() * abs(power) > _MOST_BITS:
        raise _NoNumber
    value = base**power
    if isinstance(value, complex):
        raise _NoNumber
    return value


def _small(value: Number) -> Number:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise _NoNumber
    return value


def _none() -> Number:
    raise _NoNumber
