"""Answers made from the reference: right in several notations, nearly right, and wrong. For trying a path whose models cannot answer yet."""

import re

from vold.base.types import Problem

KINDS = ("right", "mixed", "wrong")
_INTEGER = re.compile(r"[+-]?\d{1,15}")
_PLAIN_FRACTION = re.compile(r"\\[dt]?frac\{(\d+)\}\{(\d+)\}")


def scripted(problem: Problem, sample: int, *, kind: str) -> str:
    """What sample number `sample` answers: in a `right` group always the reference, in a `wrong` one never, in a `mixed` one now and then."""
    gold = problem.answer or ""
    right, other = rights(gold)
    answers: dict[str, list[str | None]] = {
        "right": [right, other],
        "mixed": [other, near_miss(gold), right, None],
        "wrong": [near_miss(gold), None, "-0.123"],
    }
    answer = answers[kind][sample % len(answers[kind])]
    said = "I cannot tell." if answer is None else f"The answer is \\boxed{{{answer}}}."
    return f"<think>\nThis answer is scripted.\n</think>\n\n{said}"


def rights(gold: str) -> tuple[str, str]:
    """The reference as it is, and in another notation: one that no comparison of strings would see through."""
    plain = gold.strip().strip("$")
    if _INTEGER.fullmatch(plain):
        number = int(plain)
        return gold, rf"\sqrt{{{number * number}}}" if 0 <= number < 10_000 else rf"\frac{{{2 * number}}}{{2}}"
    fraction = _PLAIN_FRACTION.fullmatch(plain)
    if fraction:
        return gold, rf"\frac{{{3 * int(fraction[1])}}}{{{3 * int(fraction[2])}}}"
    return gold, f" {gold} "


def near_miss(gold: str) -> str:
    """Something that looks like the reference and is not."""
    plain = gold.strip().strip("$")
    if _INTEGER.fullmatch(plain):
        return str(int(plain) + 1)
    fraction = _PLAIN_FRACTION.fullmatch(plain)
    if fraction:
        return rf"\frac{{{int(fraction[1]) + int(fraction[2])}}}{{{fraction[2]}}}"
    return f"{plain}0"
