"""What VoldTrainer refuses, before anything is trained: found, expected, what to do."""

import inspect
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs TRL: pip install vold[trl]")

import torch
from support import trl_runs as t
from support.models import World
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast
from trl import GRPOTrainer

from vold.base.errors import DataError, ModelError, ObjectiveError, SettingsError
from vold.core.objective import Correction, How, Objective
from vold.core.zoo import VOLD, VOLD_RL, ZOO
from vold.integrations.trl import refusals
from vold.integrations.trl.partners import question_in
from vold.tiny.words import WORDS

MIXED = ("RWWR", "WWWW", "RRRR", "RUWW")


@pytest.fixture(autouse=True)
def _without_a_word_to_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")  # TRL then sends no telemetry


IGNORED: dict[str, Any] = {
    "beta": 0.04,
    "delta": 3.0,
    "entropy_coef": 0.01,
    "epsilon": 0.1,
    "epsilon_high": 0.3,
    "importance_sampling_level": "sequence",
    "loss_type": "grpo",
    "mask_truncated_completions": True,
    "multi_objective_aggregation": "normalize_then_sum",
    "off_policy_mask_threshold": 0.5,
    "sapo_temperature_neg": 1.1,
    "scale_rewards": "none",
    "sync_ref_model": True,
    "top_entropy_quantile": 0.5,
    "use_adaptive_entropy": True,
    "use_bias_correction_kl": False,
    "vespo_k_pos": 1.0,
    "vllm_importance_sampling_mode": "token_mask",
}


@pytest.mark.parametrize("name", IGNORED)
def test_a_setting_that_the_objective_decides_is_refused(world: World, tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=rf"VoldTrainer: {name} = .*the objective decides this.* in the objective\."):
        t.run(world, tmp_path, VOLD, *MIXED, **{name: IGNORED[name]})


def test_every_setting_that_trls_loss_reads_is_known() -> None:
    """Whatever `_compute_loss` and the advantages read of the arguments is refused, or served by vold under the same meaning."""
    source = inspect.getsource(GRPOTrainer._compute_loss) + inspect.getsource(GRPOTrainer._generate_and_score_completions)
    names = set(t.GRPOConfig.__dataclass_fields__)
    read = {word for word in re.findall(r"self\.(?:args\.)?(\w+)", source) if word in names}
    assert read >= {"beta", "delta", "loss_type", "scale_rewards", "top_entropy_quantile"}
    served = {"max_completion_length", "num_generations", "num_generations_eval", "num_iterations", "output_dir", "pad_to_multiple_of"}
    served |= {"per_device_train_batch_size", "per_device_eval_batch_size", "steps_per_generation", "gradient_accumulation_steps"}
    served |= {"gradient_checkpointing_kwargs", "log_multimodal", "reward_weights", "router_aux_loss_coef", "use_vllm"}
    served |= {"chat_template_kwargs", "vllm_importance_sampling_correction"}
    assert read - served <= set(refusals.BY_OBJECTIVE)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"top_p": 0.9}, "top_p = 0.9: samples would come from another distribution"),
        ({"top_k": 20}, "top_k = 20: samples would come"),
        ({"min_p": 0.1}, "min_p = 0.1"),
        ({"repetition_penalty": 1.1}, "repetition_penalty = 1.1"),
        ({"generation_kwargs": {"min_new_tokens": 3}}, "generation_kwargs = "),
        ({"temperature": 0.0}, "temperature = 0.0: a group needs answers that differ"),
        ({"cast_lm_head_to_fp32": True}, "cast_lm_head_to_fp32 = True"),
        ({"use_transformers_continuous_batching": True}, "use_transformers_continuous_batching = True"),
        ({"steps_per_generation": 1, "gradient_accumulation_steps": 2}, "Make the former a multiple of the latter"),
        ({"steps_per_generation": 3, "gradient_accumulation_steps": 2}, "Make the former a multiple of the latter"),
        ({"steps_per_generation": 4, "per_device_train_batch_size": 6, "num_generations": 4}, "optimizer steps of 6 rollouts a process"),
        ({"given": {"peft_config": object()}}, "peft_config: adapters are not supported"),
        ({"given": {"tools": [print]}}, "tools: a conversation with tools"),
        ({"given": {"environment_factory": print}}, "environment_factory: a conversation with tools"),
    ],
)
def test_what_cannot_be_served_is_refused(world: World, tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(sentence)):
        t.run(world, tmp_path, VOLD, *MIXED, **settings)


def test_a_balance_of_experts_is_refused(world: World, tmp_path: Path) -> None:
    student = t.fresh(world)
    student.model.config.get_text_config().output_router_logits = False  # what tells TRL of a mixture of experts
    data = t.questions(*MIXED)
    with pytest.raises(SettingsError, match="router_aux_loss_coef: an objective has no place"):
        t.VoldTrainer(
            student.model,
            objective=VOLD_RL,
            args=t.settings(tmp_path, router_aux_loss_coef=0.01),
            processing_class=student.tokenizer,
            reward_funcs=t.dealt,
            train_dataset=data,
        )


def test_all_settings_are_refused_at_once(world: World, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        t.run(world, tmp_path, VOLD, *MIXED, epsilon=0.1, top_k=5)
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("objective", "given", "sentence"),
    [
        (ZOO["DAPO"], {}, "dynamic sampling draws further problems"),
        (
            replace(VOLD, correction=Correction(How.TRUNCATED, cap=1.2)),
            {},
            "TRL gives log-probabilities at sampling only with vLLM or a rollout_func",
        ),
        (VOLD, {"teacher": None}, "no teacher is set"),
        (VOLD_RL, {"teacher": "there"}, "a teacher is given, but the objective does not read one"),
        (VOLD, {"reference": "there"}, "a reference is given, but the objective does not pull toward one"),
        (VOLD, {"reward_funcs": []}, "reads rewards"),
    ],
)
def test_objectives_the_surroundings_cannot_serve_are_refused(
    world: World, tmp_path: Path, objective: Objective, given: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ObjectiveError, match=sentence):
        t.run(world, tmp_path, objective, *MIXED, given=given)


def test_an_objective_that_fails_its_own_check_is_refused(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any, **__: Any) -> None:
        raise ObjectiveError("self-check: another gradient")

    monkeypatch.setattr("vold.integrations.trl.refusals.self_check", wrong)
    with pytest.raises(ObjectiveError, match="self-check"):
        t.run(world, tmp_path, VOLD, *MIXED)


def test_models_that_cannot_work_together_are_refused(world: World, tmp_path: Path) -> None:
    teacher = t.fresh(world, "teacher")
    other = PreTrainedTokenizerFast(tokenizer_object=_other_words(), eos_token="<|im_end|>", pad_token="<|endoftext|>")
    clashing = replace(teacher, tokenizer=other)
    with pytest.raises(ModelError, match="student and teacher disagree on 2 token ids, the first is 9"):
        t.run(world, tmp_path, VOLD, *MIXED, given={"teacher": clashing})
    with pytest.raises(ModelError, match="has no tokenizer to compare"):
        t.run(world, tmp_path, VOLD, *MIXED, given={"teacher": teacher.model})
    with pytest.raises(ModelError, match="no model folder"):
        t.run(world, tmp_path, VOLD, *MIXED, given={"teacher": "/no/such/folder/anywhere"})
    cold = t.LocalTeacher(reader=teacher, template=None, banned_V=t.banned_ids(t.fresh(world), teacher), temperature=0.5)
    with pytest.raises(ModelError, match=r"the given LocalTeacher reads at temperature 0\.5"):
        t.run(world, tmp_path, VOLD, *MIXED, given={"teacher": cold})
    free = t.LocalTeacher(reader=teacher, template=None, banned_V=torch.zeros(64, dtype=torch.bool))
    with pytest.raises(ModelError, match="with 0 banned ids"):
        t.run(world, tmp_path, VOLD, *MIXED, given={"teacher": free})


def _other_words() -> Tokenizer:
    words = list(WORDS)
    words[9], words[10] = words[10], words[9]
    return Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token=None))


@pytest.mark.parametrize("change", ["bias", "scale", "cap"])
def test_a_model_that_changes_its_logits_after_the_head_is_refused(world: World, tmp_path: Path, change: str) -> None:
    teacher = t.fresh(world, "teacher")
    if change == "bias":
        teacher.model.lm_head.bias = torch.nn.Parameter(torch.linspace(0, 3, 64, dtype=torch.float64))
    if change == "scale":
        teacher.model.lm_head.register_forward_hook(lambda _module, _args, out: out / 2)
    if change == "cap":
        teacher.model.config.final_logit_softcapping = 30.0
    with pytest.raises(ModelError, match="changes its logits after the head"):
        t.run(world, tmp_path, VOLD, *MIXED, given={"teacher": teacher})


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": [{"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "find a ?"}]}]},
        {"prompt": [{"role": "user", "content": "find a ?"}], "image": "a picture"},
        {"prompt": [{"role": "user", "content": "find a ?"}], "images": ["a picture"]},
    ],
)
def test_pictures_are_refused(world: World, tmp_path: Path, row: dict[str, Any]) -> None:
    data = t.Dataset.from_list([row | {"verdicts": "RWWW"}] * 4)
    with pytest.raises(DataError, match="shows an image"):
        t.run(world, tmp_path, VOLD, *MIXED, given={"train_dataset": data})


def test_a_template_asks_one_question() -> None:
    assert question_in([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]) == "q"
    for roles in (["user", "assistant", "user"], ["user", "assistant"], ["system"]):
        with pytest.raises(DataError, match=f"a conversation of {', '.join(roles)}"):
            question_in([{"role": role, "content": "text"} for role in roles])
