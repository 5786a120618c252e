"""A teacher whose weights wait in host memory: brought for a scoring, let go after it, never copied back."""

import pytest
import torch
from support import models as m
from support import records as r
from torch import Tensor

from vold.adapters.teachers import local
from vold.adapters.teachers.waiting import WaitingWeights
from vold.core.objective import Want


class Elsewhere:
    """Stands for a device: what was brought to it, and how often."""

    def __init__(self) -> None:
        self.brought: list[Tensor] = []

    def __call__(self, waiting: Tensor) -> Tensor:
        self.brought.append(waiting.clone())
        return self.brought[-1]


def test_weights_are_there_inside_the_block_alone(world: m.World) -> None:
    model = world.fresh("teacher", dtype="float32").model
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    own = {name: p.data_ptr() for name, p in model.named_parameters()}
    elsewhere = Elsewhere()
    weights = WaitingWeights(model, bring=elsewhere)
    waiting = {name: p.data_ptr() for name, p in model.named_parameters()}
    assert not set(waiting.values()) & set(own.values()), "what was on the device is let go"
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight, "tied weights wait once, and stay one"
    for times in (1, 2):
        with weights.here():
            assert {p.data_ptr() for p in model.parameters()} <= {t.data_ptr() for t in elsewhere.brought}
            next(iter(model.parameters())).data.fill_(7.0)  # nothing is copied back
        assert {name: p.data_ptr() for name, p in model.named_parameters()} == waiting
        assert all(torch.equal(before[name], p) for name, p in model.named_parameters())
        assert len(elsewhere.brought) == times * len(before)


def test_they_leave_when_something_fails(world: m.World) -> None:
    model = world.fresh("teacher", dtype="float32").model
    weights = WaitingWeights(model, bring=Elsewhere())
    waiting = [p.data_ptr() for p in model.parameters()]
    with pytest.raises(RuntimeError, match="half-way"), weights.here():
        raise RuntimeError("half-way")
    assert [p.data_ptr() for p in model.parameters()] == waiting


def test_who_took_hold_of_a_head_keeps_it(world: m.World) -> None:
    """The learner's copy of the teacher's head for pulls over the vocabulary."""
    reader = world.fresh("teacher", dtype="float32")
    head_VH, at = reader.head.detach(), reader.head.data_ptr()
    WaitingWeights(reader.model, bring=Elsewhere())
    assert head_VH.data_ptr() == at != reader.head.data_ptr()


@pytest.mark.parametrize("want", Want)
def test_a_scoring_brings_them_once_and_says_the_same(world: m.World, want: Want) -> None:
    rollouts = [member.rollout for group in r.groups_of("RWW", "WRw") for member in group.members]
    top = 3 if want is Want.TOP_K else 0
    expected = m.teacher_of(world.teacher64, token_budget=60).score(rollouts, want=want, top=top)
    reader = world.fresh("teacher")
    teacher, elsewhere = m.teacher_of(reader, token_budget=60), Elsewhere()
    teacher.waiting = WaitingWeights(reader.model, bring=elsewhere)
    found = teacher.score(rollouts, want=want, top=top)
    assert len(elsewhere.brought) == len(list(reader.model.parameters())), "once for all of its packs"
    for view, other in zip(found, expected, strict=True):
        assert view.logprobs == other.logprobs
        assert (view.hidden is None) == (want is not Want.HIDDEN)
        assert view.hidden is None or torch.equal(view.hidden, other.hidden)  # type: ignore[arg-type]
        assert (view.likeliest is None) == (want is not Want.TOP_K)
        if view.likeliest is not None and other.likeliest is not None:
            assert torch.equal(view.likeliest.ids, other.likeliest.ids)
            assert torch.equal(view.likeliest.logprobs, other.likeliest.logprobs)


def test_on_a_cpu_nothing_moves(world: m.World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> None:
        raise AssertionError("moved")

    monkeypatch.setattr(WaitingWeights, "here", refused)
    reader = world.fresh("teacher", dtype="float32")
    at = [p.data_ptr() for p in reader.model.parameters()]
    teacher = m.teacher_of(reader, offload=True)
    assert isinstance(teacher, local.LocalTeacher)
    assert teacher.waiting is None
    teacher.score([r.groups_of("R")[0].members[0].rollout])
    assert [p.data_ptr() for p in reader.model.parameters()] == at


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_room_is_free_between_scorings(world: m.World) -> None:
    from vold.adapters.models import load

    reader = load(world.teacher_folder, device="cuda")
    rollouts = [member.rollout for group in r.groups_of("RWW") for member in group.members]
    expected = m.teacher_of(reader).score(rollouts)
    weights, before = sum(p.nbytes for p in reader.model.parameters()), torch.cuda.memory_allocated()
    teacher = m.teacher_of(reader, offload=True)
    assert before - torch.cuda.memory_allocated() >= weights
    assert teacher.score(rollouts) == expected
    assert before - torch.cuda.memory_allocated() >= weights
