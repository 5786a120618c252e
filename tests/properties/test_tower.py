"""No training image: the tower is never run, never trained, never decayed, and a single changed byte is noticed."""

import pytest
import torch
from support import models as m
from support import records as r
from support.checks import MIXED, TEXT, check_tower_keeps_its_bytes, check_tower_takes_no_gradient
from support.plans import z_of

from vold.adapters.problems.tiny import tiny_problem
from vold.base.errors import FrozenMoved
from vold.core.zoo import VOLD
from vold.ports import Example


def test_the_tower_takes_no_gradient(world: m.World) -> None:
    check_tower_takes_no_gradient(world)


def test_the_tower_keeps_its_bytes_under_weight_decay(world: m.World) -> None:
    check_tower_keeps_its_bytes(world)


def test_the_tower_is_not_run_on_text(world: m.World) -> None:
    """Every step of training and of sampling text, counted by a hook on the tower and on every part of it; a picture does run it."""
    student = world.fresh(dtype="float32")
    learner, engine = m.learner_of(student), m.engine_of(student)
    ran: list[str] = []
    for name, part in student.model.model.visual.named_modules():
        part.register_forward_hook(lambda *_, name=name: ran.append(name))
    groups = r.groups_of(*MIXED)
    engine.sample(TEXT, per_problem=2, sampling=m.sampling(4), place=("joint", 0))
    learner.freeze_behaviour(groups)
    m.accumulate(learner, groups, VOLD)
    learner.apply(z_of(groups, VOLD), lr=1e-3)
    learner.accumulate_examples([Example(prompt_ids=(9, 10), response_ids=(11, 2))])
    learner.apply(2, lr=1e-3)
    assert ran == []
    engine.sample([tiny_problem(0, "tower", 0, 1, image=True)], per_problem=1, sampling=m.sampling(2), place=("eval",))
    assert "" in ran, "the hook does not fire where the tower is run"


def test_one_changed_byte_is_noticed(world: m.World) -> None:
    student = world.fresh(dtype="float32")
    learner = m.learner_of(student)
    learner.verify_frozen()
    for part in (student.model.model.visual.merger.mlp[-1].bias, student.model.model.visual.patch_embed.proj.weight):
        flat = part.detach().view(torch.uint8).flatten()
        flat[-1] ^= 1
        with pytest.raises(FrozenMoved, match="vision tower has other bytes"):
            learner.verify_frozen()
        flat[-1] ^= 1
        learner.verify_frozen()


def test_training_the_rest_is_no_alarm(world: m.World) -> None:
    student = world.fresh(dtype="float32")
    learner = m.learner_of(student)
    with torch.no_grad():
        student.model.model.language_model.norm.weight.add_(1.0)
    learner.verify_frozen()


def test_vectors_are_not_decayed(world: m.World) -> None:
    """Norms and biases have weight decay 0, matrices what is set; every trained tensor is there once, the tied head included."""
    student = world.fresh(dtype="float32")
    groups = m.learner_of(student).optimizer.param_groups
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(decays)
    for name, parameter in student.model.named_parameters():
        if ".visual." not in name:
            assert decays[id(parameter)] == (1e-2 if parameter.ndim > 1 else 0.0), name
    assert id(student.head) in decays
