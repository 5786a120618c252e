"""A trace is trained on in the teacher's ids only where the student can say all of them."""

import torch

from vold.base.types import Problem, Trace
from vold.wiring.traces import said_in

BANNED = torch.tensor([False, False, True, False])


def trace(ids: tuple[int, ...] | None) -> Trace:
    return Trace(problem=Problem(id="p", prompt="?", answer=None, source="s"), response="words", response_ids=ids)


def test_ids_the_student_can_say_are_kept_as_they_are() -> None:
    assert said_in(trace((0, 3, 1)), BANNED) == (0, 3, 1)


def test_one_id_it_cannot_say_sends_the_whole_trace_back_to_its_words() -> None:
    """The student's table lacks the teacher's think marks: as ids they would have log-probability minus infinity."""
    assert said_in(trace((0, 2, 1)), BANNED) is None
    assert said_in(trace((0, 4)), BANNED) is None, "a row the student does not have"


def test_ready_made_traces_have_no_ids() -> None:
    assert said_in(trace(None), BANNED) is None
