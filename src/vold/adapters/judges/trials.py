"""Answers whose truth is known by how they were made: what a judge is tried on.

`trials(count, seed)` draws a gold and writes it again, either in another notation (the same answer) or with one small mistake (another answer).
`choices(count, seed)` does it with options and the sentences that name them.
No judge and no algebra has a say in which is which. What must not hang, crash or be executed is in `hostile.py`.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vold.adapters.judges import trial_notations as notations
from vold.adapters.judges import trial_options as options
from vold.adapters.judges import trial_shapes as shapes
from vold.adapters.judges import trial_values as values
from vold.adapters.judges.trial_values import Made


@dataclass(frozen=True, slots=True)
class Trial:
    kind: str
    answer: str
    gold: str
    same: bool


def trials(count: int, seed: int = 0) -> Iterator[Trial]:
    """`count` trials, the same for the same seed; half of them near misses."""
    draw = random.Random(seed)
    kinds = list(KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        gold, rewritten, missed = KINDS[kind](draw)
        same = draw.random() < 0.5
        answer = draw.choice(rewritten if same else missed)
        yield Trial(kind, _dressed(answer, draw), gold, same)


def choices(count: int, seed: int = 0) -> Iterator[Trial]:
    """`count` trials for the judge of options; half of them name another option, none, or two."""
    draw = random.Random(seed)
    for _ in range(count):
        gold, named, missed = options.choice(draw)
        same = draw.random() < 0.5
        yield Trial("choice", draw.choice(named if same else missed), gold, same)


def _dressed(answer: str, draw: random.Random) -> str:
    """What people put around an answer without meaning anything by it."""
    if "$" in answer:
        return answer
    return draw.choice([answer, answer, answer, f"${answer}$", f" {answer} ", f"{answer}.", rf"\({answer}\)", f"{{{answer}}}"])


KINDS: dict[str, Callable[[random.Random], Made]] = {
    "whole": values.whole,
    "fraction": values.quotient,
    "decimal": values.decimal,
    "percent": values.percent,
    "unit": values.unit,
    "money": values.money,
    "mixed": values.mixed,
    "ratio": values.ratio,
    "base": values.in_base,
    "repeating": values.repeating,
    "root": values.root,
    "pi": values.pi,
    "power": values.power,
    "logarithm": values.logarithm,
    "complex": values.complex_number,
    "polynomial": shapes.quadratic,
    "plane": shapes.two_variables,
    "sine": shapes.trigonometric,
    "exponential": shapes.exponential,
    "line": shapes.line,
    "system": shapes.system,
    "inequality": shapes.half_line,
    "interval": shapes.interval,
    "union": shapes.union,
    "set": shapes.finite_set,
    "tuple": shapes.pair,
    "roots": shapes.roots_of,
    "matrix": shapes.matrix,
    "word": shapes.word,
    "letter": shapes.letter,
    "upright": notations.upright,
    "vector": notations.vector,
    "row": notations.letters_in_a_row,
    "multiplier": notations.multiplier,
    "named": notations.named,
    "grouped": notations.grouped,
    "speed": notations.speed,
    "binomial": notations.binomial,
    "decorated": notations.decorated,
    "dotted": notations.dotted,
    "based": notations.based_logarithm,
    "scaled": notations.scaled_matrix,
    "between": notations.between,
    "option": notations.option,
}
