"""The paper's recipe says the paper's numbers, and every overlay changes what it says and nothing else."""

from typing import get_args

import pytest

from vold.base.errors import SettingsError
from vold.config.explain import caveats, refuse_contradictions
from vold.config.load import about_overlay, load, overlay_names, recipe_names
from vold.config.objectives import placed_in
from vold.config.schema import Published
from vold.core.objective import K2, PER_SEQUENCE, PER_TOKEN, TEACHER, WRONG

NAME = "vold-qwen2.5-vl-3b"
PAPER = {
    "student.path": "Qwen/Qwen2.5-VL-3B-Instruct",
    "student.dtype": "bfloat16",
    "student.master_weights": True,
    "student.template": "chatml",
    "student.think_marks": "extend",
    "student.system": "",
    "teacher.path": "Qwen/Qwen3-8B",
    "teacher.template_options": {"enable_thinking": True},
    "judge.kind": "equivalence",
    "judge.formats": ("boxed",),
    "corpus.origin": "teacher",
    "corpus.filter": "none",
    "corpus.problems.kind": "mot",
    "corpus.problems.path": "open-r1/Mixture-of-Thoughts",
    "corpus.problems.subsets": ("math", "code", "science"),
    "corpus.sampling.temperature": 0.6,
    "corpus.sampling.top_p": 0.95,
    "corpus.sampling.top_k": 20,
    "corpus.sampling.max_new_tokens": 8192,
    "sft.steps": 4000,
    "sft.traces_per_step": 256,
    "sft.lr": 5e-5,
    "sft.warmup": 150,
    "sft.decay": "cosine",
    "sft.max_tokens": 8192,
    "sft.adam.weight_decay": 1e-2,
    "sft.adam.clip_norm": 1.0,
    "joint.problems.kind": "orz",
    "joint.steps": 60,
    "joint.prompts_per_step": 256,
    "joint.group_size": 5,
    "joint.updates_per_batch": 1,
    "joint.lr": 6e-6,
    "joint.warmup": 5,
    "joint.truncated_reward": "wrong",
    "joint.adam.weight_decay": 1e-2,
    "joint.adam.clip_norm": 1.0,
    "joint.sampling.temperature": 1.0,
    "joint.sampling.top_p": 1.0,
    "joint.sampling.top_k": 0,
    "joint.sampling.max_new_tokens": 8192,
    "joint.validation.benchmark.kind": "geometry3k",
    "joint.validation.benchmark.modality": "image",
    "joint.validation.benchmark.split": "validation",
    "joint.validation.every": 5,
}


def value(settings: object, name: str) -> object:
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_settings(name: str) -> None:
    assert value(load(NAME).settings, name) == PAPER[name]


def test_the_papers_objective() -> None:
    s = load(NAME).settings
    [placed] = placed_in("vold", s.arms["vold"], s.joint)
    [pull] = placed.objective.pulls
    assert (pull.toward, pull.beta, pull.by, pull.on) == (TEACHER, 0.1, K2, WRONG)
    assert (placed.objective.clip.low, placed.objective.clip.high) == (0.2, 0.3)
    assert (placed.objective.share, placed.objective.pull_truncated) == (PER_TOKEN, True)
    assert (placed.objective.credit.unbiased, placed.objective.credit.epsilon) == (True, 1e-6)


CHANGES = {
    "paper-minibatch": {"joint.updates_per_batch": 4},
    "spell-out": {"student.think_marks": "spell-out"},
    "corpus-t1": {"corpus.sampling.temperature": 1.0, "corpus.sampling.top_p": 1.0, "corpus.sampling.top_k": 0},
    "exact-judge": {"judge.kind": "exact"},
    "student-7b": {"student.path": "Qwen/Qwen2.5-VL-7B-Instruct"},
    "student-32b": {"student.path": "Qwen/Qwen2.5-VL-32B-Instruct"},
    "teacher-4b": {"teacher.path": "Qwen/Qwen3-4B"},
    "teacher-8b": {"teacher.path": "Qwen/Qwen3-8B"},
    "teacher-14b": {"teacher.path": "Qwen/Qwen3-14B"},
}


@pytest.mark.parametrize("overlay", CHANGES)
def test_an_overlay_changes_what_it_says_and_nothing_else(overlay: str) -> None:
    plain, changed = load(NAME).settings, load(NAME, overlays=[overlay])
    for name, expected in CHANGES[overlay].items():
        assert value(changed.settings, name) == expected
        assert changed.source_of(name.replace("origin", "from")) == f"recipe {overlay}"
    tops = {name.split(".")[0] for name in CHANGES[overlay]}
    assert {name for name in type(plain).model_fields if getattr(plain, name) != getattr(changed.settings, name)} <= tops


def test_the_beta_sweep() -> None:
    resolved = load(NAME, overlays=["beta-sweep"])
    refuse_contradictions(resolved)
    s = resolved.settings
    betas = [placed_in(name, s.arms[name], s.joint)[0].objective.pulls[0].beta for name in s.joint.arms]
    assert betas == [0.003, 0.03, 0.1, 0.3, 1.0, 2.0]


def test_sequence_mean() -> None:
    s = load(NAME, overlays=["sequence-mean"]).settings
    assert {placed_in(name, s.arms[name], s.joint)[0].objective.share for name in ("grpo", "vold")} == {PER_SEQUENCE}


@pytest.mark.parametrize("overlay", overlay_names())
@pytest.mark.parametrize("recipe", [NAME, "tiny"])
def test_every_overlay_goes_over_every_recipe(recipe: str, overlay: str) -> None:
    refuse_contradictions(load(recipe, overlays=[overlay]))
    assert about_overlay(overlay).endswith(".")
    assert load(recipe, overlays=[overlay]).settings.about == load(recipe).settings.about


def test_models_of_others_are_rows_with_their_own_words() -> None:
    resolved = load("zero-shot", overlays=["model-vlm-r1", "model-vlaa-thinker"])
    refuse_contradictions(resolved)
    ours, theirs = resolved.settings.eval.models.values()
    assert ours.suffix.endswith("in <answer> </answer> tags.")
    assert ours.suffix_everywhere
    assert theirs.system.startswith("You are VL-Thinking\U0001f914, ")
    assert (theirs.reads, theirs.style, theirs.images_in_tuning) == ("answer-tag", "official", "yes")
    names = {benchmark.name for benchmark in resolved.settings.eval.benchmarks}
    assert {*ours.contaminated, *theirs.contaminated} <= names
    assert not resolved.settings.eval.trained


def test_a_language_model_as_judge() -> None:
    e = load(NAME, overlays=["eval-judge"]).settings.eval
    assert e.endpoint is not None
    assert (e.modes[-1], e.endpoint.key_env) == ("judge", "OPENAI_API_KEY")
    with pytest.raises(SettingsError, match=r"no \[eval\.endpoint\] is set"):
        refuse_contradictions(load("tiny", assignments=["eval.modes=['judge']"]))


def test_every_benchmark_of_the_paper_is_in_its_recipe_and_in_the_zero_shot_one() -> None:
    asked, alone = ({b.kind for b in load(name).settings.eval.benchmarks} for name in (NAME, "zero-shot"))
    assert asked == alone == set(get_args(Published)) - {"mmmu"}
    held_out = load(NAME).settings.joint.validation
    assert held_out.benchmark is not None
    assert (held_out.benchmark.kind, held_out.benchmark.split, held_out.every) == ("geometry3k", "validation", 5)


def test_overlays_and_recipes_are_told_apart() -> None:
    assert set(CHANGES) | {"beta-sweep", "sequence-mean", "model-vlm-r1", "model-vlaa-thinker", "eval-judge"} == set(overlay_names())
    assert not set(overlay_names()) & set(recipe_names())
    with pytest.raises(ValueError, match="is an overlay, not a recipe"):
        load("spell-out")


def test_half_precision_without_master_weights_is_told_wherever_a_number_is_read() -> None:
    pure = load(NAME, assignments=["student.master_weights=false"])
    refuse_contradictions(pure)
    [told] = caveats(pure.settings)
    assert "rounded away" in told
    assert "student.master_weights = false" in told
    assert caveats(load(NAME).settings) == []
    assert caveats(load("zero-shot", assignments=["student.master_weights=false"]).settings) == [], "nothing is trained"
