"""VoldTrainer inside TRL makes the steps that vold's own learner makes of the same rollouts."""

import gc
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs TRL: pip install vold[trl]")

import torch
from support import trl_runs as t
from support.models import World, assert_same_gradient, size_of
from transformers import ProcessorMixin

from vold.base.errors import Diverged, SettingsError
from vold.base.types import View
from vold.core.objective import (
    ALL_WRONG,
    CENTRED,
    EVERY,
    FIXED_LENGTH,
    K2,
    K3,
    NO_CREDIT,
    PER_GROUP,
    PER_SEQUENCE,
    RAW,
    REFERENCE,
    RIGHT,
    TEACHER,
    WRONG,
    Z_SCORE,
    Adaptive,
    Baseline,
    Beyond,
    Clamp,
    Clip,
    Correction,
    Credit,
    Estimator,
    How,
    Level,
    Objective,
    Over,
    Overlong,
    Pull,
    Schedule,
    Weigh,
)
from vold.core.zoo import GRPO, OPD, VOLD, VOLD_RL, ZOO

pytestmark = pytest.mark.long

CLIP = Clip(0.2, 0.3)
MIXED = ("RWWR", "WWWW", "RRRR", "RUWW")

OBJECTIVES = {name: replace(objective, dynamic=False) for name, objective in ZOO.items()} | {
    "top-k": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.1, Estimator.TOP_K, WRONG, top=3),)),
    "partner-top-k": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.1, Estimator.PARTNER_TOP_K, WRONG, top=3),)),
    "k3, clamped": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.1, K3, EVERY, clamp=Clamp(0.5, Beyond.SATURATE)),)),
    "on right": Objective(CENTRED, CLIP, pulls=(Pull(TEACHER, 0.1, K2, RIGHT),), share=FIXED_LENGTH),
    "by fail rate": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.1, K2, WRONG, weigh=Weigh.FAIL_RATE),), share=PER_SEQUENCE),
    "over pulled": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.1, K2, ALL_WRONG, over=Over.PULLED),)),
    "two pulls": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.1, K2, WRONG), Pull(REFERENCE, 0.04, K3)), share=PER_GROUP),
    "reference, whole": Objective(NO_CREDIT, None, pulls=(Pull(REFERENCE, 0.5, Estimator.FULL_PARTNER_TO_STUDENT),)),
    "entropy": Objective(Z_SCORE, CLIP, entropy=0.01),
    "masked overlong": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.1, K2, WRONG),), overlong=Overlong.MASK),
    "soft overlong": Objective(Z_SCORE, CLIP, overlong=Overlong.SOFT, soft_buffer=0.5),
    "not on truncated": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.1, K2, WRONG),), pull_truncated=False),
    "biased": Objective(Credit(Baseline.Z_SCORE, unbiased=False, epsilon=1e-4), Clip(0.2, 0.2, dual=3.0), share=PER_SEQUENCE),
    "raw": Objective(RAW, None),
    "by sequence": Objective(Z_SCORE, Clip(0.1, 0.1, level=Level.SEQUENCE), pulls=(Pull(TEACHER, 0.1, K2, WRONG),), share=PER_SEQUENCE),
}


@pytest.fixture(scope="module", autouse=True)
def _young_objects_only() -> Iterator[None]:
    """Every train() collects garbage, which takes longer than the training."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _without_a_word_to_anyone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "1")  # TRL then sends no telemetry
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")  # rollout_func is one


# ---- the same steps -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_step_is_that_of_volds_own_learner(world: World, tmp_path: Path, name: str) -> None:
    ran = t.run(world, tmp_path, OBJECTIVES[name], *MIXED, gradient_accumulation_steps=4, temperature=0.8, seed=3)
    lengths = {len(m.rollout.response_ids) for g in ran.groups for m in g.members}
    finishes = {m.rollout.finish for g in ran.groups for m in g.members}
    assert len(lengths) > 3
    assert len(finishes) == 2
    t.assert_same_updates(ran, [ran.groups])


@pytest.mark.parametrize("name", ["VOLD", "over pulled", "two pulls", "VOLD_FULL"])
def test_how_a_step_is_cut_changes_nothing(world: World, tmp_path: Path, name: str) -> None:
    """Twelve rollouts in one, two or three micro-batches; with two, a group is cut."""
    cuts = [(1, 12), (2, 6), (3, 4)]
    runs = [
        t.run(world, tmp_path, OBJECTIVES[name], *MIXED, gradient_accumulation_steps=parts, per_device_train_batch_size=rows) for parts, rows in cuts
    ]
    t.assert_same_updates(runs[0], [runs[0].groups])
    for run in runs[1:]:
        assert [m.rollout for g in run.groups for m in g.members] == [m.rollout for g in runs[0].groups for m in g.members]
        assert_same_gradient(run.watch.gradients[0], runs[0].watch.gradients[0], within=1e-12)


@pytest.mark.parametrize("name", ["VOLD", "by sequence", "GRPO", "over pulled", "VOLD_FULL", "SCOPE", "SRPO", "biased"])
def test_several_updates_of_a_batch_compare_with_the_policy_that_sampled(world: World, tmp_path: Path, name: str) -> None:
    """Two passes over a batch of two updates: the ratio leaves 1 from the second update on, and the clip acts."""
    more = {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "num_iterations": 2, "max_steps": 4, "learning_rate": 0.01}
    ran = t.run(world, tmp_path, OBJECTIVES[name], *MIXED, **more)
    assert len({id(batch) for batch in ran.watch.batches}) == 1
    first, second = ran.groups[:2], ran.groups[2:]
    t.assert_same_updates(ran, [first, second, first, second], within=1e-8)
    clipped = [line["clip/low"] + line["clip/high"] for line in ran.trainer.state.log_history[:4] if "clip/low" in line]
    assert not clipped or clipped[0] == 0.0 < max(clipped)


def test_checkpointing_and_single_precision_change_little(world: World, tmp_path: Path) -> None:
    ran = t.run(world, tmp_path, VOLD, *MIXED, dtype="float32", gradient_accumulation_steps=4, activation_checkpointing=True)
    learner, plan = t.learner_beside(ran), t.plan_beside(ran)
    groups = t.scored_beside(ran, ran.groups, plan, learner.banned_V)
    assert_same_gradient(ran.watch.gradients[0], t.step_beside(learner, groups, plan, lr=t.LR), within=1e-5)


# ---- the mask, and whom the teacher reads ---------------------------------------------------------------------------------------------


def test_the_teacher_reads_wrong_rollouts_alone(world: World, tmp_path: Path) -> None:
    ran = t.run(world, tmp_path, VOLD, *MIXED, gradient_accumulation_steps=4)
    members = [m for g in ran.groups for m in g.members]
    assert [m.teacher_logprobs is not None for m in members] == [m.wrong for m in members]
    assert sum(m.wrong for m in members) == 8
    assert (ran.log["pull/scored"], ran.log["pull/rate"], ran.log["rollouts/unjudged"]) == (8.0, 0.5, 1.0)
    assert (ran.log["groups/all_right"], ran.log["groups/mixed"], ran.log["groups/all_wrong"]) == (0.25, 0.5, 0.25)
    judged = [m for m in members if m.judged]
    assert ran.log["z"] == sum(len(m.rollout.response_ids) for m in judged)  # right and skipped ones included, unjudged ones not
    assert ran.log["pull_share"] > 0
    assert ran.log["pull/kl"] > 0


def test_the_teachers_forward_sees_only_what_is_asked(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    packed = t.LanguageModel.packed

    def counted(self: t.LanguageModel, ids_T: torch.Tensor, lengths: tuple[int, ...], *shown: object) -> torch.Tensor:
        read.extend(lengths)
        return packed(self, ids_T, lengths, *shown)

    monkeypatch.setattr(t.LanguageModel, "packed", counted)
    ran = t.run(world, tmp_path, VOLD, *MIXED, gradient_accumulation_steps=4)
    wrong = sorted(len(m.rollout.prompt_ids) + len(m.rollout.response_ids) for g in ran.groups for m in g.members if m.wrong)
    assert len(read) == 8
    own = {there - here for there, here in zip(sorted(read), wrong, strict=True)}
    assert len(own) == 1  # its template is longer by as much everywhere: nothing is padded


def test_a_group_without_a_right_answer_is_trained(world: World, tmp_path: Path) -> None:
    ran = t.run(world, tmp_path, VOLD, "WWWW")
    assert ran.log["groups/all_wrong"] == 1.0
    assert ran.log["trained_tokens"] == ran.log["z"]
    assert size_of(ran.watch.gradients[0]) > 1e-3


def test_a_step_with_nothing_to_learn_has_a_gradient_of_zero(world: World, tmp_path: Path) -> None:
    """All-right groups are skipped; every trained parameter still gets a gradient, so that momentum and other ranks go on."""
    ran = t.run(world, tmp_path, VOLD, "RRRR", gradient_accumulation_steps=2)
    assert (ran.log["trained_tokens"], ran.log["pull/scored"], ran.log["loss"]) == (0.0, 0.0, 0.0)
    assert size_of(ran.watch.gradients[0]) == 0.0


def test_rewards_need_not_be_zero_or_one(world: World, tmp_path: Path) -> None:
    """Two weighted reward functions, added up as TRL does; right from `right_at` on, credit by the sum."""

    def form(verdicts: Sequence[str], **_: Any) -> list[float]:
        return [0.1 * (place % 4) for place in range(len(verdicts))]

    given = {"reward_funcs": [t.dealt, form], "right_at": 0.9}
    ran = t.run(world, tmp_path, VOLD, "RWUW", given=given, reward_weights=[0.7, 1.0])
    found = [(m.verdict.ruling.value, round(m.reward, 6)) for m in ran.groups[0].members]
    assert found == [("wrong", 0.7), ("wrong", 0.1), ("wrong", 0.2), ("wrong", 0.3)]
    t.assert_same_updates(ran, [ran.groups])
    ran = t.run(world, tmp_path, VOLD, "WWRR", given=given, reward_weights=[0.7, 1.0])
    assert [m.verdict.ruling.value for m in ran.groups[0].members] == ["wrong", "wrong", "right", "right"]  # 0.7 + 0.2 in float32 counts as 0.9


def test_an_objective_without_rewards_trains_what_nobody_judged(world: World, tmp_path: Path) -> None:
    ran = t.run(world, tmp_path, OPD, "UUUU")
    assert ran.log["rollouts/unjudged"] == 4.0
    t.assert_same_updates(ran, [ran.groups])


def test_a_batch_without_a_verdict_stops_the_run(world: World, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="no rollout has a place in the objective"):
        t.run(world, tmp_path, VOLD, "UUUU")


def test_an_update_without_a_verdict_is_one_of_nothing(world: World, tmp_path: Path) -> None:
    """The batch's other update has something to learn from."""
    ran = t.run(world, tmp_path, VOLD, "UUUU", "RWWW", steps_per_generation=2, max_steps=2)
    assert [line["z"] > 0 for line in ran.trainer.state.log_history[:2]] == [False, True]
    assert [size_of(gradient) > 0 for gradient in ran.watch.gradients] == [False, True]


def test_a_loss_that_is_not_finite_stops_the_run(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        t.LocalTeacher, "score", lambda _self, rollouts, **_: [View(logprobs=(float("nan"),) * len(r.response_ids)) for r in rollouts]
    )
    with pytest.raises(Diverged, match="update 0: the loss is nan on 3 rollouts"):
        t.run(world, tmp_path, OPD, "RWWW", per_device_train_batch_size=3, num_generations=3)


# ---- partners -------------------------------------------------------------------------------------------------------------------------


def test_the_reference_is_the_student_as_it_was(world: World, tmp_path: Path) -> None:
    """At the second update it differs from the student by the first."""
    ran = t.run(world, tmp_path, GRPO, *MIXED, given={"reference": None}, gradient_accumulation_steps=4, num_iterations=2, max_steps=2)
    ran.reference = ran.begun
    kept = ran.trainer.partners[REFERENCE].scorer.reader.model
    ids = torch.tensor([[1, 34, 9]])
    assert torch.equal(kept(input_ids=ids).logits, ran.begun.model(input_ids=ids).logits)  # by its own weights, not those TRL's forward caught
    t.assert_same_updates(ran, [ran.groups, ran.groups])
    assert [line.get("pull/kl", 0.0) > 1e-9 for line in ran.trainer.state.log_history[:2]] == [False, True]


@pytest.mark.parametrize("kind", ["path", "template", "scorer", "scorer of the student's ids"])
def test_a_teacher_can_be_given_in_several_ways(world: World, tmp_path: Path, kind: str) -> None:
    """Student and teacher in their folders share a chat template: all ways show the teacher the same prompt."""
    model = world.fresh("teacher", dtype="float32")
    expected = t.run(world, tmp_path, VOLD, "WWWW", dtype="float32", given={"teacher": model})
    ban = t.banned_ids(world.fresh(dtype="float32"), model)
    ways = {
        "path": world.teacher_folder,
        "template": t.Template(of=model),
        "scorer": t.LocalTeacher(reader=model, template=t.Template(of=model), banned_V=ban),
        "scorer of the student's ids": t.LocalTeacher(reader=model, template=None, banned_V=ban, token_budget=20),
    }
    ran = t.run(world, tmp_path, VOLD, "WWWW", dtype="float32", given={"teacher": ways[kind]})
    for found, wanted in zip(ran.groups[0].members, expected.groups[0].members, strict=True):
        assert found.rollout == wanted.rollout
        assert found.teacher_logprobs == pytest.approx(wanted.teacher_logprobs, abs=1e-5)


def test_prompts_may_be_plain_text(world: World, tmp_path: Path) -> None:
    student, teacher = t.fresh(world), t.fresh(world, "teacher")
    data = t.Dataset.from_list([{"prompt": f"find a + {digit} ?", "verdicts": "WWWR"} for digit in range(4)])
    trainer = t.VoldTrainer(
        student.model,
        objective=VOLD,
        args=t.settings(tmp_path),
        teacher=teacher,
        processing_class=student.tokenizer,
        reward_funcs=t.dealt,
        train_dataset=data,
    )
    trainer.train()
    [member, *_] = trainer.groups[0].members
    assert member.rollout.prompt_ids == tuple(student.tokenizer("find a + 0 ?").input_ids)
    [view] = t.LocalTeacher(reader=teacher, template=None, banned_V=trainer.banned_V).score([member.rollout])
    assert member.teacher_logprobs == pytest.approx(view.logprobs, abs=1e-12)


class Reads(ProcessorMixin):
    """A processor, as a VLM has one, without what sees: its image processor's video half needs torchvision."""

    def __init__(self, tokenizer: Any, chat_template: str) -> None:
        super().__init__(tokenizer, chat_template=chat_template)


def test_a_processor_may_stand_in_for_the_tokenizer(world: World, tmp_path: Path) -> None:
    tokenizer = t.fresh(world).tokenizer
    ran = t.run(world, tmp_path, VOLD, *MIXED, given={"processing_class": Reads(tokenizer, tokenizer.chat_template)})
    assert ran.trainer.generation_config.suppress_tokens == ran.trainer.banned_V.nonzero().flatten().tolist()
    t.assert_same_updates(ran, [ran.groups])


def test_the_vision_tower_stays_as_it_is(world: World, tmp_path: Path) -> None:
    ran = t.run(world, tmp_path, VOLD, *MIXED, dtype="float32", gradient_accumulation_steps=4, max_steps=3, weight_decay=0.1)
    begun, now = dict(ran.begun.model.named_parameters()), dict(ran.trainer.model.named_parameters())
    moved = {name: not torch.equal(begun[name], now[name]) for name in begun}
    assert any("visual" in name for name in moved)
    assert all(moved[name] != ("visual" in name) for name in moved)
    assert all(p.requires_grad != ("visual" in name) for name, p in now.items())  # DDP waits for every parameter that asks for a gradient


def test_banned_ids_are_never_sampled(world: World, tmp_path: Path) -> None:
    ran = t.run(world, tmp_path, VOLD_RL, *MIXED, gradient_accumulation_steps=4, max_steps=3, temperature=3.0)
    banned = set(ran.trainer.banned_V.nonzero().flatten().tolist())
    said = {i for batch in ran.watch.batches for g in batch for m in g.members for i in m.rollout.response_ids}
    assert banned >= {*range(3, 7), *range(47, 64)}  # a picture's placeholders, and rows without a word
    assert len(said) > 30
    assert not said & banned


# ---- samplers with log-probabilities of their own -------------------------------------------------------------------------------------


class Elsewhere:
    """A sampler that is not the trainer: random ids, made-up log-probabilities, one of them missing, and tokens inserted by hand."""

    def __init__(self, *, banned: bool = False) -> None:
        self.draw = torch.Generator().manual_seed(1)
        self.speakable = [5] if banned else [*range(9, 25), *range(27, 34)]
        self.generation_kwargs: dict[str, Any] = {}

    def answers(self, count: int) -> tuple[list[list[int]], list[list[float | None]]]:
        lengths = (torch.randint(2, t.CAP, (count,), generator=self.draw)).tolist()
        ids = [[self.speakable[i] for i in torch.randint(len(self.speakable), (n,), generator=self.draw).tolist()] + [2] for n in lengths]
        logprobs: list[list[float | None]] = [(-3.5 - torch.rand(len(row), generator=self.draw)).tolist() for row in ids]
        logprobs[0][0] = None
        return ids, logprobs

    def rollouts(self, prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        """As TRL calls a rollout_func."""
        ids, logprobs = self.answers(len(prompts))
        prompt_ids = trainer.processing_class.apply_chat_template(list(prompts), add_generation_prompt=True, tokenize=True)["input_ids"]
        inserted = [[int(place != 1) for place in range(len(row))] for row in ids]
        return {"prompt_ids": prompt_ids, "completion_ids": ids, "logprobs": logprobs, "env_mask": inserted}

    def sync_weights(self) -> None: ...

    def generate(self, prompts: Sequence[Any], **_: Any) -> tuple[None, list[list[int]], list[list[list[float | None]]], None]:
        """As TRL calls vLLM."""
        ids, logprobs = self.answers(len(prompts))
        return None, ids, [[[one] for one in row] for row in logprobs], None


CORRECTED = replace(VOLD, correction=Correction(How.TRUNCATED, cap=1.2))


@pytest.mark.parametrize("objective", [CORRECTED, ZOO["SCOPE"]], ids=["corrected", "SCOPE"])
@pytest.mark.parametrize("sampler", ["rollout_func", "vllm"])
def test_a_samplers_own_logprobs_are_corrected_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: Objective, sampler: str
) -> None:
    """Tokens it inserted, or for which it gave no number, are out of everything; the others are weighed by its log-probabilities."""
    there = Elsewhere()
    monkeypatch.setattr("trl.trainer.grpo_trainer.VLLMGeneration", lambda **_: there)
    how: dict[str, Any] = {"given": {"rollout_func": there.rollouts}} if sampler == "rollout_func" else {"use_vllm": True}
    ran = t.run(world, tmp_path, objective, *MIXED, gradient_accumulation_steps=4, **how)
    first, second, *_ = (m.rollout for m in ran.groups[0].members)
    inserted = sampler == "rollout_func"
    assert first.sampled[:3] == (False, not inserted, True)
    assert second.sampled[:3] == (True, not inserted, True)
    assert all(-4.5 < logprob < -3.5 for logprob in second.logprobs)
    if sampler == "vllm":
        assert there.generation_kwargs["allowed_token_ids"] == (~ran.trainer.banned_V).nonzero().flatten().tolist()
    if objective.correction is not None:
        assert 0.5 < ran.log["correction/mean"] < 1.2
    t.assert_same_updates(ran, [ran.groups])


def test_a_sampler_that_says_what_is_banned_is_stopped(world: World, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="token 5, which student and teacher may not say"):
        t.run(world, tmp_path, VOLD, "WWWR", given={"rollout_func": Elsewhere(banned=True).rollouts})


# ---- TRL's own machinery --------------------------------------------------------------------------------------------------------------


def test_a_resumed_run_is_the_run_that_never_stopped(world: World, tmp_path: Path) -> None:
    """Weights byte for byte, the adaptive strength and the log, over three steps of two updates' worth of micro-batches."""
    objective = ZOO["VLAA_THINKER"]
    more: dict[str, Any] = {"dtype": "float32", "gradient_accumulation_steps": 2, "save_strategy": "steps", "save_steps": 1, "max_steps": 3}
    whole = t.run(world, tmp_path / "whole", objective, *MIXED, **more)
    kept = json.loads((tmp_path / "whole" / "checkpoint-1" / "vold.json").read_text())
    assert set(kept["betas"]) == {"0"}
    assert kept["betas"]["0"] != 1e-3
    resumed = t.run(world, tmp_path / "again", objective, *MIXED, resume=tmp_path / "whole" / "checkpoint-1", **more)
    assert resumed.trainer.ledger.betas == whole.trainer.ledger.betas
    assert [line["pull/beta"] for line in resumed.trainer.state.log_history[:3]] == [
        line["pull/beta"] for line in whole.trainer.state.log_history[:3]
    ]
    ended = dict(resumed.trainer.model.named_parameters())
    assert all(torch.equal(p, ended[name]) for name, p in whole.trainer.model.named_parameters())
    whole.trainer.state.best_model_checkpoint = str(tmp_path / "whole" / "checkpoint-1")
    whole.trainer._load_best_model()
    assert any(not torch.equal(p, ended[name]) for name, p in whole.trainer.model.named_parameters())


def test_a_checkpoint_without_the_adaptive_strength_is_refused(world: World, tmp_path: Path) -> None:
    more: dict[str, Any] = {"dtype": "float32", "save_strategy": "steps", "save_steps": 1}
    t.run(world, tmp_path, ZOO["VLAA_THINKER"], *MIXED, **more)
    (tmp_path / "checkpoint-1" / "vold.json").unlink()
    with pytest.raises(SettingsError, match=r"holds no vold\.json"):
        t.run(world, tmp_path, ZOO["VLAA_THINKER"], *MIXED, resume=tmp_path / "checkpoint-1", **(more | {"max_steps": 2}))


def test_an_adaptive_strength_follows_the_kl_of_each_batch(world: World, tmp_path: Path) -> None:
    """By hand from the KL that is logged; the teacher's pull beside it keeps its own strength."""
    rule = Adaptive(0.2, target=0.4, horizon=100, reach=0.9)
    objective = Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.0, K2, WRONG), Pull(REFERENCE, rule, K2)))
    ran = t.run(world, tmp_path, objective, *MIXED, gradient_accumulation_steps=4, max_steps=4)
    lines = ran.trainer.state.log_history[:4]
    expected = [0.2]
    for line in lines:
        assert 0.1 < line["pull/kl"] < 0.76  # within reach, or the KL itself would not be seen
        expected.append(expected[-1] * (1 + (line["pull/kl"] / 0.4 - 1) * 16 / 100))
    assert [line["pull/beta/1"] for line in lines] == pytest.approx(expected[:4], rel=1e-9)
    assert ran.trainer.ledger.betas == {1: pytest.approx(expected[4], rel=1e-9)}


def test_evaluation_measures_and_moves_nothing(world: World, tmp_path: Path) -> None:
    evaluated = {"eval_strategy": "steps", "eval_steps": 1, "per_device_eval_batch_size": 4, "given": {"eval_dataset": t.questions("RWWR")}}
    more: dict[str, Any] = {"dtype": "float32", "num_iterations": 2, "max_steps": 2}
    objective = replace(VOLD, pulls=(Pull(TEACHER, Adaptive(0.1, target=0.3, horizon=100, reach=0.9), K2, WRONG),))
    ran = t.run(world, tmp_path, objective, *MIXED, **more, **evaluated)
    plain = t.run(world, tmp_path, objective, *MIXED, **more)
    assert ran.trainer.ledger.betas == plain.trainer.ledger.betas != {}
    [line, *_] = [line for line in ran.trainer.state.log_history if "eval_loss" in line]
    assert line["eval_groups/mixed"] == 1.0
    assert line["eval_pull/scored"] == 2.0
    for found, expected in zip(ran.watch.gradients, plain.watch.gradients, strict=True):
        assert_same_gradient(found, expected, within=0.0)


def test_a_schedule_counts_batches_not_updates(world: World, tmp_path: Path) -> None:
    objective = replace(VOLD, pulls=(Pull(TEACHER, Schedule(0.4, 0.0, until=4), K2, WRONG),))
    ran = t.run(world, tmp_path, objective, *MIXED, dtype="float32", num_iterations=2, max_steps=6)
    betas = [line["pull/beta"] for line in ran.trainer.state.log_history if "pull/beta" in line]
    assert betas == pytest.approx([0.4, 0.3, 0.2])


def test_bfloat16_is_trained_under_autocast(world: World, tmp_path: Path) -> None:
    ran = t.run(
        world, tmp_path, OBJECTIVES["two pulls"], *MIXED, dtype="float32", bf16=True, gradient_accumulation_steps=4, num_iterations=2, max_steps=2
    )
    exact = t.run(world, tmp_path, OBJECTIVES["two pulls"], *MIXED, dtype="float32", gradient_accumulation_steps=4)
    assert ran.trainer.state.log_history[1]["clip/low"] < 1.0
    assert 0.5 < size_of(ran.watch.gradients[0]) / size_of(exact.watch.gradients[0]) < 2.0


@pytest.mark.long
def test_two_ranks_make_the_steps_of_one(world: World, tmp_path: Path) -> None:
    """Under DDP on gloo: Z, shares, perplexities and adaptive numbers are those of the whole batch, wherever its rollouts lie."""
    tests = Path(__file__).parents[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "support.trl_ranks"]
    done = subprocess.run([*command, str(world.folder), str(tmp_path)], cwd=tests, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_runs_as_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "trl.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {}
    exec(compile(block, "docs/trl.md", "exec"), session)
    first, second = session["trainer"].state.log_history[:2]
    assert first["pull/scored"] > 0
    assert first["loss"] != second["loss"]


def test_trl_is_imported_by_its_integration_alone() -> None:
    code = "import sys, vold, vold.cli, vold.wiring.runs, vold.pipeline; assert not {'trl', 'datasets'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
