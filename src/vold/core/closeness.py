"""How close a student is to a teacher at the student's own states: one number a token, then means with their errors.

Both softmaxes run over the ids both may say. Logits are formed a chunk of tokens at a time; what is kept is a few numbers a token.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vold.core.head import chunk_of

TOPS = (1, 5, 20)
"""How many of the likeliest ids are compared."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

MAX_CHUNK = 512
"""Tokens whose logits are formed at once, at most: two models' and what is made of them lie side by side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What the two models say at N states of the student, one number a token, in nats where it is a logarithm.

    The K columns belong to `TOPS`. `overlap_NK` is the share of the k likeliest ids that both name, `shared_mass_NK` the student's probability
    on them.
    """

    log_ratio_N: Float[Tensor, " N"]
    """log π(y) - log φ(y) of the token the student sampled."""
    teacher_nll_N: Float[Tensor, " N"]
    teacher_entropy_N: Float[Tensor, " N"]
    student_entropy_N: Float[Tensor, " N"]
    kl_N: Float[Tensor, " N"]
    """KL(student ‖ teacher) over the whole vocabulary."""
    overlap_NK: Float[Tensor, "N K"]
    shared_mass_NK: Float[Tensor, "N K"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean over tokens and its standard error, in which a rollout counts as one draw: its tokens hang together."""

    mean: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeness:
    """The numbers of an alignment check. `means` has one entry a name of `NAMES`; `spread` tells how the log-ratio is distributed over tokens."""

    rollouts: int
    tokens: int
    means: Mapping[str, Estimate]
    spread: Mapping[str, float]


NAMES = (
    "log_ratio",
    "teacher_nll",
    "kl",
    "teacher_entropy",
    "student_entropy",
    *(f"overlap@{k}" for k in TOPS),
    *(f"shared_mass@{k}" for k in TOPS),
)


def at_states(
    student_CV: Float[Tensor, "C V"],
    teacher_CW: Float[Tensor, "C W"],
    targets_C: Int[Tensor, " C"],
    *,
    banned_V: Bool[Tensor, " V"] | None = None,
    temperature: float = 1.0,
) -> Tokens:
    """The numbers of one chunk, from logits. `banned_V` is the student's; ids that only one of the models has a row for are banned too."""
    both = min(student_CV.shape[1], teacher_CW.shape[1])
    out_V = torch.zeros(both, dtype=torch.bool, device=student_CV.device) if banned_V is None else banned_V[:both]
    log_pi_CV = _logprobs(student_CV[:, :both], out_V, temperature)
    log_phi_CV = _logprobs(teacher_CW[:, :both], out_V, temperature).to(log_pi_CV.dtype)
    said_C, heard_C = (_at(logprobs_CV, targets_C) for logprobs_CV in (log_pi_CV, log_phi_CV))
    overlap_CK, shared_mass_CK = _tops(log_pi_CV, log_phi_CV, allowed=both - int(out_V.sum()))
    pi_CV, log_pi_CV, log_phi_CV = log_pi_CV.exp(), log_pi_CV.masked_fill(out_V, 0.0), log_phi_CV.masked_fill(out_V, 0.0)
    return Tokens(
        log_ratio_N=said_C - heard_C,
        teacher_nll_N=-heard_C,
        teacher_entropy_N=-(log_phi_CV.exp().masked_fill(out_V, 0.0) * log_phi_CV).sum(1),
        student_entropy_N=-(pi_CV * log_pi_CV).sum(1),
        kl_N=(pi_CV * (log_pi_CV - log_phi_CV)).sum(1),
        overlap_NK=overlap_CK,
        shared_mass_NK=shared_mass_CK,
    )


def _logprobs(logits_CV: Tensor, out_V: Tensor, temperature: float) -> Tensor:
    logits_CV = logits_CV.float() if logits_CV.dtype in (torch.bfloat16, torch.float16) else logits_CV
    return (logits_CV / temperature).masked_fill(out_V, float("-inf")).log_softmax(1)


def _at(logprobs_CV: Tensor, targets_C: Tensor) -> Tensor:
    return logprobs_CV.gather(1, targets_C[:, None]).squeeze(1)


def _tops(log_pi_CV: Tensor, log_phi_CV: Tensor, *, allowed: int) -> tuple[Tensor, Tensor]:
    """Overlap and shared mass for each k; where fewer than k ids may be said, all of them are compared."""
    most = min(max(TOPS), allowed)
    ours, theirs = log_pi_CV.topk(most, dim=1), log_phi_CV.topk(most, dim=1)
    mass_Ck = ours.values.exp()
    overlaps, masses = [], []
    for k in TOPS:
        kept = min(k, most)
        both_Ck = (ours.indices[:, :kept, None] == theirs.indices[:, None, :kept]).any(2)
        overlaps.append(both_Ck.to(mass_Ck.dtype).mean(1))
        masses.append((mass_Ck[:, :kept] * both_Ck).sum(1))
    return torch.stack(overlaps, 1), torch.stack(masses, 1)


@torch.no_grad()
def read(
    student_NH: Float[Tensor, "N H"],
    head_VH: Float[Tensor, "V H"],
    teacher_NK: Float[Tensor, "N K"],
    head_WK: Float[Tensor, "W K"],
    targets_N: Int[Tensor, " N"],
    *,
    banned_V: Bool[Tensor, " V"] | None = None,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> Tokens:
    """The numbers at N states from both models' hidden states before their heads. How they are cut into chunks changes nothing."""
    chunk = chunk or min(MAX_CHUNK, chunk_of(head_VH))
    parts = []
    for start in range(0, len(targets_N), chunk):
        now = slice(start, start + chunk)
        logits = student_NH[now] @ head_VH.T, teacher_NK[now] @ head_WK.T
        parts.append(at_states(*logits, targets_N[now], banned_V=banned_V, temperature=temperature))
    return joined(parts)


def joined(parts: Sequence[Tokens]) -> Tokens:
    """Several chunks one after another, in the order given."""
    columns = {"overlap_NK", "shared_mass_NK"}

    def together(name: str) -> Tensor:
        found = [getattr(part, name) for part in parts]
        return torch.cat(found) if found else torch.zeros((0, len(TOPS)) if name in columns else (0,))

    return Tokens(**{name: together(name) for name in Tokens.__slots__})


def closeness_of(tokens: Tokens, lengths: Sequence[int]) -> Closeness:
    """Means, errors and the spread of the log-ratio. `lengths` are the tokens of each rollout, in order."""
    count = len(tokens.log_ratio_N)
    assert sum(lengths) == count > 0, f"{count} tokens cannot be those of rollouts with {sum(lengths)} in all"
    columns = {name: getattr(tokens, f"{name}_N") for name in NAMES if "@" not in name}
    for place, k in enumerate(TOPS):
        columns |= {f"overlap@{k}": tokens.overlap_NK[:, place], f"shared_mass@{k}": tokens.shared_mass_NK[:, place]}
    ratios_N = tokens.log_ratio_N.double()
    return Closeness(
        rollouts=len(lengths),
        tokens=count,
        means={name: _estimate(columns[name].double(), lengths) for name in NAMES},
        spread={"std": float(ratios_N.std(correction=0)), **{f"q{round(100 * q):02d}": _quantile(ratios_N, q) for q in QUANTILES}},
    )


def _estimate(values_N: Tensor, lengths: Sequence[int]) -> Estimate:
    """The mean over all tokens as a ratio of two sums over rollouts; with one rollout nothing is known of its error."""
    mean = float(values_N.mean())
    rollouts = len(lengths)
    if rollouts < 2:
        return Estimate(mean=mean, error=math.nan)
    apart = [float(part.sum()) - mean * len(part) for part in torch.split(values_N, list(lengths))]
    variance = rollouts / (rollouts - 1) * math.fsum(a * a for a in apart) / len(values_N) ** 2
    return Estimate(mean=mean, error=math.sqrt(variance))


def _quantile(values_N: Tensor, share: float) -> float:
    """Interpolated between neighbours, as usual; by sorting, for torch's own refuses more than 16 million numbers."""
    ordered_N = values_N.sort().values
    place = share * (len(ordered_N) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered_N) - 1)
    low, high = float(ordered_N[below]), float(ordered_N[above])
    return low + (place - below) * (high - low)
