"""The Triton kernels against plain torch: on a GPU as compiled, elsewhere in Triton's interpreter, and skipped where Triton is not installed."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3MLP, Qwen3RMSNorm

from vold.adapters import fused
from vold.core import head, kernels

ON_GPU = torch.cuda.is_available()
pytest.importorskip("triton", reason="Triton is not installed")

DEVICE = torch.device("cuda" if ON_GPU else "cpu")
TOKENS, WIDTH, VOCABULARY, FIRST, LAST = 37, 16, 201, 70, 160
Told = Callable[[head.Said], head.Slopes]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks a row, and several tiles a program, even at these sizes."""
    monkeypatch.setattr(kernels, "BLOCK", 64)
    monkeypatch.setattr(fused, "BLOCK", 256)
    monkeypatch.setattr(fused, "TILE", 256)
    monkeypatch.setattr(fused, "PROGRAMS", 3)


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def assert_near(found: Tensor, expected: Tensor) -> None:
    """By the norm: sums in another order round otherwise."""
    assert float((found - expected).norm()) < 1e-5 * float(expected.norm())


def swept(monkeypatch: pytest.MonkeyPatch, *, by_kernels: bool, banned: bool, told: Told, temperature: float) -> list[Tensor]:
    monkeypatch.setattr(kernels, "usable", lambda _: by_kernels)
    hidden_NH, head_VH = drawn(TOKENS, WIDTH, seed=0), 2 * drawn(VOCABULARY, WIDTH, seed=1)
    targets_N = torch.randint(FIRST, LAST, (TOKENS,), generator=torch.Generator().manual_seed(2)).to(DEVICE)
    banned_V = torch.ones(VOCABULARY, dtype=torch.bool, device=DEVICE)
    banned_V[FIRST:LAST] = False
    grad_VH = torch.ones_like(head_VH)
    found = head.sweep(hidden_NH, head_VH, targets_N, told, banned_V=banned_V if banned else None, temperature=temperature, chunk=16, grad_VH=grad_VH)
    assert found.grad_NH is not None
    return [found.logprobs_N, found.entropy_N, found.grad_NH, grad_VH]


@pytest.mark.parametrize("banned", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("reads", ["log-probs", "entropies too", "logits too"])
def test_the_head_is_the_same_by_kernels(monkeypatch: pytest.MonkeyPatch, banned: bool, temperature: float, reads: str) -> None:
    by_logprob, by_entropy, by_logits = drawn(TOKENS, seed=3), drawn(TOKENS, seed=4), drawn(TOKENS, VOCABULARY, seed=5)

    def told(said: head.Said) -> head.Slopes:
        rows = slice(said.start, said.stop)
        return head.Slopes(
            logprobs_C=by_logprob[rows],
            entropy_C=by_entropy[rows] if reads != "log-probs" else None,
            logits_CV=by_logits[rows].clone() if reads == "logits too" else None,
        )

    expected = swept(monkeypatch, by_kernels=False, banned=banned, told=told, temperature=temperature)
    found = swept(monkeypatch, by_kernels=True, banned=banned, told=told, temperature=temperature)
    for a, b in zip(found, expected, strict=True):
        assert_near(a, b)


def test_a_first_block_of_nothing_but_banned_ids_is_no_number_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its largest logit is that of nobody: the sums must not begin with it."""
    found = swept(
        monkeypatch, by_kernels=True, banned=True, told=lambda said: head.Slopes(logprobs_C=torch.ones_like(said.logprobs_C)), temperature=1.0
    )
    assert FIRST > 64
    assert all(bool(torch.isfinite(part).all()) for part in found)


@pytest.mark.parametrize("width", [48, 128])
def test_a_norm_and_its_gradients(width: int) -> None:
    norm = Qwen3RMSNorm(width).to(DEVICE)
    norm.weight.data = drawn(width, seed=0)
    states, slope = drawn(2, 37, width, seed=1).requires_grad_(), drawn(2, 37, width, seed=2)

    def said(form: Callable[[Tensor], Tensor]) -> tuple[Tensor, ...]:
        out = form(states)
        return out.detach(), *torch.autograd.grad((out * slope).sum(), (states, norm.weight))

    for a, b in zip(said(lambda x: fused.normed(norm, x)), said(norm), strict=True):
        assert_near(a, b)


def test_a_gated_product_and_its_gradients() -> None:
    layer = Qwen3MLP(Qwen3Config(hidden_size=32, intermediate_size=80)).to(DEVICE)
    states, slope = drawn(2, 9, 32, seed=1).requires_grad_(), drawn(2, 9, 32, seed=2)
    parts = (states, *layer.parameters())
    expected = torch.autograd.grad((layer(states) * slope).sum(), parts)
    found = torch.autograd.grad((fused.gated(layer, states) * slope).sum(), parts)
    for a, b in zip(found, expected, strict=True):
        assert_near(a, b)


class Otherwise(Qwen3RMSNorm):
    """A family with a norm of its own, as Gemma's: one more than the weight."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states) + hidden_states


def test_only_what_agrees_is_exchanged() -> None:
    layers = nn.Sequential(Qwen3RMSNorm(32), Otherwise(32), Qwen3MLP(Qwen3Config(hidden_size=32, intermediate_size=80))).to(DEVICE)
    assert fused.exchanged(layers) == 2
    assert "forward" not in layers[1].__dict__
    twin = copy.deepcopy(layers)
    assert twin[0].forward.args[0] is twin[0]


def test_nothing_is_exchanged_on_a_cpu_or_in_single_precision() -> None:
    layers = nn.Sequential(Qwen3RMSNorm(32))
    assert fused.fuse(layers) == 0
    assert fused.fuse(layers.to(DEVICE)) == 0


@pytest.mark.skipif(not ON_GPU, reason="needs a GPU")
def test_half_precision_rounds_where_transformers_does() -> None:
    norm = Qwen3RMSNorm(128).to(DEVICE).bfloat16()
    norm.weight.data = drawn(128, seed=0).bfloat16()
    states = drawn(64, 128, seed=1).bfloat16()
    assert float((fused.normed(norm, states).float() - norm(states).float()).abs().max()) <= 2.0**-6
    assert fused.fuse(nn.Sequential(norm)) == 1
