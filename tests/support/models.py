"""Real models, very small and untrained, in the precision a test needs; and what a learner's gradient is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from support.plans import plan_for
from torch import Tensor, nn

from vold.adapters.engines.transformers import TransformersEngine
from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel, load
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.templates import Template
from vold.adapters.tiny_models import architectures
from vold.adapters.vocabulary import banned_ids
from vold.base.types import Group
from vold.core.objective import Objective
from vold.ports import Sampling

Gradient = Mapping[str, Tensor]


@dataclass
class World:
    """Folders to load from, and loaded models for tests that leave weights as they are."""

    folder: Path

    @property
    def student_folder(self) -> Path:
        return self.folder / "student"

    @property
    def teacher_folder(self) -> Path:
        return self.folder / "teacher"

    def fresh(self, name: str = "student", *, dtype: str = "float64") -> LanguageModel:
        """A model of one's own. In float64 attention is sdpa and norms do not round to float32, so that tests can ask for 1e-12."""
        if dtype != "float64":
            return load(self.folder / name, dtype=dtype)
        model = load(self.folder / name, dtype=dtype, attention="sdpa")
        unrounded(model.body)
        return model

    @cached_property
    def student64(self) -> LanguageModel:
        return self.fresh()

    @cached_property
    def teacher64(self) -> LanguageModel:
        return self.fresh("teacher")

    @cached_property
    def student32(self) -> LanguageModel:
        return self.fresh(dtype="float32")


def unrounded(model: nn.Module) -> None:
    """Norms as precise as the model: transformers' own round to single precision inside."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(_norm, module)  # type: ignore[method-assign]


def _norm(module: Any, x: Tensor) -> Tensor:
    return module.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + module.variance_epsilon))


def saved_world(folder: Path) -> World:
    architectures.save(folder / "student", architectures.student(seed=0))
    architectures.save(folder / "teacher", architectures.teacher(seed=1))
    return World(folder)


def learner_of(model: LanguageModel, **settings: Any) -> SingleLearner:
    return SingleLearner(**{"student": model, "adam": Adam(), "banned_V": banned_ids(model)} | settings)


def engine_of(model: LanguageModel, **settings: Any) -> TransformersEngine:
    return TransformersEngine(**{"speaker": model, "template": Template(of=model), "banned_V": banned_ids(model), "seed": 5} | settings)


def thinking_engine_of(model: LanguageModel, **settings: Any) -> TransformersEngine:
    """Prompts open a <think> block for the model, as some chat templates do."""
    return engine_of(model, template=Template(of=model, layout=f"{model.tokenizer.chat_template}{{{{- '<think>' -}}}}"), **settings)


def teacher_of(model: LanguageModel, **settings: Any) -> LocalTeacher:
    return LocalTeacher(**{"reader": model, "template": Template(of=model), "banned_V": banned_ids(model)} | settings)


def sampling(tokens: int, temperature: float = 1.0) -> Sampling:
    return Sampling(max_new_tokens=tokens, temperature=temperature)


def gradient_of(learner: SingleLearner, groups: Sequence[Group], objective: Objective, *, z: float = 1.0, step: int = 0) -> Gradient:
    """What one accumulate adds, divided by `z`; the learner is left without gradients."""
    learner.student.model.zero_grad(set_to_none=True)  # another test may have failed half-way on this model
    accumulate(learner, groups, objective, step=step)
    return taken(learner.student.model, z=z)


def accumulate(learner: SingleLearner, groups: Sequence[Group], objective: Objective, *, step: int = 0) -> dict[str, float]:
    """Add the groups' gradient as a step of its own, its counts theirs alone; the sums to be reported."""
    plan = plan_for(objective, step=step)
    return learner.accumulate(groups, plan, plan.counts(groups))


def taken(model: nn.Module, *, z: float = 1.0) -> Gradient:
    """The gradients lying on a model, which is left without them; zeros where there is none."""
    found = {name: torch.zeros_like(p) if p.grad is None else p.grad / z for name, p in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found


def assert_same_gradient(found: Gradient, expected: Gradient, *, within: float, what: str = "") -> None:
    """Equal to `within` of the largest entry of the whole gradient; `what` tells which of several comparisons failed."""
    assert found.keys() == expected.keys()
    largest = max(float(g.abs().max()) for g in expected.values())
    apart = {name: float((found[name] - expected[name]).abs().max()) / max(largest, 1e-30) for name in expected}
    worst = max(apart, key=lambda name: apart[name])
    told = f"gradients differ{what and f' ({what})'}: {worst} by {apart[worst]:.3g} of the largest entry {largest:.3g}, allowed is {within:g}"
    assert apart[worst] <= within, told


def size_of(gradient: Gradient) -> float:
    return max(float(g.abs().max()) for g in gradient.values())
