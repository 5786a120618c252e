"""Stages in order: what is skipped, what is refused, what is moved aside, what goes on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from vold import pipeline
from vold.base.errors import RunError, SettingsError

FACTS = {"commit": "abc", "versions": {"torch": "2"}}


@dataclass
class Work:
    """A stage that counts how often it was done, writes what it reads, and can be made to fail half-way."""

    folder: Path
    settings: dict = field(default_factory=lambda: {"lr": 0.1, "nested": {"steps": 3, "levels": [1, 2]}})
    read: str = "data"
    version: int = 1
    fails: bool = False
    times: int = 0

    def act(self, folder: Path) -> None:
        self.times += 1
        (folder / "model").mkdir(exist_ok=True)
        with (folder / "journal").open("a") as journal:
            journal.write("half\n")
        if self.fails:
            raise RuntimeError("the machine went away")
        (folder / "model" / "weights").write_text(self.read)

    @property
    def stage(self) -> pipeline.Stage:
        return pipeline.Stage(
            name="work",
            folder=self.folder,
            version=self.version,
            settings=self.settings,
            inputs=lambda: {"data": self.read},
            act=self.act,
            outputs=("model", "journal"),
        )


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(folder=tmp_path / "run" / "work")


def run(work: Work, *, redo: bool = False, facts: dict = FACTS, said: list[str] | None = None) -> pipeline.Done:
    return pipeline.run([work.stage], redo=redo, facts=facts, say=(said if said is not None else []).append)


def test_what_is_done_is_skipped(work: Work) -> None:
    assert run(work) == pipeline.Done(ran=("work",), skipped=())
    assert run(work) == pipeline.Done(ran=(), skipped=("work",))
    assert work.times == 1
    record = json.loads((work.folder / "stage.json").read_text())
    assert (record["done"], record["settings"], record["inputs"], record["commit"]) == (True, work.settings, {"data": "data"}, "abc")
    assert set(record["outputs"]) == {"model/weights", "journal"}


def test_another_commit_or_other_libraries_change_nothing(work: Work) -> None:
    run(work)
    assert run(work, facts={"commit": "def", "versions": {"torch": "3"}}).skipped == ("work",)


CHANGES: dict[str, tuple[Callable[[Work], object], str]] = {
    "a setting": (lambda w: w.settings.update(lr=0.2), "settings.lr: 0.1 -> 0.2"),
    "a nested setting": (lambda w: w.settings["nested"].update(steps=4), "settings.nested.steps: 3 -> 4"),
    "an array": (lambda w: w.settings["nested"].update(levels=(1, 3)), "settings.nested.levels: [1, 2] -> [1, 3]"),
    "a new setting": (lambda w: w.settings.update(seed=1), "settings.seed: None -> 1"),
    "a removed setting": (lambda w: w.settings.pop("lr"), "settings.lr: 0.1 -> None"),
    "an input": (lambda w: setattr(w, "read", "other"), "inputs.data: 'data' -> 'other'"),
    "the version": (lambda w: setattr(w, "version", 2), "version: 1 -> 2"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("state", ["done", "interrupted"])
def test_a_changed_stage_is_refused_by_name_and_left_alone(work: Work, change: str, state: str) -> None:
    prepare(work, state)
    before = {p: p.read_bytes() for p in work.folder.rglob("*") if p.is_file()}
    edit, named = CHANGES[change]
    edit(work)
    with pytest.raises(SettingsError) as refused:
        run(work)
    assert named in str(refused.value)
    assert "--redo" in str(refused.value)
    assert "--name" in str(refused.value)
    assert {p: p.read_bytes() for p in work.folder.rglob("*") if p.is_file()} == before
    assert work.times == 1


def test_only_what_changed_is_named(work: Work) -> None:
    run(work)
    work.settings["lr"] = 0.2
    with pytest.raises(SettingsError) as refused:
        run(work)
    assert "steps" not in str(refused.value)
    assert "data" not in str(refused.value)


@pytest.mark.parametrize("state", ["done", "interrupted"])
def test_redo_moves_the_old_folder_aside(work: Work, state: str) -> None:
    prepare(work, state)
    for again in (1, 2):
        work.settings["lr"] = again
        said: list[str] = []
        assert run(work, redo=True, said=said).ran == ("work",)
        old = work.folder.with_name(f"work.old-{again}")
        assert json.loads((old / "stage.json").read_text())["settings"]["lr"] == [0.1, 1][again - 1]
        assert (work.folder / "journal").read_text() == "half\n"  # a fresh folder
        assert any("settings changed" in line and old.name in line for line in said)


def test_redo_does_not_repeat_what_is_unchanged(work: Work) -> None:
    run(work)
    assert run(work, redo=True).skipped == ("work",)


def prepare(work: Work, state: str) -> None:
    if state == "done":
        run(work)
        return
    work.fails = True
    with pytest.raises(RuntimeError, match="went away"):
        run(work)
    work.fails = False


def test_an_interrupted_stage_goes_on_in_its_folder(work: Work) -> None:
    prepare(work, "interrupted")
    assert json.loads((work.folder / "stage.json").read_text())["done"] is False
    said: list[str] = []
    assert run(work, said=said).ran == ("work",)
    assert said == ["work: going on"]
    assert (work.folder / "journal").read_text() == "half\nhalf\n"
    assert run(work).skipped == ("work",)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "changed": lambda folder: (folder / "model" / "weights").write_text("dat4"),
    "missing": lambda folder: (folder / "model" / "weights").unlink(),
    "added": lambda folder: (folder / "model" / "stray").write_text("x"),
    "cut": lambda folder: (folder / "journal").write_text("ha"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_outputs_are_noticed_kept_aside_and_made_again(work: Work, damage: str) -> None:
    run(work)
    DAMAGE[damage](work.folder)
    said: list[str] = []
    assert run(work, said=said).ran == ("work",)
    assert any("its outputs are damaged" in line and "work.old-1" in line for line in said)
    assert (work.folder / "model" / "weights").read_text() == "data"
    assert not (work.folder / "model" / "stray").exists()
    assert run(work).skipped == ("work",)


def test_a_record_that_cannot_be_read_stops_the_run(work: Work) -> None:
    run(work)
    (work.folder / "stage.json").write_text('{"done": tr')
    with pytest.raises(RunError, match=r"stage\.json cannot be read.*Move the folder"):
        run(work)


def test_inputs_are_asked_for_when_the_stage_has_its_turn(work: Work, tmp_path: Path) -> None:
    """The second stage reads what the first one writes."""
    second = replace(
        Work(folder=tmp_path / "run" / "second").stage, name="second", inputs=lambda: {"first": (work.folder / "model" / "weights").read_text()}
    )
    done = pipeline.run([work.stage, second], redo=False, facts=FACTS, say=[].append)
    assert done.ran == ("work", "second")
    work.read = "other"
    with pytest.raises(SettingsError, match="stage work"):
        pipeline.run([work.stage, second], redo=False, facts=FACTS, say=[].append)
    assert pipeline.run([work.stage, second], redo=True, facts=FACTS, say=[].append).ran == ("work", "second")


def test_two_processes_cannot_share_a_run_folder(tmp_path: Path) -> None:
    with (
        pipeline.locked(tmp_path / "run"),
        pytest.raises(SettingsError, match=r"another process is working in .*run.*another --name"),
        pipeline.locked(tmp_path / "run"),
    ):
        pytest.fail("the second one got in")
    with pipeline.locked(tmp_path / "run"):
        pass  # free again


@pytest.mark.parametrize("place", ["the folder", "a folder above", "the lock"])
def test_a_run_folder_that_cannot_be_written_is_refused(tmp_path: Path, place: str) -> None:
    root = tmp_path / "runs" / "mine"
    if place == "the folder":
        root.parent.mkdir()
        root.write_text("in the way")
    elif place == "a folder above":
        root.parent.write_text("in the way")
    else:
        (root / ".lock").mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"run folder .*mine cannot be written.*--runs FOLDER"), pipeline.locked(root):
        pytest.fail("it was not refused")
