"""A teacher that is a table: the probability of a token given the one before it. Exact, instant, and every number of it is known."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from vold.base.types import Rollout


@dataclass(slots=True, kw_only=True)
class TabularTeacher:
    """Scores by `logprobs_VV[before, token]`. Keeps the rollouts it was asked about in `asked`, for tests of who asks."""

    logprobs_VV: Float[Tensor, "V V"]
    asked: list[Rollout] = field(default_factory=list)

    def score(self, rollouts: Sequence[Rollout]) -> list[tuple[float, ...]]:
        self.asked += rollouts
        return [self._row(rollout) for rollout in rollouts]

    def _row(self, rollout: Rollout) -> tuple[float, ...]:
        before = (rollout.prompt_ids[-1], *rollout.response_ids[:-1])
        return tuple(float(self.logprobs_VV[i, j]) for i, j in zip(before, rollout.response_ids, strict=True))
