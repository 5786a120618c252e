"""The guard in a whole run: prompts that repeat a benchmark's question are named, left out or refused, and the table says so."""

import json
from pathlib import Path

import pytest
from support import own, pairs
from support.runs import run_here

from vold.base.errors import DataError
from vold.base.files import lines_of
from vold.report import benchmarks, overlaps

pytestmark = pytest.mark.long

ASKED = "Four friends share the shells they found, and everybody gets the same number. How much is {n} + 3?"
SHORT = ("sft.steps=1", "joint.steps=1", "joint.arms=['vold']")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> pairs.Pair:
    return pairs.saved(tmp_path_factory.mktemp("models"))


@pytest.fixture
def folder(tmp_path: Path, models: pairs.Pair, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    own.put_data(tmp_path)
    own.put_recipe(tmp_path, models)
    rows = [{"question": ASKED.format(n=n), "answer": f"#### {n + 3}"} for n in (4, 5)]
    own.write(tmp_path / "tested.jsonl", rows)
    trained = [json.loads(line) for line in lines_of(tmp_path / "problems.jsonl")]
    trained.append({"prompt": ASKED.format(n=4), "answer": 7})
    trained.append({"prompt": ASKED.format(n=6), "answer": 9})
    own.write(tmp_path / "problems.jsonl", trained)
    return tmp_path


def run(folder: Path, *more: str) -> list[str]:
    said: list[str] = []
    tested = "eval.benchmarks=[{name='g', kind='gsm8k', path='tested.jsonl'}]"
    run_here("own.toml", folder / "run", tested, *SHORT, *more, said=said)
    return said


def met(folder: Path) -> dict[str, set[int | None]]:
    return {scores.model.label: {one.overlaps for one in scores.benchmarks} for scores in benchmarks.published_in(folder / "run")}


def test_overlaps_are_named_and_marked(folder: Path) -> None:
    said = run(folder)
    found = overlaps.read(folder / "run")
    assert found is not None
    assert [(one.prompt_id, one.kind.value) for one in found.overlaps if one.kind.value != "template"] == [("problems/9", "exact")]
    assert ("problems/10", "template") in {(one.prompt_id, one.kind.value) for one in found.overlaps}  # other numbers, another problem
    assert any("1 of 2 questions repeated" in line for line in said)
    assert met(folder) == {"base, direct": {None}, "base, reasoning": {None}, "SFT": {1}, "vold": {1}}
    assert not any("comparing training prompts" in line for line in run(folder))  # what was found is kept


def test_they_can_be_left_out(folder: Path) -> None:
    said = run(folder, "contamination.found='drop'")
    assert any("1 dropped (repeats a question of a benchmark)" in line for line in said)
    assert met(folder)["vold"] == {0}
    journal = (folder / "run" / "joint-vold" / "journal.jsonl").read_text()
    assert "problems/9" not in journal
    told = json.loads((folder / "run" / "references.json").read_text())
    assert told["read"]["kept"] == 9


def test_they_can_be_refused_before_anything_is_spent(folder: Path) -> None:
    with pytest.raises(DataError, match=r"1 training prompts repeat a benchmark's question, such as problems/9"):
        run(folder, "contamination.found='refuse'")
    assert not (folder / "run").exists()


def test_nobody_looks_where_nobody_should(folder: Path) -> None:
    run(folder, "contamination.check=false")
    assert overlaps.read(folder / "run") is None
    assert met(folder)["vold"] == {None}
