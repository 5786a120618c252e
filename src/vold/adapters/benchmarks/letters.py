"""Finders of option letters and short answers as two widely used evaluation toolkits have them, quirks included.

`can_infer` is VLMEvalKit's; `parse_mcq`, `extract_mcq_answer` and the rule for reasoning variants (`lmms_…`) are lmms-eval's. They are kept so that
a number made here can stand beside one made there; which answers deserve to be right is the strict mode's business.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from vold.adapters.benchmarks.strict import same_value

_UNSENT = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)
_SEPARATORS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_STATED = re.compile(r"(?:correct\s+)?answer\s+is\s+\**([ABCD])\**", re.IGNORECASE)


def can_infer(answer: str, choices: Mapping[str, str]) -> str | None:
    """The option an answer names by its letter or by its text; `Z` for a refusal, None where nothing can be inferred."""
    if _UNSENT in answer:
        return None
    if any(refusal in answer for refusal in _REFUSALS):
        return "Z"
    tokens = answer.translate(_SEPARATORS).split()
    present = set(tokens)
    named = [letter for letter in choices if letter in present]
    if len(named) == 1 and tokens.index(named[0]) > len(tokens) - 5:
        return named[0]
    if not named and "Z" in present:
        return "Z"
    stated = _STATED.search(answer)
    if stated is not None and stated[1].upper() in choices:
        return stated[1].upper()
    said = answer.lower()
    if len(said) > 2 * sum(len(text) for text in choices.values()):
        return None
    found = [letter for letter, text in choices.items() if text.lower() in said]
    return found[0] if len(found) == 1 else None


_LETTERS = "ABCDEFGH"
_MARKS = ",.!?;:'\""
_SURE = """
    the answer is, answer is, the correct answer is, correct answer is, the best answer is, best answer is, the correct option is, correct option is,
    the choice is, choice is, the correct choice is, correct choice is, i choose, i select, i pick, my answer is, my choice is
"""
_ENGLISH = "the answer, answer, correct answer, the correct answer, the best answer, best answer, the option is, option is"
_OTHERS = "the best option is, best option is, 옵션, 정답은, 답은, 답:, 答案是, 答案为, 选, 答えは"
_PARSED = tuple(phrase.strip() for phrase in f"{_SURE}, {_ENGLISH}".split(","))
_EXTRACTED = tuple(phrase.strip() for phrase in f"{_SURE}, {_OTHERS}".split(","))
_SHAPES = ((6, "({})"), (5, "{}."), (4, "{}:"), (3, "{})"), (2, "{} "))
_LOOSE_SHAPES = (*_SHAPES, (1, "{}-"), (1, "{}_"), (1, "{}="))

_Candidate = tuple[int, int, str]
"""How much the place says, where it is, and the letter there."""


def parse_mcq(text: str) -> str:
    """The letter A to H that seems most meant; empty for none. Any capital A to H will do, also inside a word."""
    padded = _padded(text)
    bare = padded.strip()
    found: list[_Candidate] = []
    for number, letter in enumerate(_LETTERS, 1):
        found += [(10, 0, letter)] if bare.startswith(letter) else []
        found += [(9, len(padded) - 1, letter)] if bare.endswith(letter) else []
        found += _shaped(padded, letter, ((8, f"{number}. {{}}"), *_LOOSE_SHAPES))
    found += _declared(padded, _PARSED, _LETTERS, after=False)
    found = found or _anywhere(padded, _LETTERS)
    return min(found, key=lambda one: (-one[0], one[1], one[2]))[2] if found else ""


def extract_mcq_answer(text: str, choices: Sequence[str]) -> str:
    """The letter of `choices` that seems most meant; empty for none. At both ends a letter must stand alone, and of equal places the last counts."""
    padded = _padded(text)
    bare = padded.strip()
    found: list[_Candidate] = []
    for letter in choices:
        found += [(10, 0, letter)] if bare.startswith(letter) and not bare[1:2].isalpha() else []
        found += [(9, len(padded) - 1, letter)] if bare.endswith(letter) and not bare[-2:-1].isalpha() else []
        found += _shaped(padded, letter, _SHAPES)
    found += _declared(padded, _EXTRACTED, choices, after=True)
    found = found or _anywhere(padded, choices)
    return min(found, key=lambda one: (-one[0], -one[1], one[2]))[2] if found else ""


def _padded(text: str) -> str:
    for mark in _MARKS:
        text = text.strip(mark)
    return f" {text} "


def _shaped(text: str, letter: str, shapes: Sequence[tuple[int, str]]) -> Iterator[_Candidate]:
    for rank, shape in shapes:
        at = text.rfind(shape.format(letter))
        if at >= 0:
            yield rank, at, letter


def _declared(text: str, phrases: Sequence[str], letters: Sequence[str], *, after: bool) -> Iterator[_Candidate]:
    """The first place of each letter from a phrase on, or after it: where the phrase itself counts, the A of `Answer` is a letter."""
    lowered = text.lower()
    for phrase in phrases:
        start = lowered.find(phrase)
        if start < 0:
            continue
        for letter in letters:
            at = text.find(letter, start + len(phrase) if after else start)
            if at >= 0:
                yield 7, at, letter


def _anywhere(text: str, letters: Sequence[str]) -> list[_Candidate]:
    return [(0, text.rfind(letter), letter) for letter in letters if letter in text]


_BOXES = re.compile(r"\\boxed\{|[{}]")
_SHOWS_WORK = frozenset("=+-*/()[]\\")
_THOUGHTS = ("think", "analysis")
_NEARLY = 0.9
"""Share of a text that another one inside it must have to count as the same."""


def lmms_extract(response: str) -> str:
    """The first answer tag, else the last closed box, else the number that ends the last line that ends in one; empty for none."""
    for found in (_first_tag(response), last_closed_box(response)):
        if found is not None:
            return found
    return next((number for line in reversed(response.split("\n")) if (number := _number_at_end(line))), "")


def last_closed_box(text: str) -> str | None:
    r"""The content of the last `\boxed{` that is closed, as it stands; every brace counts, also that of `\{`."""
    opened: list[int | None] = []
    found: tuple[int, int] | None = None
    for match in _BOXES.finditer(text):
        if match[0] != "}":
            opened.append(None if match[0] == "{" else match.end())
        elif opened:
            start = opened.pop()
            if start is not None and (found is None or start > found[0]):
                found = start, match.start()
    return None if found is None else text[found[0] : found[1]]


def lmms_rule(response: str, gold: str) -> float:
    """1 or 0 for the answer found: by its letter where the reference has any capital A to H, else as nearly the same text or the same value.

    The original leaves the value to math-verify, which of LaTeX without dollar signs reads no more than its last number; here the exact
    comparison of the strict mode decides.
    """
    found, wanted = _trimmed(lmms_extract(response)), _trimmed(gold)
    letter = parse_mcq(wanted)
    if letter:
        return float(parse_mcq(found) == letter)
    return float(_nearly(found, wanted) or same_value(found, wanted) is True)


def lmms_format(response: str) -> float:
    """1 for thoughts and answer in their tags or for any box, 0.8 for a longer text that shows work and has an answer, else 0."""
    if any(_in_tags(response, thoughts) for thoughts in _THOUGHTS) or last_closed_box(response) is not None:
        return 1.0
    return 0.8 if len(response) > 50 and not _SHOWS_WORK.isdisjoint(response) and lmms_extract(response) else 0.0


def _first_tag(response: str) -> str | None:
    _, opened, rest = response.partition("<answer>")
    inner, closed, _ = rest.partition("</answer>")
    return inner if opened and closed else None


def _number_at_end(line: str) -> str:
    """`12` or `1.5` at the end of a line, before blanks and one full stop; empty where there is none, or a letter stands before it."""
    text = line.rstrip()
    text = text.removesuffix(".").rstrip() if text.endswith(".") else text
    digits = _digits_before(text, len(text))
    if digits == len(text):
        return ""
    if text[digits - 1 : digits] == ".":
        whole = _digits_before(text, digits - 1)
        if whole < digits - 1 and not _is_word(text[whole - 1 : whole]):
            return text[whole:]
    return "" if _is_word(text[digits - 1 : digits]) else text[digits:]


def _digits_before(text: str, end: int) -> int:
    """Where the run of digits that ends at `end` begins."""
    while end and text[end - 1].isdecimal():
        end -= 1
    return end


def _is_word(sign: str) -> bool:
    return sign.isalnum() or sign == "_"


def _trimmed(text: str) -> str:
    return text.removesuffix(".").strip()


def _nearly(found: str, wanted: str) -> bool:
    shorter, longer = sorted((found, wanted), key=len)
    return found.strip() == wanted.strip() or (shorter in longer and len(shorter) >= _NEARLY * len(longer))


def _in_tags(response: str, thoughts: str) -> bool:
    """Whether the response is, from its first sign to its last, thoughts in their tags, then anything, then an answer in its tags."""
    thought = response.find(f"</{thoughts}>") if response.startswith(f"<{thoughts}>") else -1
    answer = response.find("<answer>", thought) if thought >= 0 else -1
    return answer >= 0 and response.endswith("</answer>")
