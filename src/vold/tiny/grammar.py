"""Problems of the laptop world: a few facts, a question over them, and the chains that answer it.

Facts give each of 2 to 6 letters a digit. A question of difficulty k combines k + 1 letters with k operators, strictly from left to
right, every step modulo 10. The answer is one digit, and by construction every digit is equally likely whatever the difficulty, so a
constant guess scores 0.10.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from vold.tiny.words import DIGITS, LETTERS, OPERATORS

DIFFICULTIES = (1, 2, 3, 4, 5, 6)
FACT_COUNTS = (2, 3, 4, 5, 6)

Sums = Mapping[tuple[int, str, int], int]
"""A table of arithmetic: (left, operator, right) to a digit."""


def _true_sums() -> dict[tuple[int, str, int], int]:
    return {(a, o, b): (a + b if o == "+" else a - b) % 10 for a in range(10) for o in OPERATORS for b in range(10)}


TRUE_SUMS: Sums = _true_sums()


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """`facts` in the order they are written, and the letters and operators of the expression (one operator fewer than letters)."""

    facts: tuple[tuple[str, int], ...]
    letters: tuple[str, ...]
    operators: tuple[str, ...]

    @property
    def difficulty(self) -> int:
        return len(self.operators)

    @property
    def values(self) -> dict[str, int]:
        return dict(self.facts)

    @property
    def results(self) -> tuple[int, ...]:
        """The running result after each operator; the last one is the answer."""
        return self.results_by(TRUE_SUMS)

    @property
    def answer(self) -> int:
        return self.results[-1]

    def results_by(self, sums: Sums) -> tuple[int, ...]:
        """The running results as somebody who believes `sums` would get them."""
        values = self.values
        running = values[self.letters[0]]
        out: list[int] = []
        for operator, letter in zip(self.operators, self.letters[1:], strict=True):
            running = sums[running, operator, values[letter]]
            out.append(running)
        return tuple(out)

    @property
    def expression(self) -> str:
        """`a + c - e`"""
        return interleave(self.letters, self.operators)

    @property
    def text_facts(self) -> str:
        """`c 7 a 3`"""
        return " ".join(f"{letter} {digit}" for letter, digit in self.facts)


def interleave(operands: tuple[str, ...], operators: tuple[str, ...]) -> str:
    """Operands joined by the operators between them."""
    words = [operands[0]]
    for operator, operand in zip(operators, operands[1:], strict=True):
        words += [operator, operand]
    return " ".join(words)


def draw_facts(random: Random, count: int | None = None) -> tuple[tuple[str, int], ...]:
    """`count` distinct letters in random order, each with a random digit."""
    count = random.choice(FACT_COUNTS) if count is None else count
    return tuple((letter, random.randrange(10)) for letter in random.sample(LETTERS, count))


def draw_question(random: Random, difficulty: int, *, facts: tuple[tuple[str, int], ...] | None = None) -> Question:
    """A question whose answer is uniform over the ten digits.

    The answer is drawn first and questions are drawn until one has it. With `facts` given only the expression is redrawn, and after 200
    tries (two equal facts cannot reach every digit) the facts are let go.
    """
    target = random.randrange(10)
    tries = 0
    while True:
        tries += 1
        known = facts if facts is not None and tries <= 200 else draw_facts(random)
        names = [letter for letter, _ in known]
        question = Question(
            facts=known,
            letters=tuple(random.choice(names) for _ in range(difficulty + 1)),
            operators=tuple(random.choice(OPERATORS) for _ in range(difficulty)),
        )
        if question.answer == target:
            return question


def flawed_sums(random: Random, share: float = 0.05) -> Sums:
    """`TRUE_SUMS` with `share` of its entries replaced by another digit: what the flawed teacher believes."""
    sums = dict(TRUE_SUMS)
    for key in random.sample(sorted(sums), round(share * len(sums))):
        sums[key] = (sums[key] + random.randrange(1, 10)) % 10
    return sums


def boxed(digit: int) -> str:
    return f"\\boxed{{ {digit} }}"


def chain_a(question: Question, results: tuple[int, ...]) -> str:
    """Style A: `<think> a 3 + c 7 = 0 - e 1 = 9 </think> \\boxed{ 9 }`."""
    values = question.values
    words = [f"{question.letters[0]} {values[question.letters[0]]}"]
    for operator, letter, result in zip(question.operators, question.letters[1:], results, strict=True):
        words.append(f"{operator} {letter} {values[letter]} = {result}")
    return f"<think> {' '.join(words)} </think> {boxed(results[-1])}"


def chain_b(question: Question, results: tuple[int, ...]) -> str:
    """Style B: `<think> let a 3 . take c 7 : 3 + 7 gives 0 . ok </think> \\boxed{ 0 }`."""
    values = question.values
    running = values[question.letters[0]]
    words = [f"let {question.letters[0]} {running} ."]
    for operator, letter, result in zip(question.operators, question.letters[1:], results, strict=True):
        words.append(f"take {letter} {values[letter]} : {running} {operator} {values[letter]} gives {result} .")
        running = result
    return f"<think> {' '.join(words)} ok </think> {boxed(results[-1])}"


STYLES = {"a": chain_a, "b": chain_b}

assert all(len(d) == 1 for d in DIGITS)
