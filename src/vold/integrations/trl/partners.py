"""The models a pull looks at, as TRL's user gives them: a path, a model, a template or a scorer; and how they are asked on several ranks."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor

from vold.adapters.models import LanguageModel, load, refuse_model
from vold.adapters.teachers.local import LocalTeacher, fitted
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import DataError, ModelError
from vold.base.types import Problem, Rollout, View
from vold.core.objective import Objective, Want
from vold.core.pulls import Partner
from vold.integrations.trl.records import Key, key_of
from vold.wiring.parts import located

Prompt = str | Sequence[Mapping[str, Any]]
"""A prompt as it stands in TRL's dataset: text, or a conversation."""

Render = Callable[[Prompt], tuple[int, ...]]

Teacher = str | Path | LanguageModel | Template | LocalTeacher
Reference = str | Path | LanguageModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A partner at one batch: every rank has it read its own rollouts, and all learn the log-probabilities. Hidden states and
    likeliest ids stay where they are."""

    scorer: LocalTeacher
    render: Render | None
    prompts: Mapping[Key, Prompt]
    """Those of this rank's rollouts."""

    @property
    def gives(self) -> Want:
        return Want.HIDDEN

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View]:
        own = [rollout for rollout in rollouts if key_of(rollout) in self.prompts]
        views = dict(zip(map(key_of, own), self.scorer.score([self._shown(r) for r in own], want=want, top=top), strict=True))
        told = dict(gather_object([(key, view.logprobs) for key, view in views.items()]))
        return [views.get(key) or View(logprobs=told[key]) for key in map(key_of, rollouts)]

    def _shown(self, rollout: Rollout) -> Rollout:
        return rollout if self.render is None else replace(rollout, prompt_ids=self.render(self.prompts[key_of(rollout)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """A partner during the whole run. `scorer` reads whatever prompt ids it is shown; `render` makes them, None leaves the student's own."""

    scorer: LocalTeacher
    render: Render | None

    def at(self, prompts: Mapping[Key, Prompt]) -> Asked:
        return Asked(scorer=self.scorer, render=self.render, prompts=prompts)


def met(
    student: LanguageModel, objective: Objective, teacher: Teacher | None, reference: Reference | None, *, temperature: float
) -> tuple[Tensor, dict[Partner, Scorer]]:
    """The ids that may not be said, and the partners the objective reads. Raises ModelError for models that cannot work together."""
    found: dict[Partner, Scorer] = {}
    if teacher is None:
        banned_V = banned_ids(student)
    else:
        model, render = _opened(teacher, student)
        banned_V = banned_ids(student, model)
        given = teacher if isinstance(teacher, LocalTeacher) else None
        found[Partner.TEACHER] = Scorer(scorer=_scorer(model, banned_V, temperature, given), render=render)
    if objective.wants(Partner.REFERENCE) is not None:
        found[Partner.REFERENCE] = Scorer(scorer=_scorer(_reference(reference, student), banned_V, temperature), render=None)
    return banned_V, found


def _opened(teacher: Teacher, student: LanguageModel) -> tuple[LanguageModel, Render | None]:
    """The teacher's model and how it is shown a prompt: a path or a model under its own chat template, a template says more than that, and a
    scorer without one reads the student's own ids."""
    match teacher:
        case LocalTeacher():
            return frozen(teacher.reader, student), None if teacher.template is None else _by_template(teacher.template)
        case Template():
            return frozen(teacher.of, student), _by_template(teacher)
        case LanguageModel():
            return frozen(teacher, student), _by_chat(teacher)
        case str() | Path():
            loaded = _loaded(teacher, student)
            return loaded, _by_chat(loaded)
        case _:
            raise ModelError(
                f"a teacher of type {type(teacher).__name__} has no tokenizer to compare with the student's. Give a path, or "
                "LanguageModel(folder=…, model=…, tokenizer=…, image_processor=None)."
            )


def _reference(given: Reference | None, student: LanguageModel) -> LanguageModel:
    """The given reference, or the student as it is now. TRL patches the forward of the instance it trains; a copy's would run the original."""
    if given is None:
        model = deepcopy(student.model)
        vars(model).pop("forward", None)
        return frozen(replace(student, model=model), student)
    return frozen(given, student) if isinstance(given, LanguageModel) else _loaded(given, student)


def _loaded(path: str | Path, student: LanguageModel) -> LanguageModel:
    """A model in the student's precision and with its attention, beside it."""
    dtype, attention = str(student.model.dtype).removeprefix("torch."), student.model.config._attn_implementation
    return frozen(load(located(str(path)), dtype=dtype, attention=attention), student)


def frozen(model: LanguageModel, student: LanguageModel) -> LanguageModel:
    """The model without gradients, on the student's device."""
    if model.model is student.model:
        raise ModelError("the teacher or reference is the very object that is trained, and would have to be frozen. Load it a second time.")
    model.model.eval().requires_grad_(False).to(student.device)
    refuse_model(model, "teacher or reference")
    return model


def _scorer(model: LanguageModel, banned_V: Tensor, temperature: float, given: LocalTeacher | None = None) -> LocalTeacher:
    """A scorer of the ids it is shown; of a given one the token budget is kept, the rest has to be right."""
    if given is None:
        return LocalTeacher(reader=model, template=None, banned_V=banned_V, temperature=temperature)
    same = torch.equal(fitted(given.banned_V, model.head), fitted(banned_V, model.head))
    if given.temperature != temperature or not same:
        raise ModelError(
            f"the given LocalTeacher reads at temperature {given.temperature} with {int(given.banned_V.sum())} banned ids, the student samples at "
            f"{temperature} with {int(banned_V.sum())}. Make it with temperature=args.temperature and banned_V=banned_ids(student, teacher), or "
            "give its template instead."
        )
    return replace(given, template=None)


# -- what a teacher is shown ------------------------------------------------------------------------------------------------------------


def _by_chat(model: LanguageModel) -> Render:
    def render(prompt: Prompt) -> tuple[int, ...]:
        if isinstance(prompt, str):
            return tuple(model.tokenizer(prompt).input_ids)
        if model.tokenizer.chat_template is None:
            raise ModelError(
                f"the prompts are conversations, but the teacher in {model.folder} has no chat template. Give a teacher that has one, or "
                "LocalTeacher(…, template=None), which reads the student's own prompts."
            )
        text = model.tokenizer.apply_chat_template(list(map(dict, prompt)), tokenize=False, add_generation_prompt=True)
        return tuple(model.tokenizer(str(text), add_special_tokens=False).input_ids)

    return render


def _by_template(template: Template) -> Render:
    return lambda prompt: template.render(Problem(id="of TRL", prompt=question_in(prompt), answer=None, source="trl")).ids


def question_in(prompt: Prompt) -> str:
    """What the user asks: a text as it is, of a conversation its only user turn. A template brings its own system prompt."""
    if isinstance(prompt, str):
        return prompt
    asked = [message["content"] for message in prompt if message["role"] != "system"]
    if len(asked) != 1 or not isinstance(asked[0], str) or prompt[-1]["role"] != "user":
        roles = ", ".join(str(message["role"]) for message in prompt)
        raise DataError(f"a teacher's template asks one question, found a conversation of {roles}. Give the teacher as a path or a model instead.")
    return asked[0]
