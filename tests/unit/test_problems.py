"""Problems from a file: read completely, dealt without repetition, and refused by line."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from vold.adapters.problems.files import FileBenchmark, FileProblems, problem_file
from vold.adapters.problems.tiny import TinyProblems
from vold.base.errors import DataError


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (28, 28), "white").save(out, format="PNG")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "p.png").write_bytes(out.getvalue())
    (tmp_path / "pictures" / "broken.png").write_bytes(out.getvalue()[:40])
    (tmp_path / "pictures" / "text.png").write_text("no picture")
    return out.getvalue()


def written(folder: Path, *rows: object) -> Path:
    path = folder / "own.jsonl"
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows))
    return path


def problems_in(path: Path, *, per_step: int = 0, limit: int = 0, seed: int = 0, needs_answers: bool = True) -> FileProblems:
    of = problem_file(path, kind="jsonl", source="own", limit=limit, needs_answers=needs_answers)
    return FileProblems(of=of, seed=seed, per_step=per_step)


def benchmark_in(path: Path, modality: str) -> FileBenchmark:
    return FileBenchmark(of=problem_file(path, kind="jsonl", source="own", distinct=False), modality=modality)


def test_a_row_becomes_a_problem(tmp_path: Path) -> None:
    rows = [{"prompt": "1 + 1\u2028?", "answer": 2, "difficulty": 3}, "", {"prompt": "x", "answer": "y", "id": "named"}]
    first, second = problems_in(written(tmp_path, *rows)).all()
    assert (first.id, first.prompt, first.answer, first.difficulty, first.source) == ("own/1", "1 + 1\u2028?", "2", 3, "own")
    assert (second.id, second.answer, second.difficulty) == ("own/named", "y", None)


def test_answers_may_be_missing_only_where_nobody_reads_them(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "x"})
    assert [p.answer for p in problems_in(path, needs_answers=False).all()] == [None]
    with pytest.raises(DataError, match=r"own\.jsonl, line 1: .*expected a prompt and an answer"):
        problems_in(path).all()


def test_a_step_never_holds_a_problem_twice_and_an_epoch_reads_each_once(tmp_path: Path) -> None:
    path = written(tmp_path, *({"prompt": str(place), "answer": "1"} for place in range(12)))
    source = problems_in(path, per_step=4)
    steps = [[problem.id for problem in source.for_step(step)] for step in range(9)]
    for epoch in range(3):
        drawn = [name for step in steps[3 * epoch : 3 * epoch + 3] for name in step]
        assert sorted(drawn) == sorted(problem.id for problem in source.all())
    assert steps[:3] != steps[3:6]  # another order every epoch
    assert steps == [[problem.id for problem in problems_in(path, per_step=4).for_step(step)] for step in range(9)]
    assert steps != [[problem.id for problem in problems_in(path, per_step=4, seed=1).for_step(step)] for step in range(9)]


def test_the_limit_takes_the_first_rows(tmp_path: Path) -> None:
    path = written(tmp_path, *({"prompt": str(place), "answer": "1"} for place in range(12)))
    assert [problem.prompt for problem in problems_in(path, limit=2).all()] == ["0", "1"]


def test_too_few_problems_for_a_step_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "x", "answer": "1"})
    with pytest.raises(DataError, match=r"holds 1 problems, but a step reads 2 .*lower joint\.prompts_per_step"):
        problems_in(path, per_step=2).for_step(0)


BROKEN = {
    "not JSON": "{oops",
    "no object": "3",
    "no prompt": {"answer": "1"},
    "a prompt that is no text": {"prompt": ["x"], "answer": "1"},
    "no answer": {"prompt": "x", "answer": None},
    "an empty answer": {"prompt": "x", "answer": " "},
    "a difficulty in words": {"prompt": "x", "answer": "1", "difficulty": "hard"},
    "an image that is no path": {"prompt": "x", "answer": "1", "image": 5},
    "an image that is not there": {"prompt": "x", "answer": "1", "image": "pictures/gone.png"},
    "an image that is text": {"prompt": "x", "answer": "1", "image": "pictures/text.png"},
    "an image cut off": {"prompt": "x", "answer": "1", "image": "pictures/broken.png"},
}


@pytest.mark.usefixtures("png")
@pytest.mark.parametrize("kind", BROKEN)
def test_a_bad_line_is_named(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path, {"prompt": "x", "answer": "1"}, "", BROKEN[kind])
    with pytest.raises(DataError, match=r"own\.jsonl, line 3: found .*, expected a prompt and an answer .*Repair or remove the line"):
        problems_in(path).all()


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe"])
def test_a_file_without_problems_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "own.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=r"own\.jsonl"):
        problems_in(path).all()


def test_two_problems_of_one_name_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "x", "answer": "1", "id": "a"}, {"prompt": "y", "answer": "1", "id": "a"})
    with pytest.raises(DataError, match=r"two problems are called own/a"):
        problems_in(path).all()


def test_an_image_benchmark_reads_pictures_beside_the_file(tmp_path: Path, png: bytes) -> None:
    path = written(tmp_path, {"prompt": "what?", "answer": "1", "image": "pictures/p.png"})
    [problem] = benchmark_in(path, "image").problems()
    assert problem.images == (png,)


@pytest.mark.usefixtures("png")
def test_an_image_benchmark_without_an_image_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, {"prompt": "x", "answer": "1", "image": "pictures/p.png"}, {"prompt": "x", "answer": "1"})
    with pytest.raises(DataError, match=r"own\.jsonl: 1 problems show no image, the first is own/2.*Add `image`"):
        benchmark_in(path, "image").problems()
    assert len(benchmark_in(path, "text").problems()) == 2


def test_further_problems_of_a_file(tmp_path: Path) -> None:
    """A step's worth, none twice, the same whenever asked for, and others for another refill, step or seed."""
    path = written(tmp_path, *({"prompt": str(place), "answer": "1"} for place in range(30)))
    source = problems_in(path, per_step=4)
    drawn = {(step, refill): [p.id for p in source.more(step, refill)] for step in range(4) for refill in (1, 2, 3)}
    assert all(len(set(names)) == 4 for names in drawn.values())
    assert len(set(map(tuple, drawn.values()))) == len(drawn)
    assert {name for names in drawn.values() for name in names} <= {p.id for p in source.all()}
    assert [p.id for p in problems_in(path, per_step=4).more(3, 2)] == drawn[3, 2]
    assert [p.id for p in problems_in(path, per_step=4, seed=1).more(3, 2)] != drawn[3, 2]


def test_further_problems_of_the_laptop_world() -> None:
    """Of a stream of their own: nothing a run has seen or will see, and the difficulties dealt as in a step."""
    source = TinyProblems(seed=0, source="train", difficulties=(1, 2), per_step=4)
    usual = [p for step in range(4) for p in source.for_step(step)]
    further = [p for step in range(4) for refill in (1, 2, 3) for p in source.more(step, refill)]
    names = [p.id for p in (*usual, *further)]
    assert len(set(names)) == len(names)
    assert [p.difficulty for p in source.more(2, 1)] == [p.difficulty for p in source.for_step(2)] == [1, 2, 1, 2]
    assert source.more(2, 1) == source.more(2, 1)
    assert len({p.prompt for p in further}) > len(further) // 2
