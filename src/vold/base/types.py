"""The records that travel from prompt to gradient.

    Problem -> Rollout -> ScoredRollout -> Group -> StepStats
    (data)     (engine)   (judge, then      (by      (what
                           the teacher)      problem) happened)

Each later record contains the earlier one. All are frozen: a later stage makes a richer record, it never edits an earlier one. Token
sequences are ids and are never decoded and encoded again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A question with a checkable answer."""

    id: str
    """Source and row: unique in a run, and part of every seed drawn for this problem."""
    prompt: str
    """What the user says, before template and suffix."""
    answer: str | None
    """The reference answer; None where no stage reads it."""
    source: str
    difficulty: int | None = None
    images: tuple[bytes, ...] = ()
    """Encoded image files, shown before the prompt."""
    system: str = ""
    """A system prompt that came with the problem; it stands in the place of the model's own."""
    instructed: bool = False
    """True where the prompt itself says how to answer (a box, a code block): no suffix is put after it."""
    origin: str = ""
    """Where its publisher took it from, such as open-r1/OpenR1-Math-220k; `source` is what this run calls it."""
    interleaved: bool = False
    """True where the prompt holds one `<image>` a picture, at which it is shown; otherwise pictures come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question of a benchmark as its publisher wrote it, with what its rule and its table read besides."""

    id: str
    """The benchmark and the row's own id, such as `mathvision/17`: unique in the benchmark."""
    question: str
    """As published, without instructions and without options where these are apart; image marks as in the row."""
    answer: str
    """The reference as published; a list of them as JSON."""
    options: tuple[str, ...] = ()
    """The texts of options A, B, …; empty where the answer is free."""
    images: tuple[bytes, ...] = ()
    """Encoded image files, in the order of their marks."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the row that its prompt or its rule reads, such as answer_type, precision and unit."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """What tables break the benchmark down by: `{"subject": "algebra", "level": "3"}`."""
    cluster: str = ""
    """The seed question it shares with others; empty: it stands alone."""


class Finish(StrEnum):
    """Why a rollout ended."""

    STOP = "stop"
    LENGTH = "length"
    FAILED = "failed"
    """The engine could not answer: the rollout is empty, its `note` says why, and it is left out of everything but the count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One answer of a model to a problem.

    `response_ids` ends with the end token when `finish` is STOP. `logprobs` and `sampled` have one entry a response token.
    """

    problem: Problem
    sample: int
    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    """Log-probabilities under the sampling distribution, temperature included, at the moment of sampling. Empty where a kept answer is read again
    for an evaluation, which has no use for them."""
    sampled: tuple[bool, ...]
    """False where a token was inserted rather than sampled; such a token gets no credit, no pull and no place in Z."""
    policy_version: int
    finish: Finish
    text: str
    """The response decoded once, for judges and readers; nothing is ever encoded from it."""
    note: str = ""
    """Why there is no answer, where `finish` is FAILED."""


def unanswered(problem: Problem, sample: int, why: str, *, prompt_ids: tuple[int, ...] = (), policy_version: int = 0) -> Rollout:
    """The rollout of a problem that an engine could not answer: one prompt that fails must not sink the others."""
    return Rollout(
        problem=problem,
        sample=sample,
        prompt_ids=prompt_ids,
        response_ids=(),
        logprobs=(),
        sampled=(),
        policy_version=policy_version,
        finish=Finish.FAILED,
        text="",
        note=why,
    )


class Ruling(StrEnum):
    """Three verdicts, not two."""

    RIGHT = "right"
    WRONG = "wrong"
    UNJUDGED = "unjudged"
    """The judge failed or the reference cannot be read. An answer that is missing is wrong, not unjudged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the judge says of one rollout, and what it saw."""

    ruling: Ruling
    extracted: str | None
    """The answer as found in the response; None when there is none."""
    note: str = ""
    reward: float | None = None
    """What the credit reads where it is more than 1 for right and 0 for wrong; None: exactly that."""
    exact: bool | None = None
    """Whether the answer is the reference to the letter, for the rate at which the two ways of judging disagree; None where nothing was compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeliest:
    """A model's k likeliest ids at each response token, likeliest first: two [tokens, k] tensors.

    Ids that are banned, and those that only one of the two models has, are never among them; k is smaller than what was asked for where fewer ids
    are left.
    """

    ids: Any
    logprobs: Any
    """Of the whole distribution over the ids that may be said, not of the k."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What another model says of a rollout: one entry a response token."""

    logprobs: tuple[float, ...]
    hidden: Any | None = None
    """Its hidden states before the head, a [tokens, width] tensor; None unless they were asked for."""
    likeliest: Likeliest | None = None
    """None unless some were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredRollout:
    """A judged rollout, and what the teacher and the reference say of it where the objective asked them."""

    rollout: Rollout
    verdict: Verdict
    teacher_logprobs: tuple[float, ...] | None = None
    """The teacher's log-probabilities of the response tokens; None when it was not asked."""
    teacher_hidden: Any | None = None
    """The teacher's hidden states, where an estimator sums over the vocabulary."""
    teacher_likeliest: Likeliest | None = None
    """The teacher's likeliest ids, where an estimator sums over those."""
    reference_logprobs: tuple[float, ...] | None = None
    reference_hidden: Any | None = None
    reference_likeliest: Likeliest | None = None
    excluded: str = ""
    """Which partner was asked and had no answer, where one had none."""

    @property
    def left_out(self) -> bool:
        """Whether it has no place in any objective and in no Z: the engine had no answer, or a partner could not read it."""
        return self.rollout.finish is Finish.FAILED or bool(self.excluded)

    @property
    def right(self) -> bool:
        return self.verdict.ruling is Ruling.RIGHT

    @property
    def wrong(self) -> bool:
        return self.verdict.ruling is Ruling.WRONG

    @property
    def judged(self) -> bool:
        return self.verdict.ruling is not Ruling.UNJUDGED

    @property
    def reward(self) -> float:
        """1 for a right answer, 0 for every other one, or what the judge gave instead. Only meaningful when `judged`."""
        if self.verdict.reward is not None:
            return self.verdict.reward
        return 1.0 if self.right else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """All rollouts of one problem in one step."""

    problem: Problem
    members: tuple[ScoredRollout, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One answer written for the corpus: what the student is aligned to."""

    problem: Problem
    response: str
    """The answer without the end token, in words: a corpus may be read by a student with another tokenizer."""
    response_ids: tuple[int, ...] | None
    """The teacher's own ids, end token included, where the student shares them; None for ready-made traces."""
    verdict: Verdict | None = None
    num_tokens: int | None = None
    """The length its publisher gave, in the tokens of whoever wrote it; None where nobody said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One judged answer of an evaluation, kept so that it can be shown and judged again."""

    benchmark: str
    way: str
    rollout: Rollout
    verdicts: Mapping[str, Verdict]
    """By scoring mode, the first one being that which galleries show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStats:
    """What happened in one update: plain numbers, written to the journal as they are."""

    step: int
    values: Mapping[str, float]
