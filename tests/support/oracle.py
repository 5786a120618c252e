"""Every named method once more, written from its paper's equation, sharing no code and no declaration with the program.

A method is given one step of rollouts and says how the loss moves with each token: `slope`, the derivative by the log-probability of the
sampled token, and `wide`, the factor of a divergence over the whole vocabulary at that token. Everything is divided by the step's count.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Told:
    """One rollout: what each model says of its sampled tokens. `right` is None where it could not be judged, `length` is of all its tokens."""

    right: bool | None
    cut: bool
    length: int
    new: Array
    old: Array
    teacher: Array
    reference: Array

    @property
    def rho(self) -> Array:
        """New over old policy, token by token."""
        return np.exp(self.new - self.old)

    @property
    def s(self) -> Array:
        """The sequence's own ratio (GSPO), at each of its tokens."""
        return np.full(len(self.new), math.exp(math.fsum(self.new - self.old) / len(self.new)))

    @property
    def toward_teacher(self) -> Array:
        """d = log φ - log π of the policy that wrote the answer: a constant of the update, as an advantage is."""
        return self.teacher - self.old

    @property
    def k2(self) -> Array:
        """The slope of ½(log π - log φ)²."""
        return self.new - self.teacher

    @property
    def k3(self) -> Array:
        """The slope of π₀/π - 1 - log π₀/π, towards the reference."""
        return 1 - np.exp(self.reference - self.new)


@dataclass(frozen=True, eq=False)
class Move:
    """How the loss moves with one rollout's tokens."""

    slope: Array
    wide: Array


Group = Sequence[Told]
Method = Callable[[Sequence[Group], int, int], list[list[Move]]]
"""(the step's groups, the length cap, the step's number) to one Move a rollout."""


# -- advantages ------------------------------------------------------------------------------------------------------------------------


def centred(rewards: Sequence[float]) -> list[float]:
    mean = math.fsum(rewards) / len(rewards)
    return [r - mean for r in rewards]


def z_scores(rewards: Sequence[float]) -> list[float]:
    """(r - mean) / (std + 1e-6), the deviation with G - 1."""
    apart = centred(rewards)
    if len(rewards) < 2:
        return [0.0] * len(rewards)
    return [a / (math.sqrt(math.fsum(b * b for b in apart) / (len(rewards) - 1)) + 1e-6) for a in apart]


def leave_one_out(rewards: Sequence[float]) -> list[float]:
    return [r - (math.fsum(rewards) - r) / (len(rewards) - 1) if len(rewards) > 1 else 0.0 for r in rewards]


def verdicts(group: Group) -> list[float]:
    return [1.0 if o.right else 0.0 for o in group]


def soft_penalty(length: int, cap: float, buffer: float) -> float:
    """DAPO, eq. 13, case by case."""
    if length <= cap - buffer:
        return 0.0
    if length <= cap:
        return ((cap - buffer) - length) / buffer
    return -1.0


# -- the surrogate -----------------------------------------------------------------------------------------------------------------------


def ppo(rho: Array, advantage: Array | float, low: float, high: float, dual: float | None = None) -> Array:
    """The derivative of -min(ρA, clip(ρ, 1 - low, 1 + high)A) by log π: -ρA, and 0 where the clipped branch is the smaller one."""
    a = np.broadcast_to(np.asarray(advantage, dtype=np.float64), rho.shape)
    stopped = ((a > 0) & (rho > 1 + high)) | ((a < 0) & (rho < 1 - low))
    if dual is not None:
        stopped = stopped | ((a < 0) & (rho > dual))
    return np.where(stopped, 0.0, -rho * a)


# -- how a step's tokens are averaged --------------------------------------------------------------------------------------------------


def _moves(
    groups: Sequence[Group], per_rollout: Callable[[Group], Sequence[Array | tuple[Array, Array]]], weights: list[list[float]]
) -> list[list[Move]]:
    out = []
    for group, share in zip(groups, weights, strict=True):
        found = [m if isinstance(m, tuple) else (m, np.zeros_like(m)) for m in per_rollout(group)] if group else []
        out.append([Move(slope * w, wide * w) for (slope, wide), w in zip(found, share, strict=True)])
    return out


def token_mean(groups: Sequence[Group], _cap: int) -> list[list[float]]:
    """1 / Σ|o| over all tokens of the step."""
    z = sum(len(o.new) for g in groups for o in g)
    return [[1 / z for _ in g] for g in groups]


def sequence_mean(groups: Sequence[Group], _cap: int) -> list[list[float]]:
    """1/N Σ_i 1/|o_i| Σ_t."""
    n = sum(len(g) for g in groups)
    return [[1 / (n * len(o.new)) for o in g] for g in groups]


def group_mean(groups: Sequence[Group], _cap: int) -> list[list[float]]:
    """The mean over problems of 1/Σ_i|o_i| Σ_i Σ_t."""
    n = sum(1 for g in groups if g)
    return [[1 / (n * sum(len(p.new) for p in g)) for _ in g] for g in groups]


def constant_length(groups: Sequence[Group], cap: int) -> list[list[float]]:
    """1/N Σ_i 1/cap Σ_t (Dr.GRPO)."""
    n = sum(len(g) for g in groups)
    return [[1 / (n * cap) for _ in g] for g in groups]


# -- the methods -----------------------------------------------------------------------------------------------------------------------


def _grpo_like(low: float, high: float, pull: Callable[[Told, Group], Array | float]) -> Callable[[Group], list[Array]]:
    return lambda group: [ppo(o.rho, a, low, high) + pull(o, group) for o, a in zip(group, z_scores(verdicts(group)), strict=True)]


def _gspo_like(pull: Callable[[Told], Array | float]) -> Callable[[Group], list[Array]]:
    return lambda group: [ppo(o.s, a, 3e-4, 4e-4) + pull(o) for o, a in zip(group, z_scores(verdicts(group)), strict=True)]


def _wrong(o: Told) -> float:
    return 0.0 if o.right else 1.0


def _all_wrong(group: Group) -> float:
    return 0.0 if any(o.right for o in group) else 1.0


def _dr_grpo(group: Group) -> list[Array]:
    return [ppo(o.rho, a, 0.2, 0.2) for o, a in zip(group, centred(verdicts(group)), strict=True)]


def _rloo(group: Group) -> list[Array]:
    return [-o.rho * a for o, a in zip(group, leave_one_out(verdicts(group)), strict=True)]


def _vold_full(group: Group) -> list[tuple[Array, Array]]:
    return [(ppo(o.rho, a, 0.2, 0.3), 0.1 * _wrong(o) * np.ones(len(o.new))) for o, a in zip(group, z_scores(verdicts(group)), strict=True)]


def _srpo(group: Group) -> list[Array]:
    """A = c Â + (1 - c) d."""
    return [ppo(o.rho, a if o.right else o.toward_teacher, 0.2, 0.2) for o, a in zip(group, z_scores(verdicts(group)), strict=True)]


def _hdpo(group: Group) -> list[Array]:
    """A = Â + C(x) β d, C = 1 for a group that failed altogether."""
    lost = _all_wrong(group)
    return [ppo(o.rho, a + lost * 0.002 * o.toward_teacher, 0.2, 0.2) for o, a in zip(group, z_scores(verdicts(group)), strict=True)]


def _rlsd(group: Group) -> list[Array]:
    """A = ((1 - λ) + λ clip(exp(sign(Â) d), 1 ± ε)) Â with λ = 1, ε = 0.2."""
    told = zip(group, z_scores(verdicts(group)), strict=True)
    return [ppo(o.rho, np.clip(np.exp(np.sign(a) * o.toward_teacher), 0.8, 1.2) * a, 0.2, 0.2) for o, a in told]


def _scope(group: Group) -> list[Array]:
    """Right: -w log π, w the writer's perplexity over its mean among the right; wrong: w k2, w one over the teacher's, likewise."""
    weights = [math.exp(-math.fsum(o.old) / len(o.old)) if o.right else math.exp(math.fsum(o.teacher) / len(o.old)) for o in group]
    mean = {kind: np.mean([w for w, o in zip(weights, group, strict=True) if o.right is kind]) for kind in {o.right for o in group}}
    return [w / mean[o.right] * (-o.rho if o.right else o.k2) for w, o in zip(weights, group, strict=True)]


def _annealed(step: int) -> float:
    return max(5e-3 - 5e-5 * step, 1e-3)


def _dapo(groups: Sequence[Group], cap: int, _step: int) -> list[list[Move]]:
    """Clip 0.2/0.28, token mean, r + penalty on length with a buffer of a fifth of the cap; only groups with 0 < right < G count."""
    kept = [g if 0 < sum(bool(o.right) for o in g) < len(g) else [] for g in groups]

    def per_rollout(group: Group) -> list[Array | tuple[Array, Array]]:
        rewards = [r + soft_penalty(o.length, cap, cap / 5) for o, r in zip(group, verdicts(group), strict=True)]
        return [ppo(o.rho, a, 0.2, 0.28) for o, a in zip(group, z_scores(rewards), strict=True)]

    return _moves(kept, per_rollout, token_mean(kept, cap)) if any(kept) else [[] for _ in groups]


def _by(share: Callable[[Sequence[Group], int], list[list[float]]], per_rollout: Callable[[Group], Sequence[Array | tuple[Array, Array]]]) -> Method:
    return lambda groups, cap, _: _moves(groups, per_rollout, share(groups, cap))


def _nothing(_o: Told, _group: Group) -> float:
    return 0.0


METHODS: dict[str, Method] = {
    "VOLD_RL": _by(token_mean, _grpo_like(0.2, 0.3, _nothing)),
    "GRPO": _by(sequence_mean, _grpo_like(0.2, 0.2, lambda o, _: 0.04 * o.k3)),
    "DR_GRPO": _by(constant_length, _dr_grpo),
    "RLOO": _by(constant_length, _rloo),
    "DAPO": _dapo,
    "GSPO": _by(sequence_mean, _gspo_like(lambda _: 0.0)),
    "X_REASONER": _by(token_mean, _grpo_like(0.2, 0.2, lambda o, _: 0.01 * o.k3)),
    "VLM_R1": _by(sequence_mean, _grpo_like(0.2, 0.2, lambda o, _: 0.04 * o.k3)),
    "VLAA_THINKER": _by(sequence_mean, _grpo_like(0.2, 0.2, lambda o, _: 0.001 * o.k3)),
    "VOLD": _by(token_mean, _grpo_like(0.2, 0.3, lambda o, _: 0.1 * _wrong(o) * o.k2)),
    "VOLD_UNMASKED": _by(token_mean, _grpo_like(0.2, 0.3, lambda o, _: 0.1 * o.k2)),
    "VOLD_FULL": _by(token_mean, _vold_full),
    "VOLD_GSPO": _by(sequence_mean, _gspo_like(lambda o: 0.1 * _wrong(o) * o.k2)),
    "KDRL": _by(group_mean, _grpo_like(0.2, 0.2, lambda o, _: 0.002 * o.k2)),
    "KDRL_ANNEALED": lambda groups, cap, step: _moves(groups, _grpo_like(0.2, 0.2, lambda o, _: _annealed(step) * o.k2), group_mean(groups, cap)),
    "KDRL_RESPONSE": _by(group_mean, _grpo_like(0.2, 0.2, lambda o, _: 0.002 * _wrong(o) * o.k2)),
    "KDRL_GROUP": _by(group_mean, _grpo_like(0.2, 0.2, lambda o, group: 0.002 * _all_wrong(group) * o.k2)),
    "SRPO": _by(token_mean, _srpo),
    "HDPO": _by(token_mean, _hdpo),
    "RLSD": _by(token_mean, _rlsd),
    "SCOPE": _by(token_mean, _scope),
    "OPD": _by(token_mean, lambda group: [o.k2 for o in group]),
    "OPD_ADVANTAGE": _by(token_mean, lambda group: [-o.rho * o.toward_teacher for o in group]),
    "QWEN3_OPD": _by(token_mean, lambda group: [(0 * o.new, 1 + 0 * o.new) for o in group]),
    "GKD": _by(token_mean, lambda group: [(0 * o.new, 1 + 0 * o.new) for o in group]),
}
WIDE = {"VOLD_FULL": "student-to-teacher", "QWEN3_OPD": "student-to-teacher", "GKD": "jsd"}
"""Which divergence `wide` multiplies: KL(π‖φ), or ½KL(φ‖M) + ½KL(π‖M) with M the mean of both."""
READS_NO_VERDICT = {"OPD", "OPD_ADVANTAGE", "QWEN3_OPD", "GKD"}
"""For all others a rollout that could not be judged does not exist; for these it does."""


# -- the same loss as plain numbers, for finite differences -------------------------------------------------------------------------


def surrogate(rho: float, advantage: float, low: float, high: float, dual: float | None = None) -> float:
    """-min(ρA, clip(ρ)A), and no more than dual·|A| for a negative A."""
    gain = min(rho * advantage, min(max(rho, 1 - low), 1 + high) * advantage)
    return -(max(gain, dual * advantage) if dual is not None and advantage < 0 else gain)


def kl(log_p: Array, log_q: Array) -> float:
    """KL(p ‖ q) over the entries that are not -inf."""
    there = np.isfinite(log_p)
    return float((np.exp(log_p[there]) * (log_p[there] - log_q[there])).sum())


def jsd(log_pi: Array, log_phi: Array, mix: float) -> float:
    """mix·KL(φ‖M) + (1 - mix)·KL(π‖M), M = mix·φ + (1 - mix)·π."""
    with np.errstate(divide="ignore"):
        log_m = np.log(mix * np.exp(log_phi) + (1 - mix) * np.exp(log_pi))
    return mix * kl(log_phi, log_m) + (1 - mix) * kl(log_pi, log_m)
