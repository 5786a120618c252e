"""Mistakes that are easy to make in this method, planted into the real code one at a time: a named check must fail on each.

A mistake that no check notices would mean that the tests pass on a wrong program.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from support import checks
from support import models as m

from vold.adapters.engines import transformers as engine
from vold.adapters.learners import single
from vold.adapters.learners.single import SingleLearner
from vold.adapters.models import LanguageModel
from vold.adapters.teachers import local
from vold.core import batching, descent, terms
from vold.core.batching import Batch, Row
from vold.core.head import sweep, token_logprobs, top_logprobs
from vold.core.objective import Estimator, Mask, Pull
from vold.core.plan import Plan
from vold.core.zoo import VOLD

Patch = pytest.MonkeyPatch
Check = Callable[[m.World], None]


def no_world(check: Callable[[], None]) -> Check:
    return lambda _: check()


CHECKS: dict[str, Check] = {
    "k2 gradient, loss": no_world(checks.check_k2_gradient_of_the_loss),
    "k2 gradient, coefficient": no_world(checks.check_k2_gradient_of_the_coefficient),
    "enumerated groups": no_world(checks.check_expected_vold_gradient),
    "dense step": checks.check_step_equals_dense,
    "all-wrong group learns": checks.check_all_wrong_group_learns,
    "cut changes nothing": checks.check_cut_changes_nothing,
    "teacher reads each token": checks.check_teacher_reads_each_token,
    "twin teacher": partial(checks.check_twin_teacher_gives_zero, temperature=0.7),
    "engine equals trainer": partial(checks.check_engine_equals_trainer, temperature=0.7),
    "samples differ": checks.check_samples_of_a_problem_differ,
    "tower takes no gradient": checks.check_tower_takes_no_gradient,
    "tower keeps its bytes": checks.check_tower_keeps_its_bytes,
}


# ---- the objective -------------------------------------------------------------------------------------------------------------------


def invert_the_mask(patch: Patch) -> None:
    """Weight r where 1 - r is meant."""
    original = Plan.acts
    other = {Mask.WRONG: Mask.RIGHT, Mask.RIGHT: Mask.WRONG}

    def swapped(pull: Pull) -> Pull:
        return replace(pull, on=other.get(pull.on, pull.on))

    def acts(self: Plan, *where: Any) -> bool:
        return original(replace(self, objective=replace(self.objective, pulls=tuple(map(swapped, self.objective.pulls)))), *where)

    patch.setattr(Plan, "acts", acts)


def negated(table: dict[Estimator, Any]) -> dict[Estimator, Any]:
    return {by: lambda s, t, term=term: -term(s, t) for by, term in table.items()}


def take_k3_for_k2(patch: Patch) -> None:
    """The other direction of the divergence, in both renderings."""
    patch.setitem(terms.VALUE, Estimator.K2, terms.k3_teacher_to_student)
    patch.setitem(terms.SLOPE, Estimator.K2, terms.k3_slope)


def drop_all_wrong_groups(patch: Patch) -> None:
    """Dynamic sampling's filter: no group without spread."""
    original = single.rows_of
    patch.setattr(single, "rows_of", lambda groups, *a, **k: original([g for g in groups if any(x.right for x in g.members)], *a, **k))


# ---- alignment of tokens --------------------------------------------------------------------------------------------------------------


def shift_the_student(patch: Patch) -> None:
    """The hidden state *at* a token is taken to predict it."""

    def shifted(rows: list[Row], **made: Any) -> Batch:
        batch = batching.batch_of(rows, **made)
        return replace(batch, before_N=batch.before_N + 1)

    patch.setattr(single, "batch_of", shifted)


def shift_the_teacher(patch: Patch) -> None:
    """The teacher's number of a token is that of the one before."""

    def shifted(rows: list[Row], **made: Any) -> Batch:
        batch = batching.batch_of(rows, **made)
        return replace(batch, before_N=batch.before_N + 1)

    patch.setattr(local, "batch_of", shifted)


def train_the_prompt(patch: Patch) -> None:
    """The last prompt token counts as part of the answer."""

    def longer(row: Row) -> Row:
        sampler, teacher = (told and (told[0], *told) for told in (row.sampler_logprobs, row.teacher_logprobs))
        return replace(
            row,
            prompt_ids=row.prompt_ids[:-1],
            response_ids=(row.prompt_ids[-1], *row.response_ids),
            sampled=(True, *row.sampled),
            sampler_logprobs=sampler,
            teacher_logprobs=teacher,
        )

    patch.setattr(single, "batch_of", lambda rows, **made: batching.batch_of([longer(row) for row in rows], **made))


# ---- the tower ------------------------------------------------------------------------------------------------------------------------


def leave_the_tower_trainable(patch: Patch) -> None:
    """Nobody says which parameters are frozen."""
    patch.setattr(LanguageModel, "frozen_parameters", lambda *_: iter(()))


def let_weight_decay_at_the_tower(patch: Patch) -> None:
    """All parameters are given to the optimizer and gradients are zeroed rather than removed: nothing but the decay moves the tower."""
    original = SingleLearner.apply

    def apply(self: SingleLearner, z: float, *, lr: float) -> dict[str, float]:
        tower = list(self.student.model.model.visual.parameters())
        if len(self.optimizer.param_groups) == 2:
            self.optimizer.add_param_group({"params": tower, "weight_decay": self.adam.weight_decay})
        for parameter in tower:
            parameter.grad = torch.zeros_like(parameter)
        return original(self, z, lr=lr)

    patch.setattr(SingleLearner, "apply", apply)


# ---- sums and softmaxes ----------------------------------------------------------------------------------------------------------------


def divide_locally(patch: Patch) -> None:
    """Each micro-batch is divided by its own number of tokens."""
    original = SingleLearner._backward

    def divided(self: SingleLearner, loss: float, hidden: Any, slope: Any, rows: Any, step: int) -> None:
        original(self, loss, hidden, slope / sum(len(x.response_ids) for x in rows), rows, step)

    patch.setattr(SingleLearner, "_backward", divided)


def without(modules: tuple[Any, ...], setting: str, value: Any) -> Callable[[Patch], None]:
    """The softmax of some modules ignores one of its settings."""

    def plant(patch: Patch) -> None:
        for module in modules:
            for form in (token_logprobs, top_logprobs, sweep):
                if hasattr(module, form.__name__):
                    patch.setattr(module, form.__name__, lambda *a, form=form, **k: form(*a, **(k | {setting: value})))

    return plant


TRAINER = (single, descent)
"""Where the trainer forms log-probabilities: those it freezes, and those it trains."""


def let_the_sampler_say_anything(patch: Patch) -> None:
    """The engine's softmax keeps the ids that the other two leave out."""
    original = engine.PlacedSampling.__init__

    def init(self: Any, seeds: Any, sampling: Any, banned_V: torch.Tensor, closer: Any = None) -> None:
        original(self, seeds, sampling, torch.zeros_like(banned_V), closer)

    patch.setattr(engine.PlacedSampling, "__init__", init)


def forget_the_sample_index(patch: Patch) -> None:
    """Every rollout of a group is drawn from the same numbers."""
    original = engine.seed_for
    patch.setattr(engine, "seed_for", lambda run_seed, *place: original(run_seed, *place[:-1]))


@dataclass(frozen=True)
class Mistake:
    """How it is planted, and the checks each of which must catch it."""

    plant: Callable[[Patch], None]
    caught_by: tuple[str, ...]


MISTAKES = {
    "mask inverted": Mistake(invert_the_mask, ("enumerated groups", "dense step")),
    "pull negated in the loss": Mistake(lambda patch: patch.setattr(terms, "VALUE", negated(terms.VALUE)), ("k2 gradient, loss",)),
    "pull negated in the coefficient": Mistake(
        lambda patch: patch.setattr(terms, "SLOPE", negated(terms.SLOPE)), ("k2 gradient, coefficient", "enumerated groups", "dense step")
    ),
    "k3 for k2": Mistake(take_k3_for_k2, ("k2 gradient, loss", "k2 gradient, coefficient", "enumerated groups", "dense step")),
    "student shifted by one": Mistake(shift_the_student, ("dense step", "engine equals trainer", "twin teacher")),
    "teacher shifted by one": Mistake(shift_the_teacher, ("teacher reads each token", "twin teacher")),
    "prompt tokens trained": Mistake(train_the_prompt, ("dense step",)),
    "tower trained": Mistake(leave_the_tower_trainable, ("tower takes no gradient",)),
    "tower decayed": Mistake(let_weight_decay_at_the_tower, ("tower keeps its bytes",)),
    "all-wrong groups dropped": Mistake(drop_all_wrong_groups, ("all-wrong group learns", "dense step")),
    "local denominators": Mistake(divide_locally, ("cut changes nothing", "dense step")),
    "temperature ignored in the trainer": Mistake(without(TRAINER, "temperature", 1.0), ("engine equals trainer", "twin teacher")),
    "banned ids left in the teacher only": Mistake(without((local,), "banned_V", None), ("twin teacher", "teacher reads each token")),
    "banned ids left in the trainer only": Mistake(without(TRAINER, "banned_V", None), ("twin teacher", "engine equals trainer", "dense step")),
    "banned ids left in the sampler only": Mistake(let_the_sampler_say_anything, ("engine equals trainer",)),
    "sample index not in the seed": Mistake(forget_the_sample_index, ("samples differ",)),
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_check_passes_on_the_real_code(world: m.World, name: str) -> None:
    CHECKS[name](world)


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_caught(world: m.World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    MISTAKES[name].plant(monkeypatch)
    for check in MISTAKES[name].caught_by:
        with pytest.raises(AssertionError, match=r"differ|not close|not equal|moved|requires_grad|different answers|taught nothing"):
            CHECKS[check](world)


REQUIRED = {
    "mask inverted",
    "pull negated in the loss",
    "pull negated in the coefficient",
    "k3 for k2",
    "student shifted by one",
    "teacher shifted by one",
    "prompt tokens trained",
    "tower trained",
    "tower decayed",
    "all-wrong groups dropped",
    "local denominators",
    "temperature ignored in the trainer",
    "banned ids left in the teacher only",
    "banned ids left in the trainer only",
    "banned ids left in the sampler only",
    "sample index not in the seed",
}


def test_every_required_mistake_is_planted() -> None:
    assert set(MISTAKES) == REQUIRED
    assert {check for mistake in MISTAKES.values() for check in mistake.caught_by} == set(CHECKS)


def test_nothing_stays_planted() -> None:
    """What the mistakes change is whole again after them."""
    assert terms.VALUE[Estimator.K2] is terms.k2_student_to_teacher
    assert terms.SLOPE[Estimator.K2] is terms.k2_slope
    assert single.batch_of is local.batch_of is batching.batch_of
    assert single.token_logprobs is token_logprobs
    assert local.top_logprobs is top_logprobs
    assert single.sweep is descent.sweep is sweep
    assert VOLD.pulls[0].on is Mask.WRONG
