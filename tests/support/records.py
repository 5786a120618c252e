"""Records made by hand: groups are written as words, one letter a rollout.

R right, W wrong, U unjudged; a small letter is the same, cut off by the length cap. `groups_of("RWw", "RR")` makes two groups.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from vold.base.types import Finish, Group, Likeliest, Problem, Rollout, Ruling, ScoredRollout, Verdict

RULINGS = {"R": Ruling.RIGHT, "W": Ruling.WRONG, "U": Ruling.UNJUDGED}
END = 2
PAD = 0
SPEAKABLE = (PAD, *range(9, 25), *range(27, 34))
"""Ids of the laptop world a response may hold: digits, letters, marks, and the padding token, which a model may say like any other."""


def problem(name: str = "p", prompt: str = "find a + b ?") -> Problem:
    return Problem(id=name, prompt=prompt, answer="7", source="hand")


def rollout(
    of: Problem,
    sample: int,
    prompt_ids: Sequence[int],
    response_ids: Sequence[int],
    *,
    logprobs: Sequence[float] | None = None,
    sampled: Sequence[bool] | None = None,
    finish: Finish = Finish.STOP,
    text: str = "",
) -> Rollout:
    return Rollout(
        problem=of,
        sample=sample,
        prompt_ids=tuple(prompt_ids),
        response_ids=tuple(response_ids),
        logprobs=(0.0,) * len(response_ids) if logprobs is None else tuple(logprobs),
        sampled=(True,) * len(response_ids) if sampled is None else tuple(sampled),
        policy_version=0,
        finish=finish,
        text=text,
    )


def member(of: Rollout, ruling: Ruling, teacher: Sequence[float] | None = None) -> ScoredRollout:
    return ScoredRollout(rollout=of, verdict=Verdict(ruling=ruling, extracted=None), teacher_logprobs=None if teacher is None else tuple(teacher))


def groups_of(*words: str, seed: int = 0, longest: int = 9, inserted: bool = False) -> list[Group]:
    """One group a word: prompts and responses of many lengths, teacher's log-probabilities everywhere. `inserted`: some tokens not sampled."""
    draw = random.Random(seed)
    groups = []
    for place, word in enumerate(words):
        asked = problem(f"p{place}")
        prompt = draw.choices(SPEAKABLE, k=draw.randint(2, 7))
        groups.append(
            Group(problem=asked, members=tuple(_member(asked, i, letter, prompt, draw, longest, inserted) for i, letter in enumerate(word)))
        )
    return groups


def _member(asked: Problem, sample: int, letter: str, prompt: list[int], draw: random.Random, longest: int, inserted: bool) -> ScoredRollout:
    length = draw.randint(1, longest)
    ids = draw.choices(SPEAKABLE, k=length)
    if letter.isupper():
        ids[-1] = END
    flags = [not (inserted and t % 3 == 1) for t in range(length)]
    answer = rollout(asked, sample, prompt, ids, sampled=flags, finish=Finish.STOP if letter.isupper() else Finish.LENGTH)
    return member(answer, RULINGS[letter.upper()], [draw.uniform(-6, -0.1) for _ in ids])


def with_teacher(groups: Sequence[Group], numbers: Callable[[ScoredRollout], tuple[float, ...] | None]) -> list[Group]:
    """The same groups with other teacher numbers."""
    return [replace(g, members=tuple(replace(m, teacher_logprobs=numbers(m)) for m in g.members)) for g in groups]


MAY_SAY = torch.tensor(sorted({*SPEAKABLE, END}))


def likeliest(logits_TA: torch.Tensor) -> Likeliest:
    """All ids of `MAY_SAY`, from a number for each."""
    logprobs_TA, places_TA = logits_TA.log_softmax(1).sort(1, descending=True)
    return Likeliest(ids=MAY_SAY[places_TA], logprobs=logprobs_TA)


def spoken(groups: Sequence[Group], *, seed: int = 0, width: int = 5) -> list[Group]:
    """The same groups with what everybody says of every rollout: sampler, teacher and reference, hidden states of `width` and
    likeliest ids included."""
    draw = random.Random(seed + 1)
    torch_draw = torch.Generator().manual_seed(seed + 1)

    def said(member: ScoredRollout) -> ScoredRollout:
        length = len(member.rollout.response_ids)
        sampler, reference = ([draw.uniform(-6, -0.1) for _ in range(length)] for _ in range(2))
        teacher_TH, reference_TH = torch.randn(2, length, width, generator=torch_draw, dtype=torch.float64)
        of_teacher, of_reference = (likeliest(torch.randn(length, len(MAY_SAY), generator=torch_draw, dtype=torch.float64)) for _ in range(2))
        return replace(
            member,
            rollout=replace(member.rollout, logprobs=tuple(sampler)),
            teacher_hidden=teacher_TH,
            reference_logprobs=tuple(reference),
            reference_hidden=reference_TH,
            teacher_likeliest=of_teacher,
            reference_likeliest=of_reference,
        )

    return [replace(g, members=tuple(said(m) for m in g.members)) for g in groups]
