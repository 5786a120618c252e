"""The end of thinking put in: after so many tokens, only where it is missing, flagged as not sampled, and without touching anybody else."""

from dataclasses import replace

import pytest
import torch
from support import models as m

from vold.adapters.engines.transformers import Closer, PlacedSampling, still_thinking
from vold.adapters.problems.tiny import tiny_problem
from vold.base.types import Rollout
from vold.ports import Sampling

PROBLEMS = [tiny_problem(0, "thinking", place, 1 + place % 6) for place in range(8)]
CLOSING = "</think> \\boxed{"


def answered(world: m.World, sampling: Sampling, copies: int = 1) -> list[Rollout]:
    return m.thinking_engine_of(world.student32).sample(PROBLEMS, per_problem=copies, sampling=sampling, place=("evaluate", "x"))


@pytest.mark.parametrize(("temperature", "copies"), [(0.0, 1), (1.0, 3)])
@pytest.mark.parametrize("budget", [3, 8])
def test_it_is_put_in_exactly_where_it_is_missing(world: m.World, temperature: float, copies: int, budget: int) -> None:
    free = answered(world, m.sampling(24, temperature), copies)
    held = answered(world, replace(m.sampling(24, temperature), think_budget=budget, closing=CLOSING), copies)
    words = world.student32.tokenizer
    closing = tuple(words(CLOSING, add_special_tokens=False).input_ids)
    ended = 0
    for before, after in zip(free, held, strict=True):
        said = str(words.decode(list(before.response_ids[:budget])))
        done = "</think>" in said or len(before.response_ids) < budget or before.response_ids[budget - 1] in world.student32.end_ids
        assert after.response_ids[:budget] == before.response_ids[:budget]
        if done:
            assert after == before
            assert all(after.sampled)
            continue
        ended += 1
        assert after.response_ids[budget : budget + len(closing)] == closing
        assert [place for place, sampled in enumerate(after.sampled) if not sampled] == list(range(budget, budget + len(closing)))
        assert CLOSING.replace(" ", "") in after.text.replace(" ", "")
        assert len(after.sampled) == len(after.logprobs) == len(after.response_ids)
        assert all(torch.isfinite(torch.tensor(after.logprobs)))
    assert ended, "no answer was still thinking, so nothing was tested"


def test_without_a_budget_nothing_is_put_in(world: m.World) -> None:
    assert all(all(rollout.sampled) for rollout in answered(world, m.sampling(24, 0.0)))


def test_an_answer_that_never_began_to_think_is_left_alone(world: m.World) -> None:
    """A closing mark in an answer without thinking would make a rule that reads what follows it lose the answer."""
    engine = m.engine_of(world.student32)
    free, held = (
        engine.sample(PROBLEMS, per_problem=1, sampling=replace(m.sampling(24, 0.0), think_budget=budget, closing=CLOSING), place=("x",))
        for budget in (0, 8)
    )
    words = world.student32.tokenizer
    began = [still_thinking(str(words.decode(list(rollout.response_ids[:8])))) for rollout in free]
    assert False in began
    assert [after == before for before, after in zip(free, held, strict=True)] == [not one for one in began]


@pytest.mark.parametrize(
    ("text", "still"),
    [
        ("<think> so", True),
        ("<think>\n\n</think>\n\nSo", False),
        ("The answer is \\boxed{5}.", False),
        ("", False),
        ("a </think> b", False),
        ("<think> a </think> b <think> c", True),
    ],
)
def test_a_block_is_open_until_it_is_closed(text: str, still: bool) -> None:
    assert still_thinking(text) == still


def test_a_cut_that_would_leave_the_closing_out_does_not() -> None:
    """What is put in is no matter of the distribution: its own log-probability is recorded, even where a cut gave it none."""
    scores_V = torch.tensor([[5.0, 0.0, -1.0]])
    closer = Closer(after=1, ids=(2, 1), ends=frozenset(), words=lambda ids: str(ids), thinking=(True,))
    picker = PlacedSampling([0], Sampling(max_new_tokens=4, top_k=1), torch.zeros(3, dtype=torch.bool), closer)
    ids = torch.zeros(1, 1, dtype=torch.long)
    for _ in range(4):
        ids = torch.cat([ids, picker(ids, scores_V).argmax(1, keepdim=True)], 1)
    assert ids[0, 1:].tolist() == [0, 2, 1, 0]
    assert picker.logprobs()[0] == pytest.approx([0.0, scores_V.log_softmax(-1)[0, 2].item(), scores_V.log_softmax(-1)[0, 1].item(), 0.0])
    assert picker.inserted(0) == range(1, 3)
