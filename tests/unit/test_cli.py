"""The command line: exit codes, plain words on standard error, and what `show` says."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from vold import cli, pipeline
from vold.base.errors import Diverged
from vold.config.load import about_overlay, load, overlay_names, recipe_names
from vold.wiring import runs

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None  # importing them raises
from vold.cli import main
main()
"""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


Command = Callable[..., Ended]


@pytest.fixture
def vold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs a command line in this process, in an empty folder. What is not caught by `main` fails the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def vold(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["vold", *arguments])
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        said = capsys.readouterr()
        return Ended(code, said.out, said.err)

    return vold


REFUSED = {
    ("run", "tinny"): "no recipe or overlay named 'tinny'; did you mean \"tiny\"?",
    ("show", "gone.toml"): "no recipe file gone.toml",
    ("run", "tiny", "joint.group_sise=3"): "command line: [joint] has no setting 'group_sise'; did you mean \"group_size\"?",
    ("sft", "tiny", "joint.group_size=1"): "a group of 1 has no spread",
    ("show", "tiny", "eval.benchmarks=[]"): "eval.benchmarks is empty",
    ("run", "tiny", "-o", "gone.toml"): "no recipe file gone.toml",
    ("run", "tiny", "student.path=./gone"): "no model folder ./gone",
    ("run", "tiny", "teacher.path=tiny:teacher-z"): "tiny:teacher-z does not ship",
    ("sft", "tiny"): "stage sft reads what stage corpus leaves in runs/tiny/corpus, and that is not done. Run `vold corpus` first",
    ("eval", "tiny"): "stage eval reads what stage corpus leaves",
    ("show", "tiny", "arms.vold.objective.clip.low=0.1"): "command line: arms.vold.objective.clip is set, but with joint.updates_per_batch = 1",
    ("zoo", "volt"): "the zoo has no method 'volt'; did you mean \"VOLD\"?",
    ("zoo", "volt", "--json"): "the zoo has no method 'volt'",
    ("report", "."): "holds no run: it is empty. Expected settings.json, which every run writes first. Give the folder of a run",
    ("report", "gone"): "there is no run at gone",
    ("table", "gone"): "1 of the 1 folders hold no summary.json",
    ("table", "gone", "--way", "x"): "--way 'x' is not one of: greedy, sampled.",
    ("score", "math500", "gone.jsonl", "--as", "pdf"): "--as 'pdf' is not one of: terminal, markdown, csv, json.",
    ("scores", "gone", "--as", "pdf"): "--as 'pdf' is not one of",
}


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_a_refusal_ends_with_2_and_one_plain_message(vold: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    ended = vold(*arguments)
    assert ended.code == 2
    assert ended.err.startswith("error: ")
    assert REFUSED[arguments] in ended.err
    assert "Traceback" not in ended.err
    assert not list(tmp_path.rglob("stage.json"))  # nothing had been started


@pytest.mark.parametrize("arguments", [("runn", "tiny"), ("run",), ("run", "tiny", "--nope"), ("demo", "too", "many")], ids=" ".join)
def test_a_slip_of_usage_ends_with_2(vold: Command, arguments: tuple[str, ...]) -> None:
    ended = vold(*arguments)
    assert ended.code == 2
    assert "Usage: " in ended.err
    assert "Traceback" not in ended.err


def test_help_names_every_command(vold: Command) -> None:
    ended = vold("--help")
    assert ended.code == 0
    for command in ("run", "corpus", "sft", "joint", "eval", "demo", "show", "zoo", "recipes", "report", "table", "tiny"):
        assert f" {command} " in ended.out


def test_a_failure_while_running_ends_with_1(vold: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*_: object, **__: object) -> pipeline.Done:
        raise Diverged("step 3: the loss is nan. Lower the learning rate.")

    monkeypatch.setattr(runs, "run", diverge)
    ended = vold("run", "tiny")
    assert (ended.code, ended.err) == (1, "error: step 3: the loss is nan. Lower the learning rate.\n")


def test_an_interruption_ends_with_130_and_says_how_to_go_on(vold: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> pipeline.Done:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("the signal was ignored")

    monkeypatch.setattr(runs, "run", interrupt)
    ended = vold("run", "tiny")
    assert ended.code == 130
    assert ended.err == "interrupted: run the same command again to go on.\n"


def test_a_run_folder_in_use_is_refused(vold: Command, tmp_path: Path) -> None:
    with pipeline.locked(tmp_path / "runs" / "mine"):
        ended = vold("run", "tiny", "--name", "mine")
    assert ended.code == 2
    assert "error: another process is working in runs/mine" in ended.err


def test_a_run_folder_that_cannot_be_written_is_refused(vold: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("in the way")
    ended = vold("run", "tiny")
    assert ended.code == 2
    assert "error: the run folder runs/tiny cannot be written" in ended.err
    assert "--runs FOLDER" in ended.err


def test_show_prints_every_value_with_who_set_it(vold: Command) -> None:
    ended = vold("show", "tiny-clip", "joint.lr=2e-4")
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["joint.lr", "0.0002", "command", "line"] in rows
    assert ["joint.updates_per_batch", "4", "recipe", "tiny-clip"] in rows
    assert ["student.path", "'tiny:base'", "recipe", "tiny"] in rows
    assert ["joint.truncated_reward", "'wrong'", "default"] in rows
    assert any(line.startswith("arm vold, until step ") and "k2 → teacher on wrong" in line for line in ended.out.splitlines())


def test_show_says_where_the_clip_is_inert_and_why(vold: Command) -> None:
    [inert] = [line for line in vold("show", "tiny").out.splitlines() if line.startswith("inactive: clip")]
    assert "inert" in inert
    assert "joint.updates_per_batch = 1" in inert
    assert "ratio of new to old policy is exactly 1" in inert
    assert "tiny-clip" in inert
    assert "vold" in inert.partition(":")[2].partition(")")[0]  # which arms have one
    assert "inactive: clip" not in vold("show", "tiny-clip").out


def test_show_says_how_each_arm_is_rendered_and_why(vold: Command) -> None:
    changed = ("arms.grpo.objective.entropy=0.01", "joint.arms=['grpo', 'vold']")
    lines = vold("show", "tiny", *changed).out.splitlines()
    told = {line: after for line, after in pairwise(lines) if line.startswith("arm ")}
    rendered = {line.split(",")[0]: after.strip() for line, after in told.items()}
    assert rendered["arm grpo"] == "rendered as a loss: an entropy bonus has a gradient at every entry of the vocabulary"
    assert rendered["arm vold"].startswith("rendered as a coefficient: one update a batch")

    found = json.loads(vold("show", "tiny", *changed, "--json").out)
    assert [(arm["arm"], arm["until"], arm["rendering"]) for arm in found["arms"]] == [("grpo", 80, "loss"), ("vold", 80, "coefficient")]
    assert found["arms"][0]["objective"].endswith("0.01 entropy")

    [clipped] = json.loads(vold("show", "tiny-clip", "joint.arms=['vold']", "--json").out)["arms"]
    assert (clipped["rendering"], "joint.updates_per_batch = 4" in clipped["rendering_why"]) == ("loss", True)


def test_recipes_are_listed_with_what_they_are_about(vold: Command) -> None:
    lines = vold("recipes").out.splitlines()
    recipes, overlays = lines[: len(recipe_names())], lines[len(recipe_names()) :]
    assert [line.split()[0] for line in recipes] == recipe_names()
    assert all(load(name).settings.about in line for name, line in zip(recipe_names(), recipes, strict=True))
    assert [line.split()[:2] for line in overlays] == [["-o", name] for name in overlay_names()]
    assert all(about_overlay(name) in line for name, line in zip(overlay_names(), overlays, strict=True))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("show", "tiny"), 0),
        (("run", "tiny", "joint.group_size=1"), 2),
        (("recipes",), 0),
        (("zoo",), 0),
        (("zoo", "gkd"), 0),
        (("zoo", "--json"), 0),
    ],
)
def test_settings_are_checked_before_torch_is_loaded(arguments: tuple[str, ...], code: int, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
