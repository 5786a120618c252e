"""Mistakes that are easy to make in what an objective can say, each planted as one changed line: a named check must fail on every one."""

from collections.abc import Callable
from functools import partial

import pytest
from support import checks_of_objectives as c
from support import models as m
from support.mistakes import FAMILIES, MISTAKES
from support.objectives import STATED

Check = Callable[[m.World], None]


def no_world(check: Callable[[], None]) -> Check:
    return lambda _: check()


CHECKS: dict[str, Check] = {name: no_world(partial(c.check_is_as_written, objective)) for name, objective in STATED.items()} | {
    "cut, order and ranks": no_world(c.check_cut_order_and_ranks),
    "who is asked": no_world(c.check_who_is_asked),
    "refills keep what a pull needs": no_world(c.check_refills_keep_what_a_pull_needs),
    "refills stop": c.check_refills_stop,
    "no problem twice": c.check_no_problem_twice,
    "a strength follows the KL": c.check_a_strength_follows_the_kl,
    "a strength is saved": c.check_a_strength_is_saved,
    "schedules": no_world(c.check_schedules),
    "the share of steps on the corpus": no_world(c.check_the_share_of_steps_on_the_corpus),
    "the reference stays where it was": c.check_the_reference_stays_where_it_was,
}
"""A stated objective's name stands for the check that the learner's gradient is as it is written (`checks_of_objectives.check_is_as_written`)."""


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in STATED])
def test_the_check_passes_on_the_real_code(world: m.World, name: str) -> None:
    """Those of stated objectives are run by `properties/test_as_written.py`."""
    CHECKS[name](world)


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_caught(world: m.World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for edit in MISTAKES[name].edits:
        edit.plant(monkeypatch)
    for check in MISTAKES[name].caught_by:
        with pytest.raises(AssertionError, match=r"differ|moved with the student|not all different"):
            CHECKS[check](world)


def test_the_list() -> None:
    """No name twice and no mistake twice, each caught by checks that exist, and every check there to catch one."""
    assert len(MISTAKES) == sum(len(family) for family in FAMILIES) == 79
    assert len({found.edits for found in MISTAKES.values()}) == len(MISTAKES)
    assert all(found.edits and found.caught_by for found in MISTAKES.values())
    assert {check for found in MISTAKES.values() for check in found.caught_by} == set(CHECKS)


def test_nothing_stays_planted() -> None:
    """What the mistakes change is whole again after them: every function has its own source."""
    changed = [(edit.owner, edit.name) for found in MISTAKES.values() for edit in found.edits]
    assert not [name for owner, name in changed if hasattr(getattr(owner, name), "planted")]
