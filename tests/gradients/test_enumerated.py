"""Masked VOLD on a policy whose every group can be listed: our expected gradient against an enumeration that shares no code with it."""

import pytest
import torch
from support.checks import CHAIN_OBJECTIVE, chain_tables, check_expected_vold_gradient
from support.toy import Chain, Rendering, enumerated, expected

from vold.core import render
from vold.core.zoo import VOLD_RL, VOLD_UNMASKED


@pytest.mark.parametrize(("cap", "copies"), [(3, 2), (2, 3)])
@pytest.mark.parametrize("rendering", [render.by_coefficient, render.loss])
def test_expected_masked_gradient(cap: int, copies: int, rendering: Rendering) -> None:
    check_expected_vold_gradient(cap=cap, copies=copies, rendering=rendering)


def test_expected_unmasked_gradient_and_that_of_the_reward_alone() -> None:
    chain = Chain(cap=2)
    logits, teacher = chain_tables(chain)
    for objective, beta in ((VOLD_UNMASKED, 0.1), (VOLD_RL, 0.0)):
        found = expected(chain, logits, teacher, objective, render.by_coefficient, copies=3)
        truth = enumerated(chain, logits.numpy(), teacher.numpy(), copies=3, beta=beta, masked=False)
        torch.testing.assert_close(found, torch.tensor(truth), rtol=0, atol=1e-10)


def test_the_mask_matters_here() -> None:
    """The enumeration with and without (1 − r) differ by far more than the tolerance, and answers differ in length."""
    chain = Chain(cap=3)
    logits, teacher = (table.numpy() for table in chain_tables(chain))
    beta = float(CHAIN_OBJECTIVE.pulls[0].beta)
    with_mask, without = (enumerated(chain, logits, teacher, copies=2, beta=beta, masked=masked) for masked in (True, False))
    assert abs(with_mask - without).max() > 1e-3
    assert {len(y) for y in chain.answers()} == {1, 2, 3}
    assert len(chain.answers()) == 15
