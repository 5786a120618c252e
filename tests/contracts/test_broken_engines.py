"""Engines that break the contract, one promise each: the check of that promise notices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from support import engine_contract as contract
from support import models as m
from support.engines import transformers_subject

from vold.base.errors import DataError
from vold.base.types import Finish, Problem, Rollout
from vold.ports import RolloutEngine, Sampling

Outs = Callable[[list[Rollout]], list[Rollout]]


@dataclass
class Changed:
    """What is asked and what is answered, changed on the way."""

    inner: RolloutEngine
    outs: Outs = lambda rollouts: rollouts
    ins: Callable[[dict[str, Any]], dict[str, Any]] = lambda asked: asked

    def adopt(self, weights: Any, *, version: int) -> None:
        self.inner.adopt(weights, version=version)

    def sample(self, problems: Sequence[Problem], **asked: Any) -> list[Rollout]:
        return self.outs(self.inner.sample(**self.ins({"problems": problems, **asked})))


def every(change: Callable[[Rollout], Rollout]) -> Outs:
    return lambda rollouts: [change(rollout) for rollout in rollouts]


def raising(rollouts: list[Rollout]) -> list[Rollout]:
    failed = [x for x in rollouts if x.finish is Finish.FAILED]
    if failed:
        raise DataError(failed[0].note)
    return rollouts


def renamed(asked: dict[str, Any]) -> dict[str, Any]:
    """Draws by where a problem stands among those asked, instead of by its id: ids are put back by nobody, so order is told by them."""
    return asked | {"place": (*asked["place"], len(asked["problems"]))}


BROKEN: dict[str, tuple[Callable[[contract.Subject], None], dict[str, Any]]] = {
    "in reverse": (contract.check_order_and_lengths, {"outs": lambda rollouts: rollouts[::-1]}),
    "one log-probability too few": (contract.check_order_and_lengths, {"outs": every(lambda x: replace(x, logprobs=x.logprobs[:-1]))}),
    "not quite": (contract.check_logprobs, {"outs": every(lambda x: replace(x, logprobs=tuple(v - 1e-3 for v in x.logprobs)))}),
    "always stopped": (contract.check_finish, {"outs": every(lambda x: replace(x, finish=Finish.STOP))}),
    "without its end": (
        contract.check_finish,
        {"outs": every(lambda x: replace(x, response_ids=x.response_ids[:-1]) if x.finish is Finish.STOP else x)},
    ),
    "says a picture": (contract.check_bans, {"outs": every(lambda x: replace(x, response_ids=(5, *x.response_ids[1:])))}),
    "the same in every step": (contract.check_place, {"ins": lambda asked: asked | {"place": ("joint", 0)}}),
    "by company": (contract.check_neighbours, {"ins": renamed}),
    "deaf to temperature": (
        contract.check_temperature,
        {"ins": lambda asked: asked | {"sampling": Sampling(max_new_tokens=asked["sampling"].max_new_tokens)}},
    ),
    "long prompts": (
        contract.check_many_lengths,
        {"outs": every(lambda x: replace(x, logprobs=tuple(v - 0.1 for v in x.logprobs)) if len(x.prompt_ids) > 30 else x)},
    ),
    "sunk by one": (contract.check_one_in_a_thousand_fails, {"outs": raising}),
    "in silence": (contract.check_one_in_a_thousand_fails, {"outs": every(lambda x: replace(x, note=""))}),
    "filled in": (contract.check_one_in_a_thousand_fails, {"outs": every(lambda x: replace(x, finish=Finish.LENGTH))}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_promise_is_noticed(world: m.World, name: str) -> None:
    check, how = BROKEN[name]
    honest = transformers_subject(world.student32, "own")
    with pytest.raises((AssertionError, DataError)):
        check(replace(honest, make=lambda seed: Changed(honest.make(seed), **how)))


def test_every_promise_is_broken_once() -> None:
    assert {check for check, _ in BROKEN.values()} == set(contract.CHECKS)
