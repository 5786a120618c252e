"""A vLLM server as the sampler of a `ServedEngine`: ids in and out over /v1/completions, weights by a file that both can read.

The server runs on its own (`docs/engines.md` has the command) and is one run's alone: weights pushed by another one are noticed after the next batch.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from vold.adapters.engines.served import Ask, Said
from vold.adapters.engines.vllm import refuse_stale, refuse_unloaded, written
from vold.adapters.served import Missed, Request, Server, completion, refuse_too_many
from vold.base.types import Problem, Rollout
from vold.ports import Place, RolloutEngine, Sampling, Weights


@dataclass(slots=True, kw_only=True)
class VllmServerSampler:
    """Samples through `server`. What it could not be given within its deadline and tries is missed and counted; more than the share `tolerated` of a
    batch ends the run, which goes on where it was once the server is back."""

    server: Server
    banned_V: Tensor
    exchange: Path | None = None
    """A folder that the server can read too, for weights on their way (None: the system's temporary one)."""
    tolerated: float = 0.05
    name: str = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.server.model()
        self.server.call("vold_read_as", [int(i) for i in self.banned_V.nonzero().flatten()], 1.0)

    def say(self, asks: Sequence[Ask], sampling: Sampling, ends: Sequence[int]) -> list[Said | Missed]:
        found = self.server.all([self._request(ask, sampling, ends) for ask in asks])
        missed = [one for one in found if isinstance(one, Missed)]
        refuse_too_many(missed, len(asks), url=self.server.url, tolerated=self.tolerated, setting="engine.tolerated")
        return found

    def push(self, weights: Weights, *, version: int) -> None:
        if self.exchange is not None:
            self.exchange.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="vold-weights-", dir=self.exchange) as folder:
            path = written(weights, Path(folder).resolve(), version)
            found = self.server.call("vold_load_file", str(path), version)
        refuse_unloaded(found, weights, version)
        self.server.post("/reset_prefix_cache")

    def refuse_other(self, version: int) -> None:
        refuse_stale(self.server.call("vold_state"), version)

    def wake(self) -> None:
        """A server keeps its memory."""

    def rest(self) -> None:
        """A server keeps its memory."""

    def _request(self, ask: Ask, sampling: Sampling, ends: Sequence[int]) -> Request[Said]:
        assert not ask.images, "prompts with pictures are answered in this process"
        body = {
            "model": self.name,
            "prompt": list(ask.ids),
            "n": 1,
            "seed": ask.seed,
            "max_tokens": ask.cap,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "stop_token_ids": list(ends),
            "ignore_eos": True,
            "logprobs": 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
            **({"prompt_logprobs": 0} if ask.read else {}),
        }

        def read(reply: Any) -> Said:
            found = completion(reply, ask.ids, prompt=ask.read)
            return Said(ids=found.ids, logprobs=found.logprobs, ended=found.ended, read=found.prompt)

        return Request("/v1/completions", body, read)


@dataclass(slots=True, kw_only=True)
class WithPictures:
    """Text is answered by one engine, prompts that show pictures by another: /v1/completions takes no pictures."""

    text: RolloutEngine
    pictures: RolloutEngine

    def adopt(self, weights: Weights, *, version: int) -> None:
        self.pictures.adopt(weights, version=version)
        self.text.adopt(weights, version=version)

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        found: dict[bool, list[Rollout]] = {}
        for shown, engine in ((False, self.text), (True, self.pictures)):
            own = [problem for problem in problems if bool(problem.images) is shown]
            found[shown] = engine.sample(own, per_problem=per_problem, sampling=sampling, place=place) if own else []
        left = {shown: iter(rollouts) for shown, rollouts in found.items()}
        return [next(left[bool(problem.images)]) for problem in problems for _ in range(per_problem)]
