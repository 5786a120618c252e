"""Clean-ups, boxes, graders, numbers and distances that scoring rules share: what they make of an answer, and what a hostile one costs."""

import math
import random
import time
from collections.abc import Iterator

import pytest

from vold.adapters.benchmarks import strict
from vold.adapters.benchmarks.cleaning import hendrycks, mathruler_boxed, verl_boxed, verl_equal
from vold.adapters.benchmarks.distance import distance
from vold.adapters.benchmarks.graders import mathruler_grade, normalised, prm800k_grade
from vold.adapters.benchmarks.numeric import number_in


@pytest.fixture(scope="module", autouse=True)
def _judge() -> Iterator[None]:
    yield
    strict.close()


# -- Hendrycks' clean-up and verl's reward ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\\dfrac12", "\\frac{1}{2}"),
        ("\\tfrac 1 {2}", "\\frac{1}{2}"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("\\frac1", "\\frac1"),
        ("\\sqrt3 + \\sqrt{5}", "\\sqrt{3}+\\sqrt{5}"),
        ("\\sqrt[3]{8}", "\\sqrt{[}3]{8}"),  # one sign, whatever it is: a quirk
        ("0.5", "\\frac{1}{2}"),
        (".5", "\\frac{1}{2}"),
        ("0.50", "0.50"),
        ("-3/4", "\\frac{-3}{4}"),
        ("03/4", "03/4"),
        ("1/2/3", "1/2/3"),
        ("x=5", "5"),
        ("ab=5", "5"),
        ("abc=5", "abc=5"),
        ("x=y=5", "x=y=5"),
        ("30^\\circ", "30"),
        ("30^{\\circ}", "30"),
        ("50\\%", "50"),
        ("50%", "50%"),
        ("\\$5", "5"),
        ("$5$", "$5$"),
        ("5\\text{ cm}", "5"),
        ("5\\text{cm}", "5\\text{cm}"),
        ("\\left( 1, 2 \\right)", "(1,2)"),
        ("1\\!000", "1000"),
        ("{.5}", "{0.5}"),
        ("", ""),
    ],
)
def test_hendrycks(text: str, cleaned: str) -> None:
    assert hendrycks(text) == cleaned


@pytest.mark.parametrize("text", ["1\\text{ cm} or \\text{ m}\\text{ x}", "2\\sqrt", "\\frac"])
def test_what_the_original_stumbles_over_stays_as_it_was(text: str) -> None:
    assert hendrycks(text) is None
    assert verl_equal(text, text)
    assert not verl_equal(text, text + " ")


@pytest.mark.parametrize(("given", "gold"), [("x = 0.5", "\\frac12"), ("1/2", "\\dfrac{1}{2}"), ("5 \\text{ cm}", "5"), ("45^\\circ", "45")])
def test_verl_calls_these_equal(given: str, gold: str) -> None:
    assert verl_equal(given, gold)


@pytest.mark.parametrize(
    ("given", "gold"),
    [("2/4", "1/2"), ("5.0", "5"), ("{5}", "5"), ("50%", "50"), ("1,000", "1000"), ("\\text{5}", "5"), ("5 cm", "5"), ("b", "B"), ("5.", "5")],
)
def test_verl_calls_these_different(given: str, gold: str) -> None:
    assert not verl_equal(given, gold)


@pytest.mark.parametrize(
    ("text", "verl", "mathruler"),
    [
        ("\\boxed{a{b}c} }", "a{b}c", "a{b}c"),
        ("\\boxed{1} \\boxed{ 2 }", " 2 ", "2"),
        ("\\boxed{1} \\boxed{2", None, "None"),
        ("\\boxed 7$ more", "7", "None"),
        ("\\boxed{5} $\\boxed 6$", "6", "5"),
        ("\\fbox{9}", None, "None"),
        ("\\boxed(3) {4}", None, "None"),
        ("\\boxed{}", "", ""),
        ("none", None, "None"),
    ],
)
def test_boxes(text: str, verl: str | None, mathruler: str) -> None:
    assert verl_boxed(text) == verl
    assert mathruler_boxed(text) == mathruler


# -- PRM800K and MathRuler ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\\text{ East }", "east"),
        ("5.00", "5"),
        ("1,234", "1234"),
        ("7\\frac{3}{4}", "7+3/4"),
        ("3\\sqrt{2}", "3sqrt(2)"),
        ("\\sqrt[3]{2}", "sqrt(2)"),  # the degree is lost: a quirk
        ("5 \\text{ centimeters}", "5"),
        ("60 meters^2", "60"),
        ("dayton", "ton"),  # a unit inside a word: a quirk
        ("3 million", "3*10^6"),
        ("1 or 2", "1,2"),
        ("- 5", "-5"),
        ("{x}", "x"),
        ("(-\\infty, 3]", "(-inf,3]"),
        ("\\unknown{x}", "x"),
        ("", ""),
    ],
)
def test_the_normalised_form(text: str, plain: str) -> None:
    assert normalised(text) == plain


RIGHT = [
    ("5.0", "5"), ("{5}", "5"), ("$5$", "5"), ("5 degrees", "5"), ("\\text{east}", "East"), ("x", "X"), ("1,000", "1000"),
    ("\\sqrt{8}", "2\\sqrt{2}"),
    ("0.25", "\\frac{1}{4}"), ("(1, 2)", "(1,2)"), ("(0.25, 3)", "(1/4, 3)"), ("2x+x", "3x"), ("7 3/4", "7\\frac{3}{4}"), ("\\$5", "5"),
    ("x=5", "y=5"),  # names of at most two signs go: a quirk
]  # fmt: skip
WRONG = [
    ("2/4", "1/2"), ("4/2", "2"), ("2.5", "2"), ("(1,2]", "(1,2)"), ("(1,2,3)", "(1,2)"), ("(2,1)", "(1,2)"), ("", "5"), ("x^{10}", "x^{11}"),
    ("abc", "acd"), ("2\\pi.", "2\\pi"), ("abc=5", "5"), ("5 dollars", "5"), ("1.41", "\\sqrt{2}"), ("-5", "5"), ("1", "one"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "gold"), RIGHT)
def test_graders_call_these_right(given: str, gold: str) -> None:
    assert prm800k_grade(given, gold)
    assert mathruler_grade(given, gold)


@pytest.mark.parametrize(("given", "gold"), WRONG)
def test_graders_call_these_wrong(given: str, gold: str) -> None:
    assert not prm800k_grade(given, gold)
    assert not mathruler_grade(given, gold)


def test_graders_on_no_answer() -> None:
    assert not prm800k_grade(None, "5")
    assert not mathruler_grade(None, "5")


# -- numbers ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12), ("-12", -12), ("1,000", 1000), ("1,000.5", 1000.5), (".5", 0.5), ("3.0", 3), ("5.", 5), ("5\\%", 0.05), ("200\\%", 2),
        ("\\frac{1}{2}", 0.5), ("-\\frac{3\\sqrt{2}}{2}", -1.5 * math.sqrt(2)), ("2\\pi", 2 * math.pi), ("\\pi2", 2 * math.pi),
        ("$6\\sqrt{2}$", 6 * math.sqrt(2)),
        ("7\\frac{3}{4}", 5.25),  # a product, not a mixed number: a quirk
        ("1/2\\pi", 1 / (2 * math.pi)), ("1:1", 1.0), ("12:7", 12 / 7), ("2--3", 5), ("2\\cdot-3", -6), ("2(3)(4)", 24), ("2^{10}", 1024),
        ("2^3^2", 64), ("2^{-1}", 0.5),
        ("-2^2", -4), ("3!", 6), ("3!^2", 6), ("\\binom{5}{2}", 10), ("\\sqrt[3]{27}", 3.0), ("\\log_{2}8", 3.0), ("\\log100", 2.0),
        ("\\sin(2)", math.sin(2)),
        ("\\sin2\\pi+1", math.sin(2 * math.pi) + 1), ("\\cos^2(1)", math.cos(1) ** 2), ("\\sin^{-1}(1)", math.pi / 2), ("e^{2}", math.exp(2)),
        ("\\exp(2)", math.exp(2)),
        ("\\lfloor3.5\\rfloor", 3), ("[5]", 5), ("\\{5\\}", 5), ("x=5", 5), ("101_{2}", 101), ("5 6", 30),
        ("6\\sqrt{2}}centimeters.", 6 * math.sqrt(2)), ("1.sincea", 1),
    ],
)  # fmt: skip
def test_numbers(text: str, value: float) -> None:
    found = number_in(text)
    assert found == pytest.approx(value, rel=1e-12)
    assert isinstance(found, int) == isinstance(value, int)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "2x", "e", "2e", "i", "12\\mathrm{~m}", "\\text{5}", "12cm", "12 m", "50%", "30^\\circ", "30°", "\\sqrt2", "\\frac12", "√2", "2×3",
        "5,", "1,2", "(3,-4)", "5+",
        "2^", "2^-1", "2**3", "(5", "\\pm5", "|3|", "\\ln2", "\\infty", "1/0", "\\frac{1}{0}", "\\sqrt{-4}", "(-8)^{1/3}", "3.5!", "(-1)!", "3<4",
        "5=5", "x=5=5",
        "\\boxed{5}", "\\unknown5", "9^{9^{9}}", "10^{99999}", "2000!", "\\log0", "\\binom{5.5}{2}", "?", "$", "5?",
        "\\begin{pmatrix}1\\end{pmatrix}", "\\sum_{i=1}^{3}i",
    ],
)  # fmt: skip
def test_no_numbers(text: str) -> None:
    assert number_in(text) is None


# -- distance -----------------------------------------------------------------------------------------------------------------------


def _by_table(left: str, right: str) -> int:
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        above, row[0] = row[0], i
        for j, b in enumerate(right, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (a != b))
    return row[-1]


def test_distance_is_that_of_the_table() -> None:
    draw = random.Random(20260)
    for _ in range(1500):
        left, right = ("".join(draw.choices("abc", k=draw.randint(0, 12))) for _ in range(2))
        assert distance(left, right) == _by_table(left, right)
    long, option = "".join(draw.choices("ab ", k=400)), "".join(draw.choices("ab ", k=150))
    assert distance(long, option) == _by_table(long, option)


# -- hostile text -------------------------------------------------------------------------------------------------------------------

HOSTILE = {
    "open": "\\frac{" * 17_000,
    "roots": "\\sqrt" * 20_000,
    "braces": "{" * 100_000,
    "boxes": "\\boxed{" * 14_000,
    "brackets": "(" * 100_000,
    "digits": "1" * 100_000,
    "products": "9 " * 50_000,
    "powers": "9^9" * 33_000,
    "signs": "-" * 100_000,
    "groups": "1,111" * 20_000,
    "slashes": "/".join(["1"] * 50_000),
    "blanks": "1" + " " * 100_000 + "x",
    "units": "meter " * 16_000,
    "factorials": "9" + "!" * 100_000,
    "backslashes": "\\" * 100_000,
    "text": "\\text{" * 16_000,
    "surrogate": "\ud800" * 1000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_answers_are_read_in_no_time(name: str) -> None:
    text = HOSTILE[name]
    start = time.perf_counter()
    hendrycks(text)
    verl_boxed(text)
    mathruler_boxed(text)
    number_in(text)
    normalised(text)
    assert not prm800k_grade(text, "5")
    distance(text, "some option")
    assert time.perf_counter() - start < 2.0


def test_nothing_is_run_as_code() -> None:
    for text in ("__import__('os').system('true')", "().__class__", "exec(1)", "\\sin(__import__('os'))", "lambda: 1"):
        assert number_in(text) is None
        assert not prm800k_grade(text, "5")
