r"""What an answer says, as a small tree: a value, words, a list, a set, an interval, an equation, a matrix.

`read` takes structure apart by brackets and separators and evaluates nothing; only plain numbers become numbers. What it does not understand
is `Opaque` and can only be compared as text.
"""

import re
from dataclasses import dataclass, field
from fractions import Fraction

from vold.core.expressions import spelled_out
from vold.core.latex import LONGEST, balanced, closes_at, enclosed, lettered, split, tidy
from vold.core.units import without_unit


@dataclass(frozen=True, slots=True)
class Value:
    """An expression: its text without unit and percent sign, and its number where it is a plain one."""

    text: str
    number: Fraction | None = None
    unit: str = ""
    percent: bool = False
    ratio: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """An answer in words. `marked` where they stood in \\text{…}; short unmarked ones may be products of variables."""

    text: str
    marked: bool


@dataclass(frozen=True, slots=True)
class Group:
    """Several things: `opens` is empty for a bare list, `{` for a set, else the bracket of an ordered tuple, interval or vector."""

    opens: str
    closes: str
    items: tuple["Reading", ...]
    joined: str = ","
    """`and` or `or` where these words stood between the items of a bare list."""


@dataclass(frozen=True, slots=True)
class Union:
    items: tuple["Reading", ...]


@dataclass(frozen=True, slots=True)
class Relation:
    """`members[0] signs[0] members[1] …`, each member read by itself; `texts` are their notations."""

    members: tuple["Reading", ...]
    signs: tuple[str, ...]
    texts: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Matrix:
    rows: tuple[tuple["Reading", ...], ...]


@dataclass(frozen=True, slots=True)
class Opaque:
    text: str


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a multiple-choice question with its text: `\\textbf{(B)}\\ 12`."""

    letter: str
    text: "Reading"


Reading = Value | Words | Group | Union | Relation | Matrix | Option | Opaque

_SIGNS = ("=", "<", ">", r"\leq", r"\geq", r"\neq", r"\approx", r"\in")
_CONNECTIVE = re.compile(r"\s*,?\s*(?:\\text\s*\{\s*,?\s*(and|or)\s*\}|(?<![a-zA-Z\\{])(and|or)(?![a-zA-Z]))\s*")
_IN_WORDS = re.compile(r"(?<=[a-zA-Z.'])\s+(and|or)\s+(?=[a-zA-Z])")
_WORDS = re.compile(r"[^\W\d_][^\d\W_]*(?:[ '.,-]+[^\W\d_]+)*[.!]?")
_DIFFERENCE = re.compile(r"[a-zA-Z]{1,2}(?:\s*-\s*[a-zA-Z]{1,2})+")
_FACTORIAL = re.compile(r"(?<![a-zA-Z])[a-zA-Z]{1,3}!$")
_OPTION = re.compile(
    r"(?:\\text\s*\{\s*\(([A-J])\)\s*\}(?!\s*(?:[+*/=^_<>|!,;&)\]}]|\\text\s*\{\s*[,;]?\s*(?:and|or)\b|\\(?:cdot|times|div|cup|cap|[lgn]eq|pm|in)\b))"
    r"|\(([A-J])\) (?=[\d.]))(.+)",
    re.DOTALL,
)
_MATRIX = re.compile(r"\\begin\{(?:[pbB]?matrix|smallmatrix|array)\}(?:\{[clr| ]*\})?(.*)\\end\{\w+\}", re.DOTALL)
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
_GROUPING = re.compile(r"(?<![\d,.])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])")
_DEEPEST = 12


def read(answer: str) -> Reading:
    """The tree of one answer. Empty, unbalanced and overlong ones are `Opaque`."""
    if len(answer) > LONGEST:
        return Opaque(answer)
    text = tidy(answer)
    if not text or not balanced(text):
        return Opaque(text)
    return _read(text, 0)


def read_both(answer: str, gold: str) -> tuple[Reading, Reading]:
    """Two answers to one question. Where one is a list and the other is not, commas that could group digits separate: `120,150` beside `120, 150`."""
    left, right = read(answer), read(gold)
    if _is_list(left) == _is_list(right):
        return left, right
    return (left, _listed(gold, right)) if _is_list(left) else (_listed(answer, left), right)


def _is_list(reading: Reading) -> bool:
    if isinstance(reading, Relation):
        return _is_list(reading.members[-1])
    return isinstance(reading, Group) and reading.opens in ("", r"\{") and len(reading.items) > 1


def _listed(answer: str, otherwise: Reading) -> Reading:
    text = tidy(answer) if len(answer) <= LONGEST else ""
    return read(_GROUPING.sub(lambda number: number[0].replace(",", ", "), text)) if _GROUPING.search(text) else otherwise


def _read(text: str, depth: int) -> Reading:
    if depth > _DEEPEST or not text:
        return Opaque(text)
    number = number_of(text)
    if number is not None:
        return Value(text, number)
    for attempt in (_words, _option, _marked, _several, _relation, _union, _bracketed, _matrix, _plus_minus, _ratio):
        found = attempt(text, depth)
        if found is not None:
            return found
    return _value(text)


def _words(text: str, depth: int) -> Reading | None:
    """Plain words; a letter alone, in brackets or not, is a value, since it may be a variable or an option."""
    marked = r"\text" in text
    plain = re.sub(r"\\text\s*\{([^{}]*)\}", r" \1 ", text).strip() if marked else text
    letter = re.fullmatch(r"\(?\s*([a-zA-Z])\s*\)?\.?", plain)
    if letter is not None:
        return Value(letter[1])
    if not _WORDS.fullmatch(" ".join(plain.split())) or _DIFFERENCE.fullmatch(plain) or _FACTORIAL.search(plain):
        return None
    pieces = [] if depth > 1 else [p for p in re.split(r"\s+(?:and|or)\s+|,\s*(?:and\s+|or\s+)?", plain) if p]
    if len(pieces) > 1:
        items = tuple(_words(p, 2) or Opaque(p) for p in pieces)
        return Group("", "", items)
    return Words(" ".join(plain.split()).rstrip(".!"), marked)


def _option(text: str, depth: int) -> Reading | None:
    """`\\textbf{(B)}\\ 12`, or `(B) 12`, which is no product; not where a second option follows."""
    found = _OPTION.fullmatch(text) if depth < 2 else None
    if found is None or re.search(r"\([A-J]\)", found[3]):
        return None
    return Option(found[1] or found[2], _read(tidy(found[3]), depth + 2))


def _marked(text: str, depth: int) -> Reading | None:
    """What stands in \\text{…} as a whole."""
    opened = re.match(r"\\text\s*(?=\{)", text)
    if opened is None or closes_at(text, opened.end()) != len(text) - 1:
        return None
    return _read(tidy(text[opened.end() + 1 : -1]), depth + 1)


def _several(text: str, depth: int) -> Reading | None:
    """A list without brackets."""
    joints = {found[1] or found[2] for found in _CONNECTIVE.finditer(text)}
    listed = _CONNECTIVE.sub(", ", text) if joints else text
    listed = re.sub(r"(\S)\s*\\quad\s*(?=\S)", r"\1, ", listed)
    parts = split(_ungrouped(listed), (",", ";"))
    if parts is None or len(parts[0]) == 1:
        return None
    if "," in listed and "," not in _GROUPING.sub("", listed):  # x = 1,234 and 2,500\pi
        return _read(_GROUPING.sub(lambda number: number[0].replace(",", ""), listed), depth + 1)
    kept = [part for part in parts[0] if part]
    if len(kept) != len(parts[0]) or _zeros(kept):
        return Opaque(text)
    items = tuple(_read(part, depth + 1) for part in kept)
    flat = tuple(i for item in items for i in (item.items if isinstance(item, Group) and item.opens == "" else (item,)))
    return Group("", "", flat, joints.pop() if len(joints) == 1 else ",")


def _ungrouped(text: str) -> str:
    """`1,234, 5` without its grouping commas: told apart by the blank after the comma that separates."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text) if re.search(r",\s|;", text) else text


def _zeros(parts: list[str]) -> bool:
    """Whether a part such as 000 shows that a comma grouped digits and did not separate."""
    return any(re.match(r"[+-]?0\d", part) for part in parts)


def _relation(text: str, depth: int) -> Reading | None:
    parts = split(text, _SIGNS)
    if parts is None or len(parts[0]) == 1:
        return None
    members, signs = parts
    if len(members) > 6 or not all(members):
        return Opaque(text)
    if "'" in text or re.search(r"\\[pb]?mod|\\equiv", text):
        return Opaque(text)
    return Relation(tuple(_read(member, depth + 1) for member in members), tuple(signs), tuple(map(lettered, members)))


def _union(text: str, depth: int) -> Reading | None:
    parts = split(text, (r"\cup",))
    if parts is None or len(parts[0]) == 1:
        return None
    return Union(tuple(_read(part, depth + 1) for part in parts[0]))


def _bracketed(text: str, depth: int) -> Reading | None:
    if text == r"\emptyset" or re.fullmatch(r"\\\{\s*\\\}", text):
        return Group(r"\{", r"\}", ())
    whole = enclosed(text)
    if whole is None:
        return _french(text, depth)
    opens, inner, closes = whole
    if opens in (r"\lfloor", r"\lceil"):
        return None
    built = re.fullmatch(r"([a-zA-Z])\s*(?:\\in\s*\\mathbb\s*\{?\s*R\s*\}?)?\s*[|:]\s*(.+)", inner, re.DOTALL) if opens == r"\{" else None
    if built is not None:  # {x : x > 2} is x > 2
        condition = _read(built[2], depth + 1)
        return condition if isinstance(condition, Relation) and built[1] in condition.texts else Opaque(text)
    parts = split(_ungrouped(inner), (",", ";"))
    if parts is None or not all(parts[0]):
        return Opaque(text)
    if opens == "(" and closes == ")" and len(parts[0]) == 1:
        inside = _read(inner, depth + 1)
        return (
            inside if isinstance(inside, Value) and not inside.percent and not inside.unit else Opaque(text) if isinstance(inside, Opaque) else inside
        )
    if _zeros(parts[0]):
        return Opaque(text)
    return Group(opens, closes, tuple(_read(part, depth + 1) for part in parts[0]))


def _french(text: str, depth: int) -> Reading | None:
    """]0, 1[ for the open interval (0, 1)."""
    found = re.fullmatch(r"([\[\]])([^\[\]();]*,[^\[\]();]*)([\[\]])", text)
    if found is None or (found[1], found[3]) == ("[", "]"):
        return None
    ends = [part.strip() for part in found[2].split(",")]
    if len(ends) != 2 or not all(ends):
        return Opaque(text)
    return Group("[" if found[1] == "[" else "(", "]" if found[3] == "]" else ")", tuple(_read(end, depth + 1) for end in ends))


def _matrix(text: str, depth: int) -> Reading | None:
    """A matrix, or a number or expression times one, entry by entry."""
    start = re.search(r"[(\[]?\s*\\begin", text)
    if start is None:
        return None
    factor = re.sub(r"(?<=\S)\s*(?:\\cdot|\\times|\*)$", "", text[: start.start()].strip())
    whole = enclosed(text[start.start() :])
    found = _MATRIX.fullmatch(text[start.start() :].strip() if whole is None else whole[1])
    if found is None or r"\begin" in found[1] or not (factor in ("", "-", "+") or _is_factor(factor)):
        return None
    rows = [row for row in re.split(r"\\\\|\\cr", found[1]) if row.strip()]
    return Matrix(tuple(tuple(_times(factor, cell.strip(), depth + 1) for cell in row.split("&")) for row in rows))


def _is_factor(text: str) -> bool:
    """No sum, and no function."""
    parts = split(text.lstrip("+-"), ("+", "-"))
    return parts is not None and len(parts[0]) == 1 and spelled_out(text) is not None


def _times(factor: str, cell: str, depth: int) -> Reading:
    if not factor:
        return _read(cell, depth)
    left, right = number_of(factor + "1" if factor in ("-", "+") else factor), number_of(cell)
    if left is None or right is None:
        return _read(f"({factor}1)({cell})" if factor in ("-", "+") else f"({factor})({cell})", depth)
    product = left * right
    return Value(rf"\frac{{{product.numerator}}}{{{product.denominator}}}", product)


_EITHER = re.compile(r"\\(?:pm|mp)(?![a-zA-Z])\s*")


def _plus_minus(text: str, depth: int) -> Reading | None:
    if len(_EITHER.findall(text)) != 1:
        return Opaque(text) if r"\pm" in text or r"\mp" in text else None
    both = [_EITHER.sub(sign, text).strip().removeprefix("+").strip() for sign in "+-"]
    return Group("", "", tuple(_read(one, depth + 1) for one in both))


def _ratio(text: str, depth: int) -> Reading | None:  # noqa: ARG001
    """3:4, but not a time of day such as 3:05."""
    found = re.fullmatch(rf"({_NUMBER})\s*:\s*({_NUMBER})", text)
    if found is None:
        return Opaque(text) if re.search(r"\d\s*:\s*\d", text) else None
    if re.fullmatch(r"\d{1,2}:\d\d", text) or not _fraction(found[2]):
        return Opaque(text)
    return Value(text, _fraction(found[1]) / _fraction(found[2]), ratio=True)


def _value(text: str) -> Reading:
    """An expression with its unit or percent sign, or what is not understood."""
    percent = re.fullmatch(r"(.*?)\s*\\%", text, re.DOTALL)
    inner, unit = (percent[1], "") if percent else without_unit(text)
    inner = lettered(inner)
    number = number_of(inner)
    if number is None and spelled_out(inner) is None:
        return Opaque(lettered(text))
    if number is None and (percent or unit):
        whole = enclosed(inner)
        number = number_of(whole[1]) if whole is not None and whole[0] == "(" else None
    return Value(inner, number, unit, percent is not None)


def _fraction(text: str) -> Fraction:
    return Fraction(text.rstrip(".") if text.endswith(".") else text)


def number_of(text: str) -> Fraction | None:
    r"""The exact number of `-1,234.5`, `3/4`, `\frac{3}{4}`, `7\frac{3}{4}`, `1.2 \times 10^{3}`, `1.2e3`, `0.\overline{3}`; None for all else."""
    plain = text.strip()
    if not plain or not plain.isascii() or len(plain) > LONGEST:
        return None
    sign = -1 if plain.startswith("-") else 1
    plain = plain.lstrip("+-").strip() if plain[0] in "+-" and plain[1:2] not in ("+", "-") else plain
    for form in (_decimal, _quotient, _mixed, _scientific, _repeating):
        found = form(plain)
        if found is not None:
            return sign * found
    return None


_UNSIGNED = r"(?:\d+(?:\.\d*)?|\.\d+)"
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:(?:,\d{3})+|(?: \d{3})+)(?:\.\d+)?")


def _decimal(plain: str) -> Fraction | None:
    if _GROUPED.fullmatch(plain):
        plain = plain.replace(",", "").replace(" ", "")
    return _fraction(plain) if re.fullmatch(_UNSIGNED, plain) else None


def _quotient(plain: str) -> Fraction | None:
    found = re.fullmatch(
        rf"\\frac\s*\{{\s*([+-]?)\s*({_UNSIGNED}|\d{{1,3}}(?:,\d{{3}})+)\s*\}}\s*\{{\s*([+-]?)\s*({_UNSIGNED}|\d{{1,3}}(?:,\d{{3}})+)\s*\}}", plain
    )
    if found is None:
        found = re.fullmatch(rf"()({_UNSIGNED})\s*/\s*([+-]?)({_UNSIGNED})", plain)
    if found is None:
        return None
    above, below = _fraction(found[2].replace(",", "")), _fraction(found[4].replace(",", ""))
    if not below:
        return None
    return above / below * (-1 if (found[1] == "-") != (found[3] == "-") else 1)


def _mixed(plain: str) -> Fraction | None:
    found = re.fullmatch(r"(\d+)\s*\\frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}", plain) or re.fullmatch(r"(\d+)\s+(\d+)\s*/\s*(\d+)", plain)
    if found is None or not int(found[2]) < int(found[3]):
        return None
    return int(found[1]) + Fraction(int(found[2]), int(found[3]))


def _scientific(plain: str) -> Fraction | None:
    found = re.fullmatch(rf"({_UNSIGNED})[eE]([+-]?\d{{1,3}})", plain)
    if found is None:
        found = re.fullmatch(rf"(?:({_UNSIGNED})\s*(?:\\times|\\cdot|\*)\s*)?10\s*\^\s*\{{?\s*([+-]?\s*\d{{1,3}})\s*\}}?", plain)
    if found is None or plain.count("{") != plain.count("}"):
        return None
    return _fraction(found[1] or "1") * Fraction(10) ** int(found[2].replace(" ", ""))


_ENDLESS = re.compile(r"(\d+)\.(\d*?)(\d{1,6}?)\3\3+\s*\\ldots")
"""A period has to be there three times: 2.718281828... is not 2.7(1828)."""


def _repeating(plain: str) -> Fraction | None:
    r"""`0.1\overline{6}`, `0.1\dot{6}`, `0.\dot{1}4285\dot{7}`, `0.1666\ldots`."""
    found = re.fullmatch(r"(\d+)\.(\d*)\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))", plain)
    found = _ENDLESS.fullmatch(plain) if found is None and r"\ldots" in plain else found
    if found is not None:
        whole, before, again = found[1], found[2], found[3] or found[4]
    else:
        found = re.fullmatch(r"(\d+)\.(\d*)\\dot\s*\{?\s*(\d)\s*\}?\s*(\d*)\s*\\dot\s*\{?\s*(\d)\s*\}?", plain)
        if found is None:
            return None
        whole, before, again = found[1], found[2], found[3] + found[4] + found[5]
    shift, period = len(before), len(again)
    return int(whole + before) / Fraction(10**shift) + Fraction(int(again), (10**period - 1) * 10**shift)
