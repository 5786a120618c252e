"""A setting that cannot act: refused where the user set it, told where it was inherited."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from vold.base.errors import SettingsError
from vold.config.explain import inactive, refuse_contradictions
from vold.config.inert import inert_notes
from vold.config.load import Resolved, load

V = "arms.vold.objective"
READY_MADE = ("corpus.from=dataset", "corpus.path=traces.jsonl", "joint.arms=['grpo']")
ONE_EACH = ("joint.arms=['opd']", "joint.group_size=1")
PHASES = "arms.opd-then-grpo.phases=[{{steps=40, objective={{base='OPD'}}}}, {{steps=40, objective={{base='VOLD', {}}}}}]"

REFUSED = {
    (f"{V}.clip.high=0.4",): (f"{V}.clip is set", "exactly 1", "Raise joint.updates_per_batch"),
    (f"{V}.clip={{low=0.2, high=0.3}}",): (f"{V}.clip is set", "joint.updates_per_batch = 1"),  # the base's very own, said again
    ("arms.opd-then-grpo.phases=[{steps=80, objective={base='VOLD', clip={low=0.2, high=0.2}}}]",): (
        "arms.opd-then-grpo.phases.0.objective.clip is set",
        "exactly 1",
    ),
    (f"{V}.credit={{by='centred', epsilon=1e-3}}",): (f"{V}.credit.epsilon is set", "divides by no deviation", 'credit.by = "z-score"'),
    (f"{V}.credit={{by='raw', unbiased=false}}",): (f"{V}.credit.unbiased is set", "divides by no deviation"),
    ("arms.opd.objective.credit.weight=2.0",): ("arms.opd.objective.credit.weight is set", "no credit"),
    (f"{V}.pull={{beta=0, on='every'}}",): (f"{V}.pull.on is set", "its beta is 0", "Raise beta"),
    (f"{V}.pull={{beta={{start=0, end=0, until=3}}, by='k3'}}",): (f"{V}.pull.by is set", "its beta is 0"),
    (f"{V}.pull.beta=0", f"{V}.pull_truncated=false"): (f"{V}.pull_truncated is set", "its beta is 0"),
    (f"{V}.pulls=[{{toward='teacher', beta=1}}, {{toward='teacher', beta=0, by='k3'}}]",): (f"{V}.pulls.1.by is set", "its beta is 0"),
    (f"{V}.pulls=[{{toward='teacher', beta=1}}]", f"{V}.pull.on=right"): (f"{V}.pull is set", "replaced by pulls", "Move it into pulls"),
    ("arms.grpo.objective.pull.beta=1.0",): ("arms.grpo.objective.pull is set", "VOLD_RL pulls toward nothing", 'base = "VOLD"'),
    ("arms.grpo.objective.pull_truncated=false",): ("arms.grpo.objective.pull_truncated is set", "VOLD_RL pulls toward nothing"),
    (f"{V}.pulls=[]", f"{V}.pull_truncated=false"): (f"{V}.pull_truncated is set", "VOLD with pulls = [] pulls toward nothing"),
    (f"{V}.soft_buffer=0.2",): (f"{V}.soft_buffer is set", 'overlong = "keep" has no buffer', 'overlong = "soft"'),
    (f"{V}.pull={{over='pulled', on='every'}}",): (f"{V}.pull.over is set", "acts on every rollout", "Mask the pull"),
    (f"{V}.pull={{over='pulled', on='every', weigh='high-student-perplexity'}}",): (f"{V}.pull.over is set", "acts on every rollout"),
    (f"{V}.pulls=[{{toward='teacher', beta=1, over='pulled'}}]", f"{V}.overlong=mask"): (f"{V}.pulls.0.over is set", "acts on every rollout"),
    (f"{V}.pull={{on='all-wrong', weigh='fail-rate'}}",): (f"{V}.pull.weigh is set", "fail-rate is always 1", 'on = "every"'),
    (f"{V}.pull={{on='all-wrong', weigh='pass-rate'}}",): (f"{V}.pull.weigh is set", "pass-rate is always 0, and nothing is left"),
    (f"{V}.credit={{on='all-wrong', weigh='fail-rate'}}",): (f"{V}.credit.weigh is set", "fail-rate is always 1"),
    (*ONE_EACH, "arms.opd.objective.pull={on='wrong', weigh='pass-rate'}"): ("pull.weigh is set", "group of 1 the pass-rate is always 0"),
    (*ONE_EACH, "arms.opd.objective.pull={on='right', weigh='pass-rate'}"): ("pull.weigh is set", "group of 1 the pass-rate is always 1"),
    (*ONE_EACH, "arms.opd.objective.pull.weigh=low-teacher-perplexity"): ("pull.weigh is set", "in a group of 1", "Raise joint.group_size"),
    (f"{V}.overlong=mask", f"{V}.pull_truncated=false"): (f"{V}.pull_truncated is set", "out of every pull", 'overlong = "keep"'),
    ("joint.arms=['opd']", "joint.truncated_reward=judge"): ("joint.truncated_reward is set", "no arm's objective reads", "Run an arm"),
    ("joint.arms=['vold']", f"{V}={{base='SCOPE', overlong='mask'}}", "joint.truncated_reward=drop"): ("joint.truncated_reward is set",),
    (f"{V}.credit={{weight=0, on='wrong'}}",): (f"{V}.credit.on is set", "its weight is 0", "Raise credit.weight"),
    (f"{V}.credit.weight=0", f"{V}.credit=centred"): (f"{V}.credit.by is set", "its weight is 0"),
    (f"{V}.credit={{weight=0, by_teacher={{strength=1}}}}",): (f"{V}.credit.by_teacher is set", "its weight is 0"),
    (f"{V}.credit.weight=0", f"{V}.clip.low=0.1", "joint.updates_per_batch=2"): (f"{V}.clip is set", "has a weight of 0", "credit.weight"),
    (f"{V}={{base='RLSD', credit={{by_teacher={{strength=0, epsilon=0.1}}}}}}",): (f"{V}.credit.by_teacher.epsilon is set", "strength is 0"),
    (f"{V}.entropy={{start=0.1, end=0.0, begin=80, until=90}}",): (f"{V}.entropy is set", "stays at 0.1", "steps 0 to 79", "plain number"),
    (f"{V}.pull.beta={{start=0.1, end=0.1, until=9}}",): (f"{V}.pull.beta is set", "stays at 0.1"),
    (PHASES.format("pull={beta={start=5e-3, end=1e-3, until=30}}"),): (
        "arms.opd-then-grpo.phases.1.objective.pull.beta is set",
        "from step 0 to 30 stays at 0.001",
        "steps 40 to 79 of the stage",
        "count from the start of the stage",
    ),
    (PHASES.format("credit={weight={start=1, end=0.5, until=40}}"),): ("phases.1.objective.credit.weight is set", "stays at 0.5"),
    (PHASES.format("credit={by_teacher={strength={start=1, end=0.5, until=40}}}"),): ("credit.by_teacher.strength is set", "stays at 0.5"),
    (PHASES.format("pulls=[{toward='teacher', beta={start=1, end=0, until=9}, on='wrong'}]"),): ("pulls.0.on is set", "its beta is 0"),
    ("joint.max_refills=3",): ("joint.max_refills is set", "no arm has dynamic sampling", "dynamic = true"),
    ("joint.max_refills=3", "joint.arms=['vold']", "arms.other.objective.base=VOLD", "arms.grpo.objective.dynamic=true"): (
        "joint.max_refills is set",
        "no arm has dynamic sampling",  # the one that has it is not run
    ),
    ("joint.arms=['grpo']", "arms.vold.label=mine"): ("arms.vold.label is set", "joint.arms names grpo only", "Add vold to joint.arms"),
    ("student.master_weights=false",): ("student.master_weights is set", "is stepped as it is", 'student.dtype = "bfloat16"'),
    ("student.master_weights=true", "student.dtype=float64", "student.attention=sdpa"): ("student.master_weights is set", '"float64" is stepped'),
    ("teacher.offload=true",): ("teacher.offload is set", "in host memory already", 'teacher.device = "cuda"'),
    ("teacher.offload=true", "teacher.device=cuda", "joint.arms=['grpo']"): ("teacher.offload is set", "no arm has the teacher score"),
    ("engine.verify=always", "engine.scripted=all"): ("engine.verify is set", "a script samples from no weights", 'engine.scripted = "none"'),
    (*READY_MADE, "teacher.path=tiny:teacher-b"): ("teacher is set", "ready-made and no arm reads a teacher", 'corpus.from = "teacher"'),
}


def refusal(assignments: Sequence[str]) -> str:
    with pytest.raises(SettingsError) as refused:
        refuse_contradictions(load("tiny", assignments=assignments))
    return str(refused.value)


@pytest.mark.parametrize("assignments", REFUSED, ids=" ".join)
def test_what_the_user_sets_and_cannot_act_is_refused(assignments: tuple[str, ...]) -> None:
    line = refusal(assignments).splitlines()[0]
    assert line.startswith("command line: ")
    assert "so it cannot act. " in line
    assert line.endswith(", or remove it.")
    assert [piece for piece in REFUSED[assignments] if piece not in line] == []


def test_all_of_them_are_named_at_once() -> None:
    lines = refusal([f"{V}.clip.low=0.1", "joint.max_refills=3", f"{V}.pull={{beta=0, on='every', by='k3'}}"]).splitlines()
    named = [line.removeprefix("command line: ").partition(" is set")[0] for line in lines]
    assert sorted(named) == [f"{V}.clip", f"{V}.pull.by", f"{V}.pull.on", "joint.max_refills"]


ACTS = [
    (f"{V}.clip.high=0.4", "joint.updates_per_batch=2"),
    ("arms.opd-then-grpo.phases=[{steps=80, objective={base='VOLD'}}]",),  # a clip comes with the base, and nobody set it
    (f"{V}.clip=none",),  # says that there is none, and there is none
    (f"{V}.clip=none", f"{V}.credit=none"),
    (f"{V}.credit.epsilon=1e-3",),
    (f"{V}.credit={{by='centred', weight=0.5}}",),
    (f"{V}.pull.beta=0",),
    (f"{V}.pull={{beta={{start=0.0, end=1.0, until=3}}, on='every'}}",),
    (f"{V}.pulls=[{{toward='teacher', beta=0}}]",),
    (f"{V}.pull.over=pulled",),
    (f"{V}.pull={{over='pulled', on='every', weigh='fail-rate'}}",),
    (f"{V}.pull={{over='pulled', on='every'}}", f"{V}.pull_truncated=false"),
    (f"{V}.pull={{over='all', on='every'}}",),
    (f"{V}.pull={{on='wrong', weigh='pass-rate'}}",),
    (*ONE_EACH, "arms.opd.objective.pull={on='every', weigh='fail-rate'}"),
    ("joint.arms=['vold']", "joint.truncated_reward=judge"),
    ("joint.arms=['vold']", f"{V}.overlong=mask", "joint.truncated_reward=judge"),  # a masked rollout's reward is in its group's mean
    ("joint.arms=['opd']", "arms.opd.objective={overlong='mask', pull={on='all-wrong'}}", "joint.truncated_reward=judge"),
    (f"{V}.credit.weight=0",),
    (f"{V}={{base='SRPO', credit={{weight=0}}, clip={{low=0.1}}}}", "joint.updates_per_batch=2"),  # its pull is an advantage
    (f"{V}={{base='RLSD', credit={{by_teacher={{strength=0}}}}}}",),
    (PHASES.format("pull={beta={start=5e-3, end=1e-3, begin=40, until=70}}"),),
    (PHASES.format("pull={beta={start=5e-3, end=1e-3, until=41}}"),),  # moves once
    (f"{V}.pulls=[{{toward='teacher', beta=1, on='right'}}]", f"{V}.pull_truncated=false"),
    ("joint.max_refills=3", f"{V}.dynamic=true"),
    ("joint.validation.every=4", "joint.validation.benchmark.size=7"),
    ("joint.validation.every=0",),
    ("joint.validation.every=0", "joint.validation.benchmark.size=7"),
    ("joint.arms=['grpo', 'vold']", "arms.vold.label=mine"),
    ("corpus.from=dataset", "corpus.path=traces.jsonl", "teacher.path=tiny:teacher-b"),
    ("joint.arms=['grpo']", "teacher.path=tiny:teacher-b"),  # it writes the corpus
    READY_MADE,
    ("student.dtype=bfloat16", "student.master_weights=false"),
    ("teacher.offload=true", "teacher.device=cuda"),
    ("sft.recompute=full", "joint.recompute=light"),
]


@pytest.mark.parametrize("assignments", ACTS, ids=" ".join)
def test_what_acts_is_not_refused(assignments: tuple[str, ...]) -> None:
    refuse_contradictions(load("tiny", assignments=assignments))


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Makes a recipe count as one that ships with the package."""
    from vold.config import load as module

    texts: dict[str, str] = {}
    names, read = module.recipe_names, module._read
    monkeypatch.setattr(module, "recipe_names", lambda: [*names(), *texts])
    monkeypatch.setattr(module, "_read", lambda name: module.tomllib.loads(texts[name]) if name in texts else read(name))

    def ship(name: str, text: str) -> None:
        texts[name] = f'extends = "tiny"\nname = "{name}"\n{text}'

    return ship


PARENTS = {
    f"[{V}]\nclip = {{ low = 0.1, high = 0.1 }}\n": "clip (grpo, opd-then-grpo, vold): inert. With joint.updates_per_batch = 1 ",
    f"[{V}]\ncredit = {{ by = 'centred', epsilon = 0.1 }}\n": 'credit.epsilon (vold): inert. A credit by "centred" divides by no deviation.',
    f"[{V}]\npull = {{ beta = 0, on = 'every' }}\n": "pull.on (vold): inert. Its beta is 0.",
    "[arms.grpo.objective]\npull = { beta = 0.5 }\n": "pull (grpo): inert. VOLD_RL pulls toward nothing.",
    "[joint]\nmax_refills = 4\n": "joint.max_refills: inert. No arm has dynamic sampling. Set dynamic = true in one to make it act.",
}


@pytest.mark.parametrize("parent", PARENTS)
def test_the_same_is_told_when_a_shipped_recipe_set_it_and_refused_when_a_file_of_the_users_did(
    shipped: Callable[[str, str], None], tmp_path: Path, parent: str
) -> None:
    shipped("parent", parent)
    (tmp_path / "mine.toml").write_text('extends = "parent"\nname = "mine"\n[joint]\nsteps = 80\n')
    for inherited in (load("parent"), load("tiny", overlays=["parent"]), load(str(tmp_path / "mine.toml"))):
        refuse_contradictions(inherited)
        assert [note for note in inactive(inherited) if note.startswith(PARENTS[parent])], inactive(inherited)

    (tmp_path / "own.toml").write_text(f'extends = "tiny"\n{parent}')
    (tmp_path / "overlay.toml").write_text(parent)
    for own, file in ((load(str(tmp_path / "own.toml")), "own.toml"), (load("tiny", overlays=[str(tmp_path / "overlay.toml")]), "overlay.toml")):
        with pytest.raises(SettingsError, match=rf"^recipe .*{file}: .* is set, but .*so it cannot act\."):
            refuse_contradictions(own)


def test_what_the_user_adds_to_an_inherited_table_is_the_users(shipped: Callable[[str, str], None]) -> None:
    shipped("parent", f"[{V}]\nclip = {{ low = 0.1 }}\n")
    with pytest.raises(SettingsError, match=r"^command line: arms\.vold\.objective\.clip is set"):
        refuse_contradictions(load("parent", assignments=[f"{V}.clip.high=0.5"]))


def test_a_change_of_base_leaves_what_was_inherited_behind() -> None:
    """`demo` strengthens the pull of VOLD; an arm turned into one without a pull has nothing to strengthen."""
    resolved = load("demo", assignments=[f"{V}.base=VOLD_RL"])
    refuse_contradictions(resolved)
    assert any(note.startswith("pull (vold): inert. VOLD_RL pulls toward nothing.") for note in inactive(resolved))


def test_a_teacher_or_an_idle_arm_in_a_file_is_only_told(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "tiny"\n[teacher]\npath = "tiny:teacher-b"\n[arms.vold]\nlabel = "mine"\n')
    resolved = load(str(tmp_path / "mine.toml"), assignments=READY_MADE)
    refuse_contradictions(resolved)
    assert any(note.startswith("teacher: inert. The corpus is ready-made and no arm reads a teacher.") for note in inactive(resolved))
    assert any(note.startswith("arms opd, opd-then-grpo, vold: not run. joint.arms names grpo only.") for note in inactive(resolved))


def test_a_correction_is_told_to_do_little_where_the_trainer_samples_itself() -> None:
    corrected: Resolved = load("tiny", assignments=[f"{V}.correction.how=truncated"])
    refuse_contradictions(corrected)
    assert "correction (vold): nearly inert with the transformers engine, which samples from the trainer's own weights." in inactive(corrected)
    assert not [note for note in inactive(load("tiny")) if note.startswith("correction")]


def test_nothing_is_told_of_what_nobody_set() -> None:
    assert inert_notes(load("tiny-clip")) == []


def test_a_clip_that_a_later_layer_switches_off_is_told_and_not_refused(tmp_path: Path) -> None:
    """A recipe of the user's own sets it; the command line takes its effect away for one run. In one layer it is a slip."""
    recipe = tmp_path / "own.toml"
    recipe.write_text("extends = 'tiny'\n[joint]\nupdates_per_batch = 2\n[arms.vold.objective]\nbase = 'VOLD'\nclip = { high = 0.4 }\n")
    refuse_contradictions(load(str(recipe)))
    off = load(str(recipe), assignments=["joint.updates_per_batch=1"])
    refuse_contradictions(off)
    assert any("clip" in note and "joint.updates_per_batch = 1" in note for note in inert_notes(off))
    recipe.write_text(recipe.read_text().replace("updates_per_batch = 2", "updates_per_batch = 1"))
    with pytest.raises(SettingsError, match=r"arms\.vold\.objective\.clip is set"):
        refuse_contradictions(load(str(recipe)))


def test_a_schedule_that_comes_with_a_base_and_is_over_before_its_phase_is_told() -> None:
    phases = "[{steps=80, objective={base='OPD'}}, {steps=80, objective={base='KDRL_ANNEALED'}}]"
    resolved = load("tiny", assignments=["joint.steps=160", f"arms.opd-then-grpo.phases={phases}"])
    refuse_contradictions(resolved)
    [note] = [note for note in inert_notes(resolved) if note.startswith("pull.beta")]
    assert "from step 0 to 80 stays at 0.001 while the objective holds (steps 80 to 159 of the stage)" in note
    assert not [note for note in inert_notes(load("tiny", assignments=[f"{V}.base=KDRL_ANNEALED"])) if note.startswith("pull.beta")]


def test_what_a_later_layer_takes_the_force_of_is_told(tmp_path: Path) -> None:
    recipe = tmp_path / "own.toml"
    recipe.write_text(
        f"extends = 'tiny'\n[{V}]\ncredit = 'centred'\npull_truncated = false\npull.beta = {{ start = 1.0, end = 0.0, until = 70, begin = 40 }}\n"
    )
    off = load(str(recipe), assignments=[f"{V}.credit.weight=0", f"{V}.overlong=mask", "joint.steps=30", "joint.arms=['vold']"])
    refuse_contradictions(off)
    told = [note.partition(" (vold): inert")[0] for note in inert_notes(off)]
    assert sorted(told) == ["clip", "credit.by", "pull.beta", "pull_truncated"]


def test_a_validation_benchmark_is_refused_where_nobody_said_how_often(tmp_path: Path) -> None:
    own = "name = 'own'\n[student]\npath = 'tiny:base'\n[teacher]\npath = 'tiny:teacher-a'\n[corpus.problems]\ncount = 1\n"
    own += "[arms.vold.objective]\nbase = 'VOLD'\n[eval]\nbenchmarks = [{ name = 'test' }]\n[joint.validation]\nbenchmark = { name = 'held-out' }\n"
    recipe = tmp_path / "own.toml"
    recipe.write_text(own)
    with pytest.raises(SettingsError, match=r"joint\.validation\.benchmark is set, but .* never asked"):
        refuse_contradictions(load(str(recipe)))
    recipe.write_text(own + "every = 0\n")
    refuse_contradictions(load(str(recipe)))
