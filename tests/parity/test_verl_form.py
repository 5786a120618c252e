"""Objectives on verl's padded tensors against vold's own path: records, plan, batch, rendering, one division.

verl is not installed here. What is tested is the layout of its tensors, its normalisation and its call, as they stand in verl 0.9's source.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from support import records as r
from torch import Tensor

from vold.base.errors import ObjectiveError, SettingsError
from vold.base.types import Group, Rollout, ScoredRollout
from vold.core import render
from vold.core.batching import batch_of, rows_of
from vold.core.objective import (
    EVERY,
    K2,
    RAW,
    REFERENCE,
    TEACHER,
    WRONG,
    Z_SCORE,
    Adaptive,
    Baseline,
    Clamp,
    Clip,
    Correction,
    Credit,
    Estimator,
    Level,
    Objective,
    Over,
    Overlong,
    Pull,
    Schedule,
    Share,
    TeacherRatio,
    Terms,
    Weigh,
)
from vold.core.plan import plan_of
from vold.core.pulls import Beyond
from vold.core.ratios import How
from vold.core.reading import Reading
from vold.core.zoo import DAPO, DR_GRPO, GRPO, KDRL, KDRL_ANNEALED, OPD, RLSD, SCOPE, VOLD, VOLD_RL, ZOO
from vold.integrations import verl
from vold.integrations.verl import AGGREGATION, Extra

EXACT = 1e-12
CAP, WIDTH, VOCABULARY, STEP = 12, 14, 34, 30
WORDS = ("RWWw", "RRRR", "wWWW", "RUWR", "WwRW")
"""Groups of one size, because verl counts rollouts; an unjudged rollout, an all-right and an all-wrong group among them."""
MORE = {
    "pull over pulled tokens": replace(VOLD, pulls=(replace(VOLD.pulls[0], over=Over.PULLED),)),
    "pull by fail rate": replace(VOLD, pulls=(replace(VOLD.pulls[0], on=EVERY, weigh=Weigh.FAIL_RATE),)),
    "two pulls, one clamped": replace(
        VOLD, pulls=(Pull(TEACHER, 0.3, K2, WRONG, clamp=Clamp(0.5, Beyond.SATURATE)), Pull(REFERENCE, 0.02, K2, EVERY)), pull_truncated=False
    ),
    "teacher ratio half-way": replace(RLSD, credit=replace(RLSD.credit, by_teacher=TeacherRatio(Schedule(1.0, 0.0, until=60), 0.2))),
    "dual clip, biased": Objective(Credit(Baseline.Z_SCORE, unbiased=False), Clip(0.2, 0.3, dual=1.5), share=Share.PER_TOKEN),
    "truncated correction": replace(VOLD, correction=Correction(How.TRUNCATED, cap=1.05)),
    "masked correction by sequence, on the credit": replace(
        VOLD, correction=Correction(How.MASKED, cap=1.2, floor=0.8, level=Level.SEQUENCE, on=Terms.CREDIT)
    ),
    "scheduled credit": replace(VOLD, credit=replace(Z_SCORE, weight=Schedule(0.0, 1.0, until=60))),
    "raw": Objective(RAW, None, share=Share.PER_SEQUENCE),
}
INEXPRESSIBLE = {
    "VOLD_FULL": "over the vocabulary",
    "QWEN3_OPD": "over the vocabulary",
    "GKD": "over the vocabulary",
    "VLAA_THINKER": "follows the measured KL",
}
OBJECTIVES = {name: objective for name, objective in ZOO.items() if name not in INEXPRESSIBLE} | MORE


# ---- one world, twice -----------------------------------------------------------------------------------------------------------------


def table(seed: int) -> Tensor:
    return torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@dataclass(frozen=True)
class World:
    """Groups of records, and the same rollouts as rows of padded tensors in another order. Log-probabilities are looked up: last token, next."""

    groups: tuple[Group, ...]
    order: tuple[int, ...]
    student: Tensor = field(default_factory=lambda: table(1).requires_grad_())

    @property
    def members(self) -> list[ScoredRollout]:
        """One a row, in the order of the padded tensors."""
        flat = [member for group in self.groups for member in group.members]
        return [flat[place] for place in self.order]

    def said(self, logits_VV: Tensor, rollout: Rollout) -> Tensor:
        before = [rollout.prompt_ids[-1], *rollout.response_ids[:-1]]
        return logits_VV.log_softmax(1)[before, list(rollout.response_ids)]

    def padded(self, of_member: Callable[[ScoredRollout], Tensor | Sequence[float] | None], *, garbage: float = float("nan")) -> Tensor:
        """[rows, WIDTH]; garbage at padding, and in a whole row where there is nothing to say."""
        rows = []
        for member in self.members:
            values = of_member(member)
            said = torch.zeros(0, dtype=torch.float64) if values is None else torch.as_tensor(values, dtype=torch.float64)
            rows.append(torch.cat([said, torch.full((WIDTH - len(said),), garbage, dtype=torch.float64)]))
        return torch.stack(rows)

    @property
    def mask(self) -> Tensor:
        """verl's response_mask. An unjudged rollout has no place in it."""
        rows = [[m.judged and s for s in m.rollout.sampled] + [False] * (WIDTH - len(m.rollout.sampled)) for m in self.members]
        return torch.tensor(rows)

    @property
    def uid(self) -> list[str]:
        return [member.rollout.problem.id for member in self.members]

    @property
    def rewards(self) -> Tensor:
        return torch.tensor([member.reward for member in self.members], dtype=torch.float64)

    @property
    def truncated(self) -> Tensor:
        return torch.tensor([member.rollout.finish == "length" for member in self.members])


def world(objective: Objective, words: Sequence[str] = WORDS, *, step: int = STEP, seed: int = 3) -> World:
    """The sampler is a little off the student. Partners are asked of what the plan reads, and are NaN elsewhere."""
    groups = [_ended(group) for group in r.groups_of(*words, seed=seed, longest=CAP, inserted=True)]
    if not objective.reads_verdict:  # then vold trains unjudged rollouts too, and verl's response_mask could not say "unjudged"
        groups = [replace(g, members=tuple(m for m in g.members if m.judged)) for g in groups]
    made = World(tuple(groups), tuple(torch.randperm(sum(len(g.members) for g in groups), generator=torch.Generator().manual_seed(7)).tolist()))
    sampler, teacher, reference = made.student.detach() + 0.1 * table(2), table(3), table(4)
    plan = plan_of(objective, step=step, length_cap=CAP)

    def told(member: ScoredRollout, group: Group) -> ScoredRollout:
        said = {name: tuple(made.said(logits, member.rollout).tolist()) for name, logits in (("t", teacher), ("r", reference), ("s", sampler))}
        return replace(
            member,
            rollout=replace(member.rollout, logprobs=said["s"]),
            teacher_logprobs=said["t"] if plan.wants(TEACHER, member, group) else None,
            reference_logprobs=said["r"] if plan.wants(REFERENCE, member, group) else None,
        )

    return replace(made, groups=tuple(replace(g, members=tuple(told(m, g) for m in g.members)) for g in groups))


def _ended(group: Group) -> Group:
    """The last token of a response is always sampled: from a response_mask alone an inserted tail cannot be told from padding."""
    return replace(group, members=tuple(replace(m, rollout=replace(m.rollout, sampled=(*m.rollout.sampled[:-1], True))) for m in group.members))


def by_vold(objective: Objective, made: World, *, moved: bool, step: int = STEP) -> Tensor:
    """The step's loss on vold's own path, divided once. By sequence vold divides by judged rollouts, verl by all of them: one factor."""
    plan = plan_of(objective, step=step, length_cap=CAP)
    counts = plan.counts(made.groups)
    z = len(made.order) if objective.share in (Share.PER_SEQUENCE, Share.FIXED_LENGTH) else counts.z
    rollouts = [m.rollout for g in made.groups for m in g.members]
    behaviour = {(x.problem.id, x.sample): tuple(made.said(old(made), x).tolist()) for x in rollouts} if moved else None
    batch = batch_of(rows_of(made.groups, plan, counts, behaviour=behaviour), pulls=len(plan.betas), dtype=torch.float64)
    logprobs_N = made.student.log_softmax(1)[batch.ids_T[batch.before_N], batch.targets_N]
    return render.rendering(plan, only_update=not moved)(plan, batch, Reading(logprobs_N=logprobs_N)).loss / z


def old(made: World) -> Tensor:
    return made.student.detach() + 0.4 * table(5)


def arguments(objective: Objective, made: World, *, moved: bool, step: int = STEP) -> tuple[dict[str, Any], Extra]:
    """What verl would hand over, and what it would not."""
    mask, rewards, uid = made.mask, made.rewards, made.uid
    sampler = made.padded(lambda m: m.rollout.logprobs)
    advantages = verl.advantages(objective, rewards, uid, mask, rollout_log_prob=sampler, step=step, length_cap=CAP)
    assert not advantages[~mask].any()
    extra = verl.extra_of(
        objective, mask, rewards=rewards, uid=uid, truncated=made.truncated, step=step, length_cap=CAP, rollout_log_prob=sampler,
        teacher_log_prob=made.padded(lambda m: m.teacher_logprobs), ref_log_prob=made.padded(lambda m: m.reference_logprobs, garbage=1e30),
    )  # fmt: skip
    given = {
        "old_log_prob": made.padded(lambda m: made.said(old(made), m.rollout)) if moved else None,
        "log_prob": made.padded(lambda m: made.said(made.student, m.rollout)),
        "advantages": torch.where(mask, advantages, float("nan")),
        "response_mask": mask,
        "loss_agg_mode": AGGREGATION[objective.share],
    }
    return given, extra


def config(made: World, **more: Any) -> SimpleNamespace:
    """verl's actor config, as far as a policy loss reads it: counts over the whole mini-batch, rollouts without a token among the rollouts."""
    counts = {"dp_size": 1, "batch_num_tokens": int(made.mask.sum()), "global_batch_size": len(made.order)}
    return SimpleNamespace(global_batch_info={**counts, "loss_scale_factor": CAP, **more})


def assert_same(found: Tensor, truth: Tensor, leaf: Tensor) -> None:
    """Values and gradients. By coefficient the value means nothing, but it is the same one."""
    found_VV, truth_VV = (torch.autograd.grad(loss, leaf, retain_graph=True)[0] for loss in (found, truth))
    assert float(truth_VV.abs().max()) > 1e-5, "nothing would be compared"
    torch.testing.assert_close(found_VV, truth_VV, rtol=0, atol=EXACT)
    torch.testing.assert_close(found, truth, rtol=0, atol=EXACT)


# ---- the same loss --------------------------------------------------------------------------------------------------------------------


def test_every_method_is_compared_or_refused() -> None:
    assert {*OBJECTIVES, *INEXPRESSIBLE} == {*ZOO, *MORE}


@pytest.mark.parametrize("moved", [False, True], ids=["only update", "old policy"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_padded_tensors_give_the_loss_of_records(name: str, moved: bool) -> None:
    """Interleaved groups, NaN and huge numbers at padding, teachers that nobody asked: NaN."""
    made = world(OBJECTIVES[name])
    given, extra = arguments(OBJECTIVES[name], made, moved=moved)
    loss, metrics = verl.policy_loss(OBJECTIVES[name], **given, config=config(made), extra=extra)
    assert_same(loss, by_vold(OBJECTIVES[name], made, moved=moved), made.student)
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("cuts", [(3, 8, 13), (1, 2, 19), (10,)], ids=str)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_micro_batches_add_up(name: str, cuts: tuple[int, ...]) -> None:
    """Cut anywhere, through groups: with counts over the whole mini-batch the losses add up to that of the whole."""
    made = world(OBJECTIVES[name])
    given, extra = arguments(OBJECTIVES[name], made, moved=True)
    whole, _ = verl.policy_loss(OBJECTIVES[name], **given, config=config(made), extra=extra)
    parts = [slice(start, end) for start, end in zip((0, *cuts), (*cuts, len(made.order)), strict=True)]
    losses = [verl.policy_loss(OBJECTIVES[name], **cut(given, part), config=config(made), extra=extra.rows(part))[0] for part in parts]
    assert_same(torch.stack(losses).sum(), whole, made.student)


def cut(given: Mapping[str, Any], part: slice) -> dict[str, Any]:
    return {name: value[part] if isinstance(value, Tensor) else value for name, value in given.items()}


def test_ranks_average_to_the_whole() -> None:
    """Gradients are averaged over ranks, so each rank's loss is multiplied by their number."""
    made = world(VOLD)
    given, extra = arguments(VOLD, made, moved=True)
    whole, _ = verl.policy_loss(VOLD, **given, config=config(made), extra=extra)
    ranks = [list(range(0, 20, 2)), list(range(1, 20, 2))]
    losses = [
        verl.policy_loss(VOLD, **cut(given, torch.tensor(rank)), config=config(made, dp_size=2), extra=extra.rows(rank))[0]  # type: ignore[arg-type]
        for rank in ranks
    ]
    assert_same(torch.stack(losses).mean(), whole, made.student)


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean", "seq-mean-token-sum-norm"])
def test_normalisation_is_that_of_the_aggregation_mode(mode: str) -> None:
    """A plain clipped loss, aggregated by hand: mean over tokens, mean of sequence means, mean of sums over a constant."""
    objective = Objective(Z_SCORE, Clip(0.2, 0.3), share=next(share for share, name in AGGREGATION.items() if name == mode))
    made = world(objective)
    given, _ = arguments(objective, made, moved=True)
    loss, _ = verl.policy_loss(objective, **given, config=config(made, batch_num_tokens=None, global_batch_size=None))
    ratio = (given["log_prob"] - given["old_log_prob"]).exp()
    token = -torch.minimum(ratio * given["advantages"], ratio.clip(0.8, 1.3) * given["advantages"])
    rows = [values[kept] for values, kept in zip(token, made.mask, strict=True) if kept.any()]
    means = {
        "token-mean": torch.cat(rows).mean(),
        "seq-mean-token-mean": torch.stack([row.mean() for row in rows]).mean(),
        "seq-mean-token-sum-norm": torch.stack([row.sum() / CAP for row in rows]).mean(),
    }
    torch.testing.assert_close(loss, means[mode], rtol=0, atol=EXACT)


def test_importance_weights_of_verl_act_on_credit_and_pull_alike() -> None:
    """As a truncated correction of the objective's own does."""
    corrected = replace(VOLD, correction=Correction(How.TRUNCATED, cap=1.05))
    made = world(corrected)
    given, extra = arguments(corrected, made, moved=True)
    truth, _ = verl.policy_loss(corrected, **given, config=config(made), extra=extra)
    ratio = (given["old_log_prob"] - made.padded(lambda m: m.rollout.logprobs)).exp()
    plain, extra = arguments(VOLD, made, moved=True)
    found, _ = verl.policy_loss(VOLD, **plain, config=config(made), extra=extra, rollout_is_weights=ratio.clamp(max=1.05))
    assert_same(found, truth, made.student)


def test_part_of_a_batch_is_enough_where_no_group_is_read() -> None:
    """VOLD's mask is a rollout's own verdict: a worker can form it from the micro-batch it holds."""
    made = world(VOLD)
    given, extra = arguments(VOLD, made, moved=True)
    part = slice(5, 12)
    teacher = made.padded(lambda m: m.teacher_logprobs)[part]
    own = verl.extra_of(VOLD, made.mask[part], rewards=made.rewards[part], teacher_log_prob=teacher)
    found, truth = (verl.policy_loss(VOLD, **cut(given, part), config=config(made), extra=e)[0] for e in (own, extra.rows(part)))
    assert_same(found, truth, made.student)


def test_a_right_rollout_ignores_the_teacher() -> None:
    made = world(VOLD)
    given, extra = arguments(VOLD, made, moved=True)
    asked = (made.rewards == 0) & made.mask.any(1)
    assert extra.teacher_BT is not None
    assert bool(extra.teacher_BT[~asked].isnan().all())
    other = replace(extra, teacher_BT=torch.where(asked[:, None], extra.teacher_BT, 1e30))
    found, truth = (verl.policy_loss(VOLD, **given, config=config(made), extra=e)[0] for e in (other, extra))
    assert_same(found, truth, made.student)


def test_metrics_are_means_over_the_micro_batch() -> None:
    made = world(VOLD)
    given, extra = arguments(VOLD, made, moved=True)
    _, metrics = verl.policy_loss(VOLD, **given, config=config(made), extra=extra)
    pulled = made.mask & (made.rewards == 0)[:, None]
    gap = (given["log_prob"].detach() - made.padded(lambda m: m.teacher_logprobs))[pulled]
    ratio, credit = (given["log_prob"].detach() - given["old_log_prob"])[made.mask].exp(), given["advantages"][made.mask]
    assert metrics == {
        "actor/vold/pulled": pytest.approx(float(pulled.sum() / made.mask.sum()), rel=1e-6),
        "actor/vold/kl": pytest.approx(float(((-gap).exp() - 1 + gap).mean())),
        "actor/vold/log_ratio": pytest.approx(float(gap.mean())),
        "actor/vold/pull_share": pytest.approx(float(0.1 * gap.square().sum().sqrt() / credit.square().sum().sqrt())),
        "actor/vold/clipped_low": pytest.approx(float(((ratio < 0.8) & (credit < 0)).float().mean()), rel=1e-6),
        "actor/vold/clipped_high": pytest.approx(float(((ratio > 1.3) & (credit > 0)).float().mean()), rel=1e-6),
    }
    assert metrics["actor/vold/clipped_low"] > 0
    assert metrics["actor/vold/clipped_high"] > 0


def test_rewards_that_are_not_verdicts() -> None:
    """Rewards of any size give credit; which rollouts are right is then said apart."""
    made = world(VOLD)
    scaled = verl.advantages(VOLD, 0.9 * made.rewards, made.uid, made.mask)
    torch.testing.assert_close(scaled, verl.advantages(VOLD, made.rewards, made.uid, made.mask), rtol=0, atol=1e-5)
    teacher = made.padded(lambda m: m.teacher_logprobs)
    with pytest.raises(ObjectiveError, match="Give right"):
        verl.extra_of(VOLD, made.mask, rewards=0.9 * made.rewards, teacher_log_prob=teacher)
    said = verl.extra_of(VOLD, made.mask, rewards=0.9 * made.rewards, right=made.rewards == 1, teacher_log_prob=teacher)
    assert torch.equal(said.weights_BP, verl.extra_of(VOLD, made.mask, rewards=made.rewards, teacher_log_prob=teacher).weights_BP)


def test_whole_numbers_for_rewards_do_not_round_advantages() -> None:
    found = verl.advantages(VOLD_RL, torch.tensor([1, 0, 0]), ["a"] * 3, torch.ones(3, 2))
    assert found[:, 0].tolist() == pytest.approx([1.1547, -0.5774, -0.5774], abs=1e-4)


# ---- refusals --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", INEXPRESSIBLE)
def test_what_verl_has_no_form_for_is_refused(name: str) -> None:
    made = world(VOLD_RL)
    for refused in (
        lambda o: verl.advantages(o, made.rewards, made.uid, made.mask),
        lambda o: verl.extra_of(o, made.mask),
        lambda o: verl.policy_loss(o, None, made.mask.double(), made.mask.double(), made.mask),
        lambda o: verl.register(o),
    ):
        with pytest.raises(ObjectiveError, match=INEXPRESSIBLE[name]):
            refused(ZOO[name])


def test_nor_is_there_one_for_a_teachers_likeliest_ids() -> None:
    likeliest = replace(VOLD, pulls=(Pull(TEACHER, 0.1, Estimator.PARTNER_TOP_K, top=4),))
    with pytest.raises(ObjectiveError, match=r'"partner-top-k" sums over the vocabulary.*sampled tokens alone.*"k3"'):
        verl.refuse_inexpressible(likeliest)


@pytest.mark.parametrize(
    ("objective", "match"),
    [(replace(VOLD_RL, entropy=0.01), r"actor\.entropy_coeff"), (replace(VOLD_RL, overlong=Overlong.MASK), "response_mask to 0")],
)
def test_what_belongs_to_verls_own_settings_is_refused(objective: Objective, match: str) -> None:
    with pytest.raises(ObjectiveError, match=match):
        verl.refuse_inexpressible(objective)


def test_an_adaptive_strength_is_refused_wherever_it_stands() -> None:
    objective = replace(VOLD, pulls=(*VOLD.pulls, Pull(REFERENCE, Adaptive(0.1, target=0.1))))
    with pytest.raises(ObjectiveError, match="keeps none"):
        verl.refuse_inexpressible(objective)


MISSING: dict[str, tuple[Objective, dict[str, Any], str]] = {
    "teacher": (OPD, {}, "teacher_log_prob is not given"),
    "reference": (GRPO, {}, "ref_log_prob is not given"),
    "verdicts": (VOLD, {"teacher_log_prob": torch.zeros(4, 3)}, "rewards is not given"),
    "teacher of a ratio": (RLSD, {}, "teacher_log_prob is not given"),
    "groups": (KDRL, {"teacher_log_prob": torch.zeros(4, 3)}, "whole groups, but no uid"),
    "groups of a weight": (SCOPE, {"rewards": torch.zeros(4), "teacher_log_prob": torch.zeros(4, 3)}, "whole groups, but no uid"),
    "one size of group": (
        KDRL, {"uid": ["a", "a", "a", "b"], "teacher_log_prob": torch.zeros(4, 3)}, "groups of 1 and of 3",
    ),
    "cap": (DR_GRPO, {}, "length_cap is not given"),
    "truncated": (replace(OPD, pull_truncated=False), {"teacher_log_prob": torch.zeros(4, 3)}, "truncated is not given"),
    "sampler": (replace(VOLD_RL, correction=Correction(How.TRUNCATED)), {}, "rollout_log_prob is not given"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_what_an_objective_reads_must_be_given(name: str) -> None:
    objective, given, match = MISSING[name]
    with pytest.raises(ObjectiveError, match=match):
        verl.extra_of(objective, torch.ones(4, 3), **given)


def test_contradictions_with_verls_settings_are_refused() -> None:
    made = world(VOLD)
    given, extra = arguments(VOLD, made, moved=True)
    weights = torch.ones_like(given["log_prob"])
    with pytest.raises(ObjectiveError, match="counts per-token, but loss_agg_mode"):
        verl.policy_loss(VOLD, **{**given, "loss_agg_mode": "seq-mean-token-mean"}, config=config(made), extra=extra)
    with pytest.raises(ObjectiveError, match="Keep one of them"):
        verl.policy_loss(replace(VOLD, correction=Correction(How.TRUNCATED)), **given, config=config(made), rollout_is_weights=weights)
    with pytest.raises(ObjectiveError, match="loss_scale_factor"):
        verl.policy_loss(DR_GRPO, **{**given, "loss_agg_mode": "seq-mean-token-sum-norm"}, config=config(made, loss_scale_factor=None))
    with pytest.raises(ValueError, match="no batch_num_tokens"):
        verl.policy_loss(VOLD, **given, config=config(made, dp_size=2, batch_num_tokens=None), extra=extra)
    with pytest.raises(ValueError, match="Cut it with rows"):
        verl.policy_loss(VOLD, **cut(given, slice(4)), config=config(made), extra=extra)
    with pytest.raises(ValueError, match="another objective"):
        verl.policy_loss(VOLD_RL, **given, config=config(made), extra=extra)


# ---- in verl's registries --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def algos(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module with the two registries of verl, and their manners: an estimator's name is taken once, a loss's is written over."""
    found = ModuleType("verl.trainer.ppo.core_algos")
    losses: dict[str, Any] = {}
    estimators: dict[str, Any] = {}

    def register_policy_loss(name: str) -> Callable[[Any], Any]:
        return lambda function: losses.setdefault(name, function)

    def register_adv_est(name: str) -> Callable[[Any], Any]:
        def enter(function: Any) -> Any:
            if estimators.setdefault(name, function) is not function:
                raise ValueError(f"{name} is taken")
            return function

        return enter

    vars(found).update(register_policy_loss=register_policy_loss, register_adv_est=register_adv_est, losses=losses, estimators=estimators)
    for name in ("verl", "verl.trainer", "verl.trainer.ppo"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, found.__name__, found)
    return found


@pytest.mark.parametrize("name", ["VOLD", "VOLD_RL", "DAPO", "KDRL_ANNEALED"])
def test_the_registered_pair_is_called_as_verl_calls_it(algos: ModuleType, name: str) -> None:
    """Estimator on the whole batch, loss on micro-batches, everything by keyword."""
    objective = ZOO[name]
    verl.register(objective, name="mine", length_cap=CAP)
    verl.register(objective, name="mine", length_cap=CAP)  # a module may be imported twice
    made = world(objective)
    given, extra = arguments(objective, made, moved=True)
    token_level_rewards = torch.zeros(len(made.order), WIDTH, dtype=torch.float64)
    token_level_rewards[:, 0] = made.rewards
    advantages, returns = algos.estimators["mine"](
        token_level_rewards=token_level_rewards, response_mask=made.mask, config=None, index=made.uid, norm_adv_by_std_in_grpo=True
    )
    assert advantages is returns
    losses = []
    for part in (slice(0, 9), slice(9, 20)):
        called = {**cut(given, part), "advantages": advantages[part], "config": config(made), "rollout_is_weights": None}
        if objective.pulls:
            with verl.given(extra.rows(part)):
                losses.append(algos.losses["mine"](**called)[0])
        else:
            losses.append(algos.losses["mine"](**called)[0])
    assert_same(torch.stack(losses).sum(), by_vold(objective, made, moved=True), made.student)


def test_the_registered_loss_says_what_it_misses(algos: ModuleType) -> None:
    verl.register(VOLD)
    made = world(VOLD)
    given, _ = arguments(VOLD, made, moved=True)
    with pytest.raises(ObjectiveError, match="is not given"):
        algos.losses["vold"](**given, config=config(made))


def test_nothing_given_stays_behind(algos: ModuleType) -> None:
    verl.register(VOLD)
    made = world(VOLD)
    given, extra = arguments(VOLD, made, moved=True)
    with pytest.raises(RuntimeError, match="stop"), verl.given(extra):
        raise RuntimeError("stop")
    with pytest.raises(ObjectiveError, match="is not given"):
        algos.losses["vold"](**given, config=config(made))


def test_without_verl_registering_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "verl", None)
    with pytest.raises(SettingsError, match=r"verl cannot be imported .* Install verl 0\.9"):
        verl.register(VOLD)


def test_registering_refuses_what_the_estimator_could_not_know(algos: ModuleType) -> None:
    with pytest.raises(ObjectiveError, match="does not tell an advantage estimator the step"):
        verl.register(MORE["scheduled credit"])
    with pytest.raises(ObjectiveError, match="Give length_cap"):
        verl.register(DAPO)
    assert not algos.losses
    assert not algos.estimators
    verl.register(KDRL_ANNEALED)


def test_importing_the_form_does_not_import_verl() -> None:
    assert "verl" not in sys.modules
