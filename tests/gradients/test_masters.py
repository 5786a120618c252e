"""A student in half precision is stepped through single-precision copies: small updates arrive, and a resumed run is the same to the byte."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from support import models as m
from support import records as r
from support.shapes import Shape, examples_of, learner_of, model_of

from vold.adapters.checkpoints import FolderCheckpoints
from vold.adapters.learners.single import SingleLearner
from vold.adapters.models import LanguageModel
from vold.base.errors import ModelError, StaleEngine
from vold.core import head
from vold.core.zoo import VOLD

LR = 6e-6


def half(**settings: object) -> SingleLearner:
    return learner_of(model_of(Shape(), dtype="bfloat16"), **settings)


def step(learner: SingleLearner, *, lr: float = LR) -> None:
    learner.accumulate_examples(examples_of(30, 20, 20))
    learner.apply(58.0, lr=lr)


def bits(learner: SingleLearner) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in learner.student.model.named_parameters()}


def share_moved(learner: SingleLearner, updates: int) -> float:
    """The share of the matrices' entries that are others after so many updates."""
    before = bits(learner)
    for _ in range(updates):
        step(learner)
    moved = [(before[name] != p).float().mean() for name, p in bits(learner).items() if p.ndim > 1 and "embed" not in name]
    return float(torch.stack(moved).mean())


def test_small_updates_arrive_with_masters_and_round_away_without() -> None:
    """Forty updates of 6e-6 on weights of 0.02: 2.4e-4 in all, twice the spacing of bfloat16 there, each of them an eighth of it at most."""
    with_masters, without = share_moved(half(), 40), share_moved(half(master_weights=False), 40)
    assert with_masters > 0.5
    assert without < 0.5 * with_masters
    largest = half(master_weights=False)
    with torch.no_grad():
        for _, p in largest.student.trainable_parameters():
            p.fill_(0.05)  # half the spacing here is 1.2e-4, far above any update
    assert share_moved(largest, 40) == 0.0, "a weight of this size stands still for ever"


def test_the_student_is_the_rounding_of_its_masters() -> None:
    learner = half()
    for _ in range(3):
        step(learner, lr=1e-4)
    masters = learner.masters.state()
    assert masters.keys() == dict(learner.student.trainable_parameters()).keys()
    for name, p in learner.student.trainable_parameters():
        assert torch.equal(p, masters[name].bfloat16()), name
        assert masters[name].dtype == torch.float32
    assert any(not torch.equal(p.float(), masters[name]) for name, p in learner.student.trainable_parameters())


def test_gradients_of_packs_add_up_in_single_precision() -> None:
    parts = (30, 24, 20, 16)
    apart = []
    for length in parts:
        learner = half(master_weights=False)
        learner.accumulate_examples(examples_of(length))
        apart.append({name: p.grad.float() for name, p in learner.student.trainable_parameters() if p.grad is not None})
    together = half()
    for length in parts:
        together.accumulate_examples(examples_of(length))
    for name, p in together.student.trainable_parameters():
        assert p.grad is None, f"{name} has a gradient in half precision left"
        found = together.masters.of(p).grad
        assert found is not None
        expected = torch.zeros_like(found)
        for part in apart:
            expected += part[name]
        if name == "lm_head.weight":  # never in half precision at all
            torch.testing.assert_close(found, expected, rtol=2e-2, atol=2e-2 * float(expected.abs().max()))
        else:
            assert torch.equal(found, expected), name


def test_a_half_heads_gradient_is_added_in_single_precision() -> None:
    draw = torch.Generator().manual_seed(0)
    grad_VH = torch.full((300, 16), 1000.0)  # bfloat16 would round the sum to multiples of 4
    slope_CV, hidden_CH = torch.randn(9, 300, generator=draw).bfloat16(), torch.randn(9, 16, generator=draw).bfloat16()
    expected = 1000.0 + slope_CV.double().T @ hidden_CH.double()
    head._add_product(grad_VH, slope_CV, hidden_CH)
    torch.testing.assert_close(grad_VH.double(), expected, rtol=0, atol=2e-4)


def test_a_tied_embedding_is_one_weight_with_one_copy() -> None:
    learner = learner_of(model_of(Shape(tie_word_embeddings=True), dtype="bfloat16"))
    learner.accumulate_examples(examples_of(30))
    copies = [p for group in learner.optimizer.param_groups for p in group["params"]]
    assert len({id(p) for p in copies}) == len(copies) == len(learner.student.trainable_parameters())
    tied = learner.masters.of(learner.student.head)
    assert tied is learner.masters.of(learner.student.body.embed_tokens.weight)  # type: ignore[arg-type, union-attr]
    alone = learner_of(model_of(Shape(tie_word_embeddings=True), dtype="float32"))
    alone.student.model.load_state_dict({name: p.float() for name, p in learner.student.model.state_dict().items()})
    alone.accumulate_examples(examples_of(30))
    assert tied.grad is not None
    assert alone.student.head.grad is not None
    apart = (tied.grad - alone.student.head.grad).norm() / alone.student.head.grad.norm()
    assert float(apart) < 0.05, "a part of it counted twice, or not at all, would show"


def test_full_precision_has_no_copies() -> None:
    learner = learner_of(model_of(Shape(num_hidden_layers=1)))
    assert learner.masters.state() == {}
    assert set(learner.state()) == {"step", "optimizer", "frozen"}
    assert all(a is b for a, (_, b) in zip((learner.masters.of(p) for _, p in learner.student.trainable_parameters()),
                                           learner.student.trainable_parameters(), strict=True))  # fmt: skip


def test_an_engine_that_shares_the_weights_goes_on_sharing_them(world: m.World) -> None:
    student = world.fresh(dtype="bfloat16")
    learner, engine = m.learner_of(student), m.engine_of(student)
    for version in range(2):
        engine.adopt(learner.weights(), version=version)
        before = student.head.detach().clone()
        m.accumulate(learner, r.groups_of("RWWw", "WRw"), VOLD)
        learner.apply(10.0, lr=1e-2)
        assert not torch.equal(before, student.head)
    learner.verify_frozen()
    with pytest.raises(StaleEngine):
        engine.adopt(dict(learner.masters.state()), version=3)


# -- checkpoints ----------------------------------------------------------------------------------------------------------------------


def trained(model: LanguageModel, steps: int, folder: Path, *, saved_at: int = 0, **settings: object) -> FolderCheckpoints:
    learner = m.learner_of(model, **settings)
    checkpoints = FolderCheckpoints(folder=folder, learner=learner, every=saved_at)
    for done in range(checkpoints.restore(), steps):
        m.accumulate(learner, r.groups_of("RWWw"), VOLD)
        learner.apply(10.0, lr=LR)
        checkpoints.after(done + 1)
    return checkpoints


def test_a_resumed_run_is_the_same_to_the_byte(world: m.World, tmp_path: Path) -> None:
    trained(world.fresh(dtype="bfloat16"), 3, tmp_path, saved_at=3)
    saved = load_file(tmp_path / "checkpoints" / "step-0000003" / "weights.safetensors")
    assert {p.dtype for p in saved.values()} == {torch.bfloat16}
    resumed = trained(world.fresh(dtype="bfloat16"), 6, tmp_path)
    straight = trained(world.fresh(dtype="bfloat16"), 6, tmp_path / "elsewhere")
    for found, expected in zip(resumed.learner.masters.state().values(), straight.learner.masters.state().values(), strict=True):
        assert torch.equal(found, expected)
    assert all(torch.equal(a, b) for a, b in zip(bits(resumed.learner).values(), bits(straight.learner).values(), strict=True))
    for checkpoints in (resumed, straight):
        checkpoints.finish()
    results = [folder / "model" / "model.safetensors" for folder in (tmp_path, tmp_path / "elsewhere")]
    assert results[0].read_bytes() == results[1].read_bytes()
    with safe_open(results[0], "pt") as result:
        assert {result.get_tensor(name).dtype for name in result.keys()} == {torch.bfloat16}  # noqa: SIM118


def test_a_float32_checkpoint_becomes_the_masters(world: m.World, tmp_path: Path) -> None:
    """Written before there were any, or with another dtype: nothing of it is rounded."""
    old = trained(world.fresh(dtype="float32"), 2, tmp_path, saved_at=2).learner
    new = trained(world.fresh(dtype="bfloat16"), 0, tmp_path).learner
    assert new.step == 2
    for name, p in old.student.trainable_parameters():
        assert torch.equal(new.masters.state()[name], p), name
    moments = [s["exp_avg"] for s in new.optimizer.state_dict()["state"].values()]
    assert moments
    assert {moment.dtype for moment in moments} == {torch.float32}


def test_masters_are_not_made_up_from_a_checkpoint_that_has_none(world: m.World, tmp_path: Path) -> None:
    trained(world.fresh(dtype="bfloat16"), 2, tmp_path, saved_at=2, master_weights=False)
    with pytest.raises(ModelError, match=r"no single-precision copy.*master_weights = false"):
        trained(world.fresh(dtype="bfloat16"), 3, tmp_path)


# -- on a GPU -------------------------------------------------------------------------------------------------------------------------

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@on_a_gpu
def test_a_half_heads_product_reaches_a_single_gradient_unrounded() -> None:
    """`addmm` with an out_dtype: half factors, single sums, no half product in between."""
    draw = torch.Generator().manual_seed(0)
    grad_VH = torch.full((300, 16), 1000.0).cuda()
    slope_CV, hidden_CH = (torch.randn(64, n, generator=draw).bfloat16().cuda() for n in (300, 16))
    expected = 1000.0 + slope_CV.double().T @ hidden_CH.double()
    head._add_product(grad_VH, slope_CV, hidden_CH)
    torch.testing.assert_close(grad_VH.double(), expected, rtol=0, atol=1e-3)


@on_a_gpu
def test_packed_half_precision_on_a_gpu_steps_its_masters() -> None:
    learner = learner_of(model_of(Shape(num_attention_heads=2, head_dim=32), dtype="bfloat16", device="cuda"))
    assert share_moved(learner, 40) > 0.5
