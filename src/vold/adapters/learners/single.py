"""A learner in one process: the student's language part, AdamW, and gradients that are sums until they are divided once."""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import torch
from torch import Tensor

from vold.adapters.learners.masters import Masters
from vold.adapters.models import LanguageModel, Vision
from vold.adapters.recompute import Recompute, recomputed
from vold.base.errors import Diverged, FrozenMoved
from vold.base.types import Group
from vold.core import stats
from vold.core.batching import Batch, Row, batch_of, row_of, rows_of
from vold.core.descent import descend
from vold.core.head import Slopes, sweep, token_logprobs
from vold.core.objective import Partner
from vold.core.packing import pack
from vold.core.plan import Counts, Plan
from vold.ports import Example, Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Adam:
    """AdamW's settings; vectors (norms and biases) are not decayed."""

    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    clip_norm: float = 1.0


@dataclass(slots=True, kw_only=True)
class SingleLearner:
    """Trains a student on the CPU or one GPU. `temperature` is the sampler's: the policy being trained is the one that was sampled."""

    student: LanguageModel
    adam: Adam
    banned_V: Tensor
    temperature: float = 1.0
    token_budget: int = 8_192
    heads: Mapping[Partner, Tensor] = field(default_factory=dict)
    """The partners' output matrices, for pulls that sum over the vocabulary."""
    recompute: Recompute = "none"
    """How much of the layers' forward pass is done again in the backward one instead of being kept."""
    master_weights: bool = True
    """Whether a student in half precision is stepped through single-precision copies; without, small updates are rounded away."""
    shared_prompts: bool = False
    """Whether the rollouts of one problem read their prompt once, where they lie in one pack."""
    vision: Vision = "frozen"
    """What is trained of the vision tower; text gives it no gradient, rows with pictures do."""
    step: int = field(default=0, init=False)
    optimizer: torch.optim.AdamW = field(init=False)
    masters: Masters = field(init=False)
    frozen_digest: str = field(init=False)
    behaviour: dict[tuple[str, int], tuple[float, ...]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        for _, parameter in self.student.frozen_parameters(self.vision):
            parameter.requires_grad_(False)
        parameters = self.student.trainable_parameters(self.vision)
        self.masters = Masters(parameters if self.master_weights else ())
        trained = [self.masters.of(p) for _, p in parameters]
        groups = [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": self.adam.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ]
        fused = self.student.device.type in ("cpu", "cuda")  # ten times as fast on a CPU; other forms also hold a copy of all second moments
        self.optimizer = torch.optim.AdamW(groups, lr=0.0, betas=self.adam.betas, fused=fused)
        self.frozen_digest = self._digest_of_frozen()

    def weights(self) -> Weights:
        return dict(self.student.model.named_parameters())

    def freeze_behaviour(self, groups: Sequence[Group]) -> None:
        rollouts = [member.rollout for group in groups for member in group.members if not member.left_out]
        rows = [row_of(rollout) for rollout in rollouts]
        key_of = {id(row): (r.problem.id, r.sample) for row, r in zip(rows, rollouts, strict=True)}
        found: dict[tuple[str, int], tuple[float, ...]] = {}
        with torch.no_grad():
            for chosen in self._packs(rows):
                logprobs = self._logprobs(self._batch(chosen)).tolist()
                for row in chosen:
                    found[key_of[id(row)]] = tuple(logprobs[: len(row.response_ids)])
                    logprobs = logprobs[len(row.response_ids) :]
        self.behaviour = found

    def accumulate(self, groups: Sequence[Group], plan: Plan, counts: Counts) -> dict[str, float]:
        rows = rows_of(groups, plan, counts, behaviour=self.behaviour)
        totals: dict[str, float] = {}
        for chosen in self._packs(rows):
            batch = self._batch(chosen, pulls=len(plan.betas))
            hidden_NH = self._hidden(batch)
            descent = descend(
                plan,
                batch,
                hidden_NH.detach(),
                self.student.head.detach(),
                only_update=self.behaviour is None,
                grad_VH=self._head_gradient(),
                heads=self.heads,
                banned_V=self.banned_V,
                temperature=self.temperature,
            )
            self._backward(descent.loss, hidden_NH, descent.grad_NH, chosen, plan.step)
            stats.add(totals, descent.sums)
        return totals

    def accumulate_examples(self, examples: Sequence[Example]) -> dict[str, float]:
        rows = [
            Row(prompt_ids=e.prompt_ids, response_ids=e.response_ids, sampled=(True,) * len(e.response_ids), images=e.images, name=e.name)
            for e in examples
            if e.response_ids
        ]
        nll = 0.0
        for chosen in self._packs(rows):
            batch = self._batch(chosen)
            hidden_NH = self._hidden(batch)
            swept = sweep(
                hidden_NH.detach(),
                self.student.head.detach(),
                batch.targets_N,
                lambda said: Slopes(logprobs_C=-torch.ones_like(said.logprobs_C)),
                banned_V=self.banned_V,
                temperature=self.temperature,
                grad_VH=self._head_gradient(),
            )
            loss = -float(swept.logprobs_N.double().sum())
            self._backward(loss, hidden_NH, swept.grad_NH, chosen, self.step)
            nll += loss
        return {"nll": nll}

    def apply(self, z: float, *, lr: float) -> dict[str, float]:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)  # nothing was trained: momentum and decay act as they do on a zero gradient
            parameter.grad.div_(z)
        norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.adam.clip_norm))
        if norm != norm or norm == float("inf"):
            raise Diverged(
                f"update {self.step}: the gradient norm is {norm}. Nothing was saved from it; the checkpoint before it is as it was. "
                "Run under another --name with a lower learning rate."
            )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.masters.publish()
        self.step += 1
        return {"grad_norm": norm}

    def verify_frozen(self) -> None:
        if self._digest_of_frozen() != self.frozen_digest:
            raise FrozenMoved(
                "what is frozen of the vision tower has other bytes than before training. Something gave it a gradient or put it in an optimizer; "
                "the checkpoint of this stage must not be used."
            )

    def state(self) -> dict[str, Any]:
        """What a checkpoint needs beyond the weights."""
        masters = self.masters.state()
        state = {"step": self.step, "optimizer": self.optimizer.state_dict(), "frozen": self.frozen_digest}
        return {**state, "masters": masters} if masters else state

    def load_state(self, state: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        exact = {**weights, **state.get("masters", {})}
        self.masters.load(exact)
        with torch.no_grad():
            for name, parameter in self.student.model.named_parameters():
                parameter.copy_(exact[name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.frozen_digest = state["step"], state["frozen"]

    def _batch(self, rows: Sequence[Row], *, pulls: int = 0) -> Batch:
        dtype = torch.promote_types(self.student.head.dtype, torch.float32)
        return batch_of(rows, pulls=pulls, shared=self.shared_prompts, device=self.student.device, dtype=dtype)

    def _packs(self, rows: Sequence[Row]) -> list[list[Row]]:
        return pack(rows, self.token_budget, quadratic=self.student.quadratic, shared=self.shared_prompts)

    def _hidden(self, batch: Batch) -> Tensor:
        """The hidden state before each trained token."""
        with recomputed(self.student.body, self.recompute) if self.recompute != "none" else nullcontext():
            return self.student.packed(batch.ids_T, batch.spans, batch.images, batch.behind)[batch.before_N]

    def _logprobs(self, batch: Batch) -> Tensor:
        hidden_NH = self._hidden(batch)
        return token_logprobs(hidden_NH, self.student.head, batch.targets_N, banned_V=self.banned_V, temperature=self.temperature)

    def _head_gradient(self) -> Tensor | None:
        """Where the head's gradient is added up: with what is stepped in its place. A tied embedding adds its part to the same."""
        if not self.student.head.requires_grad:
            return None
        head = self.masters.of(self.student.head)
        if head.grad is None:
            head.grad = torch.zeros_like(head)
        return head.grad

    def _backward(self, loss: float, hidden_NH: Tensor, grad_NH: Tensor | None, rows: Sequence[Row], step: int) -> None:
        """From the hidden states on down, unless the loss is no number."""
        if not math.isfinite(loss):
            named = [f"{row.name or 'a trace'} ({len(row.response_ids)} tokens)" for row in rows]
            raise Diverged(
                f"step {step}: the loss is {loss} on a micro-batch of {len(rows)} rollouts: {', '.join(named[:5])}"
                f"{', …' if len(named) > 5 else ''}. Nothing was saved from this step; the checkpoint before it is as it was. "
                "Look at these rollouts, then run under another --name with a lower learning rate."
            )
        with self.masters.gathering():
            hidden_NH.backward(grad_NH)

    def _digest_of_frozen(self) -> str:
        digest = blake2b(digest_size=16)
        for name, parameter in self.student.frozen_parameters(self.vision):
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()
