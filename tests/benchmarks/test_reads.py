"""What a rule sees of a box that was asked for: its content without typesetting, declared where a rule asks for that."""

import time

import pytest

from vold.adapters.benchmarks.mathvision import SPEC as MATHVISION
from vold.adapters.benchmarks.mme import SPEC as MME
from vold.adapters.benchmarks.mmmu import SPEC as MMMU
from vold.adapters.benchmarks.mmmu_pro import SPEC as MMMU_PRO
from vold.adapters.benchmarks.mmstar import SPEC as MMSTAR
from vold.adapters.benchmarks.reads import boxed_letter, declared_in, read_part
from vold.adapters.benchmarks.spec import Spec, official
from vold.adapters.benchmarks.wemath import SPEC as WEMATH
from vold.base.types import Item, Ruling

CHOICE = Item(id="c", question="How wide?", answer="C", options=("6", "10", "16", "20"), parts={"setting": "standard-10"})


def boxed(content: str) -> str:
    return read_part(f"<think>\\boxed{{D}}</think>So it is \\boxed{{{content}}}.", "auto", asked_for_box=True)


@pytest.mark.parametrize(
    ("content", "seen"),
    [
        ("C", "C"),
        ("\\text{C}", "C"),
        ("\\textbf{(C)}", "(C)"),
        ("\\mathrm{ C }", "C"),
        ("\\mathbf{\\text{C}}", "C"),
        ("{\\bf C}", "C"),
        ("$\\text{C}$", "C"),
        ("\\,C\\ ", "C"),
        ("\\textbf{(C)}\\ 16", "(C) 16"),
        ("\\text{C. }16", "C. 16"),
        ("C\\,16", "C 16"),
        ("\\text{Yes, there is}", "Yes, there is"),
        ("16 \\text{ cm}", "16 \\text{ cm}"),  # rules for LaTeX know a unit by its typeface
        ("\\text{a} + \\text{b}", "\\text{a} + \\text{b}"),
        ("\\text{C} + 1", "\\text{C} + 1"),
        ("\\$18", "\\$18"),
        ("\\sqrt{2}", "\\sqrt{2}"),
        ("", ""),
    ],
)
def test_a_box_is_undressed(content: str, seen: str) -> None:
    assert boxed(content) == declared_in(boxed(content)) == seen


def test_only_a_box_that_was_asked_for_is_declared() -> None:
    assert declared_in("16 cm") is None
    assert declared_in(read_part("16 cm", "auto", asked_for_box=True)) is None
    assert declared_in(read_part("The answer is C.", "auto", asked_for_box=True)) == "C"


@pytest.mark.parametrize("spec", [MMMU_PRO, MMMU, MMSTAR, WEMATH, MATHVISION], ids=lambda spec: spec.name)
@pytest.mark.parametrize("typeface", ["{}", "\\text{{{}}}", "\\mathrm{{{}}}", "\\mathbf{{{}}}", "\\textbf{{{}}}"])
def test_letters_in_any_typeface(spec: Spec, typeface: str) -> None:
    for letter in "ABCD":
        ruling = official(spec, CHOICE, boxed(typeface.format(letter))).ruling
        assert (ruling is Ruling.RIGHT) == (letter == "C")


@pytest.mark.parametrize("spec", [MMMU_PRO, MMMU, MATHVISION], ids=lambda spec: spec.name)
@pytest.mark.parametrize(
    "form", ["{}) {}", "({}) {}", "{}. {}", "{}: {}", "Option {}", "option ({})", "\\text{{Option }}{}", "\\text{{{}) }}{}", "{} ({})"]
)
def test_a_letter_beside_its_text_or_called_an_option(spec: Spec, form: str) -> None:
    for letter, text in zip("ABCD", CHOICE.options, strict=True):
        assert (official(spec, CHOICE, boxed(form.format(letter, text))).ruling is Ruling.RIGHT) == (letter == "C")


@pytest.mark.parametrize("spec", [MMMU_PRO, MATHVISION], ids=lambda spec: spec.name)
def test_letters_that_a_box_does_not_choose(spec: Spec) -> None:
    for content in ("C) 20", "D) 16", "B: 16", "Option D", "E) 16"):
        assert official(spec, CHOICE, boxed(content)).ruling is Ruling.WRONG, content


def test_only_boxes_are_read_so() -> None:
    """The published rules stay what they are: on other text, on texts of options, on questions without options."""
    texts = dict(zip("ABCD", CHOICE.options, strict=True))
    assert [boxed_letter(boxed(content), texts) for content in ("C) 16", "16", "C or D", "not C", "x = 16")] == ["C", None, None, None, None]
    assert boxed_letter("C) 16", texts) is None
    assert MATHVISION.extract(CHOICE, "C) 16") == "c)16"
    assert MMMU_PRO.extract(CHOICE, "C) 16") is None
    assert MATHVISION.extract(Item(id="f", question="?", answer="c"), boxed("Option C")) == "optionc"


def test_yes_and_no_in_a_typeface() -> None:
    asked = Item(id="m", question="Is it?", answer="Yes")
    assert official(MME, asked, boxed("\\text{Yes}")).ruling is Ruling.RIGHT
    assert official(MME, asked, boxed("\\textbf{No}")).ruling is Ruling.WRONG


@pytest.mark.parametrize("sign", ["\\text", "\\bf ", " ", "$", "~", "\\,", "(A) ", "\\text{A} ", "\\{"])
def test_a_long_box_is_read_quickly(sign: str) -> None:
    start = time.perf_counter()
    boxed(sign * (100_000 // len(sign)) + "x")
    assert time.perf_counter() - start < 1
