"""A rollout engine that replays given answers: for exact tests, and for runs in which some answers must be known beforehand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vold.adapters.templates import Template
from vold.base.types import Finish, Problem, Rollout
from vold.ports import Place, Sampling, Weights

Script = Callable[[Problem, int], str]
"""What is answered to a problem, by sample index."""


@dataclass(slots=True, kw_only=True)
class ScriptedEngine:
    """Answers what `script` says, encoded by the model's own tokenizer; an answer longer than the cap is cut and ends with LENGTH.

    Nothing is sampled, so every log-probability is 0: an objective that corrects for the sampler must not be used with it.
    """

    template: Template
    script: Script
    version: int = field(default=0, init=False)

    def adopt(self, weights: Weights, *, version: int) -> None:
        """Take note of the version; a script does not depend on weights."""
        del weights
        self.version = version

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        del place
        return [self._rollout(problem, sample, sampling.max_new_tokens) for problem in problems for sample in range(per_problem)]

    def _rollout(self, problem: Problem, sample: int, cap: int) -> Rollout:
        text = self.script(problem, sample)
        whole = self.template.ids_of(text)
        ids = whole[:cap]
        return Rollout(
            problem=problem,
            sample=sample,
            prompt_ids=self.template.render(problem).ids,
            response_ids=ids,
            logprobs=(0.0,) * len(ids),
            sampled=(True,) * len(ids),
            policy_version=self.version,
            finish=Finish.STOP if len(whole) <= cap else Finish.LENGTH,
            text=text if len(whole) <= cap else str(self.template.of.tokenizer.decode(list(ids))),
        )
