"""Whether two questions of like wording and the same numbers ask for different things: the least for the greatest, CD for BD."""

from collections import Counter
from itertools import pairwise

from vold.core.wording import Wording

_TURNING = """
    largest greatest maximum maximal maximize maximizes max biggest highest longest
    smallest least minimum minimal minimize minimizes min lowest shortest
    even | odd | prime primes | composite | positive | negative | rational | irrational | convex | concave | acute | obtuse
    increasing increases increase | decreasing decreases decrease | parallel | perpendicular | horizontal | vertical
    interior | exterior | inscribed | circumscribed | numerator | denominator | before | after | first | last | with | without
    row rows | column columns | more | less fewer
    sin sine | cos cosine | tan tangent | cot cotangent | sec secant | csc cosecant | arcsin | arccos | arctan | sinh | cosh | tanh
    exp | log ln logarithm | gcd | lcm | sqrt | square squares squared | cube cubes cubed
    sum sums | product products | difference differences | quotient | remainder | reciprocal | digit digits
    mean average | median | mode | area areas | perimeter perimeters | circumference | volume volumes | radius radii | diameter diameters
"""
_SENSE = {word: row.split()[0] for row in _TURNING.strip().replace("\n", "|").split("|") for word in row.split()}
"""Words that a question turns on, opposites, functions and measures, each with the word that stands for all that say the same."""
_NO_NAMES = frozenset("an as at be by do go he if in is it me my no of on or so to up us we cm ft kg km mm le ge ne pi".split())
"""Words and units as short as the names of numbers, points and lines."""


def asks_otherwise(prompt: Wording, question: Wording) -> str:
    """What makes them ask for different things; "" where nothing does.

    Each has to say something that the other does not: a word that questions turn on, or a letter in the names of numbers, points and lines. What
    only one of them adds changes nothing, as where DAPO asks for `m + n`.
    """
    said, asked = _words(prompt), _words(question)
    if _exchanged(_senses(said), _senses(asked)):
        return "other words"
    here, there = _names(said), _names(asked)
    return "other names" if _exchanged(here, there) and not _renamed(here, there) else ""


def _words(said: Wording) -> list[str]:
    return [said.letters[at:to] for at, to in pairwise((*said.starts, len(said.letters)))]


def _senses(words: list[str]) -> Counter[str]:
    return Counter(_SENSE[word] for word in words if word in _SENSE)


def _names(words: list[str]) -> Counter[str]:
    """The letters of the names: of `x`, `bd`."""
    return Counter("".join(word for word in words if len(word) <= 2 and word.isalpha() and word not in _NO_NAMES))


def _exchanged(here: Counter[str], there: Counter[str]) -> bool:
    return bool(here - there and there - here)


def _renamed(here: Counter[str], there: Counter[str]) -> bool:
    """Whether things only have other names throughout. What is named once may be another thing: `find x`, `find y`."""
    new, old = here - there, there - here
    return new.keys().isdisjoint(there) and old.keys().isdisjoint(here) and min((*new.values(), *old.values())) > 1
