"""MMMU-Pro: three settings of one question, pictures where the text shows them, the official parser with its quirks."""

import io
import string
import time
from typing import Any

import pytest
from PIL import Image

from vold.adapters.benchmarks.mmmu_pro import LINE, SPEC, measures
from vold.adapters.benchmarks.spec import Graded, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

TEN = ["$10,000", "$12,000", "$15,000", "$18,000", "$20,000", "$25,000", "$30,000", "$35,000", "$40,000", "$300,000"]


def picture(shade: int) -> bytes:
    stream = io.BytesIO()
    Image.new("L", (4, 4), shade).save(stream, "PNG")
    return stream.getvalue()


def row(**given: Any) -> dict[str, Any]:
    """A row of the standard settings; `images` numbers its pictures."""
    shown = {f"image_{number}": {"bytes": picture(number), "path": None} for number in given.pop("images", (1,))}
    plain = {"id": "test_Accounting_365", "question": "What is missing in <image 1>?", "options": repr(TEN), "answer": "G", "subject": "Accounting"}
    return {**plain, **dict.fromkeys([f"image_{number}" for number in range(1, 8)]), **shown, **given}


def item(subset: str = "standard (10 options)", **given: Any) -> Item:
    return SPEC.item(row(**given), subset, None)


def vision(**given: Any) -> Item:
    return SPEC.item(
        {"id": "test_Art_1", "image": {"bytes": picture(9), "path": None}, "options": repr(TEN), "answer": "G", "subject": "Art", **given},
        "vision",
        None,
    )


def test_a_row_of_each_setting() -> None:
    ten, four = item(), item("standard (4 options)", options=repr(TEN[3:7]), answer="D")
    assert (ten.id, four.id, vision().id) == (
        "mmmu-pro/standard-10/test_Accounting_365",
        "mmmu-pro/standard-4/test_Accounting_365",
        "mmmu-pro/vision/test_Art_1",
    )
    assert ten.cluster == four.cluster == "test_Accounting_365"
    assert ten.parts == {"setting": "standard-10", "subject": "Accounting"}
    assert (ten.options, ten.answer, four.options) == (tuple(TEN), "G", tuple(TEN[3:7]))
    assert vision().images == (picture(9),)
    assert SPEC.usual == ("standard (10 options)", "vision")


def test_prompts_byte_for_byte() -> None:
    short = item(options="['one', 'two']", answer="A")
    assert SPEC.ask(short, Style.OFFICIAL) == (
        "What is missing in <image>?\nA. one\nB. two\nAnswer the preceding multiple choice question. The last line of your response should be of the "
        "following format: 'Answer: $LETTER' (without quotes) where LETTER is one of options. Think step by step before answering."
    )
    assert SPEC.ask(short, Style.DIRECT) == (
        "What is missing in <image>?\nA. one\nB. two\nAnswer with the option letter from the given choices directly."
    )
    assert SPEC.ask(short, Style.REASONING) == "What is missing in <image>?\nA. one\nB. two"
    assert SPEC.ask(vision(), Style.OFFICIAL) == (
        "<image>Write out the multiple-choice question in the image and then solve it. The last line of your response should be of the following "
        "format: 'Answer: $LETTER' (without quotes) where LETTER is one of options. Think step by step before answering."
    )
    assert SPEC.ask(vision(), Style.DIRECT) == f"<image>Answer with the option letter from the given choices directly. {LINE}"
    assert SPEC.ask(vision(), Style.REASONING) == "<image>Answer the following multiple-choice question in the image."


def test_pictures_are_in_the_order_of_their_marks() -> None:
    shuffled = item(
        question="Compare <image 2> with <image 1>: <image 2> is", options="['<image 4>', 'like <image 3>']", answer="A", images=(1, 2, 3, 4)
    )
    assert shuffled.images == tuple(picture(number) for number in (2, 1, 2, 4, 3))
    assert SPEC.ask(shuffled, Style.REASONING) == "Compare <image> with <image>: <image> is\nA. <image>\nB. like <image>"
    unnamed = item(question="Which of <image 2>?", images=(1, 2, 5))
    assert unnamed.images == tuple(picture(number) for number in (1, 5, 2))
    assert SPEC.ask(unnamed, Style.REASONING).startswith("<image><image>Which of <image>?\nA. ")
    beyond = item(question="<image 1> and <image 30>")  # a row has seven pictures: higher marks stay words
    assert SPEC.ask(beyond, Style.REASONING).startswith("<image> and <image 30>\nA. ")
    for style in Style:
        for one in (shuffled, unnamed, beyond, vision()):
            assert SPEC.ask(one, style).count("<image>") == len(one.images)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"images": ()}, "no image for the mark <image 1>"),
        ({"images": (), "question": "No mark"}, "no image"),
        ({"question": "<image 1> and <image 3>"}, "no image for the mark <image 3>"),
        ({"question": "the tag <image> of <image 1>"}, "without a number"),
        ({"image_1": {"bytes": picture(1)[:40], "path": None}}, "cannot be read"),
        ({"options": "[]"}, "options are empty"),
        ({"options": None}, "options are empty"),
        ({"options": "['a', 'b'"}, "no Python literal"),
        ({"options": "[open('/etc/passwd')]"}, "no Python literal"),
        ({"options": "__import__('os').system('true')"}, "no Python literal"),
        ({"options": "[" * 5000 + "]" * 5000}, "no Python literal"),
        ({"options": "-" * 15_000 + "1"}, "no Python literal"),
        ({"options": repr(["x" * 30_000])}, "more than 20000 characters"),
        ({"options": "{'A': 'one'}"}, "no list but dict"),
        ({"options": repr(["x"] * 27)}, "more than there are letters"),
        ({"answer": "?"}, "no option letter"),
        ({"answer": None}, "no answer"),
        ({"question": "  "}, "question is empty"),
        ({"subject": None}, "no subject"),
        ({"id": None}, "no id"),
    ],
)
def test_a_broken_row_says_why(given: dict[str, Any], why: str) -> None:
    with pytest.raises(BadRow, match=why.replace("(", r"\(")):
        item(**given)


def test_a_subset_says_which_setting_it_is() -> None:
    with pytest.raises(BadRow, match="which setting is subset 'test'"):
        item("test")
    shown = {"id": "v", "image": {"bytes": picture(9), "path": None}, "options": "['a']", "answer": "A", "subject": "Art"}
    assert SPEC.item(shown, "test", None).id == "mmmu-pro/vision/v"


def test_one_option_and_twelve() -> None:
    one = item(options="[['A', 'B', 'Not enough information']]", answer="B")
    assert one.options == ("['A', 'B', 'Not enough information']",)
    assert SPEC.ask(one, Style.REASONING).endswith("?\nA. ['A', 'B', 'Not enough information']")
    assert {official(SPEC, one, response).ruling for response in ("Answer: B", "B", "(B)", "Answer: A")} == {Ruling.WRONG}
    assert SPEC.strict(one, "Answer: B").ruling is Ruling.UNJUDGED
    twelve = item(options=repr(list(string.ascii_lowercase[:12])), answer="L")
    assert official(SPEC, twelve, "Answer: L").ruling is Ruling.RIGHT


@pytest.mark.parametrize(
    ("response", "found"),
    [
        ("…\n\nAnswer: G", "G"),
        ("Answer: (H)", "H"),
        ("(A) is not it. Answer: A\nAnswer: B", "B"),  # the last one
        ("Answer: DNA", "A"),  # D and A are in it: then a letter before a blank, and that is the A of DNA
        ("Answer: B because", "B"),
        ("Answer: C. Correct", "C"),  # letters are counted once
        ("Answer: C. Definitely", "C"),  # D besides: the letter before a full stop
        ("answer: g", None),
        ("(A) is less likely than (G) or (B)", "B"),  # the last
        ("(B) then (A) then (B) again", "B"),
        ("D. A conflict crime", "A"),  # an article is an option
        ("THE ALPHA", "A"),
        ("I think so", "I"),
        ("G", "G"),
        ("'G.'", "G"),  # kind by kind: the quotes come off last
        (".'G'.", "G"),
        ("G.", "G"),
        ("it is E.g", "E"),
        ("So it comes to about $30,000 in the end", "G"),
        ("it must now be $30,000", None),  # five words are too few for option texts
        ("it went from $30,000 to $12,000 over this year", "B"),
        ("of the $300,000 that were asked for", "J"),
        ("", None),
        ("I'm sorry, nothing is to be seen here", None),
        ("<think>\nAnswer: F\n</think>\nAnswer: G", "G"),
    ],
)
def test_the_official_parser(response: str, found: str | None) -> None:
    assert SPEC.extract(item(), response) == found
    assert official(SPEC, item(), response).ruling is (Ruling.RIGHT if found == "G" else Ruling.WRONG)


def test_letters_are_those_of_the_item() -> None:
    few = item(options="['one', 'two']", answer="A")
    assert SPEC.extract(few, "Answer: A, not C or D") == "A"
    assert SPEC.extract(few, "(C)") is None


def test_a_verdict_on_what_others_extracted() -> None:
    assert SPEC.accepts(item(), " G ")
    assert not any(SPEC.accepts(item(), said) for said in (None, "", "g", "GG", "H", "$30,000"))


NEAR_MISSES = [
    r"\boxed{F}", r"\boxed{$300,000}", r"\boxed{$3,000}", r"\boxed{-$30,000}", r"\boxed{$30,000.50}", r"\boxed{K}", r"\boxed{GG}", r"\boxed{7}",
    r"\boxed{G, H}", r"\boxed{\text{G or H}}", r"\boxed{none of these}", r"\boxed{}", r"\boxed{G}, no: \boxed{F}", "The answer is not G.",
    "G is wrong.\nAnswer: F", "Answer: G or H", "Answer: (G) and (H)", "Answer: A\nG would be tempting.", "It could be G.",
    "It could be G.\nI am not sure.", "<think>Answer: G</think>\nAnswer: H", "<think>\nAnswer: G\n</think>\n", "Answer: H ($30,000)",
    "Answer: G ($20,000)", "Answer: Gross margin", "Is the answer G?\nI think it is H.\n\\boxed{H}", "All of A, B, C, D, E, F, G, H, I, J",
    "Answer: G?\nWait, no.\nAnswer: F", "Answer: $30,000 or $35,000", "If the answer is G, the rate is 5.\nIt is not.",
    "Option G is tempting, option H is correct.", "I cannot see the image.", "",
]  # fmt: skip
RIGHT = [
    "Answer: G", r"\boxed{G}", r"\boxed{\text{G}}", r"\boxed{$30,000}", "<think>(F)?</think>\n\\boxed{G}", "The answer is (G).", "G", "(G)", "g",
    "Answer: G. $30,000", "**Answer:** G", "<answer>G</answer>", "I first took F.\n\nAnswer: G", "The correct answer is **G**.",
]  # fmt: skip


@pytest.mark.parametrize("response", NEAR_MISSES)
def test_a_near_miss_is_wrong(response: str) -> None:
    assert SPEC.strict(item(), response).ruling is Ruling.WRONG


@pytest.mark.parametrize("response", RIGHT)
def test_the_right_answer_is_right(response: str) -> None:
    assert SPEC.strict(item(), response).ruling is Ruling.RIGHT
    assert SPEC.strict(item(answer="F"), response).ruling is Ruling.WRONG


def test_options_that_differ_in_case_alone_are_different() -> None:
    genes = item(options="['XAXa', 'Aa', 'XAXA', 'XaXa', 'XAXa']", answer="D")
    rulings = {said: SPEC.strict(genes, rf"\boxed{{{said}}}").ruling for said in ("A", "B", "C", "D", "E", "XAXa", "XAXA", "XaXa", "Aa")}
    assert [said for said, ruling in rulings.items() if ruling is Ruling.RIGHT] == ["D", "XaXa"]
    assert SPEC.strict(genes, r"\boxed{XaXa}").extracted == "D"
    twice = item(options="['XAXa', 'Aa', 'XAXA', 'XaXa', 'XAXa']", answer="E")
    assert SPEC.strict(twice, r"\boxed{A}").ruling is Ruling.RIGHT  # the same text


HOSTILE = [
    "(" * 100_000, "A " * 50_000, "Answer:" * 14_000, r"\boxed{" * 14_000, "{" * 100_000, "1" * 100_000, "\n" * 100_000, "'" * 100_000,
    "G" * 100_000, "the answer is " * 7_000, "\ud800(G)", "\x00G\x00", "İ" * 50_000, "<think>" * 14_000, "$30,000" * 14_000,
    "Answer: " + " " * 100_000, "*" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_hostile_text_is_read_quickly(place: int) -> None:
    start = time.perf_counter()
    assert official(SPEC, item(), HOSTILE[place]).ruling in (Ruling.RIGHT, Ruling.WRONG)
    assert SPEC.strict(item(), HOSTILE[place]).ruling is Ruling.WRONG
    assert time.perf_counter() - start < 2


def test_the_judge_is_asked_for_a_letter() -> None:
    extraction = SPEC.extraction
    assert extraction is not None
    asked = extraction.prompt(item(), "<think>F?</think>\nIt is thirty thousand.")
    assert asked.endswith("Question: What is missing in <image 1>?\nOptions:\n" + "\n".join(
        f"{letter}. {text}" for letter, text in zip(string.ascii_uppercase, TEN, strict=False)
    ) + "\nResponse: It is thirty thousand.\nLetter:")  # fmt: skip
    assert "F?" not in asked
    assert [extraction.read(item(), reply) for reply in ("G", " G.", "Letter: G", "Z", "", "none", "K")] == ["G", "G", "G", None, None, None, None]


def answers(setting: str, name: str, subject: str, *rights: bool | None) -> list[Graded]:
    one = Item(id=f"mmmu-pro/{setting}/{name}", question="", answer="A", parts={"setting": setting, "subject": subject}, cluster=name)
    return [Graded(item=one, sample=sample, right=right, extracted=None) for sample, right in enumerate(rights)]


def value(measure: Any) -> float:
    """The weighted mean, worked out the long way."""
    strata = {name: [unit.value for unit in measure.units if unit.stratum == name] for name in measure.weights}
    return sum(weight * sum(strata[name]) / len(strata[name]) for name, weight in measure.weights.items())


def test_the_main_number_is_the_mean_of_two_settings() -> None:
    graded = [
        *answers("standard-10", "p", "Art", True, False),  # two samples: a half
        *answers("standard-10", "q", "Math", True, None),
        *answers("standard-10", "r", "Math", None),
        *answers("vision", "p", "Art", False),
        *answers("vision", "q", "Math", False),
        *answers("vision", "r", "Math", True),
        *answers("standard-4", "p", "Art", True),
    ]
    found = {measure.part: measure for measure in measures(graded)}
    assert list(found) == ["", "setting: standard-10", "setting: standard-4", "setting: vision", "subject: Art", "subject: Math"]
    assert found[""].weights == {"standard-10": 0.5, "vision": 0.5}
    assert value(found[""]) == pytest.approx(0.5 * (1.5 / 2) + 0.5 * (1 / 3))
    assert value(found["setting: standard-10"]) == pytest.approx(0.75)
    assert value(found["setting: vision"]) == pytest.approx(1 / 3)
    assert value(found["setting: standard-4"]) == 1
    assert value(found["subject: Art"]) == pytest.approx(0.5 * 0.5 + 0.5 * 0)
    assert value(found["subject: Math"]) == pytest.approx(0.5 * 1 + 0.5 * (1 / 2))
    assert {unit.cluster for unit in found[""].units} == {"p", "q", "r"}
    assert len({unit.id for unit in found[""].units}) == len(found[""].units) == 5
    assert {measure.metric for measure in found.values()} == {"accuracy"}


@pytest.mark.parametrize("setting", ["standard-10", "vision", "standard-4"])
def test_a_setting_alone_is_the_main_number_and_says_so(setting: str) -> None:
    found = measures([*answers(setting, "p", "Art", True), *answers(setting, "q", "Math", False)])
    assert [measure.part for measure in found] == [f"setting: {setting}", "subject: Art", "subject: Math"]
    assert value(found[0]) == 0.5
    assert found[0].weights == {"": 1.0}


def test_a_subject_with_one_setting_has_the_number_of_that() -> None:
    found = {measure.part: measure for measure in measures([*answers("standard-10", "p", "Art", True), *answers("vision", "q", "Math", False)])}
    assert (value(found[""]), value(found["subject: Art"]), value(found["subject: Math"])) == (0.5, 1, 0)


def test_nothing_judged_is_a_number_without_units() -> None:
    assert [measure.units for measure in measures([])] == [()]
