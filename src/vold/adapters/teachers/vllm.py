"""A teacher behind a vLLM server: it reads what the student wrote as a prompt of token ids, and says how likely each of them is.

What holds: the softmax runs over the ids that both models may say, at the student's temperature, as with the teacher in this process. The server's
worker does both before the softmax, so it has to run vold's worker extension, and a teacher on a server without it is refused; after each batch the
server is asked whether it still reads this way. The ids that the server repeats are compared with those it was sent. A missing, infinite or positive
log-probability is no log-probability: the request is sent again, and in the end the rollout has no view, never one of 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vold.adapters.served import UNSAID, Failed, Missed, Request, Server, completion, refuse_too_many
from vold.adapters.teachers.local import refuse_images
from vold.adapters.templates import Template
from vold.base.errors import StaleEngine
from vold.base.types import Rollout, View
from vold.core.objective import Want


@dataclass(slots=True, kw_only=True)
class VllmServerTeacher:
    """Scores rollouts. `banned_V` and `temperature` are the student's; `rows` is the length of the teacher's own table of ids: what the student has
    no row for is banned too."""

    server: Server
    template: Template
    banned_V: Tensor
    rows: int
    temperature: float = 1.0
    tolerated: float = 0.05
    """The share of a batch that may stay without a view; more ends the run."""
    name: str = field(init=False)
    reading: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.name = self.server.model()
        shared = min(self.rows, len(self.banned_V))
        banned = [*(int(i) for i in self.banned_V[:shared].nonzero().flatten()), *range(shared, self.rows)]
        self.reading = self.server.call("vold_read_as", banned, self.temperature)[0]["reading"]

    @property
    def gives(self) -> Want:
        return Want.SAMPLED

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View | None]:
        assert want is Want.SAMPLED, "refused at start-up: a server gives no hidden states"
        assert not top, "refused at start-up: a server gives the sampled tokens alone"
        found = self.server.all([self._request(rollout) for rollout in rollouts])
        missed = [one for one in found if isinstance(one, Missed)]
        refuse_too_many(missed, len(rollouts), url=self.server.url, tolerated=self.tolerated, setting="teacher.tolerated")
        if rollouts:
            self._refuse_other_reading()
        return [None if isinstance(one, Missed) else one for one in found]

    def _request(self, rollout: Rollout) -> Request[View]:
        refuse_images(rollout.problem)
        prompt = self.template.render(rollout.problem).ids
        sent = (*prompt, *rollout.response_ids)
        body = {
            "model": self.name,
            "prompt": list(sent),
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": 0,
            "prompt_logprobs": 0,
            "return_token_ids": True,
            "return_tokens_as_token_ids": True,
        }

        def read(reply: Any) -> View:
            logprobs = completion(reply, sent, prompt=True).prompt[len(prompt) - 1 :]
            if any(value <= UNSAID for value in logprobs):
                raise Failed("a token of the rollout that the teacher may not say", final=True)
            return View(logprobs=logprobs)

        return Request("/v1/completions", body, read)

    def _refuse_other_reading(self) -> None:
        for state in self.server.call("vold_state"):
            if state["reading"] != self.reading:
                raise StaleEngine(
                    f"the teacher at {self.server.url} reads as {state['reading']}, and was told to read as {self.reading}: it was restarted, or "
                    "another run uses it. What it said was not used. Give each run a teacher server of its own, and run again."
                )
