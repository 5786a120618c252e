"""The gradient from one sweep of the head is autograd's through the plain loss, in three matrix products and without tokens × vocabulary."""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from support.plans import plan_for
from support.records import groups_of, spoken
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vold.core import head, render
from vold.core.batching import Batch, batch_of, rows_of
from vold.core.descent import Descent, descend
from vold.core.head import Slopes, sweep, token_logprobs
from vold.core.objective import WRONG, Correction, Estimator, How, Level, Objective, Partner, Pull
from vold.core.plan import Plan
from vold.core.reading import read
from vold.core.zoo import GRPO, GSPO, VOLD, ZOO

WIDTH, PARTNER_WIDTH, ROWS = 5, 4, 60
GROUPS = spoken(groups_of("RWWw", "RRR", "WwW", "RUW", "UU", "WR", inserted=True), width=PARTNER_WIDTH)
BANNED = torch.zeros(ROWS, dtype=torch.bool).index_fill(0, torch.tensor([1, 57, 58, 59]), True)
TEMPERATURE = 0.8
SEQUENCE = Correction(How.TRUNCATED, level=Level.SEQUENCE)
OBJECTIVES = {
    **ZOO,
    "weight by sequence": replace(VOLD, correction=SEQUENCE),
    "weight by sequence, whole vocabulary": replace(ZOO["VOLD_FULL"], correction=SEQUENCE),
    "partner-top-k": replace(VOLD, pulls=(Pull(Partner.TEACHER, 0.3, Estimator.PARTNER_TOP_K, WRONG, top=3),)),
    "partner-top-k and full": replace(
        ZOO["VOLD_FULL"], pulls=(*ZOO["VOLD_FULL"].pulls, Pull(Partner.REFERENCE, 0.3, Estimator.PARTNER_TOP_K, top=25))
    ),
    "entropy": replace(VOLD, entropy=0.01),
    "entropy, whole vocabulary": replace(ZOO["VOLD_FULL"], entropy=0.01),
}


@dataclass(frozen=True)
class Scene:
    """A batch with hidden states and heads in float64; the teacher's head has more rows, the reference's fewer."""

    plan: Plan
    batch: Batch
    hidden_NH: Tensor
    head_VH: Tensor
    heads: dict[Partner, Tensor]

    def descend(self, *, only_update: bool = True, chunk: int | None = None, grad_VH: Tensor | None = None) -> Descent:
        return descend(
            self.plan,
            self.batch,
            self.hidden_NH,
            self.head_VH,
            only_update=only_update,
            grad_VH=grad_VH,
            heads=self.heads,
            banned_V=BANNED,
            temperature=TEMPERATURE,
            chunk=chunk,
        )

    def dense(self) -> tuple[Tensor, Tensor, float, dict[str, float]]:
        """By autograd, from the loss."""
        hidden_NH, head_VH = self.hidden_NH.clone().requires_grad_(), self.head_VH.clone().requires_grad_()
        reading = read(self.plan, self.batch, hidden_NH, head_VH, heads=self.heads, banned_V=BANNED, temperature=TEMPERATURE)
        rendered = render.loss(self.plan, self.batch, reading)
        by_hidden, by_head = torch.autograd.grad(rendered.loss, (hidden_NH, head_VH))
        return by_hidden, by_head, float(rendered.loss.detach()), rendered.sums


def scene(objective: Objective, *, behaviour: bool = False) -> Scene:
    draw = torch.Generator().manual_seed(3)
    plan = plan_for(objective, step=3)
    rows = rows_of(GROUPS, plan, plan.counts(GROUPS))
    if behaviour:
        rows = [replace(row, behaviour_logprobs=tuple(-2.0 - 0.1 * t for t in range(len(row.response_ids)))) for row in rows]
    batch = batch_of(rows, pulls=len(plan.betas), dtype=torch.float64)
    asked = {partner: top for partner in Partner if (top := plan.top(partner))}
    tops = {p: replace(batch.tops[p], ids_Mk=batch.tops[p].ids_Mk[:, :k], logprobs_Mk=batch.tops[p].logprobs_Mk[:, :k]) for p, k in asked.items()}
    batch = replace(batch, tops=tops)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=torch.float64)

    heads = {Partner.TEACHER: drawn(ROWS + 7, PARTNER_WIDTH), Partner.REFERENCE: drawn(ROWS - 2, PARTNER_WIDTH)}
    return Scene(plan, batch, drawn(len(batch.targets_N), WIDTH), drawn(ROWS, WIDTH), heads)


@pytest.mark.parametrize("chunk", [1, 4, 1000])
@pytest.mark.parametrize("behaviour", [False, True], ids=["only update", "later update"])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_it_is_the_gradient_of_the_loss(objective: Objective, behaviour: bool, chunk: int) -> None:
    made = scene(objective, behaviour=behaviour)
    assert len(made.batch.targets_N) > 8
    grad_VH = torch.full_like(made.head_VH, 0.25)
    found = made.descend(only_update=not behaviour, chunk=chunk, grad_VH=grad_VH)
    by_hidden, by_head, loss, sums = made.dense()
    torch.testing.assert_close(found.grad_NH, by_hidden, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(grad_VH - 0.25, by_head, rtol=1e-12, atol=1e-12)
    if behaviour or objective.no_coefficient is not None:
        assert found.loss == pytest.approx(loss, rel=1e-12)
    assert {name: value for name, value in found.sums.items() if name in sums} == pytest.approx(sums, rel=1e-12)
    assert by_hidden.abs().max() > 1e-4, "a gradient of zero would agree with everything"


def test_the_entropy_is_told_without_being_asked_for() -> None:
    made = scene(VOLD)
    logits_NV = (made.hidden_NH @ made.head_VH.T / TEMPERATURE)[:, ~BANNED]
    expected = torch.distributions.Categorical(logits=logits_NV).entropy().sum()
    assert made.descend(chunk=3).sums["entropy"] == pytest.approx(float(expected), rel=1e-12)


# ---- what it costs --------------------------------------------------------------------------------------------------------------------


@dataclass
class Watch(TorchDispatchMode):
    """Counts matrix products over the vocabulary and notes the largest tensor that is made."""

    vocabulary: int
    products: int = 0
    largest: int = 0
    made: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in (*args, *(out if isinstance(out, tuple | list) else (out,))) if isinstance(x, Tensor)]
        if func._overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_):
            self.products += any(self.vocabulary in tensor.shape for tensor in tensors)
        for tensor in tensors:
            self.largest = max(self.largest, tensor.numel())
        return out


@contextmanager
def watched(made: Scene) -> Iterator[Watch]:
    with Watch(vocabulary=len(made.head_VH)) as watch:
        yield watch


THREE = ("VOLD", "GRPO", "DAPO", "GSPO", "SRPO", "entropy", "VOLD_FULL", "partner-top-k")


@pytest.mark.parametrize("name", THREE)
def test_three_products_at_the_only_update(name: str) -> None:
    made = scene(OBJECTIVES[name])
    with watched(made) as watch:
        made.descend(grad_VH=torch.zeros_like(made.head_VH))
    assert watch.products == 3


@pytest.mark.parametrize(("objective", "products"), [(VOLD, 3), (GSPO, 4), (OBJECTIVES["weight by sequence"], 4)], ids=["token", "ratio", "weight"])
def test_four_where_a_whole_response_is_read_first(objective: Objective, products: int) -> None:
    made = scene(objective, behaviour=True)
    with watched(made) as watch:
        made.descend(only_update=False, grad_VH=torch.zeros_like(made.head_VH))
    assert watch.products == products


def test_a_fixed_head_costs_two_and_scoring_one() -> None:
    made = scene(GRPO)
    with watched(made) as watch:
        made.descend()
    assert watch.products == 2
    with watched(made) as watch, torch.no_grad():
        token_logprobs(made.hidden_NH, made.head_VH, made.batch.targets_N)
    assert watch.products == 1


@pytest.mark.parametrize("name", ["VOLD", "VOLD_FULL", "partner-top-k", "entropy", "weight by sequence"])
def test_nothing_as_large_as_two_chunks_of_logits_is_made(name: str) -> None:
    made, chunk = scene(OBJECTIVES[name]), 2
    assert len(made.batch.targets_N) > 8 * chunk
    with watched(made) as watch:
        made.descend(chunk=chunk, grad_VH=torch.zeros_like(made.head_VH))
    assert watch.largest < max(2 * chunk * (ROWS + 7), made.head_VH.numel() + 1)
    assert made.head_VH.numel() < len(made.batch.targets_N) * ROWS


# ---- the head alone -------------------------------------------------------------------------------------------------------------------


def test_slopes_by_logits_go_straight_through() -> None:
    draw = torch.Generator().manual_seed(0)
    hidden_NH = torch.randn(3, 4, generator=draw, dtype=torch.float64)
    head_VH = torch.randn(6, 4, generator=draw, dtype=torch.float64)
    slope_NV = torch.randn(3, 6, generator=draw, dtype=torch.float64)
    found = sweep(
        hidden_NH,
        head_VH,
        torch.zeros(3, dtype=torch.long),
        lambda s: Slopes(logprobs_C=torch.zeros(s.stop - s.start), logits_CV=slope_NV[s.start : s.stop]),
    )
    torch.testing.assert_close(found.grad_NH, slope_NV @ head_VH, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_sharp_softmaxes_keep_their_numbers(scale: float) -> None:
    """Log-probabilities of a thousand below the top, where probabilities are 0 in any precision."""
    draw = torch.Generator().manual_seed(1)
    hidden_NH, head_VH = torch.randn(20, 8, generator=draw) * scale, torch.randn(50, 8, generator=draw)
    targets_N = torch.randint(0, 50, (20,), generator=draw)
    found = sweep(hidden_NH, head_VH, targets_N)
    exact_NV = (hidden_NH.double() @ head_VH.double().T).log_softmax(1)
    exact_N = exact_NV.gather(1, targets_N[:, None]).squeeze(1)
    torch.testing.assert_close(found.logprobs_N.double(), exact_N, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.entropy_N.double(), -(exact_NV.exp() * exact_NV).sum(1), rtol=1e-3, atol=2e-3)
    assert scale == 1.0 or float(found.logprobs_N.min()) < -500


@pytest.mark.parametrize("marks", [[], [0], [5], [0, 1, 5], [2, 3], [0, 1, 2, 3, 4, 5]])
def test_banned_stretches(marks: list[int]) -> None:
    banned_V = torch.zeros(6, dtype=torch.bool)
    banned_V[marks] = True
    spans = head.spans_of(banned_V)
    assert [at for first, end in spans for at in range(first, end)] == marks
    assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))


def test_half_precision_has_single_precision_logits() -> None:
    """The log-probability of a bfloat16 model is off by what its states and weights are rounded to, not by rounded logits."""
    draw = torch.Generator().manual_seed(2)
    hidden_NH, head_VH = torch.randn(64, 32, generator=draw).bfloat16() * 3, torch.randn(100, 32, generator=draw).bfloat16()
    targets_N = torch.randint(0, 100, (64,), generator=draw)
    found = sweep(hidden_NH, head_VH, targets_N)
    exact_N = (hidden_NH.double() @ head_VH.double().T).log_softmax(1).gather(1, targets_N[:, None]).squeeze(1)
    assert found.logprobs_N.dtype == torch.float32
    assert float((found.logprobs_N.double() - exact_N).abs().max()) < 0.15, "bfloat16 products on a CPU round their sums once"
    assert math.isfinite(float(found.entropy_N.sum()))
