"""Option finders of two toolkits: their order of places, their quirks, and what a hostile response costs."""

import time

import pytest

from vold.adapters.benchmarks.letters import can_infer, extract_mcq_answer, last_closed_box, lmms_extract, lmms_format, lmms_rule, parse_mcq

FRUIT = {"A": "apple", "B": "banana", "C": "cherry", "D": "dragon fruit"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("**B**", "B"),
        ("So it must be B.", "B"),
        ("\\boxed{B}", "B"),  # braces part: the letter is a token of its own
        ("B is what one would say of it", None),  # not among the last four tokens
        ("B is what one says", None),
        ("I say B is right", "B"),  # four tokens from the end
        ("say B is right now", "B"),
        ("say B is right just now", None),
        ("The answer is B, for there are five of them in the picture", "B"),  # stated, wherever it is
        ("The answer is **C** as one can see in it", "C"),
        ("the answer is about five metres long", "A"),  # no word boundary: a quirk
        ("Neither, the answer is D or E, for all one knows of it", "D"),
        ("banana", "B"),
        ("A banana I would say of it", "B"),
        ("apple or banana", None),  # two texts
        ("b", None),  # letters are capitals, and no text is in it
        ("Z", "Z"),
        ("Cannot determine the answer, but B", "Z"),
        ("Sorry, I can't help with images of people yet.", "Z"),
        ("Failed to obtain answer via API. B", None),
        ("", None),
        ("E", None),
        ("it is a banana " + "by every look of it " * 10, None),  # longer than twice all texts
    ],
)
def test_can_infer(answer: str, letter: str | None) -> None:
    assert can_infer(answer, FRUIT) == letter


def test_can_infer_with_ten_options_states_only_four() -> None:
    ten = {letter: f"option text {number}" for number, letter in enumerate("ABCDEFGHIJ")}
    assert can_infer("J", ten) == "J"
    assert can_infer("The answer is J because of all that was said before it", ten) is None
    assert can_infer("The answer is D because of all that was said before it", ten) == "D"
    assert can_infer("The answer is D because of all that was said before it", {"A": "x", "B": "y"}) is None


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(C)", "C"),
        ("Answer: B", "A"),  # the capital of `Answer` begins the text
        ("answer: B", "B"),
        ("Clearly (B)", "C"),  # no check of the sign after the first
        ("it is D", "D"),
        ("the answer is C or so, not (D) at all", "C"),  # a phrase before brackets
        ("2. B of 3. A here", "B"),  # the number of the letter
        ("one (D) of them", "D"),
        ("say D. or E: now", "D"),
        ("say E: or F) now", "E"),
        ("say F) or G now", "F"),
        ("say G now, or H-like", "G"),
        ("say H-like", "H"),
        ("xBx", "B"),
        ("nothing", ""),
        ("", ""),
        ("“D”", "D"),
        ("'D'.", "D"),
    ],
)
def test_parse_mcq(text: str, letter: str) -> None:
    assert parse_mcq(text) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("Answer: B", "B"),
        ("Clearly it (B)", "B"),
        ("CAB", "B"),
        ("A car, option B: yes", "A"),  # stands alone at the beginning
        ("see (A) and (B) there", "B"),  # the last of equal places
        ("the answer is B, not C", "C"),  # the end goes before the phrase
        ("the answer is B, not C at all", "C"),  # both after the phrase, and the last counts
        ("option (B) above: A car", "B"),
        ("정답은 D 입니다", "D"),
        ("答案是C，不是别的", "C"),
        ("nothing", ""),
        ("", ""),
    ],
)
def test_extract_mcq_answer(text: str, letter: str) -> None:
    assert extract_mcq_answer(text, "ABCD") == letter


def test_extract_mcq_answer_knows_only_its_choices() -> None:
    assert extract_mcq_answer("E", "ABCD") == ""
    assert extract_mcq_answer("E", "ABCDE") == "E"


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("<answer> 12 </answer> \\boxed{5}", " 12 "),
        ("<answer>1</answer><answer>2</answer>", "1"),
        ("<answer>12 \\boxed{5}", "5"),
        ("\\boxed{\\frac{1}{2}} then \\boxed{3", "\\frac{1}{2}"),
        ("first\nso 12.\nmore words", "12"),
        ("it is 1.5 .", "1.5"),
        ("x15", ""),
        ("x1.5", "5"),
        ("1.2.3", "2.3"),
        ("12 apples", ""),
        ("7..", ""),
        ("", ""),
    ],
)
def test_lmms_extract(response: str, found: str) -> None:
    assert lmms_extract(response) == found


@pytest.mark.parametrize(
    ("response", "gold", "right"),
    [
        ("<answer>(B) 12</answer>", "B", 1.0),
        ("<answer>B</answer>", "A banana", 0.0),  # the reference has a capital A
        ("<answer>All of it</answer>", "A banana", 1.0),  # so has the answer: a quirk
        ("<answer>12.</answer>", "12", 1.0),
        ("<answer>nine pieces of it</answer>", "nine pieces of it!", 1.0),  # nine tenths of the text
        ("<answer>nine</answer>", "nine pieces", 0.0),
        ("<answer>0.5</answer>", "\\frac{1}{2}", 1.0),
        ("<answer>0.51</answer>", "\\frac{1}{2}", 0.0),
        ("no answer here", "12", 0.0),
    ],
)
def test_lmms_rule(response: str, gold: str, right: float) -> None:
    assert lmms_rule(response, gold) == right


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("<think>a</think> b <answer>c</answer>", 1.0),
        ("<analysis>a</analysis><answer>c</answer>", 1.0),
        ("<think>a</think> b <answer>c</answer> d", 0.0),
        (" <think>a</think><answer>c</answer>", 0.0),
        ("<analysis>a</think><answer>c</answer>", 0.0),
        ("\\boxed{1}", 1.0),
        ("\\boxed{1", 0.0),
        ("we add 3 + 4 and then look at the picture once again, so 7", 0.8),
        ("we look at the picture once again and see what there is: 7", 0.0),  # no work
        ("3 + 4 = 7", 0.0),  # short
    ],
)
def test_lmms_format(response: str, score: float) -> None:
    assert lmms_format(response) == score


def test_the_last_closed_box_counts_every_brace() -> None:
    assert last_closed_box("\\boxed{\\{1}, 2\\}}") == "\\{1}, 2\\"
    assert last_closed_box("\\boxed{1} \\boxed{2") == "1"
    assert last_closed_box("\\boxed{1 \\boxed{2}}") == "2"
    assert last_closed_box("}{") is None


HOSTILE = {
    "tags": "<answer>" * 12_000,
    "boxes": "\\boxed{" * 14_000,
    "digits": "1" * 100_000 + "x",
    "numbers": "1.2." * 25_000,
    "blanks": "answer is" + " " * 100_000 + "x",
    "answers": "the answer is " * 7_000,
    "letters": "A " * 50_000,
    "closing": "<think>" + "</think>" * 12_000,
    "lines": "1\n" * 49_999 + "x",
    "stars": "answer is " + "*" * 100_000,
    "surrogate": "\ud800" * 50_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_response_is_read_in_no_time(name: str) -> None:
    text = HOSTILE[name]
    start = time.perf_counter()
    can_infer(text, FRUIT)
    parse_mcq(text)
    extract_mcq_answer(text, "ABCD")
    lmms_extract(text)
    lmms_format(text)
    assert time.perf_counter() - start < 1.0
