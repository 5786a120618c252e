"""Generation by transformers: prompts encoded once a group, rows sorted by length, every draw seeded by its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.generation.logits_process import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from vold.adapters.models import LanguageModel
from vold.adapters.templates import Prompt, Template
from vold.base.errors import Diverged, StaleEngine
from vold.base.seeds import seed_for
from vold.base.types import Finish, Problem, Rollout
from vold.ports import Place, Sampling, Weights

PROMPT_END = 16
"""How many tokens at the end of a prompt are looked at for a <think> block that it opens."""


@dataclass(slots=True, kw_only=True)
class TransformersEngine:
    """A rollout engine over a model in this process. `banned_V` marks ids that can never be sampled."""

    speaker: LanguageModel
    template: Template
    banned_V: Tensor
    seed: int
    rows: int = 256
    """How many rollouts are generated side by side."""
    version: int = field(default=0, init=False)

    def adopt(self, weights: Weights, *, version: int) -> None:
        """Take note of new weights; they must be the tensors this engine already reads."""
        own = dict(self.speaker.model.named_parameters())
        strange = [name for name, tensor in weights.items() if name not in own or own[name].data_ptr() != tensor.data_ptr()]
        if strange:
            raise StaleEngine(
                f"{len(strange)} weights given to the engine are not the ones it samples from, the first is {strange[0]}. "
                "Build the engine over the learner's own model, or use an engine that copies weights."
            )
        self.version = version

    @torch.no_grad()
    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        prompts = [self.template.render(problem) for problem in problems]
        order = sorted(range(len(problems)), key=lambda i: (len(prompts[i].ids), i))
        together = max(1, self.rows // per_problem)
        found: dict[int, list[Rollout]] = {}
        for start in range(0, len(order), together):
            chosen = order[start : start + together]
            rows = self._generate([problems[i] for i in chosen], [prompts[i] for i in chosen], per_problem, sampling, place)
            for slot, i in enumerate(chosen):
                found[i] = rows[slot * per_problem : (slot + 1) * per_problem]
        return [rollout for i in range(len(problems)) for rollout in found[i]]

    def _generate(self, problems: Sequence[Problem], prompts: Sequence[Prompt], copies: int, sampling: Sampling, place: Place) -> list[Rollout]:
        seeds = [seed_for(self.seed, *place, problem.id, sample) for problem in problems for sample in range(copies)]
        thinking = [self._thinking(prompt) for prompt in prompts for _ in range(copies)] if sampling.think_budget else []
        picker = PlacedSampling(seeds, sampling, self.banned_V, closer=self._closer(sampling, thinking))
        inputs = self._encoded(prompts, copies)
        width = inputs["input_ids"].shape[1]
        config = GenerationConfig(
            max_new_tokens=sampling.max_new_tokens, do_sample=False, pad_token_id=self.speaker.pad_id, eos_token_id=list(self.speaker.end_ids)
        )
        own, self.speaker.model.generation_config = self.speaker.model.generation_config, config
        try:  # generate() fills gaps from the checkpoint's own settings: a repetition penalty there would bend what is sampled
            out_BT = self.speaker.model.generate(**inputs, generation_config=config, logits_processor=LogitsProcessorList([picker]))
        finally:
            self.speaker.model.generation_config = own
        ids, logprobs = out_BT[:, width:].tolist(), picker.logprobs()
        return [
            self._rollout(problem, prompt, sample, ids[row], logprobs[row], picker.inserted(row))
            for row, (problem, prompt, sample) in enumerate((q, p, s) for q, p in zip(problems, prompts, strict=True) for s in range(copies))
        ]

    def _encoded(self, prompts: Sequence[Prompt], copies: int) -> dict[str, Any]:
        """Left-padded prompts; all but their last token is read once and its cache repeated for the copies of the group."""
        width = max(len(prompt.ids) for prompt in prompts)
        device = self.speaker.device
        ids_BT = torch.tensor([[self.speaker.pad_id] * (width - len(p.ids)) + list(p.ids) for p in prompts], device=device)
        mask_BT = torch.tensor([[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in prompts], device=device)
        inputs: dict[str, Any] = {"input_ids": ids_BT.repeat_interleave(copies, 0), "attention_mask": mask_BT.repeat_interleave(copies, 0)}
        shown = self._shown(prompts, ids_BT)
        if self.speaker.tower is not None:
            self.speaker.model.model.rope_deltas = None  # the last call's picture offsets must not reach this one
        if copies == 1:
            return inputs | shown
        if not shown:
            positions_BT = (mask_BT.cumsum(-1) - 1).clamp(min=0)[:, :-1]
            cache = self.speaker.body(
                input_ids=ids_BT[:, :-1],
                attention_mask=mask_BT[:, :-1],
                position_ids=positions_BT if self.speaker.tower is None else positions_BT.expand(3, *positions_BT.shape),
                use_cache=True,
            ).past_key_values
            cache.batch_repeat_interleave(copies)
            if self.speaker.tower is not None:
                self.speaker.model.model.rope_deltas = torch.zeros(len(prompts) * copies, 1, dtype=torch.long, device=device)
            return inputs | {"past_key_values": cache}
        cut = {key: value[:, :-1] if key == "mm_token_type_ids" else value for key, value in shown.items()}
        cache = self.speaker.model.model(input_ids=ids_BT[:, :-1], attention_mask=mask_BT[:, :-1], use_cache=True, **cut).past_key_values
        cache.batch_repeat_interleave(copies)
        self.speaker.model.model.rope_deltas = self.speaker.model.model.rope_deltas.repeat_interleave(copies, 0)
        return inputs | {"past_key_values": cache}

    def _shown(self, prompts: Sequence[Prompt], ids_BT: Tensor) -> dict[str, Tensor]:
        """The pictures of the prompts, and which of their tokens stand for pictures: without the latter positions come out as plain text."""
        patches = [p.patches for p in prompts if p.patches is not None]
        if not patches:
            return {}
        grids = [p.grids for p in prompts if p.grids is not None]
        return {
            "pixel_values": torch.cat(patches).to(self.speaker.device),
            "image_grid_thw": torch.cat(grids).to(self.speaker.device),
            "mm_token_type_ids": (ids_BT == self.speaker.model.config.image_token_id).int(),
        }

    def _thinking(self, prompt: Prompt) -> bool:
        """Whether a prompt ends inside a <think> block: some templates open it for the model."""
        return still_thinking(str(self.speaker.tokenizer.decode(list(prompt.ids[-PROMPT_END:]), skip_special_tokens=False)))

    def _closer(self, sampling: Sampling, thinking: Sequence[bool]) -> "Closer | None":
        if not sampling.think_budget:
            return None
        tokenizer = self.speaker.tokenizer
        return Closer(
            after=sampling.think_budget,
            ids=tuple(tokenizer(sampling.closing, add_special_tokens=False).input_ids),
            ends=frozenset(self.speaker.end_ids),
            words=lambda ids: str(tokenizer.decode(ids, skip_special_tokens=False)),
            thinking=tuple(thinking),
        )

    def _rollout(self, problem: Problem, prompt: Prompt, sample: int, ids: list[int], logprobs: list[float], inserted: range) -> Rollout:
        ends = [t for t, i in enumerate(ids) if i in self.speaker.end_ids]
        length = ends[0] + 1 if ends else len(ids)
        kept = tuple(ids[:length])
        spoken = kept[:-1] if ends else kept
        return Rollout(
            problem=problem,
            sample=sample,
            prompt_ids=prompt.ids,
            response_ids=kept,
            logprobs=tuple(logprobs[:length]),
            sampled=tuple(t not in inserted for t in range(length)),
            policy_version=self.version,
            finish=Finish.STOP if ends else Finish.LENGTH,
            text=str(self.speaker.tokenizer.decode(list(spoken), skip_special_tokens=False)),
        )


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
    """Picks the next token of each row from one uniform number of that row's own, and leaves only it standing.

    The draw depends on the row's seed and the position, not on what else is in the batch. Records the log-probability under the
    distribution it picked from: temperature, cuts and bans included.
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

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        allowed_BV = scores.float().masked_fill(self.banned_V.to(scores.device), float("-inf"))
        scores_BV = self.warpers(cast("torch.LongTensor", input_ids), cast("torch.FloatTensor", allowed_BV))
        logprobs_BV = scores_BV.log_softmax(-1)
        if torch.isnan(logprobs_BV).any():
            raise Diverged("the model's logits are not numbers. Look at the last updates' gradient norms; float64 needs attention = \"sdpa\".")
        chosen_B = scores_BV.argmax(-1) if self.greedy else self._drawn(logprobs_BV)
        put_in = self._put_in(input_ids)
        chosen_B[sorted(put_in)] = torch.tensor([put_in[row] for row in sorted(put_in)], dtype=chosen_B.dtype, device=chosen_B.device)
        picked_B = logprobs_BV.gather(1, chosen_B[:, None]).squeeze(1)
        for row, token in put_in.items():  # what a cut would leave out still has a log-probability under the model
            picked_B[row] = allowed_BV[row].log_softmax(-1)[token]
        self.picked.append(picked_B)
        return torch.full_like(scores, float("-inf")).scatter(1, chosen_B[:, None], 0.0)

    def _drawn(self, logprobs_BV: Tensor) -> Tensor:
        """The inverse of the cumulative distribution at this row's number; a token of probability 0 can never be hit."""
        total_BV = logprobs_BV.double().exp().cumsum(-1)
        uniform_B1 = self.uniform_BT[:, len(self.picked), None].to(total_BV.device)
        return torch.searchsorted(total_BV, uniform_B1 * total_BV[:, -1:], right=True).squeeze(1)

    def _put_in(self, input_ids: Tensor) -> dict[int, int]:
        """By row, the token of the end of thinking that goes here instead of the one that was picked."""
        place = -1 if self.closer is None else len(self.picked) - self.closer.after
        if self.closer is None or not 0 <= place < len(self.closer.ids):
            return {}
        if place == 0:
            said = input_ids[:, -self.closer.after :].tolist()
            self.closed = frozenset(row for row, ids in enumerate(said) if self.closer.wanted(row, ids))
        return dict.fromkeys(sorted(self.closed), self.closer.ids[place])

    def inserted(self, row: int) -> range:
        """The places of a row's answer that were put in rather than sampled."""
        return range(self.closer.after, self.closer.after + len(self.closer.ids)) if self.closer is not None and row in self.closed else range(0)

    def logprobs(self) -> list[list[float]]:
        """One list a row, one entry a position."""
        return torch.stack(self.picked, 1).tolist()
