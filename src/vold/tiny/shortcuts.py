"""What can be scored in the laptop world without a chain: the floor every table names.

A shortcut looks at a part of a question and guesses the answer that part makes most likely. It is fitted on some questions and scored on others.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from functools import lru_cache
from random import Random

from vold.base.seeds import seed_for
from vold.tiny.grammar import Question, draw_question

View = Callable[[Question], Hashable]


def _last(question: Question, steps: int) -> Hashable:
    values = question.values
    return tuple((o, values[x]) for o, x in zip(question.operators[-steps:], question.letters[-steps:], strict=True))


def _first_value(question: Question) -> Hashable:
    return question.values[question.letters[0]]


def _added_up(question: Question) -> Hashable:
    """The sum of every value, signs ignored."""
    return sum(question.values[letter] for letter in question.letters) % 10


def _one(question: Question) -> Hashable:
    del question
    return None


CONSTANT = "a constant guess"
SHORTCUTS: dict[str, tuple[View, int]] = {
    CONSTANT: (_one, 1),
    "the first value": (_first_value, 1),
    "all values added up": (_added_up, 2),
    "the last operator and value": (lambda q: _last(q, 1), 1),
    "the last two operators and values": (lambda q: _last(q, 2), 3),
}
"""Each shortcut with the lowest difficulty at which it really leaves something out."""


@lru_cache
def shortcut_scores(difficulty: int, *, size: int = 4000, seed: int = 0) -> dict[str, float]:
    """The accuracy of every shortcut that applies at this difficulty, on `size` questions it was not fitted on."""
    fitted_on = [draw_question(Random(seed_for(seed, "fit", difficulty, n)), difficulty) for n in range(size)]
    scored_on = [draw_question(Random(seed_for(seed, "score", difficulty, n)), difficulty) for n in range(size)]
    found: dict[str, float] = {}
    for name, (view, lowest) in SHORTCUTS.items():
        if difficulty >= lowest:
            seen: dict[Hashable, Counter[int]] = defaultdict(Counter)
            for question in fitted_on:
                seen[view(question)][question.answer] += 1
            guess = {part: answers.most_common(1)[0][0] for part, answers in seen.items()}
            found[name] = sum(guess.get(view(question)) == question.answer for question in scored_on) / size
    return found
