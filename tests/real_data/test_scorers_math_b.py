"""MathVerse, DynaMath, We-Math and Geometry3K on published rows: what is read, what is asked, and verdicts beside those of the originals.

None of the four publishes predictions. DynaMath has tables of verdicts; for DynaMath and We-Math the original functions were run over written
responses.
"""

import io
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.real import DATA, lines, needs

from vold.adapters.benchmarks import dynamath, geometry3k, mathverse, wemath
from vold.adapters.benchmarks.spec import Graded, Spec, Style, official
from vold.adapters.fields import BadRow
from vold.base.types import Item, Ruling

pytestmark = needs("scorer_vectors")


def white() -> dict[str, Any]:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), "white").save(data, "PNG")
    return {"bytes": data.getvalue(), "path": "white.png"}


# -- every sample row is read and asked ---------------------------------------------------------------------------------------------

SAMPLES: Mapping[str, tuple[Spec, int, int]] = {  # rows, pictures
    "bench/mathverse/testmini_sample.parquet": (mathverse.SPEC, 72, 60),
    "bench/dynamath/sample_variants.parquet": (dynamath.SPEC, 60, 60),
    "bench/wemath/testmini_sample.parquet": (wemath.SPEC, 58, 58),
    "bench/geometry3k/sample.parquet": (geometry3k.SPEC, 14, 14),
}


@pytest.mark.parametrize("path", SAMPLES)
def test_every_sample_row_is_read_and_asked(path: str) -> None:
    spec, rows, pictures = SAMPLES[path]
    stored = pq.read_table(DATA / path).to_pylist()
    items = [spec.item(row, spec.split, None) for row in stored]
    assert len({item.id for item in items}) == len(items) == rows
    assert sum(len(item.images) for item in items) == pictures
    for item in items:
        asked = {style: spec.ask(item, style) for style in Style}
        assert all(asked.values())
        assert item.question in asked[Style.OFFICIAL]
        assert item.question in asked[Style.REASONING]


def test_mathverse_queries_are_those_of_the_template() -> None:
    """So rows without queries are asked in the same words. Multiple choice in the picture differs: the sample rebuilt these queries, with the words
    for free questions instead of those that the paper gives for options."""
    differing = []
    stored = pq.read_table(DATA / "bench/mathverse/testmini_sample.parquet").to_pylist() + lines("bench/mathverse/testmini_text_only.jsonl.gz")
    for row in stored:
        built = mathverse.item_of({**row, "query_cot": None, "query_wo": None}, "", None)
        if (built.facts["query_cot"], built.facts["query_wo"]) != (row["query_cot"], row["query_wo"]):
            differing.append((row["problem_version"], row["question_type"], row["sample_index"]))
    assert len(stored) == 472
    assert differing == [("Vision Only", "multi-choice", name) for name in ("2620", "2770", "2615", "2870")]


def test_geometry3k_as_four_choices() -> None:
    stored = pq.read_table(DATA / "bench/geometry3k/sample.parquet").to_pylist()
    items = [geometry3k.item_of(row, "4 choices", None) for row in stored]
    assert [item.options["ABCD".index(item.answer)] for item in items] == [row["answer"] for row in stored]


# -- MathVerse ----------------------------------------------------------------------------------------------------------------------


def text_only() -> list[Item]:
    return [mathverse.item_of(row, "testmini_text_only", None) for row in lines("bench/mathverse/testmini_text_only.jsonl.gz")]


def test_mathverse_text_only_rows() -> None:
    items = text_only()
    assert Counter(item.facts["question_type"] for item in items) == {"multi-choice": 229, "free-form": 171}
    assert Counter(len(item.options) for item in items if item.facts["question_type"] == "multi-choice") == {4: 185, 5: 16, 2: 14, 3: 8, 6: 6}


def test_every_reference_of_mathverse_is_itself() -> None:
    """By both rules, as it stands and in a box; so none is left unjudged."""
    for item in text_only():
        assert mathverse.accepts(item, item.answer)
        verdict = mathverse.strictly(item, f"<think>hm</think>\n\\boxed{{{item.answer}}}")
        assert verdict.ruling is Ruling.RIGHT, (item.id, item.answer, verdict)


def test_no_reference_of_mathverse_is_another_one() -> None:
    """The reference of the next free question is right only where both questions have the same."""
    free = [item for item in text_only() if item.facts["question_type"] == "free-form"]
    rulings = {}
    for item, other in zip(free, free[1:] + free[:1], strict=True):
        rulings[item.answer, other.answer] = mathverse.strictly(item, f"\\boxed{{{other.answer}}}").ruling
    assert set(rulings.values()) == {Ruling.RIGHT, Ruling.WRONG}
    assert [pair for pair, ruling in rulings.items() if ruling is Ruling.RIGHT] == [
        ("3", "3"),
        ("\\left(315^\\circ ,1\\right)", "$(x, y)=\\left(315^{\\circ}, 1\\right)$"),
    ]


def test_the_real_responses_of_mathverse() -> None:
    """Five of six end with 14, which is right; all in words, which the strict rule does not read except after `Final answer:`."""
    found = []
    for row in lines("bench/mathverse/output_template_rows.jsonl"):
        item = mathverse.item_of({**row, "image": white()}, "", None)
        verdict = official(mathverse.SPEC, item, row["model_answer"])
        found.append((row["problem_version"], verdict.extracted, verdict.ruling.value, mathverse.strictly(item, row["model_answer"]).ruling.value))
    assert found == [
        ("Text Dominant", "14", "right", "wrong"),
        ("Text Lite", "14", "right", "wrong"),
        ("Vision Intensive", "14", "right", "right"),
        ("Vision Dominant", "14", "right", "wrong"),
        ("Vision Only", "13", "wrong", "wrong"),
        ("Text Only", "14", "right", "wrong"),
    ]


# -- DynaMath -----------------------------------------------------------------------------------------------------------------------


def variants() -> dict[tuple[str, int], Item]:
    picture = white()
    rows = lines("bench/dynamath/variants_text.jsonl.gz")
    return {(row["id"], row["variant"]): dynamath.item_of({**row, "decoded_image": picture}, "", None) for row in rows}


def test_every_text_row_of_dynamath_is_read() -> None:
    items = variants().values()
    assert Counter(item.facts["answer_type"] for item in items) == {"float": 1120, "multiple choice": 730, "text": 150}
    assert all(item.answer in "ABCDEFGH"[: len(item.options)] for item in items if item.facts["answer_type"] == "multiple choice")


def test_every_reference_of_dynamath_is_itself() -> None:
    for item in variants().values():
        reply = json.dumps({"solution": "so", "short answer": item.answer})
        assert official(dynamath.SPEC, item, reply).ruling is Ruling.RIGHT
        assert dynamath.strictly(item, reply).ruling is Ruling.RIGHT, (item.id, item.answer)
        assert dynamath.strictly(item, f"\\boxed{{{item.answer}}}").ruling is Ruling.RIGHT, (item.id, item.answer)


def test_dynamath_verdicts_are_those_of_the_authors_script() -> None:
    items, compared, differing = variants(), 0, []
    for row in lines("scorer_vectors/dynamath_synthetic_predictions.jsonl.gz"):
        item = items[row["id"], row["variant"]]
        assert (item.answer, item.facts["answer_type"]) == (row["ground_truth"], row["answer_type"])
        compared += 1
        if (official(dynamath.SPEC, item, row["response"]).ruling is Ruling.RIGHT) is not row["official_correct"]:
            differing.append(row)
    assert (compared, differing) == (420, [])


EXPECTED = json.loads((DATA / "bench/dynamath/SAMPLE.json").read_text(encoding="utf-8")) if (DATA / "bench/dynamath").is_dir() else {}


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if name.startswith("verdicts_")))
def test_dynamath_tables(name: str) -> None:
    graded = [
        Graded(
            item=Item(
                id=f"dynamath/{row['id']}-{variant}",
                question="q",
                answer="1",
                parts={"subject": row["topic"], "level": row["level"], "variant": str(variant)},
                cluster=row["id"],
            ),
            sample=0,
            right=right,
            extracted=None,
        )
        for row in lines(f"bench/dynamath/{name}")
        for variant, right in enumerate(row["correct"], start=1)
    ]
    found = {one.metric: one for one in dynamath.measures(graded) if not one.part}
    means = {metric: sum(unit.value for unit in one.units) / len(one.units) for metric, one in found.items()}
    expected = EXPECTED[name]["expected"]
    assert means["accuracy"] == pytest.approx(expected["average_accuracy"], abs=1e-12)
    assert means["worst case"] == pytest.approx(expected["worst_case_accuracy"], abs=1e-12)
    assert means["best case"] == pytest.approx(expected["best_case_accuracy"], abs=1e-12)
    assert (len(found["accuracy"].units), len(found["worst case"].units)) == (5010, 501)


# -- We-Math ------------------------------------------------------------------------------------------------------------------------


def questions() -> dict[tuple[str, str], Item]:
    picture = white()
    rows = lines("bench/wemath/testmini_text.jsonl.gz")
    return {(row["ID"], row["key"]): wemath.item_of({**row, "image_path": picture}, "", None) for row in rows}


def test_every_text_row_of_wemath_is_read() -> None:
    items = questions()
    assert len(items) == 825
    assert Counter(len(item.options) for item in items.values()) == {5: 553, 4: 267, 6: 3, 7: 2}
    with pytest.raises(BadRow, match="none of the"):
        wemath.item_of({**lines("bench/wemath/testmini_text.jsonl.gz")[0], "answer": "H", "image_path": white()}, "", None)


def test_wemath_is_what_the_authors_script_says() -> None:
    items, graded, differing = questions(), [], []
    for row in lines("scorer_vectors/wemath_synthetic_predictions.jsonl.gz"):
        item = items[row["ID"], row["key"]]
        found = wemath.extract(item, row["response"])
        right = wemath.accepts(item, found)
        if (found, right) != (row["extracted"], row["correct"]):
            differing.append(row)
        graded.append(Graded(item=item, sample=0, right=right, extracted=found))
    assert (len(graded), differing) == (825, [])

    expected = json.loads((DATA / "scorer_vectors/wemath_synthetic_expected.json").read_text(encoding="utf-8"))
    units = {one.metric: one.units for one in wemath.measures(graded)}
    means = {metric: sum(unit.value for unit in own) / len(own) for metric, own in units.items()}
    assert len(units["strict score"]) == expected["problems"] == 250
    assert means["strict score"] == pytest.approx(expected["score_strict"], abs=1e-12)
    assert means["loose score"] == pytest.approx(expected["score_loose"], abs=1e-12)
    names = {
        "insufficient knowledge": "InsufficientKnowledge",
        "inadequate generalisation": "InadequateGeneralization",
        "complete mastery (strict)": "CompleteMastery_strict",
        "complete mastery (loose)": "CompleteMastery_loose",
        "rote memorisation (strict)": "RoteMemorization_strict",
        "rote memorisation (loose)": "RoteMemorization_loose",
    }
    assert {metric: sum(unit.value for unit in units[metric]) for metric in names} == {
        metric: expected["counts"][name] for metric, name in names.items()
    }
    assert {f"{100 * means[metric]:.2f}%" for metric in names} == set(expected["rates"].values())


# -- Geometry3K ---------------------------------------------------------------------------------------------------------------------


def test_every_reference_of_geometry3k_is_itself_and_no_other_choice() -> None:
    compared = 0
    stored = pq.read_table(DATA / "bench/geometry3k/sample.parquet").to_pylist()
    rows = [{"problem": row["question"], **row, "images": [white()]} for row in lines("bench/geometry3k/mathvista_geometry3k_text.jsonl")]
    for row in [*stored, *rows]:
        item = geometry3k.item_of(row, "test", None)
        for choice in row["choices"]:
            right = choice == row["answer"]
            response = f"<think>so</think> \\boxed{{{choice}}}"
            assert (official(geometry3k.SPEC, item, response).ruling is Ruling.RIGHT) is right, (choice, row["answer"])
            assert (geometry3k.strictly(item, response).ruling is Ruling.RIGHT) is right, (choice, row["answer"])
            compared += 1
    assert compared == 216
