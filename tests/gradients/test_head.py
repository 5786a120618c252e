"""Log-probabilities formed a chunk at a time are those of a plain log_softmax, and so is their gradient."""

import pytest
import torch

from vold.core.head import token_logprobs


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("chunk", [1, 4, 2048])
def test_chunks_equal_log_softmax(temperature: float, chunk: int) -> None:
    draw = torch.Generator().manual_seed(0)
    hidden_NH = torch.randn(11, 6, generator=draw, dtype=torch.float64, requires_grad=True)
    head_VH = torch.randn(13, 6, generator=draw, dtype=torch.float64, requires_grad=True)
    targets_N = torch.randint(0, 10, (11,), generator=draw)
    banned_V = torch.arange(13) >= 10
    weight_N = torch.randn(11, generator=draw, dtype=torch.float64)

    found_N = token_logprobs(hidden_NH, head_VH, targets_N, banned_V=banned_V, temperature=temperature, chunk=chunk)
    dense_NV = ((hidden_NH @ head_VH.T) / temperature)[:, :10].log_softmax(1)
    dense_N = dense_NV[torch.arange(11), targets_N]
    torch.testing.assert_close(found_N, dense_N, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        torch.testing.assert_close(token_logprobs(hidden_NH, head_VH, targets_N, banned_V=banned_V, temperature=temperature, chunk=chunk), dense_N)
    found = torch.autograd.grad((weight_N * found_N).sum(), (hidden_NH, head_VH))
    dense = torch.autograd.grad((weight_N * dense_N).sum(), (hidden_NH, head_VH))
    for one, other in zip(found, dense, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_a_banned_token_has_probability_zero_and_gets_no_gradient() -> None:
    hidden_NH = torch.ones(3, 2, dtype=torch.float64)
    head_VH = torch.arange(8.0, dtype=torch.float64).reshape(4, 2).requires_grad_()
    banned_V = torch.tensor([False, True, False, False])
    logprobs_N = token_logprobs(hidden_NH, head_VH, torch.tensor([0, 2, 3]), banned_V=banned_V)
    assert float(logprobs_N.detach().exp().sum()) == pytest.approx(1.0, abs=1e-14)
    logprobs_N[0].backward()
    assert head_VH.grad is not None
    assert head_VH.grad[1].tolist() == [0.0, 0.0]
    with torch.no_grad():
        assert float(token_logprobs(hidden_NH, head_VH, torch.tensor([1, 1, 1]), banned_V=banned_V).exp().sum()) == 0.0


def test_no_tokens_are_no_numbers() -> None:
    assert token_logprobs(torch.zeros(0, 2), torch.zeros(4, 2), torch.zeros(0, dtype=torch.long)).shape == (0,)
