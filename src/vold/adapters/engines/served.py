"""An engine whose sampler is another program's: what vLLM in this process and a vLLM server have in common.

Weights are pushed, never shared, and after each push a few answers are drawn and read again by the trainer's own model: where the two disagree, the
run stops with the size of the gap. Log-probabilities are those of the distribution sampled from, temperature and bans included.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor
from transformers.core_model_loading import revert_weight_conversion

from vold.adapters.engines.draws import still_thinking
from vold.adapters.engines.transformers import PROMPT_END
from vold.adapters.models import LanguageModel
from vold.adapters.served import Missed
from vold.adapters.templates import Prompt, Template
from vold.base.errors import StaleEngine
from vold.base.seeds import seed_for
from vold.base.types import Finish, Problem, Rollout, unanswered
from vold.ports import Place, Sampling, TeacherScorer, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One answer to be generated behind `ids`, of at most `cap` tokens."""

    ids: tuple[int, ...]
    cap: int
    seed: int
    images: tuple[bytes, ...] = ()
    bare_ids: tuple[int, ...] = ()
    """The same ids with one placeholder an image, where there are images."""
    read: bool = False
    """Whether the log-probabilities of `ids` are wanted too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came back. `ids` holds the end token where the answer ended by itself; `read` has one entry an id of the prompt from the second on."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    ended: bool
    read: tuple[float, ...] = ()


class Sampler(Protocol):
    """The other program."""

    def say(self, asks: Sequence[Ask], sampling: Sampling, ends: Sequence[int]) -> Sequence[Said | Missed]:
        """One answer each, in order, whatever else is asked at the same time."""
        ...

    def push(self, weights: Weights, *, version: int) -> None:
        """Sample from these weights, named as in a checkpoint, from now on. Raises StaleEngine where one of them found no place."""
        ...

    def refuse_other(self, version: int) -> None:
        """Raise StaleEngine where the weights sampled from are not those of this push, as after a restart."""
        ...

    def wake(self) -> None:
        """Take what memory it needs."""
        ...

    def rest(self) -> None:
        """Give it back, where that is wanted."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What is asked after each push, and who reads it again: the trainer's model, over the same ids, at the same temperature."""

    problems: Sequence[Problem]
    sampling: Sampling
    reader: TeacherScorer
    tolerance: float
    """The largest difference in a token's log-probability, in nats, that rounding explains."""


@dataclass(slots=True, kw_only=True)
class ServedEngine:
    """A rollout engine over `sampler`. `speaker` is the model in this process whose weights it is given; it is not run."""

    sampler: Sampler
    speaker: LanguageModel
    template: Template
    seed: int
    probe: Probe | None = None
    version: int = field(default=-1, init=False)
    gap: float = field(default=0.0, init=False)
    """The largest difference the last probe saw."""

    def adopt(self, weights: Weights, *, version: int) -> None:
        """Push weights and verify them. After the first time what is frozen stays where it is."""
        sent = weights if self.version < 0 else {name: tensor for name, tensor in weights.items() if tensor.requires_grad}
        self.sampler.wake()
        self.sampler.push(published(self.speaker, sent or weights), version=version)
        self.version = version
        if self.probe is not None:
            self._verify(self.probe)

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        self.sampler.wake()
        found = self._drawn(problems, per_problem, sampling, place)
        self.sampler.refuse_other(self.version)
        self.sampler.rest()
        return found

    def _verify(self, probe: Probe) -> None:
        rollouts = [x for x in self._drawn(probe.problems, 1, probe.sampling, ("probe",)) if x.finish is not Finish.FAILED]
        views = probe.reader.score(rollouts)
        pairs = [
            (own, theirs)
            for rollout, view in zip(rollouts, views, strict=True)
            if view is not None
            for own, theirs in zip(rollout.logprobs, view.logprobs, strict=True)
        ]
        if not pairs:
            raise StaleEngine(f"no answer of the engine could be compared with the trainer after weights of version {self.version} were pushed.")
        self.gap = max(abs(own - theirs) for own, theirs in pairs)
        if not self.gap <= probe.tolerance:
            raise StaleEngine(
                f"after weights of version {self.version} were pushed, the engine's log-probabilities of {len(pairs)} tokens differ from the "
                f"trainer's by up to {self.gap:.3g} nats; allowed is {probe.tolerance:g} (engine.tolerance). It does not sample from the trainer's "
                "weights, or not from the same distribution. Nothing was learned from it: restart the engine and run again."
            )

    def _drawn(self, problems: Sequence[Problem], copies: int, sampling: Sampling, place: Place) -> list[Rollout]:
        whole = [(problem, prompt, n) for problem, prompt in ((p, self.template.render(p)) for p in problems) for n in range(copies)]
        budget = min(sampling.think_budget or sampling.max_new_tokens, sampling.max_new_tokens)
        asks = [self._ask(problem, prompt, n, place, cap=budget) for problem, prompt, n in whole]
        first = self.sampler.say(asks, sampling, self.speaker.end_ids)
        drafts = [_Draft(said) if isinstance(said, Said) else said for said in first]
        if budget < sampling.max_new_tokens:
            drafts = self._ended(asks, drafts, sampling)
        return [self._rollout(problem, prompt, n, draft) for (problem, prompt, n), draft in zip(whole, drafts, strict=True)]

    def _ask(self, problem: Problem, prompt: Prompt, sample: int, place: Place, *, cap: int) -> Ask:
        bare = self.template.ids(problem) if problem.images else ()
        return Ask(ids=prompt.ids, cap=cap, seed=seed_for(self.seed, *place, problem.id, sample), images=problem.images, bare_ids=bare)

    def _ended(self, asks: Sequence[Ask], drafts: "list[_Draft | Missed]", sampling: Sampling) -> "list[_Draft | Missed]":
        """Answers that reached the thinking budget go on: with `closing` put in where their <think> block is still open, as they are elsewhere."""
        closing = tuple(self.speaker.tokenizer(sampling.closing, add_special_tokens=False).input_ids)
        room = sampling.max_new_tokens - min(sampling.think_budget, sampling.max_new_tokens)
        out = list(drafts)
        again: dict[int, tuple[tuple[int, ...], Ask]] = {}
        for place, (ask, draft) in enumerate(zip(asks, drafts, strict=True)):
            if isinstance(draft, Missed) or draft.ended:
                continue
            put_in = closing[:room] if still_thinking(self._words(ask.ids[-PROMPT_END:]) + self._words(draft.ids)) else ()
            said = (*draft.ids, *put_in)
            bare = (*ask.bare_ids, *said) if ask.images else ()
            cap = max(1, room - len(put_in))
            seed = seed_for(ask.seed, "after thinking")
            again[place] = put_in, replace(ask, ids=(*ask.ids, *said), bare_ids=bare, cap=cap, seed=seed, read=bool(put_in))
        found = self.sampler.say([ask for _, ask in again.values()], sampling, self.speaker.end_ids) if again else []
        for (place, (put_in, _)), more in zip(again.items(), found, strict=True):
            draft = out[place]
            assert isinstance(draft, _Draft)
            out[place] = more if isinstance(more, Missed) else draft.then(put_in, more, room=room)
        return out

    def _words(self, ids: Sequence[int]) -> str:
        return str(self.speaker.tokenizer.decode(list(ids), skip_special_tokens=False))

    def _rollout(self, problem: Problem, prompt: Prompt, sample: int, draft: "_Draft | Missed") -> Rollout:
        if isinstance(draft, Missed):
            return unanswered(problem, sample, draft.why, prompt_ids=prompt.ids, policy_version=self.version)
        return Rollout(
            problem=problem,
            sample=sample,
            prompt_ids=prompt.ids,
            response_ids=draft.ids,
            logprobs=draft.logprobs,
            sampled=tuple(place not in draft.inserted for place in range(len(draft.ids))),
            policy_version=self.version,
            finish=Finish.STOP if draft.ended else Finish.LENGTH,
            text=self._words(draft.ids[:-1] if draft.ended else draft.ids),
        )


class _Draft:
    """An answer in the making."""

    def __init__(self, said: Said) -> None:
        self.ids, self.logprobs, self.ended, self.inserted = said.ids, said.logprobs, said.ended, range(0)

    def then(self, put_in: tuple[int, ...], said: Said, *, room: int) -> "_Draft":
        """This answer, what was put in behind it, and how it went on."""
        after = room - len(put_in)
        out = _Draft(said)
        of_closing = said.read[-len(put_in) :] if put_in else ()
        out.inserted = range(len(self.ids), len(self.ids) + len(put_in))
        out.ids = (*self.ids, *put_in, *said.ids[:after])
        out.logprobs = (*self.logprobs, *of_closing, *said.logprobs[:after])
        out.ended = said.ended and after > 0
        return out


def published(speaker: LanguageModel, weights: Weights) -> dict[str, Tensor]:
    """Weights under the names that a checkpoint has for them on disk: what vLLM loads by."""
    return revert_weight_conversion(speaker.model, {name: tensor.detach() for name, tensor in weights.items()})
