"""Recorded rollouts made up by rule: how often prompts are answered rightly, how long answers are, and how the two go together."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, Verdict

CV = 0.75
FAILED = 1.5
"""How much longer a wrong answer is."""
TRIES = 300


@dataclass(frozen=True, kw_only=True)
class Trace:
    """A step's rollouts: `prompts` groups of five. Each prompt is answered rightly with a probability of its own, Beta with concentration 1 around
    `accuracy`; lengths are log-normal, or all `mean`, and cut at `cap`. With few prompts a draw is far from its rule by luck: of many draws the one
    nearest to it in reward, all-right groups and length is taken."""

    accuracy: float
    equal: bool
    prompts: int
    mean: int
    cap: int
    prompt: int = 16
    group_size: int = 5

    @property
    def name(self) -> str:
        return f"reward {self.accuracy:.2f}, {'equal' if self.equal else 'log-normal'} lengths"

    def groups(self, ids: Sequence[int], end: int, *, seed: int = 0) -> list[Group]:
        """As the judge leaves them; tokens are drawn from `ids`."""
        draw = random.Random(seed)
        drawn = min((self._lengths(draw) for _ in range(TRIES)), key=self._off)
        return [self._group(place, members, ids, end, draw) for place, members in enumerate(drawn)]

    def _lengths(self, draw: random.Random) -> list[list[tuple[bool, int]]]:
        """For each rollout whether it is right and how long."""
        found = []
        for _ in range(self.prompts):
            rate = draw.betavariate(self.accuracy, 1 - self.accuracy)
            right = [draw.random() < rate for _ in range(self.group_size)]
            found.append([(r, self._length(r, draw)) for r in right])
        return found

    def _length(self, right: bool, draw: random.Random) -> int:
        if self.equal:
            return self.mean
        spread = math.sqrt(math.log(1 + CV**2))
        of_right = self.mean / (self.accuracy + FAILED * (1 - self.accuracy))
        middle = math.log(of_right * (1.0 if right else FAILED)) - spread**2 / 2
        return min(self.cap, max(2, round(draw.lognormvariate(middle, spread))))

    def _off(self, drawn: list[list[tuple[bool, int]]]) -> float:
        every = [member for group in drawn for member in group]
        rewarded = sum(right for right, _ in every) / len(every)
        all_right = sum(all(right for right, _ in group) for group in drawn) / len(drawn)
        expected = math.prod((self.accuracy + k) / (1 + k) for k in range(self.group_size))
        length = sum(length for _, length in every) / len(every)
        failed = sum(length for right, length in every if not right) / max(1, sum(not right for right, _ in every))
        passed = sum(length for right, length in every if right) / max(1, sum(right for right, _ in every))
        ratio = 1.0 if self.equal else FAILED
        return abs(rewarded - self.accuracy) + abs(all_right - expected) + abs(length / self.mean - 1) + abs(failed / max(1.0, passed) / ratio - 1)

    def _group(self, place: int, members: Sequence[tuple[bool, int]], ids: Sequence[int], end: int, draw: random.Random) -> Group:
        problem = Problem(id=f"p{place}", prompt=str(place), answer="7", source="bench")
        prompt = tuple(draw.choices(ids, k=self.prompt))
        return Group(
            problem=problem,
            members=tuple(
                self._member(problem, sample, prompt, right, (*draw.choices(ids, k=length - 1), end))
                for sample, (right, length) in enumerate(members)
            ),
        )

    def _member(self, problem: Problem, sample: int, prompt: tuple[int, ...], right: bool, response: tuple[int, ...]) -> ScoredRollout:
        rollout = Rollout(
            problem=problem,
            sample=sample,
            prompt_ids=prompt,
            response_ids=response,
            logprobs=(0.0,) * len(response),
            sampled=(True,) * len(response),
            policy_version=0,
            finish=Finish.STOP,
            text="",
        )
        return ScoredRollout(rollout=rollout, verdict=Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=None))
