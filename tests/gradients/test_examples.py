"""The alignment stage's gradient: the summed negative log-likelihood of the responses, prompts and padding left out."""

import pytest
import torch
from support import dense
from support import models as m
from support import records as r

from vold.ports import Example

ROLLOUTS = [x.rollout for group in r.groups_of("WW", "WWW", "W") for x in group.members]
EXAMPLES = [Example(prompt_ids=x.prompt_ids, response_ids=x.response_ids) for x in ROLLOUTS]


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_examples_equal_dense_likelihood(world: m.World, budget: int) -> None:
    """However they are cut: micro-batches add up sums, and one division follows."""
    learner = m.learner_of(world.student64, token_budget=budget)
    sums = learner.accumulate_examples(EXAMPLES)
    found = m.taken(world.student64.model)
    nll = -torch.stack([dense.logprobs_of(world.student64.model, x, learner.banned_V).sum() for x in ROLLOUTS]).sum()
    nll.backward()
    assert sums == {"nll": pytest.approx(nll.item(), rel=1e-12)}
    m.assert_same_gradient(found, m.taken(world.student64.model), within=1e-12)


def test_an_update_raises_the_likelihood(world: m.World) -> None:
    learner = m.learner_of(world.fresh())
    tokens = sum(len(x.response_ids) for x in EXAMPLES)
    first = learner.accumulate_examples(EXAMPLES)["nll"]
    learner.apply(tokens, lr=1e-3)
    assert learner.accumulate_examples(EXAMPLES)["nll"] < first - 1.0
