"""How a language model is asked for the answer in a response to a question of MathVista: by five worked examples, which are ours."""

import re

from vold.adapters.benchmarks import finding
from vold.base.types import Item

_INSTRUCTION = (
    "Below are examples of model responses and of the final answer that each of them gives. Extract the answer from the last response in the same "
    "way and write it after the words that close this prompt."
)
_CHOOSE = "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end."
_COUNT = "Hint: Please answer the question requiring an integer answer and provide the final value, e.g., 1, 2, 3, at the end."
_MEASURE = "Hint: Please answer the question requiring a floating-point number with {} and provide the final value, e.g., {}, at the end."
_LISTING = (
    "Hint: Please answer the question requiring a Python list as an answer and provide the final list, e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end."
)
_EXAMPLES = (
    (
        f"{_COUNT}\nQuestion: How many of the bars are taller than the bar for Monday?",
        "The bars for Tuesday, Friday and Sunday reach higher than that for Monday. So there are three such bars.",
        "3",
    ),
    (
        f"{_MEASURE.format('one decimal place', '1.2, 1.3, 1.4')}\nQuestion: What is the slope of the line?",
        "The line rises by 3 units over 2 units to the right, so its slope is 3 / 2 = 1.5.",
        "1.5",
    ),
    (
        f"{_MEASURE.format('two decimal places', '1.23, 1.34, 1.45')}\nQuestion: What share of the circle is shaded?",
        "A third of the circle is shaded, which is about 0.33 of it.",
        "0.33",
    ),
    (
        f"{_LISTING}\nQuestion: Between which two years did sales fall the most?",
        "Sales fall from 70 to 40 between 2011 and 2013, more than anywhere else. The years are 2011 and 2013.",
        "[2011, 2013]",
    ),
    (
        f"{_CHOOSE}\nQuestion: Which angle is the largest?\nChoices:\n(A) 1\n(B) 2\n(C) 3",
        "Angle 2 lies opposite the longest side. The correct option is (B) 2.",
        "B",
    ),
)


_LED = re.compile(r"[\s*]*extracted answer[\s*]*:[\s*]*", re.IGNORECASE)


def extraction_prompt(item: Item, response: str) -> str:
    """Five examples, the query and what the response says after its thinking, and the words after which the answer is to stand."""
    said = finding.final(response).strip()
    shown = [f"{query}\n\nModel response: {example}\n\nExtracted answer: {answer}" for query, example, answer in _EXAMPLES]
    demos = "\n\n".join([_INSTRUCTION, *shown])
    return f"{demos}\n\n{item.facts['query']}\n\nModel response: {said}\n\nExtracted answer: "


def extraction_in(item: Item, reply: str) -> str | None:  # noqa: ARG001
    """The reply without the words that the prompt ends with."""
    led = _LED.match(reply)
    return (reply if led is None else reply[led.end() :]).strip() or None
