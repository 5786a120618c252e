"""Training prompts against benchmark questions: what is found, what is not, and what is said of it."""

import io
import json
import random
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from vold.adapters.contamination import MISSED, PERMUTATIONS, TEMPLATES, Posed, bands, check, overlaps, pixels
from vold.base.errors import DataError
from vold.base.types import Item, Problem
from vold.config.load import load
from vold.core.overlap import Asked, Findings, Kind, Overlap, jaccard, likeness, shingles
from vold.core.wording import wording
from vold.report.overlaps import from_json, lines, paragraph, read, to_json, write
from vold.wiring.contamination import left_out

TRAIN = r"A train travels $120$ miles in $3$ hours. If it keeps the same speed, how many miles does it travel in $5$ hours?"
FENCE = "A farmer has 60 metres of fence and a long straight wall. What is the largest rectangle, in square metres, that he can fence off?"
SHADED = "In the figure, the square has sides of length 8. What is the area of the shaded part of it?"


def prompt(name: str, text: str, *, images: tuple[bytes, ...] = ()) -> Problem:
    return Problem(id=name, prompt=text, answer="1", source="hand", images=images)


def item(name: str, text: str, *, images: tuple[bytes, ...] = (), options: tuple[str, ...] = ()) -> Item:
    return Item(id=name, question=text, answer="1", images=images, options=options)


def picture(shade: int, form: str = "PNG", **how: int) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (6, 4), (shade, 10, 200)).save(held, form, **how)
    return held.getvalue()


def found(prompts: list[Problem], *questions: Item | Problem | str, threshold: float = 0.8) -> list[tuple[str, str, Kind]]:
    return [(one.prompt_id, one.question_id, one.kind) for one in overlaps(prompts, {"b": questions}, threshold=threshold)]


def test_each_kind_is_found_and_named() -> None:
    prompts = [
        prompt("p/0", "Name the capital of the country in which the river Danube ends in a wide delta."),
        prompt("p/1", TRAIN.replace("$", "")),
        prompt("p/2", TRAIN.replace("travels", "goes")),
        prompt("p/3", TRAIN.replace("120", "150")),
        prompt("p/4", f"You are a careful tutor. {TRAIN} Show every step of the work to the pupil."),
    ]
    assert overlaps(prompts, {"words": [FENCE, TRAIN], "items": [item("items/a", TRAIN)], "problems": [prompt("problems/x", FENCE)]}) == [
        Overlap(prompt_id=f"p/{row}", question_id=question, benchmark=benchmark, kind=kind, similarity=pytest.approx(similarity, abs=0.002), why=why,
                prompt=prompts[row].prompt, question=TRAIN)
        for row, kind, similarity, why in (
            (1, Kind.EXACT, 1.0, ""),
            (2, Kind.NEAR, 0.881, ""),
            (3, Kind.TEMPLATE, 1.0, "other numbers"),
            (4, Kind.EXACT, 0.573, "inside a longer prompt"),
        )
        for benchmark, question in (("words", "words/1"), ("items", "items/a"))
    ]  # fmt: skip


def test_short_questions_match_to_the_letter_and_only_with_their_pictures() -> None:
    red, blue = picture(255), picture(0)
    question = item("b/0", "Find $x$.", images=(red,))
    assert found([prompt("p", "Find x", images=(red,))], question) == [("p", "b/0", Kind.EXACT)]
    assert found([prompt("p", "Find x", images=(blue,))], question) == []
    assert found([prompt("p", "Find x")], question) == []
    assert found([prompt("p", "Find x", images=(red,))], item("b/0", "Find $x$.")) == []
    assert found([prompt("p", "Find x")], item("b/0", "Find $x$.")) == [("p", "b/0", Kind.EXACT)]
    assert found([prompt("p", "Find x, please", images=(red,))], question) == [("p", "b/0", Kind.EXACT)]  # inside, with the same picture
    assert found([prompt("p", "Find x, please", images=(blue,))], question) == []
    assert found([prompt("p", "Find y.", images=(red,))], question) == []


def test_long_questions_with_another_picture_are_templates() -> None:
    red, blue = picture(255), picture(0)
    question = item("b/0", SHADED, images=(red,))
    assert found([prompt("p", SHADED, images=(red,))], question) == [("p", "b/0", Kind.EXACT)]
    assert found([prompt("p", SHADED.replace("shaded", "grey"), images=(red,))], question) == [("p", "b/0", Kind.NEAR)]
    (other,) = overlaps([prompt("p", SHADED, images=(blue,))], {"b": [question]})
    assert (other.kind, other.why) == (Kind.TEMPLATE, "another picture")
    (renumbered,) = overlaps([prompt("p", SHADED.replace("8", "9"), images=(red,))], {"b": [question]})
    assert (renumbered.kind, renumbered.why) == (Kind.TEMPLATE, "other numbers")
    assert found([prompt("p", SHADED)], question) == [("p", "b/0", Kind.EXACT)]  # the words say enough


def test_the_same_pixels_are_the_same_picture() -> None:
    assert picture(7) != picture(7, "PNG", compress_level=0)
    assert pixels((picture(7),)) == pixels((picture(7, "PNG", compress_level=0),))
    assert pixels((picture(7), picture(8))) == pixels((picture(7, "BMP"), picture(8, "BMP")))
    assert pixels((picture(7), picture(8))) != pixels((picture(8), picture(7)))
    assert pixels((picture(7),)) != pixels((picture(7), picture(7)))
    assert pixels((picture(7),)) != pixels((picture(8),))
    assert pixels((b"no picture",)) == pixels((b"no picture",))
    assert pixels((b"no picture",)) != pixels((picture(7),))


OPTIONS = ("60", "34", "17", "120")
HINT = "Answer with the letter of the right option and with nothing else.\nQuestion: {}\nChoices:\n(A) 60\n(B) 34\n(C) 17\n(D) 120\nGive a letter."


@pytest.mark.parametrize(
    "text", ["{}", "{}\n(A) 60\n(B) 34\n(C) 17\n(D) 120", "{}\nA. 60\nB. 34\nC. 17\nD. 120", "{}\n60\n34\n17\n120", HINT], ids=repr
)
@pytest.mark.parametrize("asked", ["Find $x$.", SHADED])
def test_a_question_is_found_in_each_of_its_wordings(text: str, asked: str) -> None:
    red, blue = picture(255), picture(0)
    question = Posed(item=item("b/0", asked, images=(red,), options=OPTIONS), ways=(HINT.format(asked),))
    assert found([prompt("p", text.format(asked), images=(red,))], question) == [("p", "b/0", Kind.EXACT)]
    assert ("p", "b/0", Kind.EXACT) not in found([prompt("p", text.format(asked), images=(blue,))], question)


def test_the_benchmarks_own_words_do_not_make_questions_alike() -> None:
    questions = [Posed(item=item(f"b/{n}", f"Find $x$ for {n}."), ways=(HINT.format(f"Find $x$ for {n}."),)) for n in (0, 1)]
    assert found([prompt("p", HINT.format("Find $x$ for 1."))], *questions) == [("p", "b/1", Kind.EXACT)]
    assert found([prompt("p", HINT.format("Find $x$ for 7."))], *questions) == []


def test_a_question_that_stands_in_the_picture_is_known_by_it() -> None:
    question = item("b/0", "", images=(picture(1),), options=OPTIONS)
    assert found([prompt("p", "Solve what is shown.", images=(picture(1, "BMP"),))], question) == [("p", "b/0", Kind.EXACT)]
    assert found([prompt("p", "Solve what is shown.", images=(picture(2),))], question) == []
    assert found([prompt("p", "60 34 17 120")], question) == []


def test_what_leans_on_a_picture_or_on_options_is_sought_inside_prompts_only_when_long() -> None:
    question = "What is the area of the shaded region in the figure?"
    inside = prompt("p", f"Two circles of radius 3 meet at their centres, and a line touches both of them. {question}")
    assert found([inside], question) == [("p", "b/0", Kind.EXACT)]
    assert found([inside], item("b/0", question, images=(picture(1),))) == []
    assert found([inside], item("b/0", question, options=("3", "4"))) == []
    told = prompt("p", f"You are a careful tutor. {TRAIN} Show every step of the work to the pupil.")
    assert found([told], item("b/0", TRAIN, options=("3", "4"))) == [("p", "b/0", Kind.EXACT)]


def test_only_the_most_similar_templates_of_a_prompt_are_listed() -> None:
    questions = [TRAIN.replace("120", str(n)) for n in range(7)] + [TRAIN.replace("travels", "goes")]
    listed = overlaps([prompt("p", TRAIN.replace("120", "150"))], {"b": questions, "c": [FENCE, questions[0]]})
    assert [(one.question_id, one.kind) for one in listed] == [(f"b/{n}", Kind.TEMPLATE) for n in range(TEMPLATES)] + [("c/1", Kind.TEMPLATE)]
    assert len(found([prompt("p", TRAIN)], *[TRAIN] * 7)) == 7  # what counts as the same question is listed whole


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0])
def test_the_hashing_misses_next_to_nothing(threshold: float) -> None:
    count, rows = bands(threshold)
    assert count * rows <= PERMUTATIONS
    assert count >= 2
    assert (1 - threshold**rows) ** count <= max(MISSED, (1 - threshold) ** PERMUTATIONS)


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.01, float("nan")])
def test_a_threshold_is_a_similarity(threshold: float) -> None:
    with pytest.raises(ValueError, match="is no similarity"):
        overlaps([], {}, threshold=threshold)


WORDS = "the sum of all numbers that a green train can carry over old bridges in May when it rains and nobody looks at their clock again".split()


def drawn(count: int, seed: int) -> list[str]:
    """Questions of which many differ from an earlier one in a few words."""
    rng, texts = random.Random(seed), [" ".join(random.Random(seed + 1).choices(WORDS, k=25))]
    while len(texts) < count:
        words = rng.choice(texts).split()
        for place in rng.sample(range(len(words)), rng.choice([1, 2, 4, 20])):
            words[place] = rng.choice(WORDS)
        texts.append(" ".join(words))
    return texts


@pytest.mark.parametrize("threshold", [0.6, 0.8])
def test_what_is_found_is_what_comparing_every_pair_finds(threshold: float) -> None:
    texts = drawn(200, seed=5)
    prompts, questions = [prompt(str(place), text) for place, text in enumerate(texts[:100])], texts[100:]
    said, asked = [wording(text) for text in texts[:100]], [wording(text) for text in texts[100:]]
    alike = {(str(p), f"b/{q}"): likeness(said[p], asked[q], threshold=threshold) for p in range(100) for q in range(100)}
    by_hand = {(*pair, one.kind) for pair, one in alike.items() if one is not None}
    assert len(by_hand) >= 30
    assert set(found(prompts, *questions, threshold=threshold)) == by_hand


def test_the_same_texts_give_the_same_findings() -> None:
    texts = drawn(60, seed=9)
    prompts = [prompt(str(place), text) for place, text in enumerate(texts[:30])]
    assert check(prompts, {"b": texts[30:]}) == check(iter(prompts), {"b": iter(texts[30:])})


def test_similarity_is_the_true_one() -> None:
    (one,) = overlaps([prompt("p", TRAIN.replace("travels", "goes"))], {"b": [TRAIN]})
    assert one.similarity == jaccard(*(shingles(wording(text).shape) for text in (one.prompt, one.question)))


def test_prompts_pass_by_one_at_a_time() -> None:
    def many() -> Iterator[Problem]:
        for place in range(60):
            yield prompt(str(place), f"{place}{'$' * 50_000} " + " ".join(random.Random(place).choices(WORDS, k=60)))

    check([], {"b": [TRAIN]})  # imports
    told: list[int] = []
    tracemalloc.start()
    seen = check(many(), {"b": [TRAIN, FENCE]}, done=told.append)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seen.prompts == 60
    assert told == list(range(1, 61))
    assert peak < 1_500_000  # the texts together take 3 million


def test_what_cannot_be_told_is_counted() -> None:
    questions = [item("b/0", "", images=(picture(1),)), item("b/1", "Find $x$."), item("b/2", TRAIN), item("b/3", "$$ ? $$")]
    seen = check([prompt("p", ""), prompt("q", "!?")], {"b": questions, "none": []})
    assert seen.asked == {"b": Asked(questions=4, short=1, wordless=2), "none": Asked(questions=0)}
    assert seen.overlaps == ()


def test_long_texts_are_shown_by_their_beginning() -> None:
    (one,) = overlaps([prompt("p", f"{TRAIN}\n" * 40)], {"b": [TRAIN]})
    assert one.prompt.startswith(TRAIN)
    assert len(one.prompt) == 200
    assert one.prompt.endswith("…")


@pytest.fixture
def findings() -> Findings:
    prompts = [
        prompt("p/0", TRAIN), prompt("p/1", TRAIN.replace("travels", "goes")), prompt("p/2", FENCE.replace("60", "80")), prompt("p/3", "Find y."),
    ]  # fmt: skip
    return check(prompts, {"alpha": [TRAIN, FENCE, "Find $x$.", ""], "beta": [item("beta/7", TRAIN)], "gamma": [SHADED]})


def test_questions_are_counted_once_by_their_closest_prompt(findings: Findings) -> None:
    assert findings.repeated == {"p/0", "p/1"}
    assert findings.questions_by_kind("alpha") == {Kind.EXACT: 1, Kind.TEMPLATE: 1}
    assert [findings.trained_on(name) for name in findings.asked] == [1, 1, 0]


def test_what_is_left_out_is_not_trained_on(findings: Findings) -> None:
    assert replace(findings, left_out=frozenset({"p/0"})).trained_on("alpha") == 1
    assert replace(findings, left_out=findings.repeated).trained_on("alpha") == 0


def test_the_terminal_is_told_everything_in_plain_lines(findings: Findings) -> None:
    assert lines(findings) == [
        "Compared 4 training prompts with 6 questions; near from 0.8 similarity on.",
        "  alpha: 1 of 4 questions repeated (1 exact); 1 met only with other numbers, signs, words or pictures, which counts as another problem; "
        "1 short, compared to the letter or with their pictures; 1 without words, compared by their pictures alone",
        "  beta: 1 of 1 question repeated (1 exact)",
        "  gamma: 0 of 1 question repeated",
        "2 prompts that repeat a question stay in training.",
        "  exact 1.00  p/0 and alpha/0: A train travels $120$ miles in $3$ hours. If it keeps the same speed, how many …",
        "  exact 1.00  p/0 and beta/7: A train travels $120$ miles in $3$ hours. If it keeps the same speed, how many …",
        "  near 0.88  p/1 and alpha/0: A train goes $120$ miles in $3$ hours. If it keeps the same speed, how many mil…",
        "  near 0.88  p/1 and beta/7: A train goes $120$ miles in $3$ hours. If it keeps the same speed, how many mil…",
        "  template 1.00  p/2 and alpha/1 (other numbers): A farmer has 80 metres of fence and a long straight wall. What is the largest r…",
    ]
    assert lines(findings, examples=1)[-4:][:2] == ["  … and 1 more pair of kind exact", lines(findings)[7]]


def test_what_becomes_of_prompts_is_said(findings: Findings) -> None:
    assert "2 prompts left out of training; none that repeats a question stays." in lines(replace(findings, left_out=findings.repeated))
    assert "1 prompt left out of training, 1 prompt that repeats a question stays in training." in lines(
        replace(findings, left_out=frozenset({"p/0"}))
    )


def test_the_page_is_told_in_a_few_sentences(findings: Findings) -> None:
    assert paragraph(findings) == (
        "4 training prompts were compared with 6 questions of alpha, beta, gamma. alpha: 1 of 4 questions repeated (1 exact). "
        "beta: 1 of 1 question repeated (1 exact). 2 prompts that repeat a question stay in training. "
        "Questions without words, compared by their pictures alone: alpha 1."
    )
    clean = check([prompt("p", "Find y.")], {"beta": [TRAIN]})
    assert paragraph(clean) == "1 training prompt was compared with 1 question of beta. None repeats a question."


def test_findings_come_back_from_their_file(findings: Findings, tmp_path: Path) -> None:
    kept = replace(findings, left_out=frozenset({"p/0"}))
    assert read(tmp_path) is None
    assert write(tmp_path, kept) == tmp_path / "overlaps.json"
    assert read(tmp_path) == kept
    assert from_json(to_json(kept)) == kept
    written = json.loads((tmp_path / "overlaps.json").read_text(encoding="utf-8"))
    assert written["benchmarks"]["alpha"] == {
        "questions": 4, "short": 1, "wordless": 1, "exact": 1, "near": 0, "template": 1, "trained_on": 1,
    }  # fmt: skip
    assert written["overlaps"][0] == {
        "prompt_id": "p/0", "question_id": "alpha/0", "benchmark": "alpha", "kind": "exact", "similarity": 1.0, "why": "", "prompt": TRAIN,
        "question": TRAIN,
    }  # fmt: skip


@pytest.mark.parametrize("text", ['{"schema": 2}', '{"schema": 1}', '{"schema": 1, "threshold": 1, "prompts": "x", "left_out": [], "overlaps": [], '
                                  '"benchmarks": {}}', "[]", "{"])  # fmt: skip
def test_a_file_that_holds_something_else_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "overlaps.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"overlaps\.json.*Delete it"):
        read(tmp_path)


def test_the_alignment_check_leaves_out_what_the_joint_stage_leaves_out(findings: Findings, tmp_path: Path) -> None:
    settings = {found: load("tiny", assignments=[f"contamination.found='{found}'"]).settings for found in ("drop", "list")}
    assert left_out(settings["drop"], tmp_path) == frozenset()  # nobody has looked
    write(tmp_path, replace(findings, left_out=frozenset({"p/0"})))
    assert left_out(settings["drop"], tmp_path) == {"p/0"}
    assert left_out(settings["list"], tmp_path) == frozenset()
