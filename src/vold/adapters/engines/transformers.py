"""Generation in this process over a model of transformers: prompts read once a group, every draw seeded by its place."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessorList

from vold.adapters.engines.draws import Closer, PlacedSampling, still_thinking
from vold.adapters.models import LanguageModel
from vold.adapters.templates import Prompt, Template, shown_by
from vold.base.errors import DataError, ModelError, StaleEngine
from vold.base.seeds import seed_for
from vold.base.types import Finish, Problem, Rollout, unanswered
from vold.ports import Place, Sampling, Weights

Decoder = Literal["auto", "own", "generate"]
OWN_LOOP = "vold.adapters.engines.decoding"
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
    decoder: Decoder = "auto"
    """Who runs the model: our own loop, transformers' `generate`, or the first where it can run the model and otherwise the second."""
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
        prompts: dict[int, Prompt] = {}
        found: dict[int, list[Rollout]] = {}
        for i, problem in enumerate(problems):
            try:
                prompts[i] = self._fitting(problem)
            except DataError as error:  # one prompt in a thousand must not sink the others
                found[i] = [unanswered(problem, sample, str(error), policy_version=self.version) for sample in range(per_problem)]
        order = sorted(prompts, key=lambda i: (len(prompts[i].ids), i))
        together = len(order) if self._own_loop is not None else max(1, self.rows // per_problem)
        for start in range(0, len(order), max(1, together)):
            chosen = order[start : start + together]
            rows = self._answers([problems[i] for i in chosen], [prompts[i] for i in chosen], per_problem, sampling, place)
            for slot, i in enumerate(chosen):
                found[i] = rows[slot * per_problem : (slot + 1) * per_problem]
        return [rollout for i in range(len(problems)) for rollout in found[i]]

    def _fitting(self, problem: Problem) -> Prompt:
        """The prompt of a problem. Raises DataError where it cannot be put to the model."""
        prompt = self.template.render(problem)
        context = getattr(self.speaker.body.config, "max_position_embeddings", None)
        if context is not None and len(prompt.ids) >= context:
            raise DataError(f"the prompt of {problem.id} is {len(prompt.ids)} tokens, and the model's context is {context}, so no answer fits in it.")
        return prompt

    @property
    def _own_loop(self) -> ModuleType | None:
        """Our own decoding loop where it is wanted, is there, and can run this model."""
        if self.decoder == "generate":
            return None
        there = find_spec(OWN_LOOP) is not None
        loop = import_module(OWN_LOOP) if there else None
        if loop is not None and loop.serves(self.speaker):
            return loop
        if self.decoder == "auto":
            return None
        why = "keeps something else than keys and values of every token" if there else "would run in vold.adapters.engines.decoding, which is gone"
        raise ModelError(f'engine.decoder = "own", but the model in {self.speaker.folder} {why}. Set engine.decoder = "auto".')

    def _answers(self, problems: Sequence[Problem], prompts: Sequence[Prompt], copies: int, sampling: Sampling, place: Place) -> list[Rollout]:
        seeds = [seed_for(self.seed, *place, problem.id, sample) for problem in problems for sample in range(copies)]
        thinking = [self._thinking(prompt) for prompt in prompts for _ in range(copies)] if sampling.think_budget else []
        picker = PlacedSampling(seeds, sampling, self.banned_V, closer=self._closer(sampling, thinking))
        loop = self._own_loop
        if loop is None:
            ids, logprobs = self._generated(prompts, copies, sampling, picker)
        else:
            done = loop.decode(self.speaker, prompts, copies, picker, cap=sampling.max_new_tokens, slots=self.rows)
            ids, logprobs = done.ids, done.logprobs
        return [
            self._rollout(problem, prompt, sample, ids[row], logprobs[row], picker.inserted(row))
            for row, (problem, prompt, sample) in enumerate((q, p, s) for q, p in zip(problems, prompts, strict=True) for s in range(copies))
        ]

    def _generated(
        self, prompts: Sequence[Prompt], copies: int, sampling: Sampling, picker: PlacedSampling
    ) -> tuple[list[list[int]], list[list[float]]]:
        """All rows by transformers' own `generate`, until the longest ends; what follows an end token is its padding."""
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
        return out_BT[:, width:].tolist(), picker.logprobs()

    def _encoded(self, prompts: Sequence[Prompt], copies: int) -> dict[str, Any]:
        """Left-padded prompts; all but their last token is read once and its cache repeated for the copies of the group."""
        width = max(len(prompt.ids) for prompt in prompts)
        device = self.speaker.device
        ids_BT = torch.tensor([[self.speaker.pad_id] * (width - len(p.ids)) + list(p.ids) for p in prompts], device=device)
        mask_BT = torch.tensor([[0] * (width - len(p.ids)) + [1] * len(p.ids) for p in prompts], device=device)
        inputs: dict[str, Any] = {"input_ids": ids_BT.repeat_interleave(copies, 0), "attention_mask": mask_BT.repeat_interleave(copies, 0)}
        shown = shown_by(self.speaker, prompts, ids_BT)
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

    def _thinking(self, prompt: Prompt) -> bool:
        """Whether a prompt ends inside a <think> block: some templates open it for the model."""
        return still_thinking(str(self.speaker.tokenizer.decode(list(prompt.ids[-PROMPT_END:]), skip_special_tokens=False)))

    def _closer(self, sampling: Sampling, thinking: Sequence[bool]) -> Closer | None:
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
