"""A whole verl batch as vold's records: what must be known of its groups before micro-batches take them apart.

verl's tensors are [rollouts, response tokens] beside a `response_mask`, with a `uid` for each rollout that names its group. Masks, weights and
shares are those of `core/plan.py`; what verl's form cannot express is refused here.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vold.base.errors import ObjectiveError
from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, Verdict
from vold.core.objective import Adaptive, Mask, Objective, Over, Overlong, Partner, Share, Weigh
from vold.core.plan import Plan, plan_of
from vold.core.weights import ends_of

PerRollout = Float[Tensor, " B"]
PerToken = Float[Tensor, "B T"]
Flags = Bool[Tensor, " B"]
Told = list[tuple[Group, list[int]]]
"""Groups, each with the rows of the batch its members stand in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extra:
    """What an objective reads besides the arguments of a verl policy loss: one row a rollout, in the order of the batch."""

    plan: Plan
    weights_BP: Float[Tensor, "B P"]
    """β times mask times group weight of each pull."""
    share_B: PerRollout
    """How much each token of a rollout counts. By group, times the group's size: verl divides by rollouts."""
    teacher_BT: PerToken | None = None
    reference_BT: PerToken | None = None
    sampler_BT: PerToken | None = None

    def rows(self, at: slice | Sequence[int] | Tensor) -> "Extra":
        """The same for some of the rollouts, such as those of a micro-batch."""
        chosen = at if isinstance(at, slice | Tensor) else torch.as_tensor(at)
        tensors = {name: getattr(self, name) for name in ("weights_BP", "share_B", "teacher_BT", "reference_BT", "sampler_BT")}
        return replace(self, **{name: tensor[chosen] for name, tensor in tensors.items() if tensor is not None})


def advantages(
    objective: Objective,
    rewards: PerRollout,
    uid: Sequence[Hashable],
    response_mask: Tensor,
    *,
    right: Flags | None = None,
    rollout_log_prob: PerToken | None = None,
    step: int = 0,
    length_cap: int | None = None,
) -> PerToken:
    """The credit of every token, 0 outside `response_mask`. Rollouts of one `uid` are a group, wherever they stand.

    A rollout without any token in `response_mask` counts as unjudged: it takes no part in its group's mean. `right` is needed where a mask or
    weight reads verdicts and rewards are other than 0 and 1; `rollout_log_prob` where the credit is weighed by the student's perplexity.
    """
    refuse_inexpressible(objective)
    credit = objective.credit
    plan = _plan(objective, step, length_cap, measured="a soft overlong penalty" if objective.overlong is Overlong.SOFT else None)
    reads_sampler = credit.weigh is Weigh.HIGH_STUDENT_PERPLEXITY
    sampler_BT = _needed(rollout_log_prob, "rollout_log_prob", "a credit weighed by the student's perplexity") if reads_sampler else None
    flags = _right(rewards, right, needed=credit.on.reads_verdict or credit.weigh.reads_verdict)
    found_B = torch.zeros(len(response_mask), dtype=torch.float64)
    for group, places in _groups(response_mask, uid, rewards, flags, sampler=sampler_BT):
        found_B[places] = torch.tensor(plan.advantages(group), dtype=torch.float64)
    dtype = rewards.dtype if rewards.is_floating_point() else torch.float32
    return found_B.to(rewards.device, dtype)[:, None] * response_mask.bool()


def extra_of(
    objective: Objective,
    response_mask: Tensor,
    *,
    rewards: PerRollout | None = None,
    uid: Sequence[Hashable] | None = None,
    right: Flags | None = None,
    truncated: Flags | None = None,
    teacher_log_prob: PerToken | None = None,
    ref_log_prob: PerToken | None = None,
    rollout_log_prob: PerToken | None = None,
    step: int = 0,
    length_cap: int | None = None,
) -> Extra:
    """What a policy loss needs besides verl's own arguments. Only what the objective reads must be given; the rest is dropped.

    Without `uid` the rollouts may be any part of a batch; with it they are the whole batch of one update, which an objective that reads whole
    groups asks for. Log-probabilities may be anything (NaN, too) where the objective does not read them: at padding, and at rollouts no pull
    acts on.
    """
    refuse_inexpressible(objective)
    if uid is None and (reader := _reader_of_groups(objective)) is not None:
        raise ObjectiveError(f"{reader} reads whole groups, but no uid is given. Give uid and one update's whole batch, then cut with rows().")
    weighs = {pull.weigh for pull in objective.pulls}
    reads_verdict = any(pull.reads_verdict for pull in objective.pulls)
    if reads_verdict:
        _needed(rewards if right is None else right, "rewards", "verdicts (a mask or weight of a pull)")
    if not objective.pull_truncated and objective.pulls:
        _needed(truncated, "truncated", "which rollouts were cut off (pull_truncated = false)")
    reads_sampler = objective.correction is not None or Weigh.HIGH_STUDENT_PERPLEXITY in weighs
    sampler_BT = _needed(rollout_log_prob, "rollout_log_prob", "the sampler (a correction or a perplexity)") if reads_sampler else None
    teacher_BT = _of_partner(objective, Partner.TEACHER, teacher_log_prob, "teacher_log_prob")
    told = _groups(
        response_mask, uid, rewards, _right(rewards, right, needed=reads_verdict), truncated=truncated,
        sampler=sampler_BT if Weigh.HIGH_STUDENT_PERPLEXITY in weighs else None,
        teacher=teacher_BT if Weigh.LOW_TEACHER_PERPLEXITY in weighs else None,
    )  # fmt: skip
    plan = _plan(objective, step, length_cap, measured=f'share = "{objective.share}"' if objective.share is Share.FIXED_LENGTH else None)
    return Extra(
        plan=plan,
        weights_BP=_weights(plan, told, len(response_mask)),
        share_B=_shares(plan, told, len(response_mask)),
        teacher_BT=teacher_BT,
        reference_BT=_of_partner(objective, Partner.REFERENCE, ref_log_prob, "ref_log_prob"),
        sampler_BT=sampler_BT if objective.correction is not None else None,
    )


def _weights(plan: Plan, told: Told, rollouts: int) -> Tensor:
    found_BP = torch.zeros(rollouts, len(plan.betas), dtype=torch.float64)
    scales = torch.tensor(plan.pull_scales(plan.counts(group for group, _ in told)), dtype=torch.float64)
    for group, places in told:
        found_BP[places] = torch.tensor(plan.pull_weights(group), dtype=torch.float64).reshape(len(places), -1) * scales
    return found_BP


def _shares(plan: Plan, told: Told, rollouts: int) -> Tensor:
    found_B = torch.zeros(rollouts, dtype=torch.float64)
    by_group = plan.objective.share is Share.PER_GROUP
    sizes = {len(group.members) for group, _ in told}
    if by_group and len(sizes) > 1:
        raise ObjectiveError(
            f"groups of {min(sizes)} and of {max(sizes)} rollouts: verl divides by rollouts, which stand for groups only where all are of one size. "
            'Give groups of one size, or choose share = "per-token".'
        )
    for group, places in told:
        factor = len(places) if by_group else 1
        found_B[places] = torch.tensor([factor * plan.share_of(member, group) for member in group.members], dtype=torch.float64)
    return found_B


# -- what cannot be ------------------------------------------------------------------------------------------------------------------


def refuse_inexpressible(objective: Objective) -> None:
    """Raise ObjectiveError for what a policy loss of verl's has no means for."""
    for pull in objective.pulls:
        if pull.by.vocabulary_wide:
            raise ObjectiveError(
                f'"{pull.by}" sums over the vocabulary, but a policy loss of verl\'s is given log-probabilities of sampled tokens alone. '
                'Choose "k2" or "k3", or train with vold itself.'
            )
        if isinstance(pull.beta, Adaptive):
            raise ObjectiveError(
                "a strength that follows the measured KL is state of the run, and a policy loss of verl's keeps none. Give a number or a schedule."
            )
    if ends_of(objective.entropy) != (0.0,):
        raise ObjectiveError(
            "an entropy bonus reads the whole distribution, and verl adds its own. Set actor.entropy_coeff in verl, and entropy = 0 here."
        )
    if objective.overlong is Overlong.MASK:
        raise ObjectiveError(
            "verl counts tokens before the loss is called, so the loss cannot take truncated rollouts out of Z. Compute the advantages, then set "
            'their response_mask to 0, and choose overlong = "keep".'
        )


def _reader_of_groups(objective: Objective) -> str | None:
    if objective.share is Share.PER_GROUP:
        return f'share = "{objective.share}"'
    for pull in objective.pulls:
        if pull.on is Mask.ALL_WRONG or pull.weigh is not Weigh.EVEN or pull.over is Over.PULLED:
            return f'the pull "{pull}"'
    return None


def _of_partner(objective: Objective, partner: Partner, logprobs: PerToken | None, name: str) -> PerToken | None:
    return None if objective.wants(partner) is None else _needed(logprobs, name, f"a {partner}")


def _needed(value: Tensor | None, name: str, what: str) -> Tensor:
    if value is None:
        raise ObjectiveError(f"the objective reads {what}, but {name} is not given. Give it, or choose an objective that does without.")
    return value


def _plan(objective: Objective, step: int, length_cap: int | None, *, measured: str | None) -> Plan:
    if measured is not None and length_cap is None:
        raise ObjectiveError(f"{measured} is measured from the length cap, but length_cap is not given. Give the most tokens a response may have.")
    return plan_of(objective, step=step, length_cap=length_cap or 1)


# -- from tensors to records ---------------------------------------------------------------------------------------------------------


def _right(rewards: PerRollout | None, right: Flags | None, *, needed: bool) -> list[bool]:
    """Which rollouts are right; meaningless, and nowhere read, where that is not needed and cannot be told."""
    if right is not None:
        return [bool(one) for one in right.tolist()]
    if rewards is None:
        return []
    if needed and not bool(((rewards == 0) | (rewards == 1)).all()):
        raise ObjectiveError("a mask or weight reads which rollouts are right, and the rewards are not 0 and 1. Give right.")
    return [reward == 1 for reward in rewards.tolist()]


def _groups(
    response_mask: Tensor,
    uid: Sequence[Hashable] | None,
    rewards: PerRollout | None,
    right: Sequence[bool],
    *,
    truncated: Flags | None = None,
    sampler: PerToken | None = None,
    teacher: PerToken | None = None,
) -> Told:
    """The batch as groups of records. Without `uid` every rollout stands alone."""
    places: dict[Hashable, list[int]] = {}
    for place in range(len(response_mask)):
        places.setdefault(place if uid is None else uid[place], []).append(place)
    mask: list[list[bool]] = response_mask.bool().tolist()
    reward, cut = ([] if values is None else values.tolist() for values in (rewards, truncated))

    def member(problem: Problem, place: int) -> ScoredRollout:
        length = max((t + 1 for t, sampled in enumerate(mask[place]) if sampled), default=0)
        logprobs, teachers = (None if values is None else tuple(values[place, :length].tolist()) for values in (sampler, teacher))
        rollout = Rollout(
            problem=problem, sample=place, prompt_ids=(0,), response_ids=(0,) * length, logprobs=logprobs or (0.0,) * length,
            sampled=tuple(mask[place][:length]), policy_version=0, finish=Finish.LENGTH if cut and cut[place] else Finish.STOP, text="",
        )  # fmt: skip
        ruling = Ruling.UNJUDGED if not length else Ruling.RIGHT if right and right[place] else Ruling.WRONG
        verdict = Verdict(ruling=ruling, extracted=None, reward=reward[place] if reward else None)
        return ScoredRollout(rollout=rollout, verdict=verdict, teacher_logprobs=teachers)

    def group(name: Hashable) -> Group:
        problem = Problem(id=str(name), prompt="", answer=None, source="verl")
        return Group(problem=problem, members=tuple(member(problem, place) for place in places[name]))

    return [(group(name), places[name]) for name in places]
