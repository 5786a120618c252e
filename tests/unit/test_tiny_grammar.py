"""Questions of the laptop world: balanced, reckoned right, and written in two styles."""

from collections import Counter
from random import Random

import pytest

from vold.adapters.problems.tiny import TinyBenchmark, TinyProblems, tiny_problem
from vold.tiny.grammar import DIFFICULTIES, FACT_COUNTS, TRUE_SUMS, Question, chain_a, chain_b, draw_facts, draw_question, flawed_sums
from vold.tiny.shortcuts import CONSTANT, SHORTCUTS, shortcut_scores

DRAWS = 4000
NINE_DEGREES = 27.88
"""Chi-square with nine degrees of freedom exceeds this once in a thousand."""


def reckoned(facts: str, expression: str) -> list[int]:
    """The running results from the words alone, sharing no code with the grammar."""
    words = facts.split()
    value = {words[i]: int(words[i + 1]) for i in range(0, len(words), 2)}
    out, running, sign = [], 0, 1
    for word in expression.split():
        if word in "+-":
            sign = 1 if word == "+" else -1
        else:
            running = (running + sign * value[word]) % 10
            out.append(running)
    return out[1:]


@pytest.mark.parametrize("difficulty", DIFFICULTIES)
def test_every_answer_is_equally_likely_and_reckoned_left_to_right(difficulty: int) -> None:
    seen: Counter[int] = Counter()
    for place in range(DRAWS):
        question = draw_question(Random(f"{difficulty}/{place}"), difficulty)
        assert list(question.results) == reckoned(question.text_facts, question.expression)
        assert question.answer == question.results[-1]
        assert len(question.results) == question.difficulty == difficulty
        seen[question.answer] += 1
    expected = DRAWS / 10
    assert set(seen) == set(range(10))
    assert sum((count - expected) ** 2 / expected for count in seen.values()) < NINE_DEGREES


def test_facts_are_two_to_six_different_letters() -> None:
    drawn = [draw_facts(Random(seed)) for seed in range(500)]
    assert {len(facts) for facts in drawn} == set(FACT_COUNTS)
    assert all(len({letter for letter, _ in facts}) == len(facts) for facts in drawn)
    assert {digit for facts in drawn for _, digit in facts} == set(range(10))
    assert len({tuple(letter for letter, _ in facts) for facts in drawn if len(facts) == 6}) > 10  # in no fixed order


def test_given_facts_are_kept_unless_they_cannot_reach_the_answer() -> None:
    facts = (("a", 3), ("b", 4), ("c", 8))
    assert all(draw_question(Random(seed), 3, facts=facts).facts == facts for seed in range(50))
    zeros = (("a", 0), ("b", 0))
    drawn = [draw_question(Random(seed), 2, facts=zeros) for seed in range(60)]
    assert any(q.facts == zeros for q in drawn)
    assert all(q.answer == 0 for q in drawn if q.facts == zeros)
    assert len({q.answer for q in drawn}) > 5


def test_chains_to_the_letter() -> None:
    question = Question(facts=(("c", 7), ("a", 3), ("e", 1)), letters=("a", "c", "e"), operators=("+", "-"))
    assert question.expression == "a + c - e"
    assert question.results == (0, 9)
    assert chain_a(question, question.results) == r"<think> a 3 + c 7 = 0 - e 1 = 9 </think> \boxed{ 9 }"
    assert chain_b(question, question.results) == (r"<think> let a 3 . take c 7 : 3 + 7 gives 0 . take e 1 : 0 - 1 gives 9 . ok </think> \boxed{ 9 }")
    # a slip is written as it was made, and what follows it is carried on
    assert chain_a(question, (5, 4)) == r"<think> a 3 + c 7 = 5 - e 1 = 4 </think> \boxed{ 4 }"
    assert chain_b(question, (5, 4)) == (r"<think> let a 3 . take c 7 : 3 + 7 gives 5 . take e 1 : 5 - 1 gives 4 . ok </think> \boxed{ 4 }")


@pytest.mark.parametrize(("share", "flaws"), [(0.05, 10), (0.0, 0), (0.5, 100)])
def test_as_many_sums_are_flawed_as_asked_for(share: float, flaws: int) -> None:
    assert len(TRUE_SUMS) == 200
    sums = flawed_sums(Random(1), share)
    assert sum(sums[key] != TRUE_SUMS[key] for key in TRUE_SUMS) == flaws
    assert set(sums) == set(TRUE_SUMS)
    assert set(sums.values()) <= set(range(10))
    assert sums == flawed_sums(Random(1), share)


def test_somebody_who_believes_flawed_sums_carries_them_on() -> None:
    question = Question(facts=(("a", 3), ("b", 4)), letters=("a", "b", "b"), operators=("+", "+"))
    wrong = {**TRUE_SUMS, (3, "+", 4): 9}
    assert question.results == (7, 1)
    assert question.results_by(wrong) == (9, 3)


def test_a_problem_is_the_same_question_as_text_and_as_a_picture() -> None:
    for place in range(30):
        text, shown = tiny_problem(0, "s", place, 3), tiny_problem(0, "s", place, 3, image=True)
        facts, _, asked = text.prompt.partition(" find ")
        assert shown.prompt == f"find {asked}"
        assert (text.answer, text.images, len(shown.images)) == (shown.answer, (), 1)
        assert text.answer == str(reckoned(facts, asked.removesuffix(" ?"))[-1])
        assert text.id != shown.id
        assert tiny_problem(0, "s", place, 3) == text


def test_a_stream_deals_difficulties_in_turn_and_never_repeats() -> None:
    stream = TinyProblems(seed=0, source="joint", difficulties=(1, 4), per_step=3, total=9)
    steps = [problem for step in range(3) for problem in stream.for_step(step)]
    assert steps == list(stream.all())
    assert [problem.difficulty for problem in steps] == [1, 4, 1, 4, 1, 4, 1, 4, 1]
    assert len({problem.id for problem in steps}) == 9
    assert len({problem.prompt for problem in steps}) == 9


@pytest.mark.parametrize("other", [{"seed": 1}, {"source": "published"}])
def test_seeds_and_sources_give_other_problems(other: dict) -> None:
    place = {"seed": 0, "source": "development"}
    here, there = (TinyBenchmark(name="x", modality="text", difficulties=(2, 3), size=20, **p).problems() for p in (place, place | other))
    assert [p.difficulty for p in here] == [2] * 20 + [3] * 20
    assert not {p.prompt for p in here} & {p.prompt for p in there}


def test_a_shortcut_scores_what_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHORTCUTS, "an oracle", (lambda question: question.answer, 1))
    monkeypatch.setitem(SHORTCUTS, "a memory", (lambda question: (question.facts, question.expression), 1))
    monkeypatch.setitem(SHORTCUTS, "the wrong way round", (lambda question: (question.answer + 1) % 10, 1))
    for difficulty in (1, 3):
        scores = shortcut_scores.__wrapped__(difficulty, size=1500)
        assert scores.pop("an oracle") == 1.0
        assert scores.pop("the wrong way round") == 1.0  # a view is fitted, so a relabelled answer is still the answer
        assert scores.pop("a memory") < 0.1  # scored on questions it was not fitted on
        assert abs(scores[CONSTANT] - 0.10) < 0.03
        assert all(0.05 < score < 0.5 for score in scores.values()), scores
        assert ("the last two operators and values" in scores) == (difficulty >= 3)  # below, nothing would be left out
