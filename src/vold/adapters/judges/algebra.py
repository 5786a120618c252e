"""Computer algebra for judges: math-verify reads expressions, and two of them are the same when their difference is zero, not when it is small.

Imported only in processes that may be ended at any moment. Nothing here evaluates text: expressions arrive spelled out, sign by sign, from
`core.expressions`, go through math-verify's grammar, and are compared as trees.
"""

import random
import re
from collections.abc import Sequence
from functools import lru_cache

import sympy
from latex2sympy2_extended import latex2sympy2
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, NormalizationConfig, latex2sympy
from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, Expr, Float, I, Rational, Symbol, nan, oo, zoo
from sympy.core.function import AppliedUndef

from vold.core.expressions import spelled_out
from vold.core.latex import LONGEST, tidy
from vold.core.readings import Group, Matrix, Opaque, Option, Reading, Relation, Union, Value, Words, read, read_both
from vold.core.sameness import Algebra, Tribool, same, squeezed

_CUT_OFF = re.compile(r"\.\d+\s*\\ldots")
"""Decimals that go on, nobody says how."""
DIGITS = 50
"""Digits to which values are computed where they are compared as numbers; they must agree to ten fewer."""

_AS_WRITTEN = ConversionConfig(interpret_as_mixed_fractions=False, lowercase_symbols=False)
_POINTS = 25
_AGREEING = 6


def _number(_: object, text: str) -> Rational:
    """A numeral exactly. The grammar's own way hands it to Python's `eval`, by way of sympify, and makes a float of a decimal."""
    return Rational(text.replace(",", ""))


latex2sympy2._Latex2Sympy.parse_number = _number


class Unreadable(Exception):
    """The grammar does not know the text."""


def judged(answer: str, gold: str) -> tuple[bool | None, str]:
    """(verdict, how): None where the reference cannot be read."""
    reason = unreadable(gold)
    if reason is not None:
        return None, reason
    left, right = read_both(answer, gold)
    if isinstance(right, Opaque):
        return _as_math_verify_says(answer, gold), "math-verify"
    found = same(left, right, ALGEBRA)
    if found is None:
        return False, "not readable as mathematics"
    return found, "math-verify"


def unreadable(gold: str) -> str | None:
    """Why a reference cannot be read; None when it can."""
    reading = read(gold)
    if isinstance(reading, Opaque) and _CUT_OFF.search(reading.text):
        return f"the reference cannot be read: {gold[:60]!r}"
    unread = [text for text in _expressions(reading) if not _is_read(text)]
    if isinstance(reading, Opaque) or unread:
        return None if _sloppily(gold) else f"the reference cannot be read: {gold[:60]!r}"
    return None


def _expressions(reading: Reading) -> list[str]:
    match reading:
        case Value():
            return [] if reading.number is not None else [reading.text]
        case Words():
            return []
        case Opaque():
            return [reading.text]
        case Group() | Union():
            return [text for item in reading.items for text in _expressions(item)]
        case Matrix():
            return [text for row in reading.rows for item in row for text in _expressions(item)]
        case Option():
            return _expressions(reading.text)
        case Relation():
            return [text for item in reading.members[1:] for text in _expressions(item)]


def _is_read(text: str) -> bool:
    try:
        expression(text)
    except Unreadable:
        return False
    return True


@lru_cache(maxsize=512)
def expression(text: str) -> Expr:
    """The tree of an expression, with variables that may be anything; raises Unreadable."""
    plain = spelled_out(text)
    if plain is None:
        raise Unreadable(text)
    try:
        found = latex2sympy(plain, is_real=None, convert_degrees=False, normalization_config=None, conversion_config=_AS_WRITTEN)
    except MemoryError:
        raise
    except SystemError as failure:  # what the interpreter says where it has no memory left to say so
        raise MemoryError from failure
    except Exception as failure:
        raise Unreadable(text) from failure
    if not isinstance(found, Expr):
        raise Unreadable(text)
    found = found.xreplace({symbol: I if symbol.name == "i" else Symbol(symbol.name) for symbol in found.free_symbols})
    return found.xreplace({applied: Symbol(str(applied)) for applied in found.atoms(AppliedUndef)})  # f(0) is one unknown, f(1) another


def equal(left: str, right: str) -> Tribool:
    """Whether two expressions are equal wherever both have a value; None where one cannot be read."""
    try:
        a, b = expression(left), expression(right)
    except Unreadable:
        return None
    if a == b:
        return not a.has(nan, zoo)
    a, b = _done(a), _done(b)
    if a.has(nan, zoo) or b.has(nan, zoo):
        return False
    if a == b:
        return True
    if a.has(oo) or b.has(oo) or (a.is_Rational and b.is_Rational):
        return False
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    return _constant_zero(a - b) if not symbols else _agree(a, b, symbols)


def _done(tree: Expr) -> Expr:
    """Unevaluated sums and products worked out."""
    try:
        return tree.doit()
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return tree


def _constant_zero(difference: Expr) -> bool:
    """Whether a number is zero: it has no digit that is sure among the first hundred and more that were computed."""
    if difference.is_Rational:
        return bool(difference == 0)
    value = difference.evalf(DIGITS, maxn=4 * DIGITS)
    parts = [part for part in value.as_real_imag() if part != 0]
    return all(isinstance(part, Float) and part._prec == 1 and abs(part) < Float(10) ** -DIGITS for part in parts)


_STEEP = (sympy.exp, sympy.factorial, sympy.binomial, sympy.sinh, sympy.cosh, sympy.tanh)


def _places(symbols: Sequence[Symbol], *trees: Expr) -> list[dict[Symbol, Rational]]:
    """Points to compare at: the same for the same number of variables, of both signs, small and, where nothing is steep, large, none special."""
    draw = random.Random(len(symbols))
    steep = any(tree.has(*_STEEP) or any(power.exp.free_symbols for power in tree.atoms(sympy.Pow)) for tree in trees)
    scales = (400, 1000, 2000, 4000, 8000) if steep else (400, 4000, 40_000, 4_000_000, 400_000_000)
    return [{s: Rational(draw.randint(-scale, scale) * 2 + 1, 2503) for s in symbols} for scale in scales * (_POINTS // len(scales))]


def _agree(a: Expr, b: Expr, symbols: Sequence[Symbol]) -> bool:
    """Whether both have the same values at many points. One point decides against them where both are real and differ, or only one is real; where
    neither is real, a real expression is outside its domain and the point says nothing, unless there are no other points."""
    imaginary = a.has(I) or b.has(I)
    real, complex_ones = 0, []
    for place in _places(symbols, a, b):
        left, right = _at(a, place), _at(b, place)
        if left is None or right is None:
            continue
        if bool(left.is_real) != bool(right.is_real):
            return False
        close = _close(left, right)
        if not close and (left.is_real or imaginary):
            return False
        if left.is_real:
            real += 1
        else:
            complex_ones.append(close)
    return real >= _AGREEING or (all(complex_ones) and real + len(complex_ones) >= _AGREEING)


def _at(tree: Expr, place: dict[Symbol, Rational]) -> Expr | None:
    try:
        value = tree.xreplace(place).evalf(DIGITS)
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return None
    if not value.is_number or value.has(nan, zoo, oo):
        return None
    real, imaginary = value.as_real_imag()
    if not (real.is_Float or real.is_Rational) or not (imaginary.is_Float or imaginary.is_Rational):
        return None
    return real if abs(imaginary) < Float(10) ** (10 - DIGITS) * max(1, abs(real)) else real + I * imaginary


def _close(left: Expr, right: Expr) -> bool:
    return bool(abs(left - right) <= Float(10) ** (10 - DIGITS) * max(abs(left), abs(right)))


def ratio_sign(a_left: str, a_right: str, b_left: str, b_right: str) -> int | None:
    """The sign of c in `a_left - a_right = c (b_left - b_right)`; 0 where no constant c does it, None where something cannot be read."""
    try:
        a = _done(expression(a_left) - expression(a_right))
        b = _done(expression(b_left) - expression(b_right))
    except Unreadable:
        return None
    if a.has(nan, zoo, oo) or b.has(nan, zoo, oo) or not a.free_symbols or a.free_symbols != b.free_symbols:
        return 0
    found: list[Expr] = []
    for place in _places(sorted(a.free_symbols, key=str), a, b):
        left, right = _at(a, place), _at(b, place)
        if left is None or right is None or not left.is_real or not right.is_real:
            continue
        if left == 0 or right == 0:
            return 0
        found.append(left / right)
    if len(found) < _AGREEING or not all(_close(c, found[0]) for c in found):
        return 0
    return 1 if found[0] > 0 else -1


def _same_relation(a_left: str, a_right: str, b_left: str, b_right: str) -> Tribool:
    found = ratio_sign(a_left, a_right, b_left, b_right)
    return None if found is None else found != 0


ALGEBRA = Algebra(same=equal, same_relation=_same_relation, sign=ratio_sign)

_LATEX_ONLY = LatexExtractionConfig(
    boxed_match_priority=-1,
    normalization_config=NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=False, boxed="none", equations=False),
)
"""Expressions only ever come from LaTeX: math-verify's other extraction hands text to Python's `eval`."""


def _sloppily(text: str) -> list[Basic]:
    """What math-verify's own extraction makes of a notation that has no reading here."""
    plain = tidy(text)
    if not plain or len(plain) > LONGEST or "$" in plain:
        return []
    try:
        found = parse(f"${plain}$", [_LATEX_ONLY], fallback_mode="no_fallback", parsing_timeout=None)
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return []
    return [tree for tree in found if isinstance(tree, Basic | sympy.MatrixBase)]


def _as_math_verify_says(answer: str, gold: str) -> bool:
    """For notations without a reading here: equal for math-verify, with the same signs in the same order, since it leaves out what it cannot read."""
    if squeezed(tidy(answer)) == squeezed(tidy(gold)):
        return True
    pieces = [re.findall(r"\d+|\\?[a-zA-Z]+|[^\s{}]", tidy(text)) for text in (answer, gold)]
    if pieces[0] != pieces[1]:
        return False
    try:
        return bool(verify(_sloppily(gold), _sloppily(answer), timeout_seconds=None))
    except (MemoryError, RecursionError):
        raise
    except Exception:
        return False
