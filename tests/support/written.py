"""An objective once more, read off its declaration: one rollout and one token at a time, every case spelled out, no batch and no tensor tricks.

It shares the declarations and the records with the program, and no function. What it returns is a loss whose gradient is the step's.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vold.base.types import Group, Rollout, ScoredRollout
from vold.core.objective import Objective
from vold.core.pulls import Partner, Pull

Speaker = Callable[[Rollout], Tensor]
"""A student: log π of every id at every response token, -inf where an id is banned."""
Partners = Callable[[ScoredRollout, Partner], Tensor]
"""log φ of every id of the student's at every response token."""
Old = Mapping[tuple[str, int], Sequence[float]]


def loss_of(
    objective: Objective, groups: Sequence[Group], student: Speaker, partners: Partners, *, step: int, cap: int, old: Old | None = None
) -> Tensor:
    """The step's loss, divided. `old` are the log-probabilities of the policy before the first of several updates; None at the only one."""
    z = size(objective, [[m for m in g.members if has_a_place(objective, m)] for g in groups])
    total = torch.zeros((), dtype=torch.float64)
    for group in groups:
        for place, member in enumerate(group.members):
            if has_a_place(objective, member):
                table_TV = student(member.rollout)
                before = None if old is None else old[member.rollout.problem.id, member.rollout.sample]
                for term in _terms(objective, groups, group, place, table_TV, partners, before, step, cap, z):
                    total = total + share(objective, group, member, cap) * term
    return total / max(z, 1)


def _terms(
    objective: Objective, groups: Sequence[Group], group: Group, place: int, table_TV: Tensor, partners: Partners, before: Any,
    step: int, cap: int, z: int,
) -> list[Tensor]:  # fmt: skip
    """What each sampled token of one rollout adds."""
    member, rollout = group.members[place], group.members[place].rollout
    kept = [t for t, sampled in enumerate(rollout.sampled) if sampled]
    log_pi = [table_TV[t, y] for t, y in enumerate(rollout.response_ids)]
    new = [float(p.detach()) for p in log_pi]
    old = new if before is None else list(before)
    weigh_credit, weigh_pull = importance(objective, rollout, old, kept)
    advantage = advantages(objective, group, step, cap)[place]
    betas = [strength(objective, groups, group, place, pull, step, z) for pull in objective.pulls]
    ratios = [(log_pi[t] - old[t]).exp() for t in kept]
    whole = math.exp(math.fsum(new[t] - old[t] for t in kept) / max(1, len(kept)))
    found = []
    for t, ratio in zip(kept, ratios, strict=True):
        if objective.clip is not None and objective.clip.level == "sequence":
            ratio = whole * (log_pi[t] - log_pi[t].detach()).exp()
        gain = weigh_credit[t] * advantage * teachers_say(objective, advantage, member, t, old[t], step)
        term = torch.zeros((), dtype=torch.float64)
        for pull, beta in zip(objective.pulls, betas, strict=True):
            if beta and pull.by == "k1-advantage":
                gain -= weigh_pull[t] * beta * k2_slope(pull, old[t] - said_by(pull, member)[t])
            elif beta:
                term = term + weigh_pull[t] * beta * pulled(pull, member, t, table_TV[t], partners)
        term = term - clipped(objective, ratio, gain)
        bonus = value_at(objective.entropy, step)
        if bonus:
            there_V = torch.isfinite(table_TV[t])
            term = term - bonus * torch.distributions.Categorical(logits=table_TV[t][there_V]).entropy()
        found.append(term)
    return found


# -- numbers that move ---------------------------------------------------------------------------------------------------------------


def value_at(weight: Any, step: int) -> float:
    """A plain number, a line between two steps, or where an adaptive strength starts."""
    if hasattr(weight, "until"):
        part = min(1.0, max(0.0, (step - weight.begin) / (weight.until - weight.begin)))
        return weight.start * (1 - part) + weight.end * part
    return weight.start if hasattr(weight, "target") else weight


# -- who has a place, and how much a token counts --------------------------------------------------------------------------------------


def has_a_place(objective: Objective, member: ScoredRollout) -> bool:
    if objective.overlong == "mask" and member.rollout.finish == "length":
        return False
    acting = [p for p in objective.pulls if p.beta != 0.0]  # one whose strength is 0 at every step reads nothing
    reads = objective.credit.by != "none" or any(p.on != "every" or p.weigh in ("fail-rate", "pass-rate") for p in acting)
    return not reads or member.verdict.ruling != "unjudged"


def tokens(members: Sequence[ScoredRollout]) -> int:
    return sum(1 for m in members for sampled in m.rollout.sampled if sampled)


def size(objective: Objective, members_of: Sequence[Sequence[ScoredRollout]]) -> int:
    """Tokens, rollouts or groups."""
    if objective.share == "per-token":
        return sum(tokens(members) for members in members_of)
    if objective.share == "per-group":
        return sum(1 for members in members_of if members)
    return sum(len(members) for members in members_of)


def share(objective: Objective, group: Group, member: ScoredRollout, cap: int) -> float:
    if objective.share == "per-token":
        return 1.0
    if objective.share == "fixed-length":
        return 1.0 / cap
    counted = [member] if objective.share == "per-sequence" else [m for m in group.members if has_a_place(objective, m)]
    return 1.0 / max(1, tokens(counted))


# -- credit ----------------------------------------------------------------------------------------------------------------------------


def advantages(objective: Objective, group: Group, step: int, cap: int) -> list[float]:
    """One a rollout: baseline over the judged, then weight, mask and group factor."""
    credit = objective.credit
    judged = [m for m in group.members if m.verdict.ruling != "unjudged"]
    rewards = np.array([reward(objective, m, cap) for m in judged])
    if credit.by == "raw":
        by_judged = rewards
    elif credit.by == "none" or len(set(rewards)) < 2:
        by_judged = np.zeros(len(rewards))
    elif credit.by == "leave-one-out":
        by_judged = np.array([r - np.delete(rewards, i).mean() for i, r in enumerate(rewards)])
    else:
        by_judged = rewards - rewards.mean()
        if credit.by == "z-score":
            by_judged = by_judged / (rewards.std(ddof=1 if credit.unbiased else 0) + credit.epsilon)
    found = dict(zip(map(id, judged), by_judged.tolist(), strict=True))
    placed = [m for m in judged if has_a_place(objective, m) and selected(credit.on, m, group)]
    factor = factors(credit.weigh, placed, group)
    weight = value_at(credit.weight, step)
    return [found[id(m)] * weight * factor[id(m)] if any(m is p for p in placed) else 0.0 for m in group.members]


def reward(objective: Objective, member: ScoredRollout, cap: int) -> float:
    plain = 1.0 if member.verdict.ruling == "right" else 0.0
    if member.verdict.reward is not None:
        plain = member.verdict.reward
    if objective.overlong != "soft":
        return plain
    free, length = cap - objective.soft_buffer * cap, len(member.rollout.response_ids)
    if length <= free:
        return plain
    return plain + max(-1.0, (free - length) / (cap - free))


def teachers_say(objective: Objective, advantage: float, member: ScoredRollout, t: int, old: float, step: int) -> float:
    """RLSD's factor: with sign(A), held in 1 ± ε, mixed in by λ."""
    by = objective.credit.by_teacher
    if by is None or advantage == 0 or value_at(by.strength, step) == 0:
        return 1.0
    gap = member.teacher_logprobs[t] - old
    ratio = math.exp(gap if advantage > 0 else -gap)
    held = min(1 + by.epsilon, max(1 - by.epsilon, ratio))
    lam = value_at(by.strength, step)
    return (1 - lam) + lam * held


def clipped(objective: Objective, ratio: Tensor, gain: float) -> Tensor:
    """What is maximised, case by case."""
    clip = objective.clip
    if clip is None:
        return ratio * gain
    if gain >= 0:
        return ratio * gain if ratio <= 1 + clip.high else torch.tensor((1 + clip.high) * gain, dtype=torch.float64)
    if clip.dual is not None and ratio > clip.dual:
        return torch.tensor(clip.dual * gain, dtype=torch.float64)
    return ratio * gain if ratio >= 1 - clip.low else torch.tensor((1 - clip.low) * gain, dtype=torch.float64)


def importance(objective: Objective, rollout: Rollout, old: Sequence[float], kept: Sequence[int]) -> tuple[list[float], list[float]]:
    """The weight of each response token in the credit, and in the pulls."""
    ones, correction = [1.0] * len(old), objective.correction
    if correction is None:
        return ones, ones
    gaps = [o - s for o, s in zip(old, rollout.logprobs, strict=True)]
    if correction.level == "sequence":
        gaps = [math.fsum(gaps[t] for t in kept) / max(1, len(kept))] * len(gaps)
    raw = [math.exp(gap) for gap in gaps]
    if correction.how == "truncated":
        weights = [min(correction.cap, w) for w in raw]
    else:
        weights = [w if correction.floor <= w <= correction.cap else 0.0 for w in raw]
    return (ones if correction.on == "pull" else weights), (ones if correction.on == "credit" else weights)


# -- masks and factors -----------------------------------------------------------------------------------------------------------------


def selected(mask: str, member: ScoredRollout, group: Group) -> bool:
    ruling = member.verdict.ruling
    if mask == "all-wrong":
        return ruling == "wrong" and all(other.verdict.ruling != "right" for other in group.members)
    return mask == "every" or ruling == mask


def factors(weigh: str, placed: Sequence[ScoredRollout], group: Group) -> dict[int, float]:
    """For each rollout that has a place: 1, a rate of the group, or a perplexity over its mean."""
    rulings = [m.verdict.ruling for m in group.members if m.verdict.ruling != "unjudged"]
    if weigh == "even":
        raw = [1.0] * len(placed)
    elif weigh in ("fail-rate", "pass-rate"):
        wanted = "wrong" if weigh == "fail-rate" else "right"
        raw = [rulings.count(wanted) / len(rulings) if rulings else 0.0] * len(placed)
    elif weigh == "low-teacher-perplexity":
        raw = [1 / perplexity(m, m.teacher_logprobs) for m in placed]
        raw = [w / np.mean(raw) for w in raw]
    else:
        raw = [perplexity(m, m.rollout.logprobs) for m in placed]
        raw = [w / np.mean(raw) for w in raw]
    return {id(m): float(w) for m, w in zip(placed, raw, strict=True)}


def perplexity(member: ScoredRollout, logprobs: Sequence[float]) -> float:
    kept = [p for p, sampled in zip(logprobs, member.rollout.sampled, strict=True) if sampled]
    return math.exp(-math.fsum(kept) / max(1, len(kept)))


def acts(objective: Objective, pull: Pull, member: ScoredRollout, group: Group) -> bool:
    cut = member.rollout.finish == "length" and not objective.pull_truncated
    return has_a_place(objective, member) and not cut and selected(pull.on, member, group)


def strength(objective: Objective, groups: Sequence[Group], group: Group, place: int, pull: Pull, step: int, z: int) -> float:
    """β times mask times the group's factor, and where it is over pulled tokens times what turns Z into their number."""
    beta = value_at(pull.beta, step)
    if beta == 0 or not acts(objective, pull, group.members[place], group):
        return 0.0
    rate = [factors(pull.weigh, [m for m in g.members if acts(objective, pull, m, g)], g) for g in groups]
    mine = next(found for g, found in zip(groups, rate, strict=True) if g is group)[id(group.members[place])]
    if pull.over == "all":
        return beta * mine
    on_rate = pull.weigh in ("fail-rate", "pass-rate")
    on = [[m for m in g.members if id(m) in found and (found[id(m)] > 0 or not on_rate)] for g, found in zip(groups, rate, strict=True)]
    if objective.share == "per-group":  # each group is averaged over its own pulled tokens, and then the groups that have any
        whole = count_of([m for m in group.members if has_a_place(objective, m)])
        mine *= whole / max(1, next(count_of(ms) for g, ms in zip(groups, on, strict=True) if g is group))
    return beta * mine * z / max(1, size(objective, on))


def count_of(members: Sequence[ScoredRollout]) -> int:
    return sum(sum(member.rollout.sampled) for member in members)


# -- pulls -----------------------------------------------------------------------------------------------------------------------------


def said_by(pull: Pull, member: ScoredRollout) -> Sequence[float]:
    return member.teacher_logprobs if pull.toward == "teacher" else member.reference_logprobs


def k2_slope(pull: Pull, gap: float) -> float:
    """The gap, or what a clamp makes of it."""
    if pull.clamp is None or abs(gap) <= pull.clamp.limit:
        return gap
    return 0.0 if pull.clamp.beyond == "stop" else math.copysign(pull.clamp.limit, gap)


def k3_slope(pull: Pull, gap: float) -> float:
    if pull.clamp is not None and abs(gap) > pull.clamp.limit:
        return 0.0 if pull.clamp.beyond == "stop" else 1 - math.exp(-math.copysign(pull.clamp.limit, gap))
    return 1 - math.exp(-gap)


def pulled(pull: Pull, member: ScoredRollout, t: int, log_pi_V: Tensor, partners: Partners) -> Tensor:
    """The divergence at one token; of the estimators on the sampled token, something with their slope."""
    y = member.rollout.response_ids[t]
    if pull.by in ("k2", "k3"):
        slope = k2_slope if pull.by == "k2" else k3_slope
        return slope(pull, float(log_pi_V[y].detach()) - said_by(pull, member)[t]) * log_pi_V[y]
    there = [i for i in range(len(log_pi_V)) if torch.isfinite(log_pi_V[i])]
    log_pi, log_phi = log_pi_V[there], partners(member, pull.toward)[t][there]
    if pull.by == "full-student-to-partner":
        return kl(log_pi, log_phi)
    if pull.by == "full-partner-to-student":
        return kl(log_phi, log_pi)
    if pull.by == "jsd":
        log_m = (pull.mix * log_phi.exp() + (1 - pull.mix) * log_pi.exp()).log()
        return pull.mix * kl(log_phi, log_m) + (1 - pull.mix) * kl(log_pi, log_m)
    if pull.by == "partner-top-k":
        order = sorted(range(len(there)), key=lambda i: -float(log_phi[i]))
        cells = [[i] for i in order[: pull.top]] + ([order[pull.top :]] if pull.top < len(order) else [])
        log_p, log_q = (torch.stack([logprobs[cell].logsumexp(0) for cell in cells]) for logprobs in (log_phi, log_pi))
        return kl(log_p, log_q)
    assert pull.by == "top-k"
    likeliest = sorted(range(len(there)), key=lambda i: -float(log_pi[i].detach()))[: pull.top]
    gap = (log_pi - log_phi).detach()
    exact = sum((log_pi[i].exp() * gap[i] for i in likeliest), torch.zeros((), dtype=torch.float64))
    mine = there.index(y)
    return exact if mine in likeliest else exact + gap[mine] * log_pi[mine]


def kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum()
