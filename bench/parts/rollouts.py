"""The same answers to the same prompts, sampled by our engine, by plain `generate`, by continuous batching, and by vLLM where it is installed."""

import inspect
import math
import random
import tempfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from transformers import ContinuousBatchingConfig, GenerationConfig, LogitsProcessor, LogitsProcessorList

from parts.steps import now
from parts.worlds import END, Size
from vold.adapters.engines import draws
from vold.adapters.engines import transformers as engines
from vold.adapters.models import LanguageModel
from vold.adapters.templates import Template
from vold.adapters.tiny_models import architectures
from vold.adapters.vocabulary import banned_ids
from vold.base.seeds import seed_for
from vold.base.types import Problem
from vold.ports import Sampling

CV = 0.75
PLACE = ("bench",)


@dataclass(frozen=True, kw_only=True)
class Case:
    size: Size
    prompts: int
    copies: int
    mean: int
    cap: int
    prompt: int
    passes: int

    @property
    def rows(self) -> int:
        return self.prompts * self.copies

    @property
    def name(self) -> str:
        return f"{self.size.name}, {self.prompts} prompts × {self.copies}, lengths about {self.mean}, cap {self.cap}"


def lengths_of(case: Case) -> list[list[int]]:
    """By problem and sample: log-normal, their mean before the cap as asked."""
    draw = random.Random(0)
    spread = math.sqrt(math.log(1 + CV**2))
    return [
        [min(case.cap, max(2, round(draw.lognormvariate(math.log(case.mean) - spread**2 / 2, spread)))) for _ in range(case.copies)]
        for _ in range(case.prompts)
    ]


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one turn took: seconds, tokens of answers, and positions pushed through the layers for them."""

    seconds: float
    tokens: int
    pushed: int


@dataclass(frozen=True, kw_only=True)
class Bench:
    case: Case
    speaker: LanguageModel
    problems: Sequence[Problem]
    lengths: Sequence[Sequence[int]]

    @property
    def device(self) -> torch.device:
        return self.speaker.device

    @property
    def tokens(self) -> int:
        return sum(map(sum, self.lengths))

    # -- ours -----------------------------------------------------------------------------------------------------------------------

    def ours(self, decoder: str) -> Found:
        engine = engines.TransformersEngine(
            speaker=self.speaker,
            template=Template(of=self.speaker),
            banned_V=banned_ids(self.speaker),
            seed=0,
            rows=self.case.rows,
            decoder=decoder,  # type: ignore[arg-type]
        )
        length_of = {
            seed_for(0, *PLACE, problem.id, sample): length
            for problem, own in zip(self.problems, self.lengths, strict=True)
            for sample, length in enumerate(own)
        }
        with forced(length_of) as pushed:
            start = now(self.device)
            rollouts = engine.sample(self.problems, per_problem=self.case.copies, sampling=Sampling(max_new_tokens=self.case.cap), place=PLACE)
            seconds = now(self.device) - start
        assert [len(rollout.response_ids) for rollout in rollouts] == [length for own in self.lengths for length in own]
        return Found(seconds=seconds, tokens=self.tokens, pushed=sum(pushed) or self._until_the_longest)

    @property
    def _asked(self) -> list[tuple[list[int], int]]:
        """The prompt's ids of every row, and how long its answer is."""
        template = Template(of=self.speaker)
        return [(list(template.ids(problem)), length) for problem, own in zip(self.problems, self.lengths, strict=True) for length in own]

    @property
    def _until_the_longest(self) -> int:
        return self.case.rows * max(map(max, self.lengths))

    # -- peers ----------------------------------------------------------------------------------------------------------------------

    def generate(self, **settings: Any) -> Found:
        """One batch of everything, padded on the left, as the documentation of transformers has it."""
        template = Template(of=self.speaker)
        prompts = [template.ids(problem) for problem in self.problems]
        width = max(map(len, prompts))
        ids_BT = torch.tensor([[self.speaker.pad_id] * (width - len(ids)) + list(ids) for ids in prompts], device=self.device)
        mask_BT = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts], device=self.device)
        stop = Stop([length for own in self.lengths for length in own], width, banned_ids(self.speaker).to(self.device))
        config = GenerationConfig(
            max_new_tokens=self.case.cap,
            do_sample=True,
            top_k=0,
            num_return_sequences=self.case.copies,
            eos_token_id=END,
            pad_token_id=self.speaker.pad_id,
            **settings,
        )
        if self.speaker.tower is not None:
            self.speaker.model.model.rope_deltas = None
        start = now(self.device)
        out_BT = self.speaker.model.generate(
            input_ids=ids_BT, attention_mask=mask_BT, generation_config=config, logits_processor=LogitsProcessorList([stop])
        )
        answers = out_BT[:, width:].tolist()
        seconds = now(self.device) - start
        assert sum(ids.index(END) + 1 for ids in answers) == self.tokens
        return Found(seconds=seconds, tokens=self.tokens, pushed=self._until_the_longest)

    def continuous(self) -> Found:
        """Its manager is running before the clock starts. Each request has its own cap, and no end token ends it earlier."""
        asked = self._asked
        page = 32 if self.device.type == "cpu" else 256
        blocks = sum((len(ids) + length) // page + 2 for ids, length in asked)
        budget = max(512, 2 * self.case.rows)
        known = inspect.signature(ContinuousBatchingConfig).parameters
        sized = {"page_size" if "page_size" in known else "block_size": page}  # its older name
        settings = ContinuousBatchingConfig(num_blocks=blocks, max_batch_tokens=budget, **sized)
        config = GenerationConfig(max_new_tokens=self.case.cap, do_sample=True, top_k=0, eos_token_id=-1, pad_token_id=self.speaker.pad_id)
        manager_of = self.speaker.model.continuous_batching_context_manager
        known = inspect.signature(manager_of).parameters
        more = {name: value for name, value in {"block": True, "timeout": 5}.items() if name in known}
        with manager_of(generation_config=config, continuous_batching_config=settings, **more) as manager:
            start = now(self.device)
            for ids, length in asked:
                manager.add_request(ids, max_new_tokens=length)
            found = 0
            tokens = 0
            while found < len(asked):
                result = manager.get_result(timeout=60)
                assert result is not None, "continuous batching stopped answering"
                if result.is_finished():
                    found += 1
                    tokens += len(result.generated_tokens)
            seconds = now(self.device) - start
        assert tokens == self.tokens, (tokens, self.tokens)
        return Found(seconds=seconds, tokens=tokens, pushed=tokens)

    def vllm(self) -> Found:
        """For information: its model is loaded before the clock starts, and its weights would have to be brought to it after every update."""
        import vllm  # not a dependency

        with tempfile.TemporaryDirectory() as folder:
            self.speaker.model.save_pretrained(folder)
            self.speaker.tokenizer.save_pretrained(folder)
            if self.speaker.tower is not None:
                architectures.image_processor().save_pretrained(folder)
            dtype = str(self.speaker.head.dtype).removeprefix("torch.")
            model = vllm.LLM(model=folder, dtype=dtype, max_model_len=4 * self.case.prompt + self.case.cap, enforce_eager=self.device.type == "cpu")
        asked = self._asked
        prompts = [{"prompt_token_ids": ids} for ids, _ in asked]
        settings = [vllm.SamplingParams(max_tokens=length, ignore_eos=True, temperature=1.0, logprobs=0) for _, length in asked]
        start = now(self.device)
        found = model.generate(prompts, settings, use_tqdm=False)
        seconds = now(self.device) - start
        tokens = sum(len(one.outputs[0].token_ids) for one in found)
        assert tokens == self.tokens, (tokens, self.tokens)
        return Found(seconds=seconds, tokens=tokens, pushed=tokens)


class Stop(LogitsProcessor):
    """Bans the end token until a row's length, then everything else; and what may never be said."""

    def __init__(self, lengths: Sequence[int], width: int, banned_V: Tensor) -> None:
        self.lengths_B = torch.tensor(lengths, device=banned_V.device)
        self.width, self.banned_V = width, banned_V

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        last_B = input_ids.shape[1] - self.width + 1 >= self.lengths_B
        ends_V = torch.zeros_like(self.banned_V)
        ends_V[END] = True
        return scores.masked_fill(torch.where(last_B[:, None], ~ends_V, self.banned_V | ends_V), float("-inf"))


@contextmanager
def forced(length_of: dict[int, int]) -> Any:
    """Our engine under the same rule. Gives a list to which the own loop adds how many positions it pushed."""
    pushed: list[int] = []
    loop = engines.OWN_LOOP

    class Forced(draws.PlacedSampling):
        def __init__(self, seeds: Sequence[int], sampling: Sampling, banned_V: Tensor, closer: Any = None) -> None:
            without_end = banned_V.clone()
            without_end[END] = True
            super().__init__(seeds, sampling, without_end, closer)
            self.last = torch.tensor([length_of[seed] for seed in seeds]) - 1

        def pick(self, scores_BV: Tensor, rows_B: Tensor, places_B: Tensor, put_in: dict[int, int]) -> tuple[Tensor, Tensor]:
            chosen_B, picked_B = super().pick(scores_BV, rows_B, places_B, put_in)
            self.last = self.last.to(chosen_B.device)
            return torch.where(places_B == self.last[rows_B], END, chosen_B), picked_B

    own, engines.PlacedSampling = engines.PlacedSampling, Forced  # type: ignore[misc]
    module = engines.import_module(loop) if find_spec(loop) else None
    plain = module.decode if module else None

    def counted(*given: Any, **named: Any) -> Any:
        assert plain is not None
        done = plain(*given, **named)
        pushed.append(done.pushed + len(done.ids))
        return done

    if module:
        module.decode = counted  # type: ignore[attr-defined]
    try:
        yield pushed
    finally:
        engines.PlacedSampling = own  # type: ignore[misc]
        if module:
            module.decode = plain  # type: ignore[attr-defined]
