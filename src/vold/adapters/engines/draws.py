"""The next token of each row from one uniform number of that row's own, whoever runs the model: draws depend on their place, never on neighbours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from vold.base.errors import Diverged
from vold.ports import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Closer:
    """Puts `ids` into an answer that is still thinking after so many tokens."""

    after: int
    ids: tuple[int, ...]
    ends: frozenset[int]
    words: Callable[[list[int]], str]
    thinking: tuple[bool, ...]
    """By row, whether its prompt opened the block already."""

    def wanted(self, row: int, said: list[int]) -> bool:
        """Whether a row has not ended and is inside a <think> block. An answer that never opened one is left alone."""
        return not self.ends & set(said) and still_thinking(("<think>" if self.thinking[row] else "") + self.words(said))


def still_thinking(text: str) -> bool:
    """Whether the last <think> of a text is not closed."""
    return text.rfind("<think>") > text.rfind("</think>")


class PlacedSampling(LogitsProcessor):
    """Picks the next token of each row from one uniform number of that row's own.

    The draw depends on the row's seed and the position, not on what else is in the batch. Its log-probability is that under the distribution it
    was picked from: temperature, cuts and bans included. `generate` calls it as a logits processor, which leaves only the picked token standing
    and keeps log-probabilities; another loop calls `pick`.
    """

    def __init__(self, seeds: Sequence[int], sampling: Sampling, banned_V: Tensor, closer: Closer | None = None) -> None:
        self.greedy = sampling.greedy
        self.banned_V = banned_V
        self.warpers = LogitsProcessorList()
        if not self.greedy and sampling.temperature != 1.0:
            self.warpers.append(TemperatureLogitsWarper(sampling.temperature))
        if not self.greedy and sampling.top_k:
            self.warpers.append(TopKLogitsWarper(sampling.top_k))
        if not self.greedy and sampling.top_p < 1.0:
            self.warpers.append(TopPLogitsWarper(sampling.top_p))
        draws = [torch.rand(sampling.max_new_tokens, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) for seed in seeds]
        self.uniform_BT = torch.stack(draws)
        self.picked: list[Tensor] = []
        self.closer = closer
        self.closed: frozenset[int] = frozenset()
        """Rows into which the end of thinking is put."""
        self.broken: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        rows, place = range(len(scores)), len(self.picked)
        said = input_ids[:, -place:].tolist() if self.closer is not None and place == self.closer.after else []
        rows_B, places_B = torch.arange(len(scores), device=scores.device), torch.full((len(scores),), place, device=scores.device)
        put_in = self.put_in(rows, [place] * len(rows), lambda row: said[row])
        chosen_B, picked_B = self.pick(scores, rows_B, places_B, put_in)
        self.refuse_broken()
        self.picked.append(picked_B)
        return torch.full_like(scores, float("-inf")).scatter(1, chosen_B[:, None], 0.0)

    def pick(self, scores_BV: Tensor, rows_B: Tensor, places_B: Tensor, put_in: dict[int, int]) -> tuple[Tensor, Tensor]:
        """The next token of these rows at these places of their answers, and its log-probability. `put_in` are tokens given beforehand, by the
        place of their row in `rows_B`."""
        allowed_BV = scores_BV.float().masked_fill(self.banned_V.to(scores_BV.device), float("-inf"))
        warped_BV = self.warpers(cast("torch.LongTensor", rows_B[:, None]), cast("torch.FloatTensor", allowed_BV))
        logprobs_BV = warped_BV.log_softmax(-1)
        chosen_B = warped_BV.argmax(-1) if self.greedy else self._drawn(logprobs_BV, rows_B, places_B)
        where = sorted(put_in)
        if where:
            chosen_B[where] = torch.tensor([put_in[row] for row in where], dtype=chosen_B.dtype, device=chosen_B.device)
        picked_B = logprobs_BV.gather(1, chosen_B[:, None]).squeeze(1)
        bad = torch.isnan(logprobs_BV[:, 0]).any()  # one that is not a number makes its whole row so
        self.broken = bad if self.broken is None else self.broken | bad
        for row in where:  # what a cut would leave out still has a log-probability under the model
            picked_B[row] = allowed_BV[row].log_softmax(-1)[put_in[row]]
        return chosen_B, picked_B

    def _drawn(self, logprobs_BV: Tensor, rows_B: Tensor, places_B: Tensor) -> Tensor:
        """The inverse of the cumulative distribution at this row's number; a token of probability 0 can never be hit."""
        total_BV = logprobs_BV.double().exp().cumsum(-1)
        self.uniform_BT = self.uniform_BT.to(total_BV.device)
        uniform_B1 = self.uniform_BT[rows_B, places_B][:, None]
        chosen_B = torch.searchsorted(total_BV, uniform_B1 * total_BV[:, -1:], right=True).squeeze(1)
        return chosen_B.clamp(max=logprobs_BV.shape[1] - 1)  # only where logits are not numbers, which `refuse_broken` will say

    def put_in(self, rows: Sequence[int], places: Sequence[int], said: Callable[[int], list[int]]) -> dict[int, int]:
        """For these rows at these places of their answers, by their place in `rows`: the token of the end of thinking that goes here instead of
        the one that would be picked. `said` gives the tokens of a row's answer so far, by its place in `rows`."""
        closer = self.closer
        if closer is None:
            return {}
        reached = [at for at, place in enumerate(places) if place == closer.after]
        self.closed |= {rows[at] for at in reached if closer.wanted(rows[at], said(at))}
        return {
            at: closer.ids[place - closer.after]
            for at, (row, place) in enumerate(zip(rows, places, strict=True))
            if 0 <= place - closer.after < len(closer.ids) and row in self.closed
        }

    def refuse_broken(self) -> None:
        """Raise Diverged where a logit was not a number since this was asked last."""
        if self.broken is not None and bool(self.broken):
            raise Diverged("the model's logits are not numbers. Look at the last updates' gradient norms; float64 needs attention = \"sdpa\".")
        self.broken = None

    def inserted(self, row: int) -> range:
        """The places of a row's answer that were put in rather than sampled."""
        return range(self.closer.after, self.closer.after + len(self.closer.ids)) if self.closer is not None and row in self.closed else range(0)

    def logprobs(self) -> list[list[float]]:
        """One list a row, one entry a position: what was kept while `generate` called."""
        return torch.stack(self.picked, 1).tolist()
