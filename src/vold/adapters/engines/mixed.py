"""Two engines in the place of one: a script answers some problems, the model the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vold.base.types import Problem, Rollout
from vold.ports import Place, RolloutEngine, Sampling, Weights


@dataclass(slots=True, kw_only=True)
class MixedEngine:
    """`takes` says, by a problem's place among those asked and by where in the run they are asked, whether the script answers it."""

    model: RolloutEngine
    script: RolloutEngine
    takes: Callable[[int, Place], bool]

    def adopt(self, weights: Weights, *, version: int) -> None:
        self.model.adopt(weights, version=version)
        self.script.adopt(weights, version=version)

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        by_script = [self.takes(number, place) for number in range(len(problems))]
        found: dict[bool, list[Rollout]] = {}
        for scripted, engine in ((False, self.model), (True, self.script)):
            own = [problem for problem, is_scripted in zip(problems, by_script, strict=True) if is_scripted is scripted]
            found[scripted] = engine.sample(own, per_problem=per_problem, sampling=sampling, place=place) if own else []
        out: list[Rollout] = []
        for is_scripted in by_script:
            out += found[is_scripted][:per_problem]
            del found[is_scripted][:per_problem]
        return out
