"""When two readings are the same answer. The same walk serves the fast path, which only knows numbers, and the processes with computer algebra.

Every question has three answers: yes, no, and None for `not without algebra`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from vold.core.readings import Group, Matrix, Opaque, Option, Reading, Relation, Union, Value, Words

Tribool = bool | None


@dataclass(frozen=True, slots=True)
class Algebra:
    """What is asked of whoever can compute: both take notations and may say None."""

    same: Callable[[str, str], Tribool]
    """Whether two expressions are equal for all values of their variables."""
    same_relation: Callable[[str, str, str, str], Tribool]
    """Whether `left - right` of one relation is a constant multiple of that of another. The fourth and the second text are the right sides."""
    sign: Callable[[str, str, str, str], int | None]
    """The sign of that constant; 0 where there is none."""


def _nobody_knows(*_: str) -> None:
    return None


NUMBERS_ONLY = Algebra(same=_nobody_knows, same_relation=_nobody_knows, sign=_nobody_knows)
"""The fast path: knows numbers and notations, asks for help with everything else."""

_FLIPPED = {"<": ">", ">": "<", r"\leq": r"\geq", r"\geq": r"\leq", "=": "=", r"\neq": r"\neq"}
_VARIABLES = re.compile(r"[b-df-hj-np-tv-z]{1,3}")
"""Letters in a row that can only be a product. IX is not XI, HT not TH, and god no dog."""
_COMMON = frozenset("yes no true false none even odd all any not the both same never always".split())
_NAME = re.compile(
    r"(?:[a-zA-Z]|\\(?!infty|pi(?![a-z]))[a-zA-Z]+)(?:_(?:\w|\{\w+\}))?(?:\([a-zA-Z](?:,[a-zA-Z])*\))?|[fghpqFGHPQ]\(-?(?:\d+|[a-zA-Z])(?:,-?\d+)*\)"
)
_ENDS = {"<": ("(", ")"), r"\leq": ("[", "]")}


def same(answer: Reading, gold: Reading, algebra: Algebra = NUMBERS_ONLY) -> Tribool:
    """Whether two answers say the same."""
    if isinstance(answer, Opaque) or isinstance(gold, Opaque):
        return False if not isinstance(gold, Opaque) or not isinstance(answer, Opaque) else squeezed(answer.text) == squeezed(gold.text) or None
    if isinstance(answer, Option) or isinstance(gold, Option):
        return _options(answer, gold, algebra)
    answer, gold = _aligned(answer, gold)
    if isinstance(answer, Relation) and isinstance(gold, Relation):
        return _relations(answer, gold, algebra)
    if isinstance(answer, Relation) or isinstance(gold, Relation):
        return _relation_or_not(answer, gold, algebra)
    if isinstance(answer, Group) and isinstance(gold, Group):
        return _groups(answer, gold, algebra)
    if isinstance(answer, Group) != isinstance(gold, Group):
        group, single = (answer, gold) if isinstance(answer, Group) else (gold, answer)
        assert isinstance(group, Group)
        return same(group.items[0], single, algebra) if group.opens == r"\{" and len(group.items) == 1 and isinstance(single, Value) else False
    if isinstance(answer, Union) and isinstance(gold, Union):
        return _unordered(answer.items, gold.items, algebra)
    if isinstance(answer, Matrix) and isinstance(gold, Matrix):
        if [len(row) for row in answer.rows] != [len(row) for row in gold.rows]:
            return False
        return _all(same(a, b, algebra) for rows in zip(answer.rows, gold.rows, strict=True) for a, b in zip(*rows, strict=True))
    if isinstance(answer, Words | Value) and isinstance(gold, Words | Value):
        return _atoms(answer, gold, algebra)
    return False


def squeezed(text: str) -> str:
    """A notation without its blanks, except those between two words or numbers."""
    out: list[str] = []
    for part in text.split():
        if out and (out[-1][-1].isalnum() and part[0].isalnum()):
            out.append(" ")
        out.append(part)
    return "".join(out)


def _all(verdicts: Iterable[Tribool]) -> Tribool:
    """No as soon as one says no; yes when all do."""
    found: Tribool = True
    for verdict in verdicts:
        if verdict is False:
            return False
        if verdict is None:
            found = None
    return found


def _options(answer: Reading, gold: Reading, algebra: Algebra) -> Tribool:
    """The letter of an option or its text stands for the option; two of them must agree in both."""
    if isinstance(answer, Option) and isinstance(gold, Option):
        return same(answer.text, gold.text, algebra) if answer.letter == gold.letter else False
    option, other = (answer, gold) if isinstance(answer, Option) else (gold, answer)
    assert isinstance(option, Option)
    if isinstance(other, Value) and re.fullmatch("[A-J]", other.text):
        return other.text == option.letter and not other.unit and not other.percent
    return same(option.text, other, algebra)


def _atoms(answer: Words | Value, gold: Words | Value, algebra: Algebra) -> Tribool:
    if isinstance(answer, Words) and isinstance(gold, Words):
        if _same_words(answer, gold):
            return True
        variables = not answer.marked and not gold.marked and all(map(_VARIABLES.fullmatch, (answer.text, gold.text)))
        return algebra.same(answer.text, gold.text) if variables else False
    if isinstance(answer, Value) and isinstance(gold, Value):
        return _values(answer, gold, algebra)
    words, value = (answer, gold) if isinstance(answer, Words) else (gold, answer)
    assert isinstance(words, Words)
    assert isinstance(value, Value)
    product = not words.marked and len(words.text) <= 4 and " " not in words.text and words.text.lower() not in _COMMON
    return algebra.same(words.text, value.text) if product and value.number is None and not value.unit and not value.percent else False


def _same_words(answer: Words, gold: Words) -> bool:
    """Whatever the case, unless short letters may be variables or segments: AB is not ab."""
    if answer.text == gold.text:
        return True
    if answer.text.casefold() != gold.text.casefold():
        return False
    return answer.marked or gold.marked or len(gold.text) > 3 or gold.text.casefold() in _COMMON


def _values(answer: Value, gold: Value, algebra: Algebra) -> Tribool:
    if answer.percent != gold.percent:
        return _percent(answer, gold, algebra)
    if answer.unit and gold.unit and answer.unit != gold.unit:
        return False
    if answer.number is not None and gold.number is not None:
        return answer.number == gold.number
    if squeezed(answer.text) == squeezed(gold.text):
        return True
    return algebra.same(*(value.text if value.number is None else _notation(value.number) for value in (answer, gold)))


def _notation(number: Fraction) -> str:
    return rf"\frac{{{number.numerator}}}{{{number.denominator}}}"


def _percent(answer: Value, gold: Value, algebra: Algebra) -> Tribool:
    r"""50\% is 0.5, and 50 where the sign was left out; but a share such as 0.5 or 1 never stands for 0.5\% or 1\%."""
    share, plain = (answer, gold) if answer.percent else (gold, answer)
    if plain.unit or plain.ratio:
        return False
    if share.number is not None and plain.number is not None:
        return plain.number == share.number / 100 or (plain.number == share.number and abs(share.number) > 1)
    if share.number is not None:
        return algebra.same(_notation(share.number / 100), plain.text)
    return algebra.same(rf"\frac{{{share.text}}}{{100}}", plain.text)


def _groups(answer: Group, gold: Group, algebra: Algebra) -> Tribool:
    """Bare lists and sets in any order, a bare list also for a set; everything in brackets in its order and in the same brackets."""
    loose = ("", r"\{")
    if answer.opens in loose and gold.opens in loose:
        left, right = answer.items, gold.items
        if any(isinstance(item, Relation) and item.signs[0] != "=" for item in (*left, *right)) and {answer.joined, gold.joined} == {"and", "or"}:
            return False
        if answer.opens == gold.opens == r"\{":
            left, right = _distinct(left, algebra), _distinct(right, algebra)
        return _unordered(left, right, algebra)
    if (answer.opens, answer.closes) != (gold.opens, gold.closes) or len(answer.items) != len(gold.items):
        return False
    return _all(same(a, b, algebra) for a, b in zip(answer.items, gold.items, strict=True))


def _distinct(items: Sequence[Reading], algebra: Algebra) -> tuple[Reading, ...]:
    kept: list[Reading] = []
    for item in items:
        if not any(same(item, other, algebra) for other in kept):
            kept.append(item)
    return tuple(kept)


def _unordered(left: Sequence[Reading], right: Sequence[Reading], algebra: Algebra) -> Tribool:
    """Whether each item has a partner of its own. A doubtful pair leaves the whole in doubt."""
    if len(left) != len(right):
        return False
    free, doubtful = list(right), list[Reading]()
    for item in left:
        verdicts = [same(item, other, algebra) for other in free]
        if True in verdicts:
            free.pop(verdicts.index(True))
        elif None in verdicts:
            doubtful.append(item)
        else:
            return False
    if any(all(same(item, other, algebra) is False for item in doubtful) for other in free):
        return False
    return None if doubtful else True


def _name(relation: Relation) -> str | None:
    """The bare name that a relation gives a value or a range to, as a squeezed notation."""
    first = relation.members[0]
    text = squeezed(relation.texts[0])
    if isinstance(first, Value) and first.number is None and not first.unit and not first.percent and _is_name(text):
        return text
    if isinstance(first, Words):
        return first.text
    if isinstance(first, Opaque) and not any(sign.isdigit() for sign in text) and not set("+*/<>&^") & set(text):
        return text
    if isinstance(first, Group) and first.opens == "(" and all(isinstance(item, Value) and _is_name(item.text) for item in first.items):
        return text
    return None


def _is_name(text: str) -> bool:
    """A letter with or without an index, a Greek letter, or a function of letters such as f(x)."""
    return _NAME.fullmatch(text) is not None


def _meaning(relation: Relation) -> tuple[str, Reading] | None:
    """(name, value) of `x = 5`, `5 = x`, `x = 10/2 = 5` or `x \\approx 5`; None for equations proper, such as x = 2x - 5, and for inequalities."""
    name, last = _name(relation), relation.members[-1]
    segment = isinstance(last, Words) and not last.marked and last.text.isupper()
    if name is None and set(relation.signs) == {"="} and (segment or isinstance(last, Value)):  # 5 = x, 5 = AB
        relation = Relation(relation.members[::-1], relation.signs, relation.texts[::-1])
        name = _name(relation)
    if name is None or any(sign not in ("=", r"\approx", r"\in") for sign in relation.signs):
        return None
    if r"\in" in relation.signs and len(relation.signs) > 1:
        return None
    if any(isinstance(member, Value) and _holds(member.text, name) for member in relation.members[1:]):
        return None
    rounded = next((place for place, sign in enumerate(relation.signs) if place and sign == r"\approx"), len(relation.signs))
    return name, relation.members[rounded]


def _holds(text: str, name: str) -> bool:
    """Whether an expression has a variable: a letter, Greek or not, without an index."""
    if re.fullmatch(r"\\[a-zA-Z]+", name):
        return re.search(re.escape(name) + r"(?![a-zA-Z_])", text) is not None
    return len(name) == 1 and re.search(name + r"(?!_)", re.sub(r"\\[a-zA-Z]+", " ", text)) is not None


def _aligned(answer: Reading, gold: Reading) -> tuple[Reading, Reading]:
    """Both in the same dress: `(x, y) = (1, 2)` beside `x = 1, y = 2` as a list; `x = 1, x = 2` and `x = 1, 2` beside `1, 2` without the name."""
    if isinstance(answer, Union) != isinstance(gold, Union):
        return _united(answer), _united(gold)
    if isinstance(answer, Group) and isinstance(gold, Relation):
        gold = _as_list(gold, answer)
    elif isinstance(gold, Group) and isinstance(answer, Relation):
        answer = _as_list(answer, gold)
    answer, gold = _between(answer, gold), _between(gold, answer)
    return _unnamed(answer, gold) if isinstance(answer, Group) and isinstance(gold, Group) else (answer, gold)


def _between(reading: Reading, beside: Reading) -> Reading:
    """`x > 1 and x < 3` beside what is no list: `1 < x < 3`."""
    if not isinstance(reading, Group) or reading.opens or reading.joined != "and" or (isinstance(beside, Group) and not beside.opens):
        return reading
    ranges = [_upward(item) for item in reading.items if isinstance(item, Relation) and len(item.members) == 2 and item.signs[0] in _FLIPPED]
    low = next((r for r in ranges if r.signs[0] in _ENDS and _variable(r.members[1])), None)
    high = next((r for r in ranges if r.signs[0] in _ENDS and _variable(r.members[0])), None)
    if low is None or high is None or low is high or len(reading.items) != 2 or squeezed(low.texts[1]) != squeezed(high.texts[0]):
        return reading
    ends = [end.number if isinstance(end, Value) else None for end in (low.members[0], high.members[1])]
    if ends[0] is not None and ends[1] is not None and ends[0] > ends[1]:
        return reading
    return Relation((*low.members, high.members[1]), (low.signs[0], high.signs[0]), (*low.texts, high.texts[1]))


def _united(reading: Reading) -> Reading:
    """`x < 1 or x > 2` as the union it describes."""
    if not isinstance(reading, Group) or reading.joined != "or":
        return reading
    ranges = [item for item in reading.items if isinstance(item, Relation)]
    names = {next((squeezed(t) for m, t in zip(r.members, r.texts, strict=True) if _variable(m)), "") for r in ranges}
    found = tuple(part for part in map(_interval, ranges) if part is not None)
    return Union(found) if len(found) == len(reading.items) and len(names) == 1 and names != {""} else reading


def _as_list(relation: Relation, beside: Group) -> Reading:
    first, last = relation.members[0], relation.members[-1]
    if not (beside.opens == "" and all(isinstance(item, Relation) for item in beside.items) and relation.signs == ("=",)):
        return relation
    if isinstance(first, Group) and isinstance(last, Group) and first.opens == last.opens == "(" and len(first.items) == len(last.items):
        if not all(isinstance(name, Value) for name in first.items):
            return relation
        pairs = zip(first.items, last.items, strict=True)
        return Group("", "", tuple(Relation((n, v), ("=",), (n.text, "")) for n, v in pairs if isinstance(n, Value)))
    return relation


def _unnamed(answer: Group, gold: Group) -> tuple[Group, Group]:
    """Named values beside bare ones: without the one name they share, in any order; in the order they are written where they have several names."""
    left, right = _named(answer), _named(gold)
    if left is None or right is None:
        if left is not None and not any(isinstance(item, Relation) for item in gold.items):
            return _without_names(left, gold)
        if right is not None and not any(isinstance(item, Relation) for item in answer.items):
            return _without_names(right, answer)[::-1]
        return answer, gold
    return replace(answer, items=left), replace(gold, items=right)


def _named(group: Group) -> tuple[Relation, ...] | None:
    """The items of a bare list as names with values: in `x = 1, 2` both are x. None where one is something else."""
    found: list[Relation] = []
    for item in group.items:
        if isinstance(item, Relation):
            found.append(item)
        elif found:
            found.append(Relation((found[-1].members[0], item), ("=",), (found[-1].texts[0], "")))
        if not found or _meaning(found[-1]) is None:
            return None
    return tuple(found) if found and not group.opens else None


def _without_names(named: Sequence[Relation], beside: Group) -> tuple[Group, Group]:
    meanings = [meaning for meaning in map(_meaning, named) if meaning is not None]
    values, names = tuple(value for _, value in meanings), {name for name, _ in meanings}
    family = len({name.partition("_")[0] for name in names}) == 1  # x_1 and x_2 are the elements of a set
    if len(names) == 1 or (beside.opens == r"\{" and family):
        return Group("", "", values), beside
    if beside.opens:
        return Group("(", ")", ()), beside
    return Group("(", ")", values), Group("(", ")", beside.items)


def _relation_or_not(answer: Reading, gold: Reading, algebra: Algebra) -> Tribool:
    """`x = 5` beside `5`; `x > 5` beside an interval."""
    relation, other = (answer, gold) if isinstance(answer, Relation) else (gold, answer)
    assert isinstance(relation, Relation)
    interval = _interval(relation)
    if interval is not None:
        return same(interval, other, algebra) if isinstance(other, Group | Union) else False
    meaning = _meaning(relation)
    if meaning is None:
        return _chain(relation, other, algebra)
    exact = relation.members[1:-1] if r"\approx" not in relation.signs else ()
    steps = [step for step in exact if isinstance(step, Value) and step.number is not None]
    return _all(same(value, other, algebra) for value in (meaning[1], *steps))


def _chain(relation: Relation, other: Reading, algebra: Algebra) -> Tribool:
    """`10/4 = 2.5` beside `2.5`: every member must be the value, but one after an approximation sign need not."""
    signs = list(relation.signs)
    upto = signs.index(r"\approx") + 1 if r"\approx" in signs else len(relation.members)
    if any(sign != "=" for sign in signs[: upto - 1]) or not all(isinstance(m, Value) for m in relation.members[:upto]):
        return False
    return _all(same(member, other, algebra) for member in relation.members[:upto])


def _interval(relation: Relation) -> Reading | None:
    """The interval that `x > a`, `a < x` or `a < x \\leq b` describes."""
    members, signs = list(relation.members), list(relation.signs)
    if all(sign in (">", r"\geq") for sign in signs):
        members, signs = members[::-1], [_FLIPPED[sign] for sign in reversed(signs)]
    if not all(sign in _ENDS for sign in signs):
        if signs == [r"\neq"] and _variable(members[0]):
            return Union((Group("(", ")", (Value(r"-\infty"), members[1])), Group("(", ")", (members[1], Value(r"\infty")))))
        return None
    if len(members) == 3 and _variable(members[1]):
        return Group(_ENDS[signs[0]][0], _ENDS[signs[1]][1], (members[0], members[2]))
    if len(members) == 2 and _variable(members[0]):
        return Group("(", _ENDS[signs[0]][1], (Value(r"-\infty"), members[1]))
    if len(members) == 2 and _variable(members[1]):
        return Group(_ENDS[signs[0]][0], ")", (members[0], Value(r"\infty")))
    return None


def _variable(reading: Reading) -> bool:
    return isinstance(reading, Value) and reading.number is None and not reading.unit and _is_name(reading.text)


def _relations(answer: Relation, gold: Relation, algebra: Algebra) -> Tribool:
    left, right = _meaning(answer), _meaning(gold)
    if left is not None and right is not None and (left[0] == right[0] or isinstance(left[1], Value) is False):
        return same(left[1], right[1], algebra) if left[0] == right[0] else False
    if (left is None) != (right is None):
        return _range_or_not(answer, gold, left or right, algebra)
    answer, gold = _upward(answer), _upward(gold)
    if answer.signs == gold.signs and len(answer.members) == len(gold.members):
        verdict = _all(same(a, b, algebra) for a, b in zip(answer.members, gold.members, strict=True))
        if verdict is not False or len(answer.members) > 2:
            return verdict
    if len(answer.members) != 2 or len(gold.members) != 2:
        return False
    return _multiples(answer, gold, algebra)


def _range_or_not(answer: Relation, gold: Relation, meaning: tuple[str, Reading] | None, algebra: Algebra) -> Tribool:
    """`x \\in (1, 2)` beside `1 < x < 2`; `y = 2x + 3` beside `2x - y + 3 = 0`."""
    member, other = (answer, gold) if _meaning(answer) is not None else (gold, answer)
    interval = _interval(other)
    if meaning is not None and member.signs == (r"\in",):
        return same(meaning[1], interval, algebra) if interval is not None and meaning[0] in map(squeezed, other.texts) else False
    return _multiples(answer, gold, algebra) if len(answer.members) == len(gold.members) == 2 else False


def _upward(relation: Relation) -> Relation:
    """Written with < instead of >."""
    if not all(sign in (">", r"\geq") for sign in relation.signs):
        return relation
    signs = tuple(_FLIPPED[sign] for sign in reversed(relation.signs))
    return Relation(relation.members[::-1], signs, relation.texts[::-1])


def _multiples(answer: Relation, gold: Relation, algebra: Algebra) -> Tribool:
    """y = 2x + 3 and 2x - y + 3 = 0; -x < -5 and x > 5."""
    (a,), (g,) = answer.signs, gold.signs
    if a not in _FLIPPED or g not in (a, _FLIPPED[a]) or not (_expressions(answer) and _expressions(gold)):
        return False
    texts = (*answer.texts, *gold.texts)
    if a in ("=", r"\neq"):
        return algebra.same_relation(texts[0], texts[1], texts[2], texts[3])
    sign = algebra.sign(texts[0], texts[1], texts[2], texts[3])
    return None if sign is None else sign == (1 if a == g else -1)


def _expressions(relation: Relation) -> bool:
    """Whether both sides are expressions, not words, lists or quantities."""
    return all(
        (isinstance(m, Words) and not m.marked and len(m.text) < 5) or (isinstance(m, Value) and not m.unit and not m.percent)
        for m in relation.members
    )
