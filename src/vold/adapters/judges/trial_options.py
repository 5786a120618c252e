"""Drawn sentences about options, with the letter they name and letters they do not: what the choice judge is tried on."""

import random

from vold.adapters.judges.trial_values import Made

NAMES = r"""
X | (X) | X. | X; | X) | [X] | \text{X} | \textbf{(X)} | \textsf{X} | \operatorname{X} | \underline{X} | \left(X\right) | *X* | **X** | "X" | $X$
X is correct | X is the correct answer. | X because Y is wrong | X, because Y is wrong | (X) Y | X = 5 | X. 5 | X) 5 | X: 12 cm | X 12 cm
The answer is X | The answer is X. | The answer is (X). | The answer is X and not Y. | The answer is X, not Y. | The answer is X because Y is wrong
Therefore, X is the correct answer. | Therefore (X) is correct. | I choose X because Y is wrong | Option Y is wrong, so Option X is the answer
The correct option is X. | Y is not correct; X is the correct option | Since Y is incorrect, the answer must be X. | \textbf{(X)}\ 12 | (X) a car
X since it is larger
"""
NAMELESS = """
X or Y | X, Y | X and Y | XY | X car | X is wrong | X is not correct | neither X nor Y is correct | The answer is X or Y. | X+Y | point X | not X
Option X is wrong | If X is correct, then so is Y | X is correct or Y is correct | Is it (X)? No, (Y). | The answer is either X or Y | TRUE | 12 | WXE
"""


def _sentences(table: str) -> list[str]:
    return [sentence.strip() for line in table.strip().splitlines() for sentence in line.split(" | ")]


def choice(draw: random.Random) -> Made:
    """What names X is right for X, and wrong for Y; what names none or two is wrong for both."""
    one, other = draw.sample("ABCDE", 2)

    def filled(sentence: str, x: str, y: str) -> str:
        return "".join({"X": x, "Y": y}.get(sign, sign) for sign in sentence)

    named = [filled(sentence, one, other) for sentence in _sentences(NAMES)]
    missed = [filled(sentence, other, one) for sentence in _sentences(NAMES)]
    return draw.choice([one, f"({one})", rf"\text{{{one}}}"]), named, missed + [filled(sentence, one, other) for sentence in _sentences(NAMELESS)]
