"""What counts as the same question, and what is another problem of the same make."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vold.core.overlap import Kind, Likeness, jaccard, likeness, shingles, stands_in
from vold.core.wording import TELLING, wording

TRAIN = r"A train travels $120$ miles in $3$ hours. If it keeps the same speed, how many miles does it travel in $5$ hours?"


def alike(prompt: str, question: str, threshold: float = 0.8) -> Likeness | None:
    return likeness(wording(prompt), wording(question), threshold=threshold)


def kind(prompt: str, question: str, threshold: float = 0.8) -> Kind | None:
    found = alike(prompt, question, threshold)
    return None if found is None else found.kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (r"$\dfrac{1}{2}$", r"\(\frac12\)"),
        (r"$\left( x+1 \right)$", "(x + 1)"),
        (r"\[x \geq 3\]", "$$x≥3$$"),
        (r"$90^\circ$", "90°"),
        (r"$1{,}000$", "1000"),
        (r"$1,\!000$", "1,000"),
        ("３ Äpfel", "3 äpfel"),
        (r"a_1,\ldots,a_n", r"a_1, \dots, a_n"),
        (r"\begin{align*}x&=1\\y&=2\end{align*}", "x=1 y=2"),
        (r"$\text{cm}^2$", "cm²"),
        (r"$\theta$", "θ"),
        ("area 0.50 here", "area .5 here"),
        ("<image>How long is it?", "How long is it? ![figure](https://example.org/17.png)"),
    ],
)
def test_typesetting_does_not_count(one: str, other: str) -> None:
    first, second = wording(one), wording(other)
    assert first.figures == second.figures
    assert first.signs == second.signs
    assert first.shape == second.shape


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("12 apples and 3.50 dollars", ("12", "3.5")),
        ("$1,234$ of 12,345,678", ("1234", "12345678")),
        ("$(1,2)$ and $(1, 200)$", ("1", "2", "1", "200")),
        ("two dozen, twenty-five, thirty, half", ("2", "12", "25", "30", "0.5")),
        ("thirty six-sided dice", ("36",)),  # as it reads without hearing it
        (r"\frac34 of \binom 52", ("3", "4", "5", "2")),
        (r"x_{10}^2 + 007", ("10", "2", "7")),
        ("nobody, one of them", ()),
    ],
)
def test_numbers_are_read_in_their_order(text: str, figures: tuple[str, ...]) -> None:
    assert wording(text).figures == figures


def test_points_and_commas_of_numbers_are_no_letters() -> None:
    assert wording("1,000.5 of x_{10}").letters == "10005ofx10"


def test_the_shape_blanks_numbers_out() -> None:
    assert wording("Tom has 12 apples").shape == wording("Tom has three apples").shape == "tomhas0apples"


@pytest.mark.parametrize(
    "prompt",
    [
        TRAIN,
        "Solve the following math problem step by step. The last line of your response should be of the form Answer: $Answer (without quotes) where "
        f'$Answer is the answer to the problem.\n\n{TRAIN}\n\nRemember to put your answer on its own line after "Answer:".',
        f"{TRAIN} Please reason step by step, and put your final answer within \\boxed{{}}.",
        f"{TRAIN} The original answer is in the form of \\frac{{k}}{{m}}, please give the value of k + m.",
        f"{TRAIN}The answer is in the form \frac{{m}}{{n}}, where gcd(m, n) = 1. Please provide the value of m + n.",  # a form feed, as published
        f"{TRAIN} Express your answer as an integer.",
        TRAIN.upper().replace("$", " "),
    ],
)
def test_sentences_about_the_answer_do_not_count(prompt: str) -> None:
    assert alike(prompt, TRAIN) == Likeness(kind=Kind.EXACT, similarity=1.0)


@pytest.mark.parametrize(
    "wrapped",
    [
        "Solve: {}",
        "Question: {}\nAnswer:",
        "{} Put your answer in \\boxed{{}}.",
        "{}\nPlease reason step by step, and put your final answer within \\boxed{{}}.",
        "Hint: Please answer the question and provide the final value, e.g., 1, 2, 3, at the end.\nQuestion: {}",
    ],
)
def test_how_to_answer_does_not_count_with_short_questions(wrapped: str) -> None:
    assert kind(wrapped.format("Compute $1+2$."), "Compute $1+2$.") is Kind.EXACT
    assert kind(wrapped.format("Compute $1+3$."), "Compute $1+2$.") is None


def test_instructions_alone_are_what_is_said() -> None:
    assert wording("Please think step by step.").letters == "pleasethinkstepbystep"
    assert wording("Solve: ").letters == "solve"


ROOTS = "Let $x$ and $y$ be real numbers with $x + y = 7$ and $xy = 12$. Find the largest possible value of $x$."
BISECTOR = "In triangle $ABC$, the angle bisector of $A$ meets $BC$ at $D$. If $AB = 8$, $AC = 12$ and $BC = 10$, find $BD$."
ANGLE = r"If $\sin \theta = \frac{3}{5}$ and $\theta$ is an acute angle, compute the exact value of $\cos 2\theta$ in lowest terms."
EVEN = "How many positive integers less than 1000 are divisible by 7 and have an even sum of digits in base ten?"
LAWN = "A rectangular lawn at the back of the old town hall is 12 metres long and 5 metres wide. What is the area of this lawn?"


@pytest.mark.parametrize(
    ("question", "old", "new", "why"),
    [
        (ROOTS, "largest", "smallest", "other words"),
        (ROOTS, "of $x$", "of $y$", "other names"),
        (BISECTOR, "find $BD$", "find $CD$", "other names"),
        (ANGLE, r"\cos", r"\sin", "other words"),
        (EVEN, "even", "odd", "other words"),
        (LAWN, "area", "perimeter", "other words"),
    ],
)
def test_asking_for_something_else_is_a_template(question: str, old: str, new: str, why: str) -> None:
    found = alike(question.replace(old, new), question)
    assert found is not None
    assert (found.kind, found.why) == (Kind.TEMPLATE, why)


@pytest.mark.parametrize(
    ("question", "old", "new"),
    [
        (ROOTS, "largest", "greatest"),  # another word for the same
        (ROOTS, "Find the", "What is the"),
        (ROOTS, "the largest", "the sum of the digits of the largest"),  # more is said
        (ROOTS, "y", "z"),  # called otherwise throughout
        (BISECTOR, "find $BD$", "find the length of $DB$"),
        (EVEN, "How many", "Find how many of the"),
    ],
)
def test_asking_for_the_same_in_other_words_is_near(question: str, old: str, new: str) -> None:
    assert kind(question.replace(old, new), question, threshold=0.6) is Kind.NEAR


def test_a_sentence_about_the_answer_that_is_all_there_is_counts() -> None:
    assert wording("Please find the value of $x$.").letters == "pleasefindthevalueofx"


def test_a_question_may_stand_inside_a_longer_prompt() -> None:
    found = alike(f"You are a careful tutor. {TRAIN} Show every step of the work to the pupil.", TRAIN)
    assert found is not None
    assert (found.kind, found.why) == (Kind.EXACT, "inside a longer prompt")
    assert 0.5 < found.similarity < 0.8


@pytest.mark.parametrize(
    "prompt",
    [
        TRAIN.replace("hours?", "hoursandahalf, say?"),  # ends inside a word
        f"x{TRAIN} Show every step of the work, and check it twice with another method.",  # begins inside a word
        f"{TRAIN[:-7]}50 hours, if it does not stop on its way? Show every step of the work to the pupil.",  # ends inside a number
    ],
)
def test_it_stands_inside_from_word_to_word(prompt: str) -> None:
    assert not stands_in(wording(TRAIN), wording(prompt))


@pytest.mark.parametrize(("old", "new"), [("120", "12.0"), ("120", "1, 20"), ("+5", "-5")])
def test_it_stands_inside_with_its_numbers_and_signs(old: str, new: str) -> None:
    around = "You are a careful tutor. {} Show every step of the work to the pupil."
    signed = TRAIN.replace("hours.", "hours, or +5 or <7.")
    assert stands_in(wording(signed), wording(around.format(signed)))
    assert not stands_in(wording(signed), wording(around.format(signed.replace(old, new))))


def test_inside_needs_as_many_letters_as_it_is_told() -> None:
    prompt = f"You are a careful tutor. {TRAIN} Show every step of the work to the pupil."
    assert likeness(wording(prompt), wording(TRAIN), threshold=0.8, inside_from=200) is None


@pytest.mark.parametrize(
    "prompt",
    [
        "A train travels 120 miles in 3 hours. If it keeps the same speed, how many miles will it travel in 5 hours?",
        "A train goes 120 miles in 3 hours. If it keeps the same speed, how many miles does it travel in 5 hours?",
        "A train travels 120 miles in three hours. If it keeps the same speed, how many miles does it travel in five hours?",
    ],
)
def test_reworded_with_the_same_numbers_is_near(prompt: str) -> None:
    assert kind(prompt, TRAIN) is Kind.NEAR


@pytest.mark.parametrize(
    ("prompt", "question", "why"),
    [
        (TRAIN.replace("120", "150"), TRAIN, "other numbers"),
        (TRAIN.replace("$3$", "four"), TRAIN, "other numbers"),
        (TRAIN.replace("$3$", "$7$").replace("$5$", "$3$"), TRAIN, "other numbers"),
        (TRAIN.replace("$3$", "$5$", 1).replace("in $5$ hours?", "in $3$ hours?"), TRAIN, "other numbers"),  # swapped
        (TRAIN.replace("travels", "goes").replace("120", "150"), TRAIN, "other numbers"),  # reworded and renumbered
        (TRAIN.replace("$3$", "$3.0001$"), TRAIN, "other numbers"),
        (TRAIN.replace("120", "12.0"), TRAIN, "other numbers"),  # the same digits
        (r"What are the roots of the polynomial $x^2-3x+5=0$ over the reals?", r"What are the roots of the polynomial $x^2+3x-5=0$ over the reals?",
         "other signs"),
        (r"What is the sum of all solutions of $|x| < 7$ in whole numbers?", r"What is the sum of all solutions of $|x| > 7$ in whole numbers?",
         "other signs"),
        (f"{TRAIN} [asy]draw((0,0)--(1,1));[/asy]", f"{TRAIN} [asy]draw((0,0)--(2,1));[/asy]", "another drawing"),
    ],
)  # fmt: skip
def test_other_numbers_signs_or_drawings_are_a_template(prompt: str, question: str, why: str) -> None:
    found = alike(prompt, question)
    assert found is not None
    assert (found.kind, found.why) == (Kind.TEMPLATE, why)
    assert found.similarity >= 0.8


def test_the_same_drawing_may_be_coded_anew() -> None:
    square = f'{TRAIN} [asy]label("$25$",(0,1)); label("x",(1,1));[/asy]'
    assert kind(square, f'{TRAIN} [asy]size(4); label("$x$",(2,2)); label("25",(0,2));[/asy]') is Kind.EXACT
    other = alike(square, f'{TRAIN} [asy]label("$24$",(0,1)); label("x",(1,1));[/asy]')
    assert other is not None
    assert (other.kind, other.why) == (Kind.TEMPLATE, "another drawing")


def test_a_drawing_on_one_side_only_says_nothing() -> None:
    assert kind(TRAIN, f"{TRAIN} [asy]draw((0,0)--(1,1));[/asy]") is Kind.EXACT


@pytest.mark.parametrize(
    "prompt",
    [
        "A car travels to the sea in 3 hours. How far away is the sea, if it does 120 miles an hour for 5 hours?",
        "Compute the number of ways to seat 120 people on 3 trains, with 5 hours between them.",
        "",
        "$$ ? $$",
    ],
)
def test_other_questions_are_not_alike(prompt: str) -> None:
    assert alike(prompt, TRAIN) is None


def test_hyphens_between_words_are_no_signs() -> None:
    one = "A right-angled frustum-shaped solid -- see below -- is cut in 2 pieces."
    assert wording(one).signs == wording(one.replace("frustum-shaped", "frustum - shaped")).signs == ""
    assert wording(r"$x - y$, $2-ab$, $ab-2$, $\alpha + -1$, $\sin-\cos$").signs == "---+--"


@pytest.mark.parametrize(
    ("prompt", "question", "expected"),
    [
        ("Find $x$.", "Find x", Kind.EXACT),
        ("Find $y$.", "Find x", None),
        ("Compute $3+4$.", "Compute $3-4$.", None),
        ("Compute $3.4$.", "Compute $34$.", None),
        ("Compute $5+4$.", "Compute $3+4$.", None),
        ("Compute $\\sin 60^\\circ$.", "Compute $\\cos 60^\\circ$.", None),
        ("Find $x$. [asy]draw((0,0)--(1,1));[/asy]", "Find $x$.", None),
        ("Find $x$. [asy]draw((0,0)--(1,1));[/asy]", "Find $x$. [asy]draw((0,0) -- (1,1));[/asy]", Kind.EXACT),
        ("You are a tutor. Find $x$. Show your work to a pupil of the ninth grade, step for step.", "Find x", None),
    ],
)
def test_short_questions_are_compared_to_the_letter(prompt: str, question: str, expected: Kind | None) -> None:
    assert kind(prompt, question, threshold=0.1) is expected


def test_what_is_telling() -> None:
    assert wording("a" * TELLING).telling
    assert not wording("a, " * (TELLING - 1)).telling


def test_jaccard_by_hand() -> None:
    assert shingles("abcde") == {"abc", "bcd", "cde"}
    assert shingles("ab") == {"ab"}
    assert jaccard(shingles("abcde"), shingles("abcdx")) == pytest.approx(2 / 4)


def test_the_threshold_is_the_least_that_is_near() -> None:
    prompt = TRAIN.replace("travels", "goes")
    similarity = jaccard(shingles(wording(prompt).shape), shingles(wording(TRAIN).shape))
    assert kind(prompt, TRAIN, threshold=similarity) is Kind.NEAR
    assert kind(prompt, TRAIN, threshold=similarity + 1e-9) is None


@given(st.text(max_size=200))
def test_every_text_has_a_wording(text: str) -> None:
    said = wording(text)
    assert all(0 <= start < len(said.letters) for start in said.starts)
    assert len(said.shape) <= len(said.letters) + len(said.starts)
    if said.letters:
        assert likeness(said, said, threshold=1.0) == Likeness(kind=Kind.EXACT, similarity=1.0)


@pytest.mark.parametrize(
    "hostile",
    ["[asy]" * 20_000, "[asy]" + '"' * 100_000, "abc   " * 16_000,
     "![" * 50_000, "\\" * 100_000, "1," * 50_000, "1,000" * 20_000, "please find the value of " * 4_000, "answer is in " * 8_000,
     "\\begin{" * 14_000, "-" * 100_000, "a" * 100_000, "twenty " * 14_000, "\\frac1" * 16_000, "\\\\[" * 33_000, "ﷺ" * 20_000, "<image " * 14_000],
    ids=lambda text: repr(text[:12]),
)  # fmt: skip
def test_hostile_text_takes_time_in_proportion(hostile: str) -> None:
    began = time.perf_counter()
    said = wording(hostile)
    likeness(said, wording(TRAIN), threshold=0.8)
    likeness(said, wording(f"{hostile[:400]} and {TRAIN}"), threshold=0.8)
    likeness(wording(TRAIN), said, threshold=0.8)
    assert time.perf_counter() - began < 3
