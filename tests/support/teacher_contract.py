"""What every teacher promises, as checks on a teacher and a fresh reading of the weights it scores with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vold.base.types import Rollout
from vold.core.objective import Want
from vold.ports import TeacherScorer


@dataclass(frozen=True)
class Scorer:
    """A teacher under test. `read` gives the log-probabilities of a rollout's response by one fresh forward pass under the teacher's own prompt."""

    teacher: TeacherScorer
    read: Callable[[Rollout], Sequence[float]]
    rollouts: Sequence[Rollout]
    """Answers of different lengths, several to a problem."""
    within: float = 1e-5


def check_one_number_a_token(of: Scorer) -> None:
    views = of.teacher.score(of.rollouts)
    assert len(views) == len(of.rollouts)
    for rollout, view in zip(of.rollouts, views, strict=True):
        assert view is not None
        assert len(view.logprobs) == len(rollout.response_ids)
        assert all(value <= 0 for value in view.logprobs)
    assert len({value for view in views if view is not None for value in view.logprobs}) > 1, "it says the same of every token"
    assert list(of.teacher.score([])) == []


def check_fresh_forward(of: Scorer) -> None:
    for rollout, view in zip(of.rollouts, of.teacher.score(of.rollouts), strict=True):
        assert view is not None
        worst = max(abs(a - b) for a, b in zip(view.logprobs, of.read(rollout), strict=True))
        assert worst <= of.within, f"{rollout.problem.id}, sample {rollout.sample}: {worst:.3g} nats from a fresh forward pass"


def check_company_does_not_matter(of: Scorer) -> None:
    """The same numbers alone, in another order, and beside a copy."""
    together = of.teacher.score(of.rollouts)
    reverse = of.teacher.score(of.rollouts[::-1])[::-1]
    alone = [view for rollout in of.rollouts for view in of.teacher.score([rollout])]
    for others in (reverse, alone, of.teacher.score([*of.rollouts, *of.rollouts])[: len(of.rollouts)]):
        for one, other in zip(together, others, strict=True):
            assert one is not None
            assert other is not None
            assert max(abs(a - b) for a, b in zip(one.logprobs, other.logprobs, strict=True)) <= of.within


def check_hidden_states_where_they_are_given(of: Scorer) -> None:
    if of.teacher.gives is not Want.HIDDEN:
        return
    plain, wide = of.teacher.score(of.rollouts), of.teacher.score(of.rollouts, want=Want.HIDDEN)
    for rollout, one, other in zip(of.rollouts, plain, wide, strict=True):
        assert one is not None
        assert other is not None
        assert one.hidden is None
        assert other.hidden is not None
        assert len(other.hidden) == len(rollout.response_ids)
        assert one.logprobs == other.logprobs


CHECKS = (check_one_number_a_token, check_fresh_forward, check_company_does_not_matter, check_hidden_states_where_they_are_given)
