"""What is done again in the backward pass gives the same gradient, bit by bit, for less memory."""

import pytest
import torch
from support import models as m
from support import records as r
from support.plans import plan_for
from support.shapes import Shape, examples_of, learner_of, model_of
from torch import nn

from vold.adapters.allocations import peak_of
from vold.adapters.learners.single import SingleLearner
from vold.adapters.models import LanguageModel, load
from vold.adapters.recompute import recomputed
from vold.core.zoo import VOLD, VOLD_FULL
from vold.stages.joint import scored

LEVELS = ("none", "light", "full")
LENGTHS = (40, 30, 30, 12)


def gradients(model: LanguageModel, level: str) -> dict[str, torch.Tensor]:
    learner = learner_of(model, recompute=level, token_budget=80)
    learner.accumulate_examples(examples_of(*LENGTHS))
    return m.taken(model.model)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_the_same_bits_in_float64(family: str, attention: str) -> None:
    model = model_of(Shape(), family=family, dtype="float64", attention=attention)
    expected = gradients(model, "none")
    assert m.size_of(expected) > 1e-3
    for level in LEVELS[1:]:
        found = gradients(model, level)
        assert all(torch.equal(found[name], expected[name]) for name in expected), level
        assert model.body.config._attn_implementation == attention


@pytest.mark.parametrize("level", LEVELS[1:])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_same_bits_of_a_model_with_eyes(world: m.World, dtype: str, level: str) -> None:
    student, groups = world.fresh(dtype=dtype), r.groups_of("RWWw", "WW", "RW")
    expected = m.gradient_of(m.learner_of(student, token_budget=60), groups, VOLD)
    found = m.gradient_of(m.learner_of(student, token_budget=60, recompute=level), groups, VOLD)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert m.size_of(found) > 0


@pytest.mark.parametrize("level", LEVELS[1:])
def test_frozen_weights_stay_without_gradient(level: str) -> None:
    """Also where a layer's input needs none: the embedding and the first layer are frozen."""
    found = {}
    for at in ("none", level):
        model = model_of(Shape(), dtype="float64")
        for part in (model.body.embed_tokens, model.body.layers[0], model.body.layers[2].mlp):  # type: ignore[index, union-attr]
            for p in part.parameters():  # type: ignore[union-attr]
                p.requires_grad_(False)
        learner_of(model, recompute=at).accumulate_examples(examples_of(*LENGTHS))
        found[at] = {name: p.grad for name, p in model.model.named_parameters()}
    assert [name for name in found["none"] if (found["none"][name] is None) != (found[level][name] is None)] == []
    trained = [name for name, grad in found["none"].items() if grad is not None]
    assert "model.layers.1.mlp.up_proj.weight" in trained
    assert "model.layers.0.mlp.up_proj.weight" not in trained
    assert all(torch.equal(found["none"][name], found[level][name]) for name in trained)  # type: ignore[arg-type]


def test_layers_are_left_as_they_were() -> None:
    model = model_of(Shape(num_hidden_layers=2))
    layers: list[nn.Module] = list(model.body.layers)  # type: ignore[arg-type]
    own = layers[1].forward
    layers[1].forward = own  # somebody else's, on the instance
    with recomputed(model.body, "full"):
        assert "forward" in layers[0].__dict__
        assert layers[1].__dict__["forward"] is not own
    assert "forward" not in layers[0].__dict__
    assert layers[1].__dict__["forward"] is own


def test_without_a_gradient_nothing_is_set_aside(world: m.World) -> None:
    """Behaviour log-probabilities are read without one."""
    learner = m.learner_of(world.student64, recompute="light")
    learner.freeze_behaviour(r.groups_of("RW"))
    assert learner.behaviour


def test_what_a_pull_over_the_vocabulary_reads(world: m.World) -> None:
    teacher = m.teacher_of(world.teacher64)
    told = scored(r.groups_of("WRw"), plan_for(VOLD_FULL, step=0), teacher)
    heads = {"teacher": teacher.reader.head.detach()}
    found = [m.gradient_of(m.learner_of(world.student64, heads=heads, recompute=level), told, VOLD_FULL) for level in LEVELS]
    assert all(torch.equal(found[0][name], other[name]) for other in found[1:] for name in other)


# -- memory ---------------------------------------------------------------------------------------------------------------------------


def extra(learner: SingleLearner) -> int:
    learner.accumulate_examples(examples_of(8))  # gradients are there before
    with peak_of(torch.device("cpu")) as peak:
        learner.accumulate_examples(examples_of(100, 100, 100))
    return peak.extra


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_each_level_needs_less(attention: str, dtype: str) -> None:
    """Eight layers, a small vocabulary: what layers keep is most of it. Of a layer, `full` keeps 1 in 15 numbers, `light` about 1 in 2."""
    shape = Shape(num_hidden_layers=8, vocab_size=60)
    none, light, full = (extra(learner_of(model_of(shape, dtype=dtype, attention=attention), recompute=level)) for level in LEVELS)
    assert full < 0.5 * none
    assert full < light < 0.75 * none


def test_a_loaded_model_needs_less_too(world: m.World) -> None:
    found = []
    for level in LEVELS:
        learner = m.learner_of(load(world.student_folder), recompute=level, token_budget=10_000)
        with peak_of(torch.device("cpu")) as peak:
            m.accumulate(learner, r.groups_of("RWWw", "WWw", "RW"), VOLD)
        found.append(peak.extra)
    assert found[2] < found[1] < 0.8 * found[0]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("level", LEVELS[1:])
def test_with_the_varlen_kernel(level: str) -> None:
    """Its backward pass adds up in no fixed order, so bits may differ where sums do."""
    found = {}
    for at in ("none", level):
        learner = learner_of(model_of(Shape(head_dim=32, num_attention_heads=2), dtype="bfloat16", device="cuda"), recompute=at)
        learner.accumulate_examples(examples_of(*LENGTHS))
        found[at] = {name: learner.masters.of(p).grad for name, p in learner.student.trainable_parameters()}
    m.assert_same_gradient(found[level], found["none"], within=1e-2)  # type: ignore[arg-type]
