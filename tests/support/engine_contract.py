"""What every rollout engine promises, as checks on an engine and a fresh reading of the weights it samples from.

A suite gives a `Subject` and runs `CHECKS`; an engine that lives elsewhere needs nothing but one more subject.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from vold.base.types import Finish, Problem, Rollout
from vold.ports import RolloutEngine, Sampling

PLACE = ("joint", 3)


@dataclass(frozen=True)
class Subject:
    """An engine under test. `make` builds it for a seed of the run; `read` gives the log-probabilities of a rollout's response by one fresh
    forward pass at a temperature, bans included."""

    make: Callable[[int], RolloutEngine]
    read: Callable[[Rollout, float], Sequence[float]]
    problems: Sequence[Problem]
    """Some, whose prompts differ in length."""
    too_long: Problem
    """One whose prompt leaves no room in the context."""
    ends: frozenset[int]
    banned: frozenset[int]
    within: float = 1e-5
    """How near the two readings must be, in nats."""
    sized: Callable[[int], Problem] | None = None
    """A problem with a prompt of about so many words."""

    def sample(
        self, problems: Sequence[Problem], tokens: int, *, copies: int = 2, temperature: float = 1.0, seed: int = 5, place: tuple = PLACE
    ) -> list[Rollout]:
        sampling = Sampling(max_new_tokens=tokens, temperature=temperature)
        return self.make(seed).sample(problems, per_problem=copies, sampling=sampling, place=place)


def check_order_and_lengths(of: Subject) -> None:
    """Problem order, every sample of each, one number a token; the prompt's own ids come with it."""
    rollouts = of.sample(of.problems, 12, copies=3)
    assert [(x.problem.id, x.sample) for x in rollouts] == [(p.id, i) for p in of.problems for i in range(3)]
    for x in rollouts:
        assert 1 <= len(x.response_ids) <= 12
        assert len(x.response_ids) == len(x.logprobs) == len(x.sampled)
        assert all(x.sampled)
        assert x.prompt_ids
        assert x.note == ""
    assert of.make(5).sample([], per_problem=2, sampling=Sampling(max_new_tokens=3), place=PLACE) == []


def check_logprobs(of: Subject) -> None:
    """None above 0, and each what a fresh forward pass says, at two temperatures, in groups and alone."""
    for temperature in (1.0, 0.7):
        for copies in (1, 3):
            assert_read_again(of, of.sample(of.problems, 14, copies=copies, temperature=temperature), temperature)


def assert_read_again(of: Subject, rollouts: Sequence[Rollout], temperature: float) -> None:
    for x in rollouts:
        truth = of.read(x, temperature)
        assert all(value <= 0 for value in x.logprobs)
        worst = max(abs(a - b) for a, b in zip(x.logprobs, truth, strict=True))
        assert worst <= of.within, f"{x.problem.id}, sample {x.sample}: {worst:.3g} nats from a fresh forward pass"


def check_finish(of: Subject) -> None:
    """Stopped: the end token is the last and there is one. At the cap: exactly so many tokens, and no end token."""
    rollouts = of.sample(of.problems, 20, copies=20)
    assert {x.finish for x in rollouts} == {Finish.STOP, Finish.LENGTH}
    for x in rollouts:
        ends = [place for place, i in enumerate(x.response_ids) if i in of.ends]
        assert ends == ([len(x.response_ids) - 1] if x.finish is Finish.STOP else [])
        assert x.finish is Finish.STOP or len(x.response_ids) == 20


def check_bans(of: Subject) -> None:
    """What may not be said is not, however hot it gets."""
    said = {i for x in of.sample(of.problems, 20, copies=20, temperature=8.0) for i in x.response_ids}
    assert of.banned
    assert not said & of.banned


def check_place(of: Subject) -> None:
    """Run, step, problem, sample and position: another of any is another draw, the same again is the same."""

    def ids(problem: Problem, seed: int = 5, place: tuple = PLACE, tokens: int = 12) -> list[tuple[int, ...]]:
        return [x.response_ids for x in of.sample([problem], tokens, copies=3, temperature=2.0, seed=seed, place=place)]

    problem = of.problems[0]
    first = ids(problem)
    assert first == ids(problem)
    assert len(set(first)) == 3, "the samples of a group are drawn apart"
    for other in (ids(problem, seed=6), ids(problem, place=("joint", 4)), ids(problem, place=("eval", 3)), ids(replace(problem, id="another"))):
        assert other != first
    assert [x[:5] for x in first] == ids(problem, tokens=5), "a shorter cap is a prefix"


def check_neighbours(of: Subject) -> None:
    """The same draws whatever else is asked beside them."""
    together = {(x.problem.id, x.sample): x.response_ids for x in of.sample(of.problems, 10, copies=3)}
    for problems, copies in ((of.problems[1:2], 3), (of.problems[::-1], 3), (of.problems[:2], 1)):
        alone = {(x.problem.id, x.sample): x.response_ids for x in of.sample(problems, 10, copies=copies)}
        assert alone == {key: together[key] for key in alone}


def check_temperature(of: Subject) -> None:
    """Cold answers are likelier to the model than hot ones; at 0 every sample is the same one."""

    def likely(temperature: float) -> float:
        rollouts = of.sample(of.problems, 10, copies=10, temperature=temperature)
        return fmean(value for x in rollouts for value in of.read(x, 1.0))

    assert likely(0.3) > likely(1.0) > likely(3.0)
    for problem in of.problems:
        greedy = of.sample([problem], 8, copies=2, temperature=0.0)
        assert greedy[0].response_ids == greedy[1].response_ids
        assert greedy == of.sample([problem], 8, copies=2, temperature=0.0, seed=9, place=("elsewhere",))


def check_many_lengths(of: Subject) -> None:
    """Prompts of every length at once: padding must move nothing."""
    assert of.sized is not None
    problems = [of.sized(count) for count in range(1, 40)]
    rollouts = of.sample(problems, 6, copies=2)
    assert len({len(x.prompt_ids) for x in rollouts}) > 30
    assert_read_again(of, rollouts, 1.0)


def check_one_in_a_thousand_fails(of: Subject) -> None:
    """A prompt that cannot be answered comes back empty, with the reason, and does not sink the others."""
    problems = [replace(of.problems[place % len(of.problems)], id=f"p{place}") for place in range(999)]
    problems.insert(500, of.too_long)
    rollouts = of.sample(problems, 2, copies=1)
    assert [x.problem.id for x in rollouts] == [p.id for p in problems]
    failed = rollouts.pop(500)
    assert (failed.finish, failed.response_ids, failed.logprobs, failed.sampled, failed.text) == (Finish.FAILED, (), (), (), "")
    assert failed.note
    assert all(x.finish is not Finish.FAILED and x.response_ids for x in rollouts)
    (alone,) = of.sample([of.too_long], 2, copies=1)
    assert alone.finish is Finish.FAILED


CHECKS = (
    check_order_and_lengths,
    check_logprobs,
    check_finish,
    check_bans,
    check_place,
    check_neighbours,
    check_temperature,
    check_many_lengths,
    check_one_in_a_thousand_fails,
)
