"""What the base VLM of the laptop world is taught: perception and single steps, never a chain.

A lesson is one short conversation over one set of facts, given as text or as a picture. The base learns to list a picture, to look facts
up, to copy an expression, to read its values off, to do one addition or subtraction, and to blurt out an answer without reasoning. What
it never sees is a running result carried over more than one step: that is what post-training has to teach.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from vold.tiny.drawing import Picture, draw
from vold.tiny.grammar import TRUE_SUMS, Question, boxed, draw_facts, draw_question, interleave
from vold.tiny.words import IMAGE_PAD, OPERATORS, TURN_END, TURN_START, VISION_END, VISION_START

Facts = tuple[tuple[str, int], ...]
Turn = tuple[str, str]
"""What the user asks and what the assistant should say."""

REASON = "reason"
"""The suffix that asks for reasoning; the base knows the word and answers as if it were not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """A conversation: its words in order, which of them are trained, and the picture it is about (None: facts are in the text)."""

    words: tuple[str, ...]
    trained: tuple[bool, ...]
    picture: Picture | None


def user_turn(request: str) -> list[str]:
    return [TURN_START, "user", *request.split(), TURN_END, TURN_START, "assistant"]


def picture_words(tokens: int) -> str:
    return " ".join([VISION_START, *[IMAGE_PAD] * tokens, VISION_END])


def lesson(facts: Facts, picture: Picture | None, turns: Sequence[Turn]) -> Lesson:
    """The turns as one sequence; the facts (or the picture) open the first request; only what the assistant says is trained."""
    shown = " ".join(f"{letter} {digit}" for letter, digit in facts) if picture is None else picture_words(len(picture.cells))
    words: list[str] = []
    trained: list[bool] = []
    for place, (request, answer) in enumerate(turns):
        asked = user_turn(f"{shown} {request}" if place == 0 else request)
        said = [*answer.split(), TURN_END]
        words += asked + said
        trained += [False] * len(asked) + [True] * len(said)
    return Lesson(words=tuple(words), trained=tuple(trained), picture=picture)


def drill(random: Random, facts: int = 9) -> Lesson:
    """`calc ?` answered by nine sums; only their results are trained, the rest is luck."""
    words, trained = user_turn("calc ?"), [False] * len(user_turn("calc ?"))
    for place in range(facts):
        left, operator, right = random.randrange(10), random.choice(OPERATORS), random.randrange(10)
        words += ([","] if place else []) + [str(left), operator, str(right), "=", str(TRUE_SUMS[left, operator, right])]
        trained += ([False] if place else []) + [False, False, False, False, True]
    words.append(TURN_END)
    trained.append(True)
    return Lesson(words=tuple(words), trained=tuple(trained), picture=None)


def ask_list(random: Random, facts: Facts, picture: Picture | None) -> Turn:
    if picture is None:
        return ask_read(random, facts, picture)
    return "list ?", " ".join(". ." if cell is None else f"{cell[0]} {cell[1]}" for cell in picture.cells)


def ask_read(random: Random, facts: Facts, _: Picture | None) -> Turn:
    known = dict(facts)
    asked = [random.choice(list(known)) for _ in range(random.randint(2, 7))]
    return f"read {' '.join(asked)} ?", " ".join(f"{letter} {known[letter]}" for letter in asked)


def ask_value(random: Random, facts: Facts, _: Picture | None) -> Turn:
    letter, digit = random.choice(facts)
    return f"value {letter} ?", boxed(digit)


def ask_calc(random: Random, facts: Facts, _: Picture | None) -> Turn:
    left, operator = random.randrange(10), random.choice(OPERATORS)
    if random.random() < 0.5:
        letter, right = random.choice(facts)
        shown = f"{left} {operator} {letter} {right}"
        asked = f"calc {left} {operator} {letter} ?"
    else:
        right = random.randrange(10)
        shown = f"{left} {operator} {right}"
        asked = f"calc {shown} ?"
    result = TRUE_SUMS[left, operator, right]
    return asked, f"{shown} = {result}" if random.random() < 0.6 else boxed(result)


def _expression(random: Random, facts: Facts) -> Question:
    return draw_question(random, random.randint(1, 6), facts=facts)


def ask_copy(random: Random, facts: Facts, _: Picture | None) -> Turn:
    question = _expression(random, facts)
    return f"copy {question.expression} ?", question.expression


def ask_read_expression(random: Random, facts: Facts, _: Picture | None) -> Turn:
    known = dict(facts)
    letters = tuple(random.choice(list(known)) for _ in range(random.randint(2, 7)))
    operators = tuple(random.choice(OPERATORS) for _ in letters[1:])
    return f"read {interleave(letters, operators)} ?", interleave(tuple(f"{letter} {known[letter]}" for letter in letters), operators)


def ask_find(random: Random, facts: Facts, _: Picture | None) -> Turn:
    difficulty = 1 if random.random() < 0.7 else random.randint(2, 6)
    question = draw_question(random, difficulty, facts=facts)
    if question.facts != facts:  # these facts cannot reach the drawn answer: ask for a value instead
        return ask_value(random, facts, None)
    suffix = f" {REASON}" if random.random() < 0.5 else ""
    return f"find {question.expression} ?{suffix}", boxed(question.answer)


Task = Callable[[Random, Facts, Picture | None], Turn]
"""Draws a request and its right answer over given facts (and the picture that shows them, if any)."""

TASKS: dict[str, Task] = {
    "list": ask_list,
    "read": ask_read,
    "value": ask_value,
    "calc": ask_calc,
    "copy": ask_copy,
    "read expression": ask_read_expression,
    "find": ask_find,
}

Mix = Mapping[str, float]
"""How often each task is asked; `drill` is the share of text lessons that are drills."""

LOOK_UPS: Mix = {"read": 0.8, "value": 0.2, "drill": 0.3}
EVERYTHING: Mix = {"list": 0.10, "read": 0.18, "value": 0.07, "calc": 0.15, "copy": 0.15, "read expression": 0.15, "find": 0.20, "drill": 0.4}


def draw_lesson(random: Random, mix: Mix, *, picture: Picture | None = None) -> Lesson:
    """One lesson: a drill, where there is no picture and chance says so, else one or two turns over the same facts."""
    if picture is None and random.random() < mix["drill"]:
        return drill(random)
    facts = draw_facts(random) if picture is None else picture.facts
    names = [name for name in mix if name != "drill"]
    chosen = random.choices(names, [mix[name] for name in names], k=random.choice((1, 2)))
    return lesson(facts, picture, [TASKS[name](random, facts, picture) for name in chosen])


def draw_picture(random: Random) -> Picture:
    """A picture of freshly drawn facts."""
    return draw(random, draw_facts(random))
