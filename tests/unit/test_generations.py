"""Kept answers: judging again costs nothing, an interrupted evaluation goes on, and neither changes what was said."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support import models as m

from vold.adapters.generations import KeptAnswers
from vold.adapters.problems.tiny import tiny_problem
from vold.base.errors import DataError
from vold.base.types import Problem, Rollout
from vold.ports import Answerer, Place, Sampling

PLACE = ("evaluate", "b", "greedy")
PROBLEMS = [tiny_problem(0, "kept", place, 1 + place % 4) for place in range(9)]
GREEDY = m.sampling(12, 0.0)


@dataclass
class Counted:
    """An engine that counts what it is asked, and goes away after so many batches."""

    inner: Answerer
    batches: list[list[str]] = field(default_factory=list)
    leaves: int = 10**6

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        if len(self.batches) == self.leaves:
            raise KeyboardInterrupt
        self.batches.append([problem.id for problem in problems])
        return self.inner.sample(problems, per_problem=per_problem, sampling=sampling, place=place)


def kept(world: m.World, path: Path, *, rows: int = 4, leaves: int = 10**6, thinking: bool = False, **identity: Any) -> tuple[KeptAnswers, Counted]:
    engine = (m.thinking_engine_of if thinking else m.engine_of)(world.student32)
    counted = Counted(engine, leaves=leaves)
    return KeptAnswers(inner=counted, template=engine.template, path=path, identity={"model": "x", **identity}, rows=rows), counted


def said(rollouts: Sequence[Rollout]) -> list[tuple[str, int, tuple[int, ...], str, str]]:
    return [(r.problem.id, r.sample, r.response_ids, r.text, r.finish.value) for r in rollouts]


def test_the_second_time_nobody_is_asked(world: m.World, tmp_path: Path) -> None:
    first, asked = kept(world, tmp_path / "a.jsonl")
    found = first.sample(PROBLEMS, per_problem=1, sampling=GREEDY, place=PLACE)
    assert sorted(map(len, asked.batches)) == [1, 4, 4]
    again, silent = kept(world, tmp_path / "a.jsonl")
    assert said(again.sample(PROBLEMS, per_problem=1, sampling=GREEDY, place=PLACE)) == said(found)
    assert silent.batches == []
    assert again.reused == 9
    plain = m.engine_of(world.student32).sample(PROBLEMS, per_problem=1, sampling=GREEDY, place=PLACE)
    assert said(found) == said(plain)
    assert all(r.logprobs == () and r.prompt_ids == () for r in found)


@pytest.mark.parametrize("torn", [False, True])
def test_an_interrupted_evaluation_ends_with_the_same_bytes(world: m.World, tmp_path: Path, torn: bool) -> None:
    drawn = m.sampling(12, 1.0)
    whole, _ = kept(world, tmp_path / "whole.jsonl")
    expected = whole.sample(PROBLEMS, per_problem=2, sampling=drawn, place=PLACE)
    path = tmp_path / "cut.jsonl"
    cut, _ = kept(world, path, leaves=2)
    with pytest.raises(KeyboardInterrupt):
        cut.sample(PROBLEMS, per_problem=2, sampling=drawn, place=PLACE)
    if torn:
        path.write_bytes(path.read_bytes()[:-7])
    on, asked = kept(world, path)
    assert said(on.sample(PROBLEMS, per_problem=2, sampling=drawn, place=PLACE)) == said(expected)
    assert len(asked.batches) == (4 if torn else 3)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_what_an_answer_depends_on_is_in_its_key(world: m.World, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    kept(world, path)[0].sample(PROBLEMS[:1], per_problem=1, sampling=GREEDY, place=PLACE)

    def asks(problem: Problem = PROBLEMS[0], sampling: Sampling = GREEDY, place: Place = PLACE, suffix: str | None = None, **identity: Any) -> bool:
        engine, counted = kept(world, path, **identity)
        if suffix is not None:
            engine.template = replace(engine.template, suffix=suffix)
        engine.sample([problem], per_problem=1, sampling=sampling, place=place)
        return bool(counted.batches)

    assert not asks()
    assert not asks(place=("evaluate", "another", "greedy"))  # a greedy answer is that to the question, wherever it is asked
    assert not asks(replace(PROBLEMS[0], id="another"))
    assert asks(model="y")
    assert asks(sampling=m.sampling(13, 0.0))
    assert asks(sampling=replace(GREEDY, think_budget=5))
    assert asks(suffix=" ?")
    assert asks(tiny_problem(0, "kept", 0, 1, image=True))
    assert asks(tiny_problem(1, "kept", 0, 1, image=True))  # another picture under the same words
    drawn = m.sampling(12, 1.0)
    assert asks(sampling=drawn)
    assert not asks(sampling=drawn)
    assert asks(sampling=drawn, place=("evaluate", "another", "sampled"))
    assert asks(replace(PROBLEMS[0], id="another"), sampling=drawn)


def test_what_was_put_into_an_answer_stays_marked(world: m.World, tmp_path: Path) -> None:
    held = replace(m.sampling(20, 0.0), think_budget=4, closing="</think> \\boxed{")
    fresh = m.thinking_engine_of(world.student32).sample(PROBLEMS, per_problem=1, sampling=held, place=PLACE)
    assert any(not all(rollout.sampled) for rollout in fresh)
    path = tmp_path / "a.jsonl"
    kept(world, path, thinking=True)[0].sample(PROBLEMS, per_problem=1, sampling=held, place=PLACE)
    again, silent = kept(world, path, thinking=True)
    assert [r.sampled for r in again.sample(PROBLEMS, per_problem=1, sampling=held, place=PLACE)] == [r.sampled for r in fresh]
    assert silent.batches == []


def test_a_damaged_line_is_named(world: m.World, tmp_path: Path) -> None:
    """A last line cut off is made again without a word; damage anywhere else is somebody's to look at."""
    path = tmp_path / "a.jsonl"
    kept(world, path)[0].sample(PROBLEMS, per_problem=1, sampling=GREEDY, place=PLACE)
    lines = path.read_bytes().split(b"\n")
    lines[1] = b"\0" * 9
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=r"a\.jsonl, line 2 is damaged.*Delete that line"):
        kept(world, path)[0].sample(PROBLEMS, per_problem=1, sampling=GREEDY, place=PLACE)


def test_a_seed_moves_drawn_answers_alone(world: m.World, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for sampling, moved in ((GREEDY, False), (m.sampling(6), True)):
        kept(world, path)[0].sample(PROBLEMS, per_problem=1, sampling=sampling, place=PLACE)
        other, asked = kept(world, path)
        other.seed = 1
        other.sample(PROBLEMS, per_problem=1, sampling=sampling, place=PLACE)
        assert bool(asked.batches) == moved


@pytest.mark.parametrize("line", ["{}", '{"key": "k"}', '{"ids": [], "finish": "stop", "text": ""}'])
def test_a_kept_answer_without_its_words_is_named(world: m.World, tmp_path: Path, line: str) -> None:
    (tmp_path / "a.jsonl").write_text(line + "\n")
    engine, asked = kept(world, tmp_path / "a.jsonl")
    with pytest.raises(DataError, match=r"a\.jsonl, line 1 is damaged"):
        engine.sample(PROBLEMS, per_problem=1, sampling=GREEDY, place=PLACE)
    assert asked.batches == []
