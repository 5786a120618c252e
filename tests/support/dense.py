"""The whole step once more, as the paper writes it: one rollout at a time, all logits, no packing, no masks of ours, no shortcuts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vold.base.types import Group, Rollout
from vold.stages.joint import parts_of


@dataclass(frozen=True)
class Method:
    """The paper's equation 6 (masked), 5 (unmasked), 1 (beta = 0), or the pull alone (no credit)."""

    credit: bool
    beta: float
    masked: bool


METHODS = {
    "VOLD": Method(credit=True, beta=0.1, masked=True),
    "VOLD_UNMASKED": Method(credit=True, beta=0.1, masked=False),
    "VOLD_RL": Method(credit=True, beta=0.0, masked=False),
    "OPD": Method(credit=False, beta=1.0, masked=False),
}
Old = Mapping[tuple[str, int], Tensor]


def table_of(model: Any, rollout: Rollout, banned_V: Tensor, temperature: float = 1.0, **seen: Tensor) -> Tensor:
    """log π of every id at every response token: a full forward of prompt and response, log_softmax over all logits."""
    ids = torch.tensor([rollout.prompt_ids + rollout.response_ids])
    logits = model(input_ids=ids, **seen).logits[0] / temperature
    first = len(rollout.prompt_ids) - 1
    return logits.masked_fill(banned_V, float("-inf"))[first:-1].log_softmax(-1)


def logprobs_of(model: Any, rollout: Rollout, banned_V: Tensor, temperature: float = 1.0, **seen: Tensor) -> Tensor:
    """log π of every response token."""
    table = table_of(model, rollout, banned_V, temperature, **seen)
    return torch.stack([table[t, i] for t, i in enumerate(rollout.response_ids)])


def loss_of(model: Any, groups: Sequence[Group], method: Method, banned_V: Tensor, *, temperature: float = 1.0, old: Old | None = None) -> Tensor:
    """Equation 6 with a token mean: Σ over tokens of the clipped credit and β (1 - r) k2, over the tokens of all judged rollouts."""
    total, tokens = torch.zeros((), dtype=torch.float64), 0
    for group in groups:
        pool = [m for m in group.members if m.verdict.ruling != "unjudged" or not method.credit]
        rewards = torch.tensor([float(m.verdict.ruling == "right") for m in pool], dtype=torch.float64)
        spread = rewards.std() if len(pool) > 1 else 0.0
        advantages = (rewards - rewards.mean()) / (spread + 1e-6) if method.credit else rewards * 0
        for m, reward, advantage in zip(pool, rewards, advantages, strict=True):
            kept = torch.tensor(m.rollout.sampled)
            logprobs = logprobs_of(model, m.rollout, banned_V, temperature)
            before = logprobs.detach() if old is None else old[m.rollout.problem.id, m.rollout.sample]
            ratio = (logprobs - before).exp()
            total = total - torch.minimum(ratio * advantage, ratio.clip(0.8, 1.3) * advantage)[kept].sum()
            if method.beta > 0 and not (method.masked and reward == 1):
                k2 = 0.5 * (logprobs - torch.tensor(m.teacher_logprobs, dtype=torch.float64)) ** 2
                total = total + method.beta * k2[kept].sum()
            tokens += int(kept.sum())
    return total / tokens


def updated(model: Any, groups: Sequence[Group], method: Method, banned_V: Tensor, *, updates: int, lr: float, decay: float) -> list[float]:
    """Several PPO updates on one batch, in place; returns how far each update's ratios are from 1 (the largest |log ratio|)."""
    with torch.no_grad():
        old = {(m.rollout.problem.id, m.rollout.sample): logprobs_of(model, m.rollout, banned_V) for g in groups for m in g.members}
    trained = [p for name, p in model.named_parameters() if ".visual." not in name]
    matrices, vectors = [p for p in trained if p.ndim > 1], [p for p in trained if p.ndim <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": decay}, {"params": vectors, "weight_decay": 0.0}], lr=lr)
    moved = []
    for part in parts_of(groups, updates, step=0):
        with torch.no_grad():
            now = [
                (logprobs_of(model, m.rollout, banned_V) - old[m.rollout.problem.id, m.rollout.sample]).abs().max() for g in part for m in g.members
            ]
        moved.append(float(torch.stack(now).max()))
        loss_of(model, part, method, banned_V, old=old).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return moved
