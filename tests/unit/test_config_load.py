"""Recipes to settings: what wins, who set it, and what is said about a recipe that cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vold.base.errors import SettingsError
from vold.config.explain import inactive, refuse_contradictions, values_of
from vold.config.load import load, recipe_names
from vold.config.objectives import phases_of

Write = Callable[..., str]

CHILD = """
extends = "base.toml"
name = "child"

[joint]
steps = 7
lr = { start = 1e-3, end = 1e-4, until = 5 }

[arms.vold.objective]
pull = { beta = 0.3 }
"""

BASE = """
name = "base"
seed = 4

[student]
path = "tiny:base"

[teacher]
path = "tiny:teacher-a"

[joint]
steps = 5
group_size = 4

[arms.vold]
objective = { base = "VOLD", pull = { beta = 0.2, on = "every" } }
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a TOML file and gives its path."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("name", recipe_names())
def test_every_shipped_recipe_loads_without_contradictions(name: str) -> None:
    resolved = load(name)
    refuse_contradictions(resolved)
    assert resolved.settings.name == name
    assert resolved.settings.about
    assert resolved.settings.eval.benchmarks


def test_the_recipes_that_everything_else_names_are_shipped() -> None:
    assert {"tiny", "tiny-clip", "demo"} <= set(recipe_names())


def test_later_layers_win_and_are_named_as_the_source(write: Write) -> None:
    base, child = write("base.toml", BASE), write("child.toml", CHILD)
    overlay = write("overlay.toml", "[joint]\nprompts_per_step = 9\nsteps = 8\n")
    resolved = load(child, overlays=[overlay], assignments=["joint.steps=9", "student.suffix=why", "joint.prompts_per_step = 3"])
    s = resolved.settings

    assert (s.name, s.seed) == ("child", 4)
    assert (s.joint.steps, s.joint.group_size, s.joint.prompts_per_step) == (9, 4, 3)
    assert s.student.suffix == "why"  # not TOML, so it is taken as a word
    [(objective, until)] = phases_of("vold", s.arms["vold"], s.joint)
    assert (objective.pulls[0].beta, objective.pulls[0].on, until) == (0.3, "every", 9)  # tables merge key by key

    assert resolved.source_of("joint.steps") == "command line"
    assert resolved.source_of("joint.group_size") == f"recipe {base}"
    assert resolved.source_of("name") == f"recipe {child}"
    assert resolved.source_of("arms.vold.objective.pull.beta") == f"recipe {child}"
    assert resolved.source_of("arms.vold.objective.pull.on") == f"recipe {base}"
    assert resolved.source_of("sft.lr") == "default"


def test_what_the_user_set_is_told_from_what_was_inherited(write: Write) -> None:
    mine = write("mine.toml", 'extends = "tiny"\nname = "mine"\n[joint]\nlr = { start = 1e-4 }\n')
    overlay = write("overlay.toml", "[joint]\ngroup_size = 7\n")
    phases = "arms.opd-then-grpo.phases=[{steps=80, objective={base='OPD', share='per-group'}}]"
    resolved = load(mine, overlays=["tiny-clip", overlay], assignments=["sft.steps=3", phases])

    assert resolved.source_of("joint.updates_per_batch") == "recipe tiny-clip"
    assert resolved.user_of("joint.updates_per_batch") is None  # by way of a shipped overlay
    assert resolved.user_of("joint.prompts_per_step") is None  # by way of a file that extends a shipped recipe
    assert resolved.user_of("joint.truncated_reward") is None  # by default
    assert resolved.user_of("joint.group_size") == f"recipe {overlay}"
    assert resolved.user_of("name") is None  # the shipped overlay came later
    assert resolved.user_of("sft.steps") == "command line"
    assert resolved.user_of("sft") == "command line"  # something in it
    assert resolved.user_of("arms.opd-then-grpo.phases.0.objective.share") == "command line"  # the array around it
    assert resolved.user_of("arms.vold") is None


def test_overlays_are_laid_in_the_order_given(write: Write) -> None:
    write("base.toml", BASE)
    low, high = write("low.toml", "[joint]\nlr = 1e-5\n"), write("high.toml", "[joint]\nlr = 1e-3\n")
    assert load(low, overlays=["tiny", high]).settings.joint.lr == 1e-3
    reversed_ = load("tiny", overlays=[high, low])
    assert reversed_.settings.joint.lr == 1e-5
    assert reversed_.source_of("joint.lr") == f"recipe {low}"


def test_a_replaced_table_takes_its_provenance_along(write: Write) -> None:
    write("base.toml", BASE)
    child = write("child.toml", CHILD)
    assert load(child).source_of("joint.lr.start") == f"recipe {child}"

    resolved = load(child, assignments=["joint.lr=2e-4"])
    assert resolved.settings.joint.lr == 2e-4
    assert {key for key in resolved.sources if key.startswith("joint.lr")} == {"joint.lr"}

    emptied = load(child, assignments=["arms={}"])
    assert emptied.settings.arms == {}
    assert not [key for key in emptied.sources if key.startswith("arms.")]

    back = load(child, assignments=["joint.lr=2e-4", "joint.lr={start=1.0, end=0.5, until=3}"])
    assert {key for key in back.sources if key.startswith("joint.lr")} == {"joint.lr.start", "joint.lr.end", "joint.lr.until"}


def test_a_word_and_a_table_of_several_layers_keep_who_set_what(write: Write) -> None:
    at = "arms.vold.objective"
    word = write("word.toml", f"[{at}]\ncredit = 'leave-one-out'\nclip = 'none'\n")
    table = write("table.toml", f"[{at}.credit]\non = 'wrong'\n[{at}.clip]\nlow = 0.1\nhigh = 0.2\n")

    def set_by(*overlays: str) -> dict[str, str]:
        resolved = load("tiny", overlays=overlays)
        shown = {name: source for name, value, source in values_of(resolved) if value is not None}
        return {name.removeprefix(f"{at}."): source for name, source in shown.items() if name.startswith((f"{at}.credit", f"{at}.clip"))}

    assert set_by(word) == {"credit": f"recipe {word}", "clip": f"recipe {word}"}
    merged = {"credit.by": f"recipe {word}", "credit.on": f"recipe {table}"}
    bounds = {"clip.low": f"recipe {table}", "clip.high": f"recipe {table}"}
    assert set_by(word, table) == {**merged, **bounds, "clip.dual": "default", "clip.level": "default"}  # nothing of the base's
    assert set_by(table, word) == {**merged, "clip": f"recipe {word}"}


def test_show_knows_who_set_an_array_as_a_whole() -> None:
    resolved = load("tiny", assignments=["joint.problems.difficulties=[2, 4]"])
    found = {name: (value, source) for name, value, source in values_of(resolved)}
    assert found["joint.problems.difficulties"] == ([2, 4], "command line")
    assert found["corpus.from"] == ("teacher", "recipe tiny")  # under the name the recipe uses
    assert found["joint.truncated_reward"] == ("wrong", "default")


def test_a_file_extends_its_neighbour_wherever_it_is_run_from(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("base.toml", BASE)
    child = write("child.toml", CHILD)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert load(child).settings.seed == 4
    assert load("../child.toml").settings.seed == 4


def test_a_recipe_that_extends_itself_is_refused(write: Write, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    first = write("first.toml", 'extends = "sub/second.toml"\n')
    write("sub/second.toml", 'extends = "../first.toml"\n')
    with pytest.raises(SettingsError, match=r"extends itself by way of .*first\.toml -> .*second\.toml"):
        load(first)
    alone = write("alone.toml", 'extends = "./alone.toml"\n')
    with pytest.raises(SettingsError, match="extends itself"):
        load(alone)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = words without quotes\n", r"not valid TOML: .*line 1.*strings need quotes"),
        ("[joint]\nsteps = 3\nsteps = 4\n", "not valid TOML"),
        ('extends = ["tiny"]\n', r"extends = \['tiny'\] is not the name or path of one recipe"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_name(write: Write, text: str, said: str) -> None:
    path = write("broken.toml", text)
    with pytest.raises(SettingsError, match=said) as refused:
        load(path)
    assert "broken.toml" in str(refused.value)


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes('about = "naïve"\n'.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"latin\.toml is not valid TOML"):
        load(str(path))


def test_a_recipe_that_is_not_there_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no recipe or overlay named 'tiny-clap'; did you mean \"tiny-clip\"\?"):
        load("tiny-clap")
    with pytest.raises(SettingsError, match=r"no recipe file .*gone\.toml.*one of the names: .*tiny"):
        load("tiny", overlays=[str(tmp_path / "gone.toml")])


@pytest.mark.parametrize("assignment", ["joint.steps", "=3", "joint..steps=3", ""])
def test_what_is_no_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(SettingsError, match=r"is not of the form key=value, such as joint\.group_size=8"):
        load("tiny", assignments=[assignment])


def test_only_the_arms_named_by_the_stage_are_run_in_that_order() -> None:
    s = load("tiny", assignments=['joint.arms=["vold", "grpo"]']).settings
    assert list(s.active_arms()) == ["vold", "grpo"]
    assert list(load("tiny").settings.active_arms()) == list(s.arms)


def test_what_cannot_act_is_said() -> None:
    [clip] = [note for note in inactive(load("tiny")) if note.startswith("clip")]
    assert "inert" in clip
    assert "updates_per_batch = 1" in clip
    assert "ratio" in clip
    assert not [note for note in inactive(load("tiny-clip")) if note.startswith("clip")]

    notes = inactive(load("tiny", assignments=['joint.arms=["grpo"]', "corpus.from=dataset", "corpus.path=traces.jsonl"]))
    assert any(note.startswith("teacher: inert") for note in notes)
    assert any(note.startswith("arms ") and "vold" in note for note in notes)
    assert any("right rollouts: unusual" in note for note in inactive(load("tiny", assignments=["arms.vold.objective.pull.on=right"])))
