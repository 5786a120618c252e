"""What this trainer cannot do, or what TRL's settings say and the objective decides: refused at construction, all settings at once."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from trl import GRPOConfig

from vold.base.errors import DataError, Diverged, ObjectiveError, SettingsError
from vold.base.types import Rollout
from vold.core.objective import Objective, refuse_impossible
from vold.core.pulls import Partner
from vold.core.selfcheck import self_check

BY_OBJECTIVE = {
    "beta": "a pull, such as Pull(REFERENCE, 0.04, K3)",
    "delta": "clip=Clip(0.2, 0.2, dual=…)",
    "entropy_coef": "entropy=",
    "entropy_coef_delta": "entropy=",
    "entropy_coef_max": "entropy=",
    "entropy_coef_min": "entropy=",
    "entropy_target": "entropy=",
    "epsilon": "clip=Clip(low, high)",
    "epsilon_high": "clip=Clip(low, high)",
    "importance_sampling_level": "clip=Clip(3e-4, 4e-4, level=Level.SEQUENCE)",
    "loss_type": "share= and clip=",
    "mask_truncated_completions": "overlong=Overlong.MASK",
    "multi_objective_aggregation": "credit=, on the sum of the weighted rewards",
    "off_policy_mask_threshold": "correction=",
    "ref_model_mixup_alpha": "a pull toward a reference, which stays as it is",
    "ref_model_sync_steps": "a pull toward a reference, which stays as it is",
    "sapo_temperature_neg": "clip=",
    "sapo_temperature_pos": "clip=",
    "scale_rewards": "credit=Z_SCORE or CENTRED",
    "sync_ref_model": "a pull toward a reference, which stays as it is",
    "top_entropy_quantile": "entropy=",
    "use_adaptive_entropy": "entropy=",
    "use_bias_correction_kl": "a pull by K3 (False) or K2 (what True amounts to)",
    "vespo_k_neg": "clip=",
    "vespo_k_pos": "clip=",
    "vespo_lambda_neg": "clip=",
    "vespo_lambda_pos": "clip=",
    "vllm_importance_sampling_cap": "correction=Correction(…)",
    "vllm_importance_sampling_clip_max": "correction=Correction(…)",
    "vllm_importance_sampling_clip_min": "correction=Correction(…)",
    "vllm_importance_sampling_mode": "correction=Correction(…)",
}
"""TRL's settings that its loss reads and ours does not, and what says the same in an objective."""

BY_SAMPLER: dict[str, tuple[Any, ...]] = {
    "generation_kwargs": (None, {}),
    "min_p": (None, 0.0),
    "repetition_penalty": (1.0,),
    "top_k": (0, None, -1),
    "top_p": (1.0,),
}
"""TRL's settings that bend the sampling distribution, and the values that leave it whole."""

UNREAD = {
    "cast_lm_head_to_fp32": "the head's products are taken in the model's precision and summed in float32",
    "use_transformers_continuous_batching": "it was not tried, and it casts the model that is trained",
}


def refuse_settings(args: GRPOConfig, given: dict[str, Any]) -> None:
    """Raise SettingsError for every setting that would be ignored, or that this trainer cannot serve. `given` is what else TRL is handed."""
    lines = [
        f"{name} = {getattr(args, name)!r}: the objective decides this, so TRL's setting would not act. Leave it at {_default(name)!r} and say "
        f"{instead} in the objective."
        for name, instead in BY_OBJECTIVE.items()
        if getattr(args, name) != _default(name)
    ]
    lines += [
        f"{name} = {getattr(args, name)!r}: samples would come from another distribution than the policy whose log-probabilities are trained. "
        f"Leave it at {_default(name)!r}; temperature may be set."
        for name, whole in BY_SAMPLER.items()
        if getattr(args, name) not in whole
    ]
    lines += [f"{name} = {getattr(args, name)!r}: {why}. Leave it at {_default(name)!r}." for name, why in UNREAD.items() if getattr(args, name)]
    lines += _steps(args)
    if not args.temperature > 0:
        lines.append(f"temperature = {args.temperature}: a group needs answers that differ. Set a temperature above 0; TRL's default is 1.")
    if given.get("peft_config") is not None:
        lines.append("peft_config: adapters are not supported, the head and the reference are read from the whole model. Leave it out.")
    lines += [
        f"{name}: a conversation with tools is not supported, the teacher would read a prompt without them. Leave it out, or use rollout_func."
        for name in ("tools", "environment_factory")
        if given.get(name) is not None
    ]
    if args.deepspeed or args.fsdp:
        lines.append("deepspeed or fsdp: the head is read as one tensor, which these cut. Use one process a GPU (DDP), or vold's own stages.")
    if lines:
        raise SettingsError("\n".join(f"VoldTrainer: {line}" for line in lines))


def _default(name: str) -> Any:
    return GRPOConfig.__dataclass_fields__[name].default


def _steps(args: GRPOConfig) -> list[str]:
    """An optimizer step must hold whole generation batches or a whole part of one, and whole groups: Z is its own."""
    per_step, per_generation = args.gradient_accumulation_steps, args.steps_per_generation
    assert per_generation is not None, "filled in by the config itself"
    if per_generation % per_step:
        return [
            f"steps_per_generation = {per_generation} with gradient_accumulation_steps = {per_step}: an optimizer step would begin in one generation "
            "batch and end in another, and what it is divided by must be known before its first loss. Make the former a multiple of the latter."
        ]
    rows = per_step * args.per_device_train_batch_size
    if per_generation > per_step and rows % args.num_generations:
        return [
            f"steps_per_generation = {per_generation} cuts a generation batch into optimizer steps of {rows} rollouts a process, but a group has "
            f"{args.num_generations}. Make per_device_train_batch_size · gradient_accumulation_steps a multiple of num_generations."
        ]
    return []


def refuse_objective(
    objective: Objective, args: GRPOConfig, *, has_teacher: bool, has_reference: bool, has_rewards: bool, has_logprobs: bool
) -> None:
    """Raise ObjectiveError where the surroundings cannot serve the objective, or where it fails its own check."""
    if objective.dynamic:
        raise ObjectiveError(
            "dynamic sampling draws further problems until a step is full, and TRL's loader deals a fixed number. Use "
            "dataclasses.replace(objective, dynamic=False), which trains what has a gradient, or vold's own joint stage."
        )
    if objective.correction is not None and not has_logprobs:
        raise ObjectiveError(
            "the objective corrects for the sampler, but TRL gives log-probabilities at sampling only with vLLM or a rollout_func; here the sampler "
            "is the trainer's own model and the correction would be 1. Set use_vllm=True, or dataclasses.replace(objective, correction=None)."
        )
    if has_teacher and not objective.needs_teacher:
        raise ObjectiveError("a teacher is given, but the objective does not read one. Leave it out, or choose one that does, such as ZOO['VOLD'].")
    if has_reference and objective.wants(Partner.REFERENCE) is None:
        raise ObjectiveError("a reference is given, but the objective does not pull toward one. Leave it out, or add Pull(REFERENCE, …).")
    refuse_impossible(objective, group_size=args.num_generations, has_teacher=has_teacher, has_rewards=has_rewards)
    self_check(objective, temperature=args.temperature, group_size=args.num_generations)


def refuse_images(rows: Iterable[dict[str, Any]]) -> None:
    """Raise DataError for a row that shows a picture: training is on text, and the teacher reads text."""
    for row in rows:
        turns = [] if isinstance(row["prompt"], str) else row["prompt"]
        parts = [part for turn in turns if not isinstance(turn["content"], str) for part in turn["content"] or ()]
        if row.get("image") is not None or row.get("images") or any(part["type"] != "text" for part in parts):
            raise DataError("a row of the dataset shows an image. VoldTrainer trains on text; drop the images, or train with TRL's own trainer.")


def refuse_unspeakable(rollouts: Iterable[Rollout], banned_V: Tensor) -> None:
    """Raise Diverged for a sampled token that is banned: TRL's own sampler is kept from them, another one may not be."""
    banned = set(banned_V.nonzero().flatten().tolist())
    said = {i for rollout in rollouts for i, sampled in zip(rollout.response_ids, rollout.sampled, strict=True) if sampled} & banned
    if said:
        raise Diverged(
            f"the sampler said token {min(said)}, which student and teacher may not say (an id without a word, or a picture's placeholder): its "
            "log-probability is -inf. A rollout_func has to leave out what trainer.banned_V marks."
        )
