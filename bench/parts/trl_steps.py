"""The same recorded step inside TRL's GRPOTrainer with our integration, and something else to be done after each of its steps."""

import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback
from trl import GRPOConfig

from parts.steps import LR, compared, now
from parts.worlds import World
from vold.base.types import Group
from vold.core import roofline
from vold.core.objective import Objective
from vold.core.plan import Plan
from vold.core.roofline import Span
from vold.integrations.trl import VoldTrainer
from vold.integrations.trl.records import dealt

os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"  # rollout_func is one
os.environ.setdefault("HF_HUB_OFFLINE", "1")
disable_progress_bars()


def rows_a_micro(groups: Sequence[Group], budget: int) -> int:
    """Rollouts a micro-batch, all micro-batches alike: the most whose padded tokens are within the budget on average, as TRL deals them."""
    lengths = [span.length for span in roofline.spans_in(groups)]
    fitting = [size for size in range(1, len(lengths) + 1) if len(lengths) % size == 0 and size * max(lengths) <= budget * 1.5]
    return max(fitting, default=1)


def pushed(groups: Sequence[Group], plan: Plan, budget: int) -> list[Span]:
    """The rows TRL's trainer pads and trains, by its own dealing of them."""
    spans = roofline.trained_in(groups, plan)
    parts = len(roofline.spans_in(groups)) // rows_a_micro(groups, budget)
    return [span for part in dealt(spans, parts) for span in roofline.padded(part)]  # type: ignore[arg-type]


@dataclass
class Beside(TrainerCallback):
    """Times TRL's steps; what follows each is outside them."""

    device: torch.device
    after: Callable[[], None]
    seconds: list[float] = field(default_factory=list)
    gradient: list[Tensor] = field(default_factory=list)
    since: float = 0.0
    of: Sequence[Tensor] = ()
    """The weights whose gradients of the first step are kept."""

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.since = now(self.device)

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        if not self.gradient:
            self.gradient = [weight.grad.detach().clone() for weight in self.of if weight.grad is not None]
            self.since = now(self.device)  # the first step does not count

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.seconds.append(now(self.device) - self.since)
        self.after()


def run(
    world: World, groups: Sequence[Group], objective: Objective, *, cap: int, steps: int, checkpointing: bool, after: Callable[[], None]
) -> Beside:
    """`steps` steps of TRL's on the world's own student, `after` following each. Nothing is generated: TRL is handed the rollouts."""
    device = world.student.device
    recorded = {group.problem.prompt: group for group in groups}
    size = rows_a_micro(groups, world.budget)
    rollouts = sum(len(group.members) for group in groups)

    def replay(prompts: Sequence[Any], _: Any) -> dict[str, Any]:
        dealt_out: dict[str, int] = {}
        members = []
        for prompt in prompts:
            name = prompt if isinstance(prompt, str) else prompt[-1]["content"]
            members.append(recorded[name].members[dealt_out.get(name, 0)])
            dealt_out[name] = dealt_out.get(name, 0) + 1
        return {
            "prompt_ids": [list(m.rollout.prompt_ids) for m in members],
            "completion_ids": [list(m.rollout.response_ids) for m in members],
            "logprobs": [list(m.rollout.logprobs) for m in members],
            "recorded": [m.reward for m in members],
        }

    def rewarded(recorded: Sequence[float], **_: Any) -> list[float]:
        return list(recorded)

    args = GRPOConfig(
        output_dir=tempfile.mkdtemp(),
        use_cpu=device.type == "cpu",
        bf16=False,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        gradient_checkpointing=checkpointing,
        per_device_train_batch_size=size,
        gradient_accumulation_steps=rollouts // size,
        num_generations=len(groups[0].members),
        max_completion_length=cap,
        max_steps=steps,
        learning_rate=LR,
        lr_scheduler_type="constant",
        shuffle_dataset=False,
        seed=0,
    )
    beside = Beside(device, after, of=compared(world))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = VoldTrainer(
            world.student.model,
            objective=objective,
            args=args,
            teacher=world.teacher,
            reward_funcs=[rewarded],
            rollout_func=replay,
            processing_class=world.student.tokenizer,
            train_dataset=Dataset.from_list([{"prompt": group.problem.prompt} for group in groups]),
            callbacks=[beside],
        )
        quiet(trainer)
        trainer.train()
    return beside


def quiet(trainer: Trainer) -> None:
    """Without the lines transformers prints of a finished training."""
    trainer.remove_callback(PrinterCallback)
