"""The same objectives in the form verl (github.com/verl-project/verl) gives to policy losses: padded tensors in, one normalised loss out.

verl keeps a batch as [rollouts, response tokens] tensors beside a `response_mask`, and cuts it into micro-batches that take groups apart. So
the work is split where verl splits it:

    advantages    on the whole batch, where groups are whole: verl's field of that name
    extra_of      what else the objective reads of each rollout, and verl does not hand to a policy loss: it is cut along with the batch
    policy_loss   on a micro-batch: (loss, metrics)

The loss is that of `core/render.py`; only layout and normalisation are made here. `register` enters the first and the last under a name in
verl's registries. Importing this module does not import verl.
"""

import importlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vold.base.errors import ObjectiveError, SettingsError
from vold.core import render
from vold.core.batching import Batch
from vold.core.objective import Objective, Overlong, Schedule, Share
from vold.core.reading import Reading
from vold.integrations.verl_batch import Extra, PerToken, advantages, extra_of, refuse_inexpressible

__all__ = ["AGGREGATION", "Extra", "advantages", "extra_of", "given", "policy_loss", "refuse_inexpressible", "register"]

Metrics = dict[str, float]

AGGREGATION = {
    Share.PER_TOKEN: "token-mean",
    Share.PER_SEQUENCE: "seq-mean-token-mean",
    Share.PER_GROUP: "seq-mean-token-sum",
    Share.FIXED_LENGTH: "seq-mean-token-sum-norm",
}
"""verl's `loss_agg_mode` for each share. verl has none by group; there each rollout's sum is weighed by its group's size over its group's tokens."""


def policy_loss(
    objective: Objective,
    old_log_prob: PerToken | None,
    log_prob: PerToken,
    advantages: PerToken,
    response_mask: Tensor,
    loss_agg_mode: str = "token-mean",
    config: Any = None,
    rollout_is_weights: PerToken | None = None,
    *,
    extra: Extra | None = None,
) -> tuple[Float[Tensor, ""], Metrics]:
    """A policy loss as verl calls it, but for the objective in front and `extra` behind.

    The loss is normalised as verl asks for: divided by the count over the whole mini-batch on all ranks that `config.global_batch_info` holds
    (the micro-batch's own where it holds none) and multiplied by `dp_size`, so that losses of micro-batches add up and those of ranks average.
    With `old_log_prob` None the ratio is exactly 1, as at the only update of a batch. Metrics are means over this micro-batch.
    """
    refuse_inexpressible(objective)
    info = {} if config is None else dict(config.global_batch_info)
    _refuse_contradiction(objective, loss_agg_mode, info, rollout_is_weights)
    if extra is None:
        extra = extra_of(objective, response_mask, length_cap=info.get("loss_scale_factor"))
    _refuse_another_batch(objective, extra, info, len(response_mask))
    mask_BT = response_mask.bool()
    batch = _batch(old_log_prob, log_prob, advantages, mask_BT, rollout_is_weights, extra)
    form = render.rendering(extra.plan, only_update=old_log_prob is None)
    rendered = form(extra.plan, batch, Reading(logprobs_N=log_prob[mask_BT]))
    loss = rendered.loss / _normaliser(objective.share, info, mask_BT) * info.get("dp_size", 1)
    return loss, _metrics(rendered.sums)


def _batch(
    old_log_prob: PerToken | None, log_prob: PerToken, advantages: PerToken, mask_BT: Tensor, is_weights: PerToken | None, extra: Extra
) -> Batch:
    """The trained tokens laid flat. What is outside the mask is never read: it may be NaN."""

    def flat(values_BT: Tensor | None) -> Tensor:
        return torch.full_like(log_prob[mask_BT], float("nan")) if values_BT is None else values_BT.to(log_prob)[mask_BT].detach()

    def spread(values_B: Tensor) -> Tensor:
        return values_B.to(log_prob)[:, None].expand(mask_BT.shape)[mask_BT]

    share_N = spread(extra.share_B)
    weights = [spread(weights_B) for weights_B in extra.weights_BP.T]
    return Batch(
        ids_T=torch.zeros(0, dtype=torch.long),
        spans=(),
        before_N=torch.zeros_like(share_N, dtype=torch.long),
        targets_N=torch.zeros_like(share_N, dtype=torch.long),
        lengths=tuple(length for length in mask_BT.sum(1).tolist() if length),
        advantage_N=flat(advantages),
        share_N=share_N if is_weights is None else share_N * flat(is_weights),
        weights_PN=torch.stack(weights) if weights else share_N.new_zeros(0, len(share_N)),
        teacher_N=flat(extra.teacher_BT),
        reference_N=flat(extra.reference_BT),
        sampler_N=flat(extra.sampler_BT),
        behaviour_N=None if old_log_prob is None else flat(old_log_prob),
    )


def _normaliser(share: Share, info: Mapping[str, Any], mask_BT: Tensor) -> float:
    """Tokens or rollouts of the whole mini-batch. Where verl counts rollouts, those without a token are among them."""
    name = "batch_num_tokens" if share is Share.PER_TOKEN else "global_batch_size"
    if info.get(name) is not None:
        return float(info[name])
    if info.get("dp_size", 1) > 1:
        raise ValueError(f"with dp_size = {info['dp_size']} the loss is divided by a count over all ranks, but global_batch_info has no {name}.")
    counted = {Share.PER_TOKEN: mask_BT, Share.PER_GROUP: torch.ones(len(mask_BT))}.get(share, mask_BT.any(1))
    return float(max(1, int(counted.sum())))


def _metrics(sums: Mapping[str, float]) -> Metrics:
    tokens, pulled = sums["tokens"], sums["pulled_tokens"]
    found = {"actor/vold/pulled": pulled / max(1.0, tokens)}
    if pulled:
        found |= {"actor/vold/kl": sums["k3"] / pulled, "actor/vold/log_ratio": sums["log_ratio"] / pulled}
    if pulled and sums["credit_square"]:
        found["actor/vold/pull_share"] = (sums["pull_square"] / sums["credit_square"]) ** 0.5
    return found | {f"actor/vold/{name}": sums[name] / max(1.0, tokens) for name in ("clipped_low", "clipped_high") if name in sums}


def _refuse_contradiction(objective: Objective, loss_agg_mode: str, info: Mapping[str, Any], is_weights: PerToken | None) -> None:
    if loss_agg_mode != AGGREGATION[objective.share]:
        raise ObjectiveError(
            f'the objective counts {objective.share}, but loss_agg_mode = "{loss_agg_mode}". Set actor.loss_agg_mode = '
            f"\"{AGGREGATION[objective.share]}\" in verl, which verl's own terms then follow too, or change the objective's share."
        )
    if objective.share is Share.FIXED_LENGTH and info.get("loss_scale_factor") is None:
        raise ObjectiveError(
            f'share = "{objective.share}" divides by the length cap, but verl has none: without one it would take the width of the micro-batch. '
            "Set actor.loss_scale_factor to the most tokens a response may have."
        )
    if is_weights is not None and objective.correction is not None:
        raise ObjectiveError("verl gives importance weights, and the objective has a correction of its own. Keep one of them.")


def _refuse_another_batch(objective: Objective, extra: Extra, info: Mapping[str, Any], rollouts: int) -> None:
    if extra.plan.objective != objective:
        raise ValueError(f"extra was made for another objective: {extra.plan.objective}. Make it with extra_of() for {objective}.")
    if len(extra.share_B) != rollouts:
        raise ValueError(f"extra holds {len(extra.share_B)} rollouts, the micro-batch {rollouts}. Cut it with rows().")
    if objective.share is Share.FIXED_LENGTH and extra.plan.length_cap != info["loss_scale_factor"]:
        raise ValueError(f"extra was made for length_cap = {extra.plan.length_cap}, but actor.loss_scale_factor = {info['loss_scale_factor']}.")


# -- in verl's registries -----------------------------------------------------------------------------------------------------------

_GIVEN: ContextVar[Extra | None] = ContextVar("vold_extra", default=None)


@contextmanager
def given(extra: Extra) -> Iterator[None]:
    """While this is open, the registered loss reads `extra`: verl's call has no place for it."""
    token = _GIVEN.set(extra)
    try:
        yield
    finally:
        _GIVEN.reset(token)


def register(objective: Objective, *, name: str = "vold", length_cap: int | None = None) -> None:
    """Enter the objective in verl's registries under `name`: as a policy loss, and as the advantage estimator that goes with it.

    Call it in every process that trains or computes advantages. A loss whose objective reads more than verl hands over (a pull, a teacher
    ratio, a correction, a share by group) must be called inside `given`. `length_cap` is read by a soft overlong penalty.
    """
    refuse_inexpressible(objective)
    if isinstance(objective.credit.weight, Schedule):
        raise ObjectiveError(
            "credit.weight follows a schedule, and verl does not tell an advantage estimator the step. Call advantages(step=...) yourself."
        )
    if objective.overlong is Overlong.SOFT and length_cap is None:
        raise ObjectiveError("a soft overlong penalty is measured from the length cap. Give length_cap, the most tokens a response may have.")
    try:
        algos = importlib.import_module("verl.trainer.ppo.core_algos")
    except ImportError as error:
        raise SettingsError(
            f"verl cannot be imported ({error}), so there is nowhere to register {name!r}. Install verl 0.9 in this environment; "
            "policy_loss() and advantages() work without it."
        ) from error
    algos.register_policy_loss(name)(_loss_of(objective))
    algos.register_adv_est(name)(_estimator_of(objective, length_cap))


@cache
def _loss_of(objective: Objective) -> Callable[..., tuple[Tensor, Metrics]]:
    """The same function whenever it is asked for: verl refuses a second one under one name."""

    def loss(
        old_log_prob: Tensor,
        log_prob: Tensor,
        advantages: Tensor,
        response_mask: Tensor,
        loss_agg_mode: str = "token-mean",
        config: Any = None,
        rollout_is_weights: Tensor | None = None,
    ) -> tuple[Tensor, Metrics]:
        arguments = (old_log_prob, log_prob, advantages, response_mask, loss_agg_mode, config, rollout_is_weights)
        return policy_loss(objective, *arguments, extra=_GIVEN.get())

    return loss


@cache
def _estimator_of(objective: Objective, length_cap: int | None) -> Callable[..., tuple[Tensor, Tensor]]:
    def estimator(token_level_rewards: Tensor, response_mask: Tensor, index: Sequence[Hashable], **_: Any) -> tuple[Tensor, Tensor]:
        found_BT = advantages(objective, token_level_rewards.sum(-1), index, response_mask, length_cap=length_cap)
        return found_BT, found_BT

    return estimator
