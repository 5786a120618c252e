"""TRL's GRPOTrainer with an objective of vold.

TRL deals prompts, samples, asks the reward functions, accumulates, synchronises ranks, steps and saves. From the moment the rewards are known
everything is vold's own path: groups, the plan, the teacher where the plan wants it, rows, one Z an update, the loss.

    _prepare_inputs   once a generation batch: TRL's rollouts and rewards -> groups -> scored groups -> micro-batches
    _compute_loss     a micro-batch: the model's forward, so that DDP's hooks run -> hidden states -> read -> loss / Z
    training_step     after an update's last micro-batch: its numbers, and the adaptive strengths
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from trl import GRPOConfig, GRPOTrainer

from vold.adapters.models import LanguageModel, refuse_model
from vold.adapters.teachers.local import LocalTeacher
from vold.base.errors import Diverged, SettingsError
from vold.base.types import Group, Rollout
from vold.core import render, stats
from vold.core.batching import batch_of
from vold.core.objective import Objective, Weigh
from vold.core.plan import Plan, plan_of
from vold.core.pulls import Partner
from vold.core.reading import read
from vold.integrations.trl import partners, records, refusals
from vold.integrations.trl.ledger import Ledger
from vold.integrations.trl.records import Micro, key_of
from vold.stages.joint import scored


class VoldTrainer(GRPOTrainer):
    """Trains any objective of vold: `VoldTrainer(model=…, objective=ZOO["VOLD"], teacher="…", args=GRPOConfig(…), reward_funcs=…, …)`.

    A rollout whose reward is at least `right_at` is right, one to which every reward function gave None is unjudged, the others are wrong.
    `reference` is what a pull toward the reference looks at: the student as it is now, unless another is given. What is not named here goes to
    GRPOTrainer. Raises a Refusal for whatever would be ignored or cannot be served.
    """

    _name = "vold"
    _tag_names = ["trl", "vold"]  # noqa: RUF012  (as in TRL, which types it so)
    _paper: dict[str, str] = {}  # noqa: RUF012

    def __init__(
        self,
        model: str | PreTrainedModel,
        *,
        objective: Objective,
        args: GRPOConfig,
        teacher: partners.Teacher | None = None,
        reference: partners.Reference | None = None,
        right_at: float = 1.0,
        **of_trl: Any,
    ) -> None:
        refusals.refuse_settings(args, of_trl)
        refusals.refuse_objective(
            objective,
            args,
            has_teacher=teacher is not None,
            has_reference=reference is not None,
            has_rewards=bool(of_trl.get("reward_funcs")),
            has_logprobs=args.use_vllm or of_trl.get("rollout_func") is not None,
        )
        super().__init__(model, args=args, **of_trl)
        if self.aux_loss_enabled:
            raise SettingsError("VoldTrainer: router_aux_loss_coef: an objective has no place for the balance of experts. Set it to 0.")
        self.objective, self.right_at = objective, right_at
        self._buffered_inputs: list[Micro] | None = None
        self.ledger = Ledger(objective=objective)
        self.groups: list[Group] = []
        """The batch last sampled, of all ranks: judged, with what teacher and reference say where they were asked."""
        self.student = LanguageModel(folder=Path(self.model.name_or_path), model=self.model.eval(), tokenizer=self._tokenizer, image_processor=None)
        refuse_model(self.student, "student")
        for _, parameter in self.student.frozen_parameters():
            parameter.requires_grad_(False)
        self.banned_V, self.partners = partners.met(self.student, objective, teacher, reference, temperature=self.temperature)
        self.heads = {partner: scorer.scorer.reader.head for partner, scorer in self.partners.items()}
        self.own = LocalTeacher(reader=self.student, template=None, banned_V=self.banned_V, temperature=self.temperature)
        self._ban()

    def _ban(self) -> None:
        """Banned ids leave TRL's sampler as they leave both softmaxes; and TRL need not correct for a sampler, the objective does."""
        self.vllm_importance_sampling_correction = False
        if self.use_vllm:
            self.vllm_generation.generation_kwargs["allowed_token_ids"] = (~self.banned_V).nonzero().flatten().tolist()
        else:
            self.generation_config.suppress_tokens = self.banned_V.nonzero().flatten().tolist() or None

    # -- a generation batch ---------------------------------------------------------------------------------------------------------

    @property
    def micros_per_batch(self) -> int:
        """Forward and backward passes made with one generation batch."""
        return self.args.steps_per_generation * self.num_iterations

    @property
    def updates_per_batch(self) -> int:
        """Optimizer steps made with one generation batch."""
        return self.micros_per_batch // self.args.gradient_accumulation_steps

    def plan(self) -> Plan:
        """The objective at the batch at hand. Its step counts generation batches, as a stage of vold does."""
        step = self.state.global_step // self.updates_per_batch
        return plan_of(self.objective, step=step, length_cap=self.max_completion_length, betas=self.ledger.betas)

    def _prepare_inputs(self, generation_batch: list[dict[str, Any]]) -> Micro:
        if not self.model.training:
            [micro] = self._micros(generation_batch, updates=1, parts=1, group_size=self.num_generations_eval)
            return micro
        if self._step % self.micros_per_batch == 0 or self._buffered_inputs is None:
            parts = self.args.gradient_accumulation_steps
            updates = self.args.steps_per_generation // parts
            self._buffered_inputs = self._micros(generation_batch, updates=updates, parts=parts, group_size=self.num_generations)
        return self._buffered_inputs[self._step % self.args.steps_per_generation]

    def _micros(self, rows: list[dict[str, Any]], *, updates: int, parts: int, group_size: int) -> list[Micro]:
        """Sample these prompts, judge, ask the partners, and cut the batch: `parts` micro-batches an update, this rank's rows in each."""
        plan = self.plan()
        several = self.model.training and self.updates_per_batch > 1
        local, own = self._sampled(rows, plan, group_size=group_size, several=several)
        everyone: list[tuple[Rollout, tuple[float, ...]]] = gather_object(list(zip(local, own, strict=True)))
        judged = records.groups_of([r for r, _ in everyone], self._rewards, group_size=group_size, right_at=self.right_at)
        prompts = {key_of(rollout): row["prompt"] for rollout, row in zip(local, rows, strict=True)}
        asked = {partner: scorer.at(prompts) for partner, scorer in self.partners.items()}
        self.groups = scored(judged, plan, asked.get(Partner.TEACHER), asked.get(Partner.REFERENCE))
        self._tell(stats.of_groups(self.groups, plan))
        behaviour = {key_of(rollout): logprobs for rollout, logprobs in everyone} if several else None
        runs = records.updates_of(self.groups, updates, ranks=self.accelerator.num_processes)
        found = [micro for run in runs for micro in records.micros_of(run, plan, behaviour, mine=prompts, parts=parts)]
        if self.model.training and not any(micro.z for micro in found):
            raise Diverged(
                f"batch {plan.step}: no rollout has a place in the objective (none could be judged, or all were cut off and overlong is "
                "masked), so there is nothing to learn from. Look at the reward functions and at max_completion_length."
            )
        return found

    def _sampled(self, rows: list[dict[str, Any]], plan: Plan, *, group_size: int, several: bool) -> tuple[list[Rollout], list[tuple[float, ...]]]:
        """This rank's rollouts, and the student's own log-probabilities of them where something reads those (else nothing)."""
        refusals.refuse_images(rows)
        with warnings.catch_warnings():  # TRL 1.16 asks transformers for checkpointing by its former names
            warnings.filterwarnings("ignore", r"`(is_)?gradient_checkpointing(_enable|_disable)?` is deprecated", FutureWarning)
            output = self._generate_and_score_completions(rows)
        first = self.accelerator.process_index * len(rows)
        rollouts = records.rollouts_of(output, step=plan.step, first=first, group_size=group_size, end_ids=self.eos_token_ids)
        refusals.refuse_unspeakable(rollouts, self.banned_V)
        unknown = "sampling_per_token_logps" not in output
        if not several and not (unknown and self._weighs_by_student):
            return rollouts, [()] * len(rollouts)
        with self.compute_loss_context_manager():
            own = [view.logprobs for view in self.own.score(rollouts)]
        if unknown:  # transformers samples from these very weights
            rollouts = [replace(rollout, logprobs=logprobs) for rollout, logprobs in zip(rollouts, own, strict=True)]
        return rollouts, own

    @property
    def _weighs_by_student(self) -> bool:
        return Weigh.HIGH_STUDENT_PERPLEXITY in (self.objective.credit.weigh, *(pull.weigh for pull in self.objective.pulls))

    def _calculate_rewards(self, *args: Any, **kwargs: Any) -> Tensor:
        """TRL's rewards of all ranks, one column a function; their weighted sum is kept, NaN where no function gave one."""
        rewards_NF: Tensor = super()._calculate_rewards(*args, **kwargs)
        summed_N = (rewards_NF * self.reward_weights.to(rewards_NF.device)).nansum(1)
        self._rewards: list[float] = summed_N.masked_fill(rewards_NF.isnan().all(1), math.nan).tolist()
        return rewards_NF

    def _get_per_token_logps_and_entropies(self, *_: Any, **__: Any) -> tuple[None, None, None]:
        """Nothing: TRL would read the old policy over every id, we read it over those that may be said."""
        return None, None, None

    # -- a micro-batch --------------------------------------------------------------------------------------------------------------

    def _compute_loss(self, model: nn.Module, inputs: Micro) -> Tensor:
        self._z = inputs.z
        if not inputs.rows:
            return self._silence(model)
        batch = batch_of(
            inputs.rows,
            pulls=len(inputs.plan.betas),
            device=self.student.device,
            dtype=torch.promote_types(self.student.head.dtype, torch.float32),
        )
        padded = batch.padded(self.student.pad_id)
        hidden_NH = self._hidden(model, padded.ids_BT)[padded.before_BT]
        reading = read(inputs.plan, batch, hidden_NH, self.student.head, heads=self.heads, banned_V=self.banned_V, temperature=self.temperature)
        rendered = render.loss(inputs.plan, batch, reading)
        if not torch.isfinite(rendered.loss):
            raise Diverged(
                f"update {self.state.global_step}: the loss is {float(rendered.loss.detach())} on {len(inputs.rows)} rollouts. "
                "Start again with a lower learning_rate."
            )
        self.ledger.sums.append(rendered.sums)
        return rendered.loss * (self.accelerator.num_processes / inputs.z)  # DDP averages gradients over ranks; Z is counted over all of them

    def _hidden(self, model: nn.Module, ids_BT: Tensor) -> Tensor:
        """The body's last hidden states, by way of the whole model: DDP and autocast act on its forward alone."""
        caught: list[Tensor] = []
        handle = self.student.body.register_forward_hook(lambda _module, _args, output: caught.append(output.last_hidden_state))
        try:
            model(input_ids=ids_BT, position_ids=self.student.positions(ids_BT), use_cache=False, logits_to_keep=1)
        finally:
            handle.remove()
        return caught[0]

    def _silence(self, model: nn.Module) -> Tensor:
        """A loss of 0 that reaches every trained parameter: with nothing to train here, other ranks still wait for this one's backward pass."""
        hidden_H = self._hidden(model, torch.tensor([[self.student.pad_id]], device=self.student.device))[0, 0]
        return (hidden_H @ self.student.head.T).sum() * 0.0

    # -- an update ------------------------------------------------------------------------------------------------------------------

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if self._step % self.args.gradient_accumulation_steps == 0:
            self._tell(self.ledger.close_update(self._z))
        if self._step % self.micros_per_batch == 0:
            self.ledger.close_batch(rollouts=self.args.generation_batch_size)
        return loss

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        found = super().prediction_step(*args, **kwargs)
        self._tell(self.ledger.close_update(self._z, made=False))
        return found

    def _tell(self, values: Mapping[str, float]) -> None:
        """Numbers for TRL's log, under the names of docs/metrics.md."""
        for name, value in values.items():
            self._metrics["train" if self.model.training else "eval"][name].append(value)

    # -- checkpoints ----------------------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.args.should_save:
            self.ledger.save(Path(self._get_output_dir(trial=trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """All weights of a checkpoint. transformers compares names and goes on without a match; a VLM's checkpoint has the hub's names, and would
        leave the student where it started (QwenLM/Qwen3-VL issue 1763)."""
        saved = type(self.model).from_pretrained(resume_from_checkpoint, dtype=self.model.dtype)
        (self.model if model is None else model).load_state_dict(saved.state_dict())

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self.ledger.load(Path(checkpoint))
