"""What settings are refused, and that each refusal says what was found, what was expected and what to do."""

import re
from pathlib import Path

import pytest

from vold.base.errors import ObjectiveError, Refusal, SettingsError
from vold.config.explain import refuse_contradictions
from vold.config.load import load

UNKNOWN = {
    "jiont.steps=1": ("the top level", "jiont", "joint"),
    "joint.group_sise=4": ("[joint]", "group_sise", "group_size"),
    "corpus.sampling.temprature=1.0": ("[corpus.sampling]", "temprature", "temperature"),
    "corpus.form=dataset": ("[corpus]", "form", "from"),  # by its name in recipes, not by the field's
    "arms.vold.objektive={}": ("[arms.vold]", "objektive", "objective"),
    "arms.anything.lable=x": ("[arms.anything]", "lable", "label"),
    "arms.label.objektive={}": ("[arms.label]", "objektive", "objective"),  # an arm called like a setting
    "arms.vold.objective.pull.bta=1.0": ("[arms.vold.objective.pull]", "bta", "beta"),
    "arms.vold.objective.pull.beta={start=1.0, end=0.0, untill=3}": ("[arms.vold.objective.pull.beta]", "untill", "until"),
    "arms.opd-then-grpo.phases=[{stepps=3}]": ("[arms.opd-then-grpo.phases.0]", "stepps", "steps"),
    "arms.opd-then-grpo.phases=[{steps=3, objective={bsae='x'}}]": ("[arms.opd-then-grpo.phases.0.objective]", "bsae", "base"),
    "eval.benchmarks=[{name='x'}, {name='y', modalty='text'}]": ("[eval.benchmarks.1]", "modalty", "modality"),
    "joint.validation.benchmark.siez=3": ("[joint.validation.benchmark]", "siez", "size"),
}


@pytest.mark.parametrize("assignment", UNKNOWN)
def test_an_unknown_setting_is_refused_with_the_nearest_name(assignment: str) -> None:
    table, found, meant = UNKNOWN[assignment]
    with pytest.raises(SettingsError) as refused:
        load("tiny", assignments=[assignment])
    assert f'command line: {table} has no setting {found!r}; did you mean "{meant}"?' in str(refused.value).splitlines()


def test_an_unknown_setting_that_is_near_to_nothing_lists_what_there_is() -> None:
    with pytest.raises(SettingsError, match=r"\[student\] has no setting 'xyzzy'; it knows: path, dtype, .*suffix"):
        load("tiny", assignments=["student.xyzzy=1"])


def test_every_slip_is_named_at_once_and_each_with_who_made_it(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.toml"
    overlay.write_text("[sft]\nstep = 3\n[[eval.benchmarks]]\nnmae = 'x'\n")
    with pytest.raises(SettingsError) as refused:
        load("tiny", overlays=[str(overlay)], assignments=["joint.steps=many"])
    lines = str(refused.value).splitlines()
    assert f"recipe {overlay}: [sft] has no setting 'step'; did you mean \"steps\"?" in lines
    assert f"recipe {overlay}: [eval.benchmarks.0] has no setting 'nmae'; did you mean \"name\"?" in lines
    assert f"recipe {overlay}: eval.benchmarks.0.name is not set, and it has no default. Add it to the recipe." in lines
    assert any(line.startswith("command line: joint.steps = 'many': ") for line in lines)


WRONG = {
    "joint.group_size=2.5": "joint.group_size = 2.5: input should be a valid integer",
    "joint.group_size=true": "joint.group_size = True: input should be a valid integer",
    "joint.group_size='4'": "joint.group_size = '4': input should be a valid integer",
    "joint.steps=0": "joint.steps = 0: input should be greater than 0",
    "joint.lr=-1e-3": "joint.lr = -0.001: input should be greater than or equal to 0",
    "joint.lr=fast": "joint.lr = 'fast': input should be a valid number",
    "sft.lr=inf": "sft.lr = inf: input should be a finite number",
    "joint.adam.beta1=1.0": "joint.adam.beta1 = 1.0: input should be less than 1",
    "joint.problems.difficulties=[]": "joint.problems.difficulties = (): tuple should have at least 1 item",
    "joint.problems.difficulties=3": "joint.problems.difficulties = 3: input should be an array.",
    "arms.vold.objective.pulls={toward='teacher', beta=1}": "'beta': 1}: input should be an array of tables: [{ ... }].",
    "arms.vold.phases={steps=3}": "arms.vold.phases = {'steps': 3}: input should be an array of tables: [{ ... }].",
    "eval.benchmarks=tiny": "eval.benchmarks = 'tiny': input should be an array of tables: [{ ... }].",
    "teacher=tiny:base": "teacher = 'tiny:base': input should be a valid dictionary",
    "eval.greedy=1": "eval.greedy = 1: input should be a valid boolean",
    "student.template_options={enable_thinking=1}": "student.template_options.enable_thinking = 1: input should be a valid boolean",
    "judge.kind=fuzzy": "judge.kind = 'fuzzy' is not one of: 'equivalence', 'exact', 'choice'.",
    "student.dtype=float16": "student.dtype = 'float16' is not one of: 'float32', 'bfloat16', 'float64'.",
    "arms.vold.objective.share=per-word": "is not one of: 'per-token', 'per-sequence', 'per-group', 'fixed-length'.",
    "arms.vold.objective.clip=loose": "clip = 'loose' is not one of: 'none'; a table of low, high, dual, level works too.",
}


@pytest.mark.parametrize("assignment", WRONG)
def test_a_wrong_value_is_refused_with_what_was_found_and_expected(assignment: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load("tiny", assignments=[assignment])
    assert WRONG[assignment] in str(refused.value)
    assert all(line.startswith("command line: ") for line in str(refused.value).splitlines())


KINDS = {
    "mathvison": "mathvision", "MathVista": "mathvista", "mmmu_pro": "mmmu-pro", "dynamth": "dynamath", "json": "jsonl", "xyzzy": None,
}  # fmt: skip


@pytest.mark.parametrize("found", KINDS)
def test_an_unknown_kind_of_benchmark_is_refused_once_with_the_nearest_one(found: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load("tiny", assignments=[f"eval.benchmarks=[{{name='x', kind='{found}'}}]"])
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"command line: eval.benchmarks.0.kind = '{found}' is not one of: 'tiny', 'jsonl', ")
    assert "'mathvision'" in line
    assert "'aime'." in line
    assert line.count("'gsm8k'") == 1, "a layout and a benchmark of that name"
    assert line.endswith("'." if KINDS[found] is None else f'. Did you mean "{KINDS[found]}"?')


def test_every_kind_of_benchmark_is_welcome() -> None:
    for kind in ("tiny", "jsonl", "gsm8k", "mmmu-pro", "aime"):
        assert load("tiny", assignments=[f"eval.benchmarks=[{{name='x', kind='{kind}'}}]"]).settings.eval.benchmarks[0].kind == kind


def test_whole_numbers_are_welcome_where_a_fraction_is_meant() -> None:
    assert load("tiny", assignments=["joint.lr=1"]).settings.joint.lr == 1.0


def test_what_has_no_default_must_be_set(tmp_path: Path) -> None:
    recipe = tmp_path / "empty.toml"
    recipe.write_text("[student]\nsuffix = 'x'\n")
    with pytest.raises(SettingsError) as refused:
        load(str(recipe))
    assert "name is not set, and it has no default. Add it to the recipe, or give name=VALUE." in str(refused.value)
    assert "student.path is not set" in str(refused.value)


CONTRADICTIONS = {
    ("joint.group_size=1",): ("arms.grpo.objective: a group of 1", "always 0", "2 or more"),
    ("arms.vold.objective.base=VOLT",): ("'VOLT' is not an objective", 'did you mean "VOLD"?', "VOLD_RL, GRPO, "),
    ("arms.vold.objective.base=xxxxx",): ("'xxxxx' is not an objective", "VOLD, VOLD_UNMASKED, "),
    ("arms.vold.objective.base=OPD_THEN_RL",): ("'OPD_THEN_RL' is a sequence of objectives", "`vold zoo OPD_THEN_RL`", "phases"),
    ("arms.vold.phases=[{steps=60, objective={base='VOLD_RL'}}]",): ("either an objective or phases, found both", "Keep one"),
    ("arms.none.label=x",): ("[arms.none]", "found neither"),
    ("arms.opd-then-grpo.phases=[{steps=7, objective={base='VOLD_RL'}}]",): ("last 7 steps", "joint.steps = ", "Make them equal"),
    ("joint.arms=['vold', 'volt']",): ("joint.arms names 'volt'", "not an arm", "grpo"),
    ("arms.opd.objective.credit=none", "arms.opd.objective.clip={low=0.2, high=0.2}"): (
        "arms.opd.objective: a clip bounds advantages",
        "Set clip to none",
    ),
    ("arms.grpo.objective.credit=none", "arms.grpo.objective.clip=none"): ("arms.grpo.objective: an objective", "teaches nothing", "add a pull"),
    ("arms.vold.objective.clip={low=0.0, high=0.2}",): ("low = 0.0", "0 < low <= 1", "0.2"),
    ("arms.vold.objective.pull.beta={start=1.0, end=0.0, begin=4, until=4}",): ("begin = 4 and until = 4", "Raise until"),
    ("joint.lr={start=1.0, end=0.0, begin=4, until=4}",): ("joint.lr: ", "begin = 4 and until = 4", "Raise until"),
    ("corpus.from=dataset",): ('corpus.from = "dataset"', "needs corpus.path", "Set it"),
    ("corpus.path=traces.jsonl",): ("corpus.path is set", "does not read it", "Remove it"),
    ("corpus.problems.count=0",): ("count is 0", "asked nothing", "1 or more"),
    ("corpus.problems.kind=jsonl",): ("needs corpus.problems.path", "Set it"),
    ("joint.problems.path=own.jsonl",): ("joint.problems.path is set", "draws its problems", 'kind = "jsonl"'),
    ("joint.sampling.temperature=0.0",): ("temperature = 0", "the same answer", "above 0"),
    ("joint.sampling.top_k=20",): ("cuts the distribution", "biased", "top_k = 0"),
    ("joint.sampling.top_p=0.9",): ("cuts the distribution", "biased", "top_p = 1.0"),
    ("joint.updates_per_batch=9", "joint.prompts_per_step=8"): ("updates_per_batch = 9", "8 prompts", "Lower it"),
    ("eval.benchmarks=[]",): ("eval.benchmarks is empty", "at least one"),
    ("eval.benchmarks=[{name='x', kind='jsonl'}]",): ("benchmark x", "kind = 'jsonl' and path = ''", "a path"),
    ("eval.benchmarks=[{name='x', path='y.jsonl'}]",): ("benchmark x", "path = 'y.jsonl'", "needs neither"),
    ("eval.benchmarks=[{name='x'}, {name='x', modality='image'}]",): ("two of eval.benchmarks are called 'x'", "its own name"),
    ("eval.greedy=false", "eval.samples=0"): ("nothing to evaluate", "Set one of them"),
}


@pytest.mark.parametrize("assignments", CONTRADICTIONS, ids=" ".join)
def test_a_contradiction_is_refused_with_a_way_out(assignments: tuple[str, ...]) -> None:
    """Each piece stands for what was found, what was expected, or what to do; all of them have to be said."""
    resolved = load("tiny", assignments=assignments)
    with pytest.raises(Refusal) as refused:
        refuse_contradictions(resolved)
    missing = [piece for piece in CONTRADICTIONS[assignments] if piece not in str(refused.value)]
    assert not missing, str(refused.value)
    assert refused.value.exit_code == 2


WITHOUT_A_TEACHER = """
name = "alone"
[student]
path = "tiny:base"
[corpus]
from = "dataset"
path = "traces.jsonl"
[arms.only.objective]
base = "VOLD_RL"
[eval]
benchmarks = [{ name = "x" }]
"""


@pytest.fixture
def alone(tmp_path: Path) -> str:
    path = tmp_path / "alone.toml"
    path.write_text(WITHOUT_A_TEACHER)
    return str(path)


def test_grpo_on_ready_made_traces_needs_no_teacher(alone: str) -> None:
    refuse_contradictions(load(alone))


def test_a_pull_without_a_teacher_is_refused(alone: str) -> None:
    with pytest.raises(
        ObjectiveError, match=r"arms\.only\.objective: .*pulls toward a teacher, but no teacher is set\. Add a \[teacher\], or choose .*VOLD_RL"
    ):
        refuse_contradictions(load(alone, assignments=["arms.only.objective.base=VOLD"]))


def test_a_corpus_from_nobody_is_refused(alone: str) -> None:
    resolved = load(alone, assignments=["corpus.from=teacher", "corpus.path=''"])
    with pytest.raises(SettingsError, match=re.escape('corpus.from = "teacher", but no [teacher] is set. Add one')):
        refuse_contradictions(resolved)


def test_a_validation_without_problems_is_refused(alone: str) -> None:
    with pytest.raises(SettingsError, match=r"joint\.validation\.every is set, but joint\.validation\.benchmark is not"):
        refuse_contradictions(load(alone, assignments=["joint.validation.every=3"]))
