"""Two models on the same items: what is compared, what is refused, and what is said besides."""

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from support.scores import accuracy, benchmark, mathvision, scores

from vold.base.errors import DataError
from vold.core.intervals import bonett_price
from vold.report import compare as comparing
from vold.report.compare import compare

A = [1] * 8 + [0] * 2 + [1] * 30 + [0] * 10
B = [0] * 8 + [1] * 2 + [1] * 30 + [0] * 10
"""8 items only the first got right, 2 only the second."""


def dynamath(values: list[float], **changed: Any) -> Any:
    """Seed questions of two variants: the mean over variants, and the worst of each seed."""
    worst = [min(pair) for pair in zip(values[::2], values[1::2], strict=True)]
    return benchmark(
        "dynamath", "DynaMath", accuracy("dynamath", values, cluster=2), accuracy("dynamath seed", worst, metric="worst case"), **changed
    )


def test_every_number_of_both() -> None:
    found = compare(
        scores("VOLD", mathvision(A), dynamath([1, 1, 1, 0, 1, 1])),
        scores("base", dynamath([0, 0, 1, 0, 0, 1]), mathvision(B)),
    )
    assert [(number.title, number.metric, number.paired.test) for number in found.numbers] == [
        ("MathVision", "accuracy", "exact McNemar"),
        ("DynaMath", "accuracy", "sign flips of clusters, all"),
        ("DynaMath", "worst case", "exact McNemar"),
    ]
    vision, average, worst = (number.paired for number in found.numbers)
    assert (vision.a, vision.b, vision.difference) == (0.76, 0.64, pytest.approx(0.12))
    assert vision.p == pytest.approx(112 / 1024)
    assert (average.n, average.clusters, average.difference) == (6, 3, pytest.approx(3 / 6))
    assert average.p == pytest.approx(1 / 2), "two seed questions got better: 2 of 4 ways to flip them"
    assert (worst.a, worst.b, worst.p) == (pytest.approx(2 / 3), 0.0, 0.5)


def test_the_table_says_it() -> None:
    found = compare(scores("VOLD", mathvision(A)), scores("base", mathvision(B)))
    low, high = (f"{100 * end:+.1f}" for end in bonett_price(8, 2, 50))
    text = comparing.plain(found)
    assert text.startswith("A: VOLD against B: base, scoring strict, greedy\n")
    assert "76.0" in text
    assert "64.0" in text
    assert f"+12.0 [{low} {high}]" in text
    assert "0.11" in text
    assert "not corrected for the number of comparisons (1)" in text
    assert rf"| MathVision | accuracy | 76.0 | 64.0 | +12.0 \[{low} {high}\] | 0.11 | 50 | 0 / 0 | exact McNemar |" in comparing.markdown(found)
    console = Console(file=io.StringIO(), force_terminal=True, width=70, color_system=None)
    comparing.show(found, console)
    assert f"+12.0 [{low} {high}]" in console.file.getvalue()  # type: ignore[attr-defined]


def test_parts_are_shown_on_request_and_always_in_json() -> None:
    def one(values: list[int]) -> Any:
        return benchmark("mathvision", "MathVision", accuracy("mathvision", values), accuracy("mathvision", values[:4], part="level: 1"))

    found = compare(scores("VOLD", one(A)), scores("base", one(B)))
    assert "level: 1" not in comparing.plain(found)
    assert "level: 1" in comparing.plain(found, parts=True)
    told = json.loads(comparing.as_json(found))
    assert [number["part"] for number in told["numbers"]] == ["", "level: 1"]
    assert told["numbers"][0]["paired"]["p"] == pytest.approx(112 / 1024)
    assert told["numbers"][0]["paired"]["test"] == "exact McNemar"
    assert (told["a"]["label"], told["b"]["label"]) == ("VOLD", "base")


def test_only_shared_items_count() -> None:
    a, b = mathvision(A), mathvision(B)
    few = replace(b, measures=(replace(b.measures[0], units=b.measures[0].units[:20]),), items=20)
    found = compare(scores("VOLD", a), scores("base", few))
    paired = found.numbers[0].paired
    assert (paired.n, paired.only_a, paired.only_b) == (20, 30, 0)
    assert paired.a == 18 / 20
    assert "30 / 0" in comparing.plain(found)
    assert any("VOLD was asked 50 items, base 20" in note for note in found.notes)


REFUSED = [
    ("scoring mode", mathvision(B, mode="official-rule"), r"VOLD has strict / greedy, base has official-rule / greedy.*Score the kept answers"),
    ("way", mathvision(B, way="sampled", samples=8), r"sampled, 8 answers an item.*evaluate both in one way"),
    ("samples", mathvision(B, samples=4), r"greedy, 4 answers an item"),
    ("items", benchmark("mathvision", "MathVision", accuracy("testmini", B[:7])), r"50 items such as mathvision/0 .*7 items such as testmini/0"),
    ("benchmark", benchmark("mmstar", "MMStar", accuracy("mmstar", B)), r"VOLD has mathvision and base has mmstar: no benchmark of both"),
    ("nothing", mathvision([]), "0 items, and no number stands on items of both"),
]


@pytest.mark.parametrize("other", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_benchmark_that_cannot_be_compared_leaves_the_others(other: Any) -> None:
    both = dynamath([1, 1, 0, 1])
    found = compare(scores("VOLD", mathvision(A), both), scores("base", other, both))
    assert {number.title for number in found.numbers} == {"DynaMath"}
    assert other.name != "mathvision" or "Not compared: " in comparing.plain(found)


@pytest.mark.parametrize(("other", "said"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_be_compared_is_refused(other: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        compare(scores("VOLD", mathvision(A)), scores("base", other))


def test_only_like_scoring_is_paired() -> None:
    """Both scored by two rules: each rule by itself, and the number says which."""
    found = compare(
        scores("VOLD", mathvision(A), mathvision(B, mode="judge")),
        scores("base", mathvision(A, mode="judge"), mathvision(A, mode="official-rule"), mathvision(B)),
    )
    assert [(number.mode, number.paired.difference) for number in found.numbers] == [("strict", pytest.approx(0.12)), ("judge", pytest.approx(-0.12))]
    assert "accuracy (judge, greedy)" in comparing.plain(found)


def test_numbers_of_one_side_are_named_not_compared() -> None:
    """A mean of other strata, or a metric only one has, is another number."""
    a, b = mathvision(A), mathvision(B)
    extra = replace(a, measures=(*a.measures, accuracy("mathvision", A, metric="pass@8")))
    found = compare(scores("VOLD", extra, benchmark("mmstar", "MMStar", accuracy("mmstar", A))), scores("base", b))
    assert len(found.numbers) == 1
    assert "MathVision, not measured by both in one way: pass@8." in found.notes
    assert "Only VOLD answered MMStar." in found.notes
    half = replace(a.measures[0], part="subject: art", weights={"": 0.5})
    odd = compare(
        scores("VOLD", replace(a, measures=(*a.measures, half))), scores("base", replace(b, measures=(*b.measures, replace(half, weights={"": 1.0}))))
    )
    assert len(odd.numbers) == 1
    assert any("subject: art" in note for note in odd.notes)


def test_what_else_differs_is_said() -> None:
    a = scores("VOLD", mathvision(A, truncated=5, unjudged=1), settings={"engine": {"tokens": 8192, "kind": "vllm"}, "seed": 1})
    b = scores("VOLD", mathvision(B), settings={"engine": {"tokens": 4096, "kind": "vllm"}}, style="official")
    notes = compare(a, b).notes
    assert "Cut at the length cap, A / B: MathVision 10.0 % / 0.0 %." in notes
    assert "Nothing extracted, counted as wrong, A / B: none." in notes
    assert "Not judged, left out, A / B: MathVision 2.0 % / 0.0 %." in notes
    assert "Prompt styles differ: VOLD (reasoning) reasoning, VOLD (official) official." in notes
    assert "Settings that differ: engine.tokens 8192 / 4096; seed 1 / –." in notes
    assert "Both are the same checkpoint under the same prompt style." in compare(a, a).notes


def test_what_has_no_number_is_null_in_json() -> None:
    """A mean of two settings of which one has no shared item."""
    a, b = mathvision(A), mathvision(B)
    weights = {"": 0.5, "vision": 0.5}
    one, other = (replace(each, measures=(*each.measures, replace(each.measures[0], metric="mean", weights=weights))) for each in (a, b))
    found = compare(scores("VOLD", one), scores("base", other))
    told = json.loads(comparing.as_json(found), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert told["numbers"][1]["paired"]["difference"] is None
    assert "–" in comparing.plain(found).splitlines()[3]


def test_words_from_outside_stay_words() -> None:
    hostile = "<b>x</b> [red]y[/red] | \x1b[31m"
    found = compare(scores(hostile, mathvision(A)), scores("base", mathvision(B)))
    assert r"&lt;b&gt;x&lt;/b&gt; \[red\]y\[/red\] \|" in comparing.markdown(found)
    assert "\x1b" not in comparing.plain(found) + comparing.markdown(found) + comparing.as_json(found)
    with pytest.raises(DataError) as refused:
        compare(scores(hostile, mathvision(A)), scores("base", mathvision(B, mode="judge")))
    assert "\x1b" not in str(refused.value)
