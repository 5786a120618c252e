"""TRL's trainers on the laptop world's untrained models, and the same steps by vold's own learner. Imports trl: skip before importing this.

Verdicts are dealt, not earned: a row of the dataset says in letters how its group is judged (R right, W wrong, U unjudged).
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from support.models import Gradient, World, assert_same_gradient, size_of
from torch import Tensor, nn
from transformers import TrainerCallback
from trl import GRPOConfig

from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.templates import Template
from vold.adapters.tiny_models.architectures import CHAT_TEMPLATE
from vold.adapters.vocabulary import banned_ids
from vold.base.types import Group, Problem
from vold.core.objective import Objective
from vold.core.plan import Plan, plan_of
from vold.core.pulls import Partner
from vold.integrations.trl import VoldTrainer
from vold.stages.joint import scored

CAP = 7
LR = 1e-3
OF_TRL = r"ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
"""What TRL 1.16's own trainer says whenever it generates; ours keeps it quiet."""


def settings(folder: Path, **more: Any) -> GRPOConfig:
    """One group of four a micro-batch, one update, plain AdamW at a constant rate, no clipping of gradients, nothing written."""
    own = {
        "output_dir": str(folder),
        "use_cpu": True,
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "logging_steps": 1,
        "disable_tqdm": True,
        "activation_checkpointing": False,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "num_generations": 4,
        "max_completion_length": CAP,
        "max_steps": 1,
        "learning_rate": LR,
        "lr_scheduler_type": "constant",
        "optim": "adamw_torch",
        "max_grad_norm": 0.0,
        "shuffle_dataset": False,
        "seed": 0,
    }
    return GRPOConfig(**{**own, **more})


def questions(*verdicts: str) -> Dataset:
    """One conversation a word of verdicts, with prompts of different lengths; the words are dealt again and again over a dozen rows."""
    words = [verdicts[place % len(verdicts)] for place in range(12)]
    asked = [tiny_problem(0, "trl", place, 1 + place % 3).prompt for place in range(12)]
    return Dataset.from_list([{"prompt": [{"role": "user", "content": text}], "verdicts": word} for text, word in zip(asked, words, strict=True)])


REWARDS: dict[str, float | None] = {"R": 1.0, "W": 0.0, "U": None}


def dealt(verdicts: Sequence[str], **_: Any) -> list[float | None]:
    """The reward function: each rollout's letter, by its place in its group."""
    return [REWARDS[word[place % len(word)]] for place, word in enumerate(verdicts)]


@dataclass
class Watch(TrainerCallback):
    """What a trainer's updates did: the gradient before each, and the groups it was made of."""

    gradients: list[Gradient] = field(default_factory=list)
    batches: list[list[Group]] = field(default_factory=list)
    trainer: Any = None

    def on_pre_optimizer_step(self, *_: Any, model: nn.Module, **__: Any) -> None:
        whole = getattr(model, "module", model)
        self.gradients.append({name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in whole.named_parameters()})
        self.batches.append(getattr(self.trainer, "groups", []))


@dataclass
class Ran:
    """A finished run of a VoldTrainer, and the models it began with."""

    trainer: VoldTrainer
    watch: Watch
    begun: LanguageModel
    """The student before the first step."""
    teacher: LanguageModel
    reference: LanguageModel
    texts: Mapping[str, str]
    """What was asked, by prompt ids as text: the trainer's records hold no words."""

    @property
    def log(self) -> dict[str, Any]:
        first: dict[str, Any] = self.trainer.state.log_history[0]
        return first

    @property
    def groups(self) -> list[Group]:
        return self.watch.batches[0]


LOADED: dict[tuple[Path, str, str], LanguageModel] = {}


def fresh(world: World, name: str = "student", dtype: str = "float64") -> LanguageModel:
    """A model of one's own, loaded once and copied from then on. The teacher is spoken to in its own way, one word longer than the student's."""
    key = (world.folder, name, dtype)
    if key not in LOADED:
        LOADED[key] = world.fresh(name, dtype=dtype)
        if name == "teacher":
            LOADED[key].tokenizer.chat_template = CHAT_TEMPLATE.replace(" assistant ", " assistant take ")
    return replace(LOADED[key], model=deepcopy(LOADED[key].model))


def run(
    world: World,
    folder: Path,
    objective: Objective,
    *verdicts: str,
    dtype: str = "float64",
    given: Mapping[str, Any] | None = None,
    resume: Path | None = None,
    **more: Any,
) -> Ran:
    """Train a fresh student with `objective`, the teacher and another reference there where they are read."""
    student, teacher = fresh(world, "student", dtype), fresh(world, "teacher", dtype)
    begun, reference = replace(student, model=deepcopy(student.model)), elsewhere(student)
    watch = Watch()
    data = questions(*verdicts)
    watch.trainer = VoldTrainer(
        student.model,
        objective=objective,
        args=settings(folder, **more),
        **{
            "teacher": teacher if objective.needs_teacher else None,
            "reference": reference if objective.wants(Partner.REFERENCE) is not None else None,
            "reward_funcs": [dealt],
            "processing_class": student.tokenizer,
            "train_dataset": data,
            **(given or {}),
        },
        callbacks=[watch],
    )
    watch.trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    texts = {
        str(student.tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True)): row["prompt"][0]["content"]
        for row in data
    }
    return Ran(watch.trainer, watch, begun, teacher, reference, texts)


def elsewhere(model: LanguageModel) -> LanguageModel:
    """A copy a little away from a model, so that a pull toward it has a direction."""
    copied = deepcopy(model.model)
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype) * 0.02)
    return replace(model, model=copied)


def learner_beside(ran: Ran) -> SingleLearner:
    """vold's learner with the student as it was, and TRL's optimizer settings."""
    objective, args = ran.trainer.objective, ran.trainer.args
    student = replace(ran.begun, model=deepcopy(ran.begun.model))
    banned_V = banned_ids(student, ran.teacher if objective.needs_teacher else None)
    heads = {Partner.TEACHER: ran.teacher.head, Partner.REFERENCE: ran.reference.head}
    adam = Adam(betas=(args.adam_beta1, args.adam_beta2), weight_decay=args.weight_decay, clip_norm=1e9)
    return SingleLearner(student=student, adam=adam, banned_V=banned_V, temperature=args.temperature, token_budget=64, heads=heads)


def plan_beside(ran: Ran, step: int = 0) -> Plan:
    return plan_of(ran.trainer.objective, step=step, length_cap=CAP)


def scored_beside(ran: Ran, groups: Sequence[Group], plan: Plan, banned_V: Tensor) -> list[Group]:
    """The rollouts and verdicts of a run, scored anew: the teacher under its own template, the reference the student as it was."""
    tokenizer = ran.begun.tokenizer
    bare = [
        Group(
            problem=(asked := _asked(ran, tokenizer.decode(group.members[0].rollout.prompt_ids), group.problem.id)),
            members=tuple(
                replace(
                    m,
                    rollout=replace(m.rollout, problem=asked),
                    teacher_logprobs=None,
                    teacher_hidden=None,
                    reference_logprobs=None,
                    reference_hidden=None,
                )
                for m in group.members
            ),
        )
        for group in groups
    ]
    temperature = ran.trainer.temperature
    teacher = LocalTeacher(reader=ran.teacher, template=Template(of=ran.teacher), banned_V=banned_V, temperature=temperature)
    reference = LocalTeacher(reader=ran.reference, template=None, banned_V=banned_V, temperature=temperature)
    return scored(bare, plan, teacher, reference)


def _asked(ran: Ran, prompt: str, name: str) -> Problem:
    [text] = [text for rendered, text in ran.texts.items() if rendered.split() == prompt.split()]
    return Problem(id=name, prompt=text, answer=None, source="trl")


def step_beside(learner: SingleLearner, groups: Sequence[Group], plan: Plan, *, lr: float) -> Gradient:
    """One update by vold's learner; returns the gradient it made of it, divided by Z."""
    counts = plan.counts(groups)
    learner.accumulate(groups, plan, counts)
    named = learner.student.model.named_parameters()
    gradient = {name: torch.zeros_like(p) if p.grad is None else p.grad / counts.z for name, p in named}
    learner.apply(counts.z, lr=lr)
    return gradient


def assert_same_updates(ran: Ran, updates: Sequence[Sequence[Group]], *, within: float = 1e-10) -> None:
    """TRL's gradient before each update is the one vold's learner makes of these groups, and the weights after the last are its weights."""
    learner, plan = learner_beside(ran), plan_beside(ran)
    by_id = {group.problem.id: group for group in scored_beside(ran, ran.groups, plan, learner.banned_V)}
    if len(updates) > 1:
        learner.freeze_behaviour(list(by_id.values()))
    for found, groups in zip(ran.watch.gradients, updates, strict=True):
        expected = step_beside(learner, [by_id[group.problem.id] for group in groups], plan, lr=ran.trainer.args.learning_rate)
        assert size_of(expected) > 1e-3
        assert_same_gradient(found, expected, within=within)
    trained = dict(ran.trainer.model.named_parameters())
    apart = max(float((trained[name] - p).detach().abs().max()) for name, p in learner.student.model.named_parameters())
    assert apart < within, f"weights differ by {apart:.1e}"
