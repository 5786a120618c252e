"""A text-only teacher in this process: it reads what the student wrote, under its own template, and says how likely each token is."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vold.adapters.models import LanguageModel
from vold.adapters.teachers.waiting import WaitingWeights
from vold.adapters.templates import Template
from vold.base.errors import DataError
from vold.base.types import Likeliest, Problem, Rollout, View
from vold.core.batching import batch_of, row_of
from vold.core.head import top_logprobs
from vold.core.objective import Want
from vold.core.packing import pack


@dataclass(slots=True, kw_only=True)
class LocalTeacher:
    """Scores rollouts. `banned_V` is the student's: both softmaxes run over the same ids. `temperature` is the student's too.

    With `template` None it reads the rollout's own prompt ids: the reference, which is the student as it was.
    """

    reader: LanguageModel
    template: Template | None
    banned_V: Tensor
    temperature: float = 1.0
    token_budget: int = 16_384
    shared_prompts: bool = False
    """Whether the rollouts of one problem read their prompt once, where they lie in one pack."""
    offload: bool = False
    """Whether its weights, and the tensors it answers with, wait in host memory between uses. On a CPU that is where they are."""
    waiting: WaitingWeights | None = field(init=False)

    def __post_init__(self) -> None:
        self.waiting = WaitingWeights(self.reader.model) if self.offload and self.reader.device.type != "cpu" else None

    @property
    def gives(self) -> Want:
        return Want.HIDDEN

    @torch.no_grad()
    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View]:
        with self.awake():
            return self._score(rollouts, want, top)

    def awake(self) -> AbstractContextManager[None]:
        """Its weights are on its device inside the block."""
        return self.waiting.here() if self.waiting is not None else nullcontext()

    def _score(self, rollouts: Sequence[Rollout], want: Want, top: int) -> list[View]:
        rows = [replace(row_of(rollout), prompt_ids=self.prompt(rollout)) for rollout in rollouts]
        place_of = {id(row): place for place, row in enumerate(rows)}
        banned_V = fitted(self.banned_V, self.reader.head)
        found: dict[int, View] = {}
        for chosen in pack(rows, self.token_budget, quadratic=self.reader.quadratic, shared=self.shared_prompts):
            batch = batch_of(chosen, shared=self.shared_prompts, device=self.reader.device)
            hidden_NH = self.reader.packed(batch.ids_T, batch.spans, batch.images, batch.behind)[batch.before_N]
            said = top_logprobs(hidden_NH, self.reader.head, batch.targets_N, top, banned_V=banned_V, temperature=self.temperature)
            logprobs = said.logprobs_N.tolist()
            start = 0
            for row, length in zip(chosen, batch.lengths, strict=True):
                of_row = slice(start, start + length)
                found[place_of[id(row)]] = View(
                    logprobs=tuple(logprobs[of_row]),
                    hidden=self._kept(hidden_NH[of_row]) if want is Want.HIDDEN else None,
                    likeliest=Likeliest(ids=self._kept(said.ids_Nk[of_row]), logprobs=self._kept(said.top_Nk[of_row])) if top else None,
                )
                start += length
        return [found[place] for place in range(len(rows))]

    def _kept(self, of_row: Tensor) -> Tensor:
        return of_row.clone() if self.waiting is None else of_row.cpu()

    def prompt(self, rollout: Rollout) -> tuple[int, ...]:
        """What it reads before the response."""
        if self.template is None:
            return rollout.prompt_ids
        if self.reader.tower is None:
            refuse_images(rollout.problem)
        return self.template.render(rollout.problem).ids


def refuse_images(problem: Problem) -> None:
    if problem.images:
        raise DataError(f"a text-only teacher was asked to score problem {problem.id}, which shows an image. Use text problems for its objective.")


def fitted(banned_V: Tensor, head_VH: Tensor) -> Tensor:
    """The mask for a head with more or fewer padded rows: a row the student does not have is banned."""
    shared = min(len(banned_V), len(head_VH))
    fitted_V = torch.ones(len(head_VH), dtype=torch.bool, device=head_VH.device)
    fitted_V[:shared] = banned_V[:shared].to(head_VH.device)
    return fitted_V
