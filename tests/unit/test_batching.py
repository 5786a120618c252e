"""Groups to tensors: what is trained, predicted from where, with which numbers."""

import math
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.plans import plan_for
from support.records import groups_of, member, problem, rollout

from vold.base.types import Group, Ruling
from vold.core.batching import Batch, Row, batch_of, rows_of
from vold.core.packing import pack
from vold.core.zoo import OPD, VOLD, VOLD_RL, VOLD_UNMASKED


def row(prompt: int, response: int, **fields: object) -> Row:
    """Ids that tell where they stand: prompt 100…, response 200…."""
    made = {
        "prompt_ids": tuple(range(100, 100 + prompt)),
        "response_ids": tuple(range(200, 200 + response)),
        "sampled": (True,) * response,
    }
    return Row(**(made | fields))  # type: ignore[arg-type]


def test_a_worked_example() -> None:
    """Two rows: the position before each sampled token is marked, the flat numbers follow row by row."""
    first = row(3, 3, sampled=(True, False, True), advantage=0.5, share=0.25, weights=(0.1,), teacher_logprobs=(-1.0, -2.0, -3.0))
    second = row(1, 2, advantage=-1.0, weights=(0.0,), behaviour_logprobs=None)
    batch = batch_of([first, second], pulls=1)
    assert batch.ids_T.tolist() == [100, 101, 102, 200, 201, 202, 100, 200, 201]
    assert batch.spans == (6, 3)
    assert batch.before_N.tolist() == [2, 4, 6, 7]
    padded = batch.padded(7)
    assert padded.ids_BT.tolist() == [[100, 101, 102, 200, 201, 202], [100, 200, 201, 7, 7, 7]]
    assert padded.before_BT.int().tolist() == [[0, 0, 1, 0, 1, 0], [1, 1, 0, 0, 0, 0]]
    assert batch.targets_N.tolist() == [200, 202, 200, 201]
    assert batch.advantage_N.tolist() == [0.5, 0.5, -1.0, -1.0]
    assert batch.share_N.tolist() == [0.25, 0.25, 1.0, 1.0]
    assert batch.weights_PN.tolist() == torch.tensor([[0.1, 0.1, 0.0, 0.0]]).tolist()
    assert batch.teacher_N.tolist()[:2] == [-1.0, -3.0]
    assert all(math.isnan(x) for x in batch.teacher_N.tolist()[2:])
    assert batch.behaviour_N is None
    assert batch.lengths == (2, 2)
    assert all(math.isnan(x) for x in [*batch.reference_N.tolist(), *batch.sampler_N.tolist()])
    assert batch.hidden == {}


def test_behaviour_follows_the_sampled_tokens() -> None:
    batch = batch_of([row(2, 3, sampled=(False, True, True), behaviour_logprobs=(-1.0, -2.0, -3.0))])
    assert batch.behaviour_N is not None
    assert batch.behaviour_N.tolist() == [-2.0, -3.0]
    assert batch.weights_PN.shape == (0, 2)


SHAPES = st.lists(st.tuples(st.integers(1, 5), st.lists(st.booleans(), min_size=1, max_size=6)), min_size=1, max_size=6)


def as_rows(shapes: list[tuple[int, list[bool]]]) -> list[Row]:
    return [row(prompt, len(flags), sampled=tuple(flags), advantage=float(i)) for i, (prompt, flags) in enumerate(shapes)]


@given(SHAPES)
def test_targets_follow_their_marks(shapes: list[tuple[int, list[bool]]]) -> None:
    """For any rows: each target is the id right after its mark, no mark lies in a prompt's inside or on padding, none is missing."""
    rows = as_rows(shapes)
    batch: Batch = batch_of(rows)
    padded = batch.padded(-1)
    expected = [(i, len(x.prompt_ids) + t) for i, x in enumerate(rows) for t, kept in enumerate(x.sampled) if kept]
    places = [(b, t + 1) for b, t in padded.before_BT.nonzero().tolist()]
    assert places == expected
    assert (
        batch.targets_N.tolist()
        == [int(padded.ids_BT[b, t]) for b, t in places]
        == [rows[i].response_ids[p - len(rows[i].prompt_ids)] for i, p in places]
    )
    assert batch.advantage_N.tolist() == [float(b) for b, _ in places]


@given(SHAPES, st.integers(1, 40), st.integers(1, 4), st.floats(0, 1))
def test_packs_are_a_partition_within_the_budget(shapes: list[tuple[int, list[bool]]], budget: int, at_least: int, quadratic: float) -> None:
    rows = as_rows(shapes)
    packs = pack(rows, budget, quadratic=quadratic, at_least=at_least)
    assert sorted(id(x) for chosen in packs for x in chosen) == sorted(id(x) for x in rows)
    assert len(packs) >= min(at_least, len(rows))
    for chosen in packs:
        assert len(chosen) == 1 or sum(x.length for x in chosen) <= budget
        assert [x.length for x in chosen] == sorted((x.length for x in chosen), reverse=True)


def test_packs_cost_about_the_same() -> None:
    """One sequence of 64 attends as much as 64 of 8: with attention alone in the cost it fills a pack by itself."""
    rows = [row(1, length - 1) for length in (64, *[8] * 64)]
    assert [len(chosen) for chosen in pack(rows, 10_000, at_least=2)] == [29, 36]
    assert [len(chosen) for chosen in pack(rows, 10_000, quadratic=1e6, at_least=2)] == [1, 64]


@pytest.mark.parametrize("seed", range(3))
def test_few_packs_are_made(seed: int) -> None:
    """Of lengths like those of answers: hardly more packs than tokens ask for, none much dearer than another."""
    draw = random.Random(seed)
    rows = [row(20, round(min(2000, draw.lognormvariate(5.5, 0.75)))) for _ in range(400)]
    packs = pack(rows, 16_384, quadratic=1e-4)
    tokens = sum(x.length for x in rows)
    assert len(packs) <= -(-tokens // 16_384) + 1
    costs = [sum(x.length + 1e-4 * x.length**2 for x in chosen) for chosen in packs]
    assert max(costs) < 1.02 * min(costs)


def test_no_rows_no_packs() -> None:
    assert pack([], 100) == []


def test_only_rollouts_with_a_gradient_become_rows() -> None:
    groups = groups_of("RWW", "RRR", "WWw", "UU")
    plans = {"VOLD": plan_for(VOLD), "UNMASKED": plan_for(VOLD_UNMASKED), "VOLD_RL": plan_for(VOLD_RL), "OPD": plan_for(OPD)}
    trained = {name: len(rows_of(groups, plan, plan.counts(groups))) for name, plan in plans.items()}
    assert trained == {"VOLD": 6, "UNMASKED": 9, "VOLD_RL": 3, "OPD": 11}


def test_a_row_holds_the_numbers_of_its_own_rollout() -> None:
    asked = [problem("a"), problem("b")]
    groups = [
        Group(
            problem=p,
            members=(
                member(rollout(p, 0, [9], [10 + i, 2]), Ruling.RIGHT, [-1.0 - i, -1.0]),
                member(rollout(p, 1, [9], [20 + i]), Ruling.WRONG, [-2.0 - i]),
            ),
        )
        for i, p in enumerate(asked)
    ]
    behaviour = {(p.id, s): (-3.0 - i - 10 * s,) * (2 - s) for i, p in enumerate(asked) for s in (0, 1)}
    plan = plan_for(VOLD)
    rows = rows_of(groups, plan, plan.counts(groups), behaviour=behaviour)
    assert [x.response_ids for x in rows] == [(10, 2), (20,), (11, 2), (21,)]
    assert [x.teacher_logprobs for x in rows] == [(-1.0, -1.0), (-2.0,), (-2.0, -1.0), (-3.0,)]
    assert [x.behaviour_logprobs for x in rows] == [(-3.0, -3.0), (-13.0,), (-4.0, -4.0), (-14.0,)]
    assert [x.weights for x in rows] == [(0.0,), (0.1,), (0.0,), (0.1,)]
    assert [x.advantage > 0 for x in rows] == [True, False, True, False]
