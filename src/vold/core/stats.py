"""Plain numbers from groups, sums and tallies: what the journal and the tables hold. No torch, no state."""

import math
from collections.abc import Iterable, Mapping, Sequence

from vold.base.types import Finish, Group, Rollout, Ruling, ScoredRollout, Verdict
from vold.core.objective import Adaptive, Objective, Partner
from vold.core.plan import Plan
from vold.core.roofline import fractions


def of_groups(groups: Sequence[Group], plan: Plan) -> dict[str, float]:
    """Reward, lengths, kinds of groups and how much of the batch the pulls see."""
    members = [member for group in groups for member in group.members]
    judged = [m for m in members if m.judged]
    kinds = [_kind(group) for group in groups]
    places = range(len(plan.betas))
    pulled = [any(plan.acts(place, m, g) for place in places) for g in groups for m in g.members]
    lengths = [len(m.rollout.response_ids) for m in members if m.rollout.finish is not Finish.FAILED]
    return {
        "reward/mean": _mean([m.reward for m in judged]) if judged else math.nan,
        "groups/all_right": _mean([kind == "right" for kind in kinds]),
        "groups/mixed": _mean([kind == "mixed" for kind in kinds]),
        "groups/all_wrong": _mean([kind == "wrong" for kind in kinds]),
        "rollouts/unjudged": float(len(members) - len(judged)),
        "judge/disagreement": disagreement([m.verdict for m in members if m.rollout.finish is Finish.STOP]),
        "judge/computed": _mean([m.verdict.note.startswith(COMPUTED) for m in members]),
        "rollouts/truncated": _mean([m.rollout.finish is Finish.LENGTH for m in members]),
        "length/mean": _mean(lengths),
        "length/max": float(max(lengths, default=0)),
        "pull/rate": _mean(pulled),
        "pull/scored": float(sum(m.teacher_logprobs is not None for m in members)),
        **fractions(groups, plan),
        **{f"pull/beta{suffix}": beta for suffix, beta in zip(_suffixes(len(plan.betas)), plan.betas, strict=True)},
        **left_out(members),
        **pictured([m.rollout.problem.images for m in members]),
    }


def left_out(members: Sequence[ScoredRollout]) -> dict[str, float]:
    """How many rollouts the engine had no answer to, and how many a partner could not read, where there are any."""
    counts = {"engine/excluded": sum(m.rollout.finish is Finish.FAILED for m in members)}
    for partner in Partner:
        counts[f"{partner.value}/excluded"] = sum(m.excluded == partner.value for m in members)
    return {name: float(count) for name, count in counts.items() if count}


PICTURES = "rows/pictures"


def pictured(shown: Sequence[tuple[bytes, ...]]) -> dict[str, float]:
    """The share of rows that show a picture, where one does."""
    return {PICTURES: _mean([bool(images) for images in shown])} if any(shown) else {}


COMPUTED = "math-verify"
"""How a verdict's note begins where computer algebra decided."""


def disagreement(verdicts: Iterable[Verdict]) -> float:
    """The share of compared answers on which a comparison to the letter (the paper's words) says otherwise than the judge; NaN without any."""
    compared = [(v.exact, v.ruling is Ruling.RIGHT) for v in verdicts if v.exact is not None and v.ruling is not Ruling.UNJUDGED]
    return _mean([exact != right for exact, right in compared]) if compared else math.nan


def betas_after(objective: Objective, betas: Mapping[int, float], updates: Sequence[Mapping[str, float]], *, rollouts: int) -> dict[int, float]:
    """By its place, the next strength of each pull that follows the KL and acted on anything in this step. `betas` are the present ones, those
    not named at their start."""
    found: dict[int, float] = {}
    for place, pull in enumerate(objective.pulls):
        kl = kl_of(updates, place)
        if isinstance(pull.beta, Adaptive) and kl is not None:
            found[place] = pull.beta.after(betas.get(place, pull.beta.start), kl=kl, rollouts=rollouts)
    return found


def _suffixes(pulls: int) -> list[str]:
    """Nothing for a single pull; `/0`, `/1`, … where there are several."""
    return [""] if pulls == 1 else [f"/{place}" for place in range(pulls)]


def kl_of(updates: Sequence[Mapping[str, float]], pull: int) -> float | None:
    """The mean KL(student ‖ partner) a token that one pull saw in a step's updates; None where it acted on nothing."""
    tokens = math.fsum(update.get(f"pulled_tokens/{pull}", 0.0) for update in updates)
    return math.fsum(update.get(f"k3/{pull}", 0.0) for update in updates) / tokens if tokens else None


def _kind(group: Group) -> str:
    right = [m.right for m in group.members if m.judged]
    if not right:
        return "unjudged"
    if all(right):
        return "right"
    return "mixed" if any(right) else "wrong"


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def add(totals: dict[str, float], sums: Mapping[str, float]) -> None:
    """Put the sums of one micro-batch or update on top of others: `_max` is a maximum, everything else adds up."""
    for name, value in sums.items():
        totals[name] = max(totals.get(name, 0.0), value) if name.endswith("_max") else totals.get(name, 0.0) + value


OF_OWN_TOKENS = ("entropy/sampled", "pull/kl", "pull/log_ratio", "pull/log_ratio_max", "pull_share")
"""What `of_updates` estimates from tokens the student sampled: none of it means that on tokens somebody else wrote."""


def of_updates(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Ratios over all trained tokens of a step's updates, from the sums each of them reported; the gradient norm is their mean."""
    sums: dict[str, float] = {}
    for update in updates:
        add(sums, update)
    tokens, pulled = sums.get("tokens", 0.0), sums.get("pulled_tokens", 0.0)
    out = {
        "z": float(sums["z"]),
        "trained_tokens": tokens,
        "entropy/sampled": -sums.get("logprob", 0.0) / tokens if tokens else 0.0,
        "pull/log_ratio": sums.get("log_ratio", 0.0) / pulled if pulled else 0.0,
        "pull/kl": sums.get("k3", 0.0) / pulled if pulled else 0.0,
        "pull/log_ratio_max": sums.get("log_ratio_max", 0.0),
        "pull_share": math.sqrt(sums["pull_square"] / sums["credit_square"]) if sums.get("credit_square") else math.nan,
        "grad_norm": sums["grad_norm"] / len(updates),
    }
    pulls = sum(name.startswith("k3/") for name in sums)
    out |= {f"pull/kl/{place}": kl_of(updates, place) or 0.0 for place in range(pulls) if pulls > 1}
    if "entropy" in sums:
        out["entropy/whole"] = sums["entropy"] / tokens if tokens else 0.0
    if "correction" in sums:
        out["correction/mean"] = sums["correction"] / tokens if tokens else 0.0
        out["correction/masked"] = sums["corrected_away"] / tokens if tokens else 0.0
    if "clipped_low" in sums:
        out["clip/low"] = sums["clipped_low"] / tokens if tokens else 0.0
        out["clip/high"] = sums["clipped_high"] / tokens if tokens else 0.0
    return out


def log_ratio(rollouts: Sequence[Rollout], teacher: Sequence[Sequence[float]]) -> dict[str, float]:
    """Mean of log π - log φ per response token, and the teacher's mean negative log-likelihood."""
    pairs = [(s, t) for r, row in zip(rollouts, teacher, strict=True) for s, t in zip(r.logprobs, row, strict=True)]
    return {
        "teacher/log_ratio_start": _mean([s - t for s, t in pairs]),
        "teacher/nll_start": _mean([-t for _, t in pairs]),
    }


def wilson(mean: float, n: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The 95 % Wilson interval of a share `mean` of `n` trials."""
    if n == 0:
        return 0.0, 1.0
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)
