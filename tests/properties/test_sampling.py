"""Draws: distributed as they should be, seeded by their place, and independent of their neighbours."""

from collections import Counter
from collections.abc import Sequence

import torch
from support import models as m
from support.checks import TEXT, check_samples_of_a_problem_differ

from vold.adapters.engines.transformers import PlacedSampling
from vold.adapters.problems.tiny import tiny_problem
from vold.base.seeds import seed_for
from vold.base.types import Rollout
from vold.ports import Sampling

IMAGES = [tiny_problem(0, "check", place, k, image=True) for place, k in enumerate((1, 6, 3))]
PLACE = ("joint", 3)


def unlikely(free: int) -> float:
    """A chi-square value of this many degrees of freedom that chance exceeds once in a thousand times (Wilson and Hilferty)."""
    return free * (1 - 2 / (9 * free) + 3.09 * (2 / (9 * free)) ** 0.5) ** 3


def chi_square(seen: Counter[int], expected: Sequence[float]) -> float:
    """Over cells of at least 5 expected draws; the others are put into one."""
    total = sum(seen.values())
    small = [i for i, p in enumerate(expected) if p * total < 5]
    cells = [(seen[i], p * total) for i, p in enumerate(expected) if i not in small]
    cells.append((sum(seen[i] for i in small), sum(expected[i] for i in small) * total))
    return sum((n - e) ** 2 / e for n, e in cells if e > 0)


def drawn(scores_V: torch.Tensor, sampling: Sampling, banned_V: torch.Tensor, rows: int = 4000, steps: int = 2) -> list[tuple[int, ...]]:
    """What the processor picks for many rows of one distribution, step after step."""
    picker = PlacedSampling([seed_for(1, "draw", row) for row in range(rows)], sampling, banned_V)
    ids = torch.zeros(rows, 1, dtype=torch.long)
    for _ in range(steps):
        ids = torch.cat([ids, picker(ids, scores_V.expand(rows, -1)).argmax(1, keepdim=True)], 1)
    return [tuple(row) for row in ids[:, 1:].tolist()]


def test_draws_follow_the_distribution_and_steps_are_independent() -> None:
    """Two steps of a five-token world, one token banned: 25 pairs, counted."""
    scores_V = torch.tensor([0.3, -1.0, 1.2, 0.0, 2.0])
    banned_V = torch.tensor([False, False, False, False, True])
    for temperature in (1.0, 0.7):
        pairs = drawn(scores_V, m.sampling(2, temperature), banned_V)
        p_V = (scores_V[:4] / temperature).softmax(0).tolist()
        expected = [p_V[i] * p_V[j] for i in range(4) for j in range(4)]
        assert max(max(pair) for pair in pairs) < 4, "a banned token was drawn"
        assert chi_square(Counter(4 * i + j for i, j in pairs), expected) < unlikely(15)


def test_the_count_would_notice_another_temperature() -> None:
    scores_V, none = torch.tensor([0.3, -1.0, 1.2, 0.0]), torch.zeros(4, dtype=torch.bool)
    found = Counter(pair[0] for pair in drawn(scores_V, m.sampling(1, 0.7), none, steps=1))
    assert chi_square(found, scores_V.softmax(0).tolist()) > unlikely(3)


def test_the_ends_of_the_unit_interval_hit_no_banned_token() -> None:
    """A draw of exactly 0 is the first allowed token, one just below 1 the last."""
    scores_V = torch.tensor([9.0, 0.3, 0.2, 9.0])
    banned_V = torch.tensor([True, False, False, True])
    picker = PlacedSampling([0, 1], m.sampling(1), banned_V)
    picker.uniform_BT = torch.tensor([[0.0], [1 - 2**-53]], dtype=torch.float64)
    assert picker(torch.zeros(2, 1, dtype=torch.long), scores_V.expand(2, -1)).argmax(1).tolist() == [1, 2]


def test_cuts_are_cuts() -> None:
    """top-k keeps the k likeliest ids, top-p the smallest set that reaches p; bans come first."""
    scores_V, banned_V = torch.tensor([0.3, -1.0, 1.2, 0.0, 5.0]), torch.tensor([False] * 4 + [True])
    two = drawn(scores_V, Sampling(max_new_tokens=1, top_k=2), banned_V, rows=500, steps=1)
    assert set(two) == {(2,), (0,)}
    most = drawn(scores_V, Sampling(max_new_tokens=1, top_p=0.5), banned_V, rows=500, steps=1)
    assert set(most) == {(2,)}


def test_first_tokens_of_the_engine_follow_the_policy(world: m.World) -> None:
    """1024 first tokens of one problem: their frequencies, and their recorded probabilities, which sum to 1 over the allowed ids."""
    engine = m.engine_of(world.student32)
    rollouts = engine.sample(TEXT[:1], per_problem=1024, sampling=m.sampling(1, 2.0), place=PLACE)
    recorded = {x.response_ids[0]: x.logprobs[0] for x in rollouts}
    allowed = [i for i in range(64) if not engine.banned_V[i]]
    assert set(recorded) <= set(allowed)
    p_V = [float(torch.tensor(recorded.get(i, -1e9)).exp()) for i in range(64)]
    assert sum(p_V) > 0.97
    assert sum(p_V) < 1 + 1e-5
    assert chi_square(Counter(x.response_ids[0] for x in rollouts), p_V) < unlikely(len(recorded) - 1)


def tokens(rollouts: list[Rollout]) -> dict[tuple[str, int], tuple[int, ...]]:
    return {(x.problem.id, x.sample): x.response_ids for x in rollouts}


def test_neighbours_do_not_matter(world: m.World) -> None:
    """The same tokens whatever else is sampled beside it: other problems, more copies, fewer rows at a time, another order."""
    for problems in (TEXT, IMAGES):
        everything = tokens(m.engine_of(world.student32).sample(problems, per_problem=3, sampling=m.sampling(12), place=PLACE))
        for chosen, copies, rows in (
            (problems[1:2], 3, 256),
            (problems[::-1], 3, 256),
            (problems[1:], 2, 256),
            (problems, 3, 4),
            (problems[:1], 1, 1),
        ):
            found = tokens(m.engine_of(world.student32, rows=rows).sample(chosen, per_problem=copies, sampling=m.sampling(12), place=PLACE))
            assert len(found) == len(chosen) * copies
            assert found == {key: everything[key] for key in found}


def test_a_shorter_cap_is_a_prefix(world: m.World) -> None:
    engine = m.engine_of(world.student32)
    long, short = (tokens(engine.sample(TEXT, per_problem=2, sampling=m.sampling(cap), place=PLACE)) for cap in (12, 5))
    assert {key: ids[:5] for key, ids in long.items()} == short


def test_the_sample_index_matters(world: m.World) -> None:
    check_samples_of_a_problem_differ(world)


def test_place_and_seed_matter(world: m.World) -> None:
    """Another step, another stage, another run, another problem of the same words: other draws. The same place: the same."""

    def first(seed: int, *place: str | int) -> tuple[int, ...]:
        return m.engine_of(world.student32, seed=seed).sample(TEXT[:1], per_problem=1, sampling=m.sampling(12), place=place)[0].response_ids

    places = [(5, "joint", 3), (5, "joint", 4), (5, "eval", 3), (6, "joint", 3)]
    assert len({first(*place) for place in places}) == len(places)
    assert first(*places[0]) == first(*places[0])
