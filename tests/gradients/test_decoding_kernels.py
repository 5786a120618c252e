"""The kernels of decoding against plain torch, on a GPU as compiled and elsewhere in Triton's interpreter; captured steps against others on a GPU."""

import pytest
import torch
from support import models as m
from support.checks import TEXT
from torch import Tensor

from vold.adapters.engines import decoding, graphed
from vold.adapters.engines.draws import PlacedSampling
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def drawn(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE, dtype)


@pytest.mark.parametrize(("heads", "shared", "width", "capacity"), [(2, 8, 16, 200), (1, 1, 24, 64), (3, 3, 20, 65)])
def test_every_slot_attends_to_its_own_columns(monkeypatch: pytest.MonkeyPatch, heads: int, shared: int, width: int, capacity: int) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    monkeypatch.setattr(graphed, "BLOCK", 16)
    monkeypatch.setattr(graphed, "PART", 30)
    seen = torch.tensor([1, 15, 16, 17, capacity // 2, capacity - 1, capacity], dtype=torch.int32, device=DEVICE)
    query = drawn(len(seen), heads, shared, width, seed=0)
    keys, values = (drawn(len(seen), heads, capacity, width, seed=seed) for seed in (1, 2))
    for slot, count in enumerate(seen.tolist()):  # what lies behind must not be read
        keys[slot, :, count:] = float("nan")
        values[slot, :, count:] = float("nan")
    found = graphed.by_kernels(query, keys, values, seen, 0.3)
    for slot, count in enumerate(seen.tolist()):
        scores = 0.3 * query[slot].double() @ keys[slot, :, :count].double().transpose(1, 2)
        expected = scores.softmax(-1) @ values[slot, :, :count].double()
        assert float((found[slot].double() - expected).abs().max()) < 1e-5


@pytest.mark.skipif(DEVICE.type != "cuda", reason="CUDA graphs need a GPU")
@pytest.mark.parametrize("think_budget", [0, 3])
@pytest.mark.parametrize("slots", [4, 256])
def test_captured_steps_answer_as_others_do(world: m.World, monkeypatch: pytest.MonkeyPatch, slots: int, think_budget: int) -> None:
    monkeypatch.setattr(graphed, "COLUMNS", 16)
    speaker = world.fresh()
    speaker.model.to(DEVICE)
    engine = m.thinking_engine_of if think_budget else m.engine_of
    closing = {"think_budget": think_budget, "closing": "</think> \\boxed{"} if think_budget else {}
    sampling = m.Sampling(max_new_tokens=40, **closing)
    found = {}
    for graphs in ("1", "0"):
        monkeypatch.setenv("VOLD_GRAPHS", graphs)
        found[graphs] = engine(speaker, rows=slots).sample(TEXT, per_problem=3, sampling=sampling, place=("joint", 3))
    for one, other in zip(found["1"], found["0"], strict=True):
        assert one.response_ids == other.response_ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-6)


def test_what_has_ended_takes_few_further_steps(world: m.World) -> None:
    """Positions pushed stay near those of answers: slots are given on, and go when nobody waits."""
    speaker = world.student32
    prompts = [Template(of=speaker).render(problem) for problem in TEXT]
    picker = PlacedSampling(list(range(200)), m.sampling(60), banned_ids(speaker))
    found = graphed.decode(speaker, prompts, 50, picker, cap=60, slots=200, capture=False)
    plain = decoding.decode(speaker, prompts, 50, PlacedSampling(list(range(200)), m.sampling(60), banned_ids(speaker)), cap=60, slots=200)
    assert found.ids == plain.ids
    assert found.pushed < 0.8 * 60 * 200
