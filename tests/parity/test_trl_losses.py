"""vold's loss is TRL's, term for term, where both have the term: the same rollouts, policies and advantages through both.

TRL's own `_compute_loss` is called with the log-probabilities as a leaf, in float64; vold's path starts from its records. What TRL has and vold
does not (CISPO, SAPO, VESPO, LUSPO) has no row here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl", reason="needs TRL: pip install vold[trl]")

import torch
from support import records as r
from support import trl_runs as t
from support.models import World, assert_same_gradient, size_of
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from trl import GRPOTrainer

from vold.adapters.tiny_models import architectures
from vold.base.types import Finish, Group
from vold.core import render
from vold.core.advantage import advantages
from vold.core.batching import Batch, batch_of, rows_of
from vold.core.objective import (
    CENTRED,
    FIXED_LENGTH,
    K2,
    K3,
    NO_CREDIT,
    PER_SEQUENCE,
    PER_TOKEN,
    REFERENCE,
    Baseline,
    Clip,
    Credit,
    Level,
    Objective,
    Pull,
)
from vold.core.plan import Plan, plan_of
from vold.core.reading import Reading

pytestmark = pytest.mark.long

OF_TRL = Credit(Baseline.Z_SCORE, epsilon=1e-4)
"""TRL adds 1e-4 to the deviation; vold's default is 1e-6."""

CLIP = Clip(0.2, 0.2)
KL = (Pull(REFERENCE, 0.04, K3),)

PAIRS: dict[str, tuple[dict[str, Any], Objective]] = {
    "dapo": ({"loss_type": "dapo", "epsilon_high": 0.28}, Objective(OF_TRL, Clip(0.2, 0.28), share=PER_TOKEN)),
    "grpo": ({"loss_type": "grpo"}, Objective(OF_TRL, CLIP, share=PER_SEQUENCE)),
    "bnpo": ({"loss_type": "bnpo"}, Objective(OF_TRL, CLIP, share=PER_TOKEN)),
    "dr_grpo": ({"loss_type": "dr_grpo", "scale_rewards": "none"}, Objective(CENTRED, CLIP, share=FIXED_LENGTH)),
    "gspo": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.05, "epsilon_high": 0.06},
        Objective(OF_TRL, Clip(0.05, 0.06, level=Level.SEQUENCE), share=PER_SEQUENCE),
    ),
    "k3": ({"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": False}, Objective(OF_TRL, CLIP, pulls=KL, share=PER_SEQUENCE)),
    "k3, by token": ({"loss_type": "dapo", "beta": 0.04, "use_bias_correction_kl": False}, Objective(OF_TRL, CLIP, pulls=KL)),
    "dual clip": ({"loss_type": "dapo", "delta": 1.5}, Objective(OF_TRL, Clip(0.2, 0.2, dual=1.5))),
    "dual clip by sequence": (
        {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.05, "delta": 1.08},
        Objective(OF_TRL, Clip(0.05, 0.05, dual=1.08, level=Level.SEQUENCE), share=PER_SEQUENCE),
    ),
}
ONE_MICRO_BATCH = ("bnpo",)
"""TRL divides a micro-batch by its own tokens there."""

WORDS = ("RWwW", "WRRw", "WWWW", "RrRW")
"""Four groups, truncated rollouts among them, one without a spread."""


@pytest.fixture(scope="module")
def stock(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GRPOTrainer]:
    """TRL's trainer as it comes; its settings are changed a test at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", "1")  # no telemetry
        student = t.fresh(world, dtype="float32")
        yield GRPOTrainer(
            student.model,
            reward_funcs=t.dealt,
            args=t.settings(tmp_path_factory.mktemp("stock")),
            train_dataset=t.questions("RWWW"),
            processing_class=student.tokenizer,
        )


@dataclass
class Case:
    """The same rollouts as vold's records and as TRL's padded tensors; the log-probabilities under the present policy are a leaf."""

    groups: list[Group]
    cap: int = 9

    def __post_init__(self) -> None:
        draw = torch.Generator().manual_seed(3)
        self.members = [m for group in self.groups for m in group.members]
        self.mask = torch.zeros(len(self.members), self.cap, dtype=torch.float64)
        for place, m in enumerate(self.members):
            self.mask[place, : len(m.rollout.response_ids)] = 1
        shape = self.mask.shape
        self.logprobs = (-3 + torch.randn(shape, generator=draw, dtype=torch.float64)).requires_grad_()
        self.old = self.logprobs.detach() + 0.3 * torch.randn(shape, generator=draw, dtype=torch.float64)
        self.reference = self.logprobs.detach() + 0.5 * torch.randn(shape, generator=draw, dtype=torch.float64)

    def told(self) -> list[Group]:
        """The groups with what the reference says."""
        said = iter(self._rows(self.reference))
        return [replace(g, members=tuple(replace(m, reference_logprobs=next(said)) for m in g.members)) for g in self.groups]

    def behaviour(self) -> dict[tuple[str, int], tuple[float, ...]]:
        return {(m.rollout.problem.id, m.rollout.sample): said for m, said in zip(self.members, self._rows(self.old), strict=True)}

    def _rows(self, values: Tensor) -> list[tuple[float, ...]]:
        return [tuple(values[place, : len(m.rollout.response_ids)].tolist()) for place, m in enumerate(self.members)]


def case() -> Case:
    return Case(r.groups_of(*WORDS, seed=5))


def of_vold(found: Case, objective: Objective, *, on_policy: bool = False) -> tuple[Tensor, Tensor, dict[str, float]]:
    """Loss over Z, its gradient by log-probability, and the sums, from records to tensors to loss."""
    plan = plan_of(objective, step=0, length_cap=found.cap)
    groups = found.told()
    counts = plan.counts(groups)
    rows = rows_of(groups, plan, counts, behaviour=None if on_policy else found.behaviour())
    batch = batch_of(rows, pulls=len(objective.pulls), dtype=torch.float64)
    rendered = render.loss(plan, batch, Reading(logprobs_N=_flat(found, plan, batch)))
    loss = rendered.loss / counts.z
    (gradient,) = torch.autograd.grad(loss, found.logprobs)
    return loss.detach(), gradient, rendered.sums


def _flat(found: Case, plan: Plan, batch: Batch) -> Tensor:
    """The leaf's entries of the rows that are trained, in the batch's order."""
    groups = found.told()
    touched = [touch for group in groups for touch in plan.touches(group)]
    kept = [found.logprobs[place, : int(found.mask[place].sum())] for place, touch in enumerate(touched) if touch]
    flat = torch.cat(kept)
    assert flat.shape == batch.targets_N.shape
    return flat


def of_trl(stock: GRPOTrainer, found: Case, settings: dict[str, Any], *, parts: int = 1, on_policy: bool = False) -> tuple[Tensor, Tensor]:
    """The sum of TRL's losses over `parts` micro-batches of one step, and its gradient by log-probability."""
    _set(stock, settings, parts)
    reward = torch.tensor([m.reward for m in found.members]).view(-1, 4)
    centred = reward - reward.mean(1, keepdim=True)
    advantage = (centred if stock.scale_rewards == "none" else centred / (reward.std(1, keepdim=True) + 1e-4)).flatten().double()
    size = len(found.members) // parts
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(found.members), size):
        here = slice(start, start + size)
        inputs = {
            "prompt_ids": torch.ones(size, 1, dtype=torch.long),
            "prompt_mask": torch.ones(size, 1, dtype=torch.long),
            "completion_ids": torch.ones(size, found.cap, dtype=torch.long),
            "completion_mask": found.mask[here],
            "advantages": advantage[here],
            "num_items_in_batch": found.mask.sum(),
            "ref_per_token_logps": found.reference[here],
        }
        if not on_policy:
            inputs["old_per_token_logps"] = found.old[here]
        said = found.logprobs[here]
        stock._get_per_token_logps_and_entropies = lambda *_, said=said, **__: (said, said.detach(), None)
        total = total + stock._compute_loss(stock.model, inputs)
    (gradient,) = torch.autograd.grad(total, found.logprobs)
    return total.detach(), gradient


def _set(stock: GRPOTrainer, settings: dict[str, Any], parts: int) -> None:
    """What the constructor makes of these settings."""
    plain = {"loss_type": "dapo", "beta": 0.0, "epsilon": 0.2, "epsilon_high": None, "importance_sampling_level": "token", "scale_rewards": "group"}
    chosen = plain | settings
    for name in ("loss_type", "beta", "importance_sampling_level", "scale_rewards"):
        setattr(stock, name, chosen[name])
    stock.epsilon_low, stock.epsilon_high = chosen["epsilon"], chosen["epsilon_high"] or chosen["epsilon"]
    stock.args.delta = chosen.get("delta")
    stock.args.use_bias_correction_kl = chosen.get("use_bias_correction_kl", True)
    stock.args.steps_per_generation = stock.current_gradient_accumulation_steps = parts
    stock.max_completion_length = 9
    stock.model.train()


@pytest.mark.parametrize(("name", "parts"), [(name, parts) for name in PAIRS for parts in (1, 2, 4) if parts == 1 or name not in ONE_MICRO_BATCH])
def test_a_loss_is_trls(stock: GRPOTrainer, name: str, parts: int) -> None:
    settings, objective = PAIRS[name]
    found = case()
    loss, gradient, sums = of_vold(found, objective)
    of_theirs, gradient_of_theirs = of_trl(stock, found, settings, parts=parts)
    assert sums["clipped_low"] > 0
    assert sums["clipped_high"] > 0
    assert float((gradient == 0).double().mean()) > 0.1
    torch.testing.assert_close(loss, of_theirs, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(gradient, gradient_of_theirs, rtol=1e-6, atol=1e-9)
    assert float(gradient.abs().max()) > 1e-3


def test_the_dual_clip_acts_in_the_case() -> None:
    """Without it the loss is another one: the rows above would not notice a bound that is never reached."""
    for name in ("dual clip", "dual clip by sequence"):
        objective = PAIRS[name][1]
        assert objective.clip is not None
        loss, gradient, _ = of_vold(case(), objective)
        free, gradient_of_free, _ = of_vold(case(), replace(objective, clip=replace(objective.clip, dual=None)))
        assert abs(float(loss - free)) > 1e-4
        assert float((gradient != gradient_of_free).sum()) > 0


def test_truncated_rollouts_are_there_and_of_many_lengths() -> None:
    members = case().members
    assert sum(m.rollout.finish is Finish.LENGTH for m in members) == 3
    assert len({len(m.rollout.response_ids) for m in members}) > 4


def test_the_kl_that_trl_corrects_by_default_is_k2_at_the_first_update(stock: GRPOTrainer) -> None:
    """use_bias_correction_kl=True multiplies k3 by the ratio, with its gradient: k3 + (1 - π₀/π) = log π - log π₀ at ratio 1, which is k2's slope."""
    found = case()
    _, theirs = of_trl(stock, found, {"loss_type": "grpo", "beta": 0.04, "use_bias_correction_kl": True}, on_policy=True)
    _, by_k2, _ = of_vold(found, Objective(OF_TRL, CLIP, pulls=(Pull(REFERENCE, 0.04, K2),), share=PER_SEQUENCE), on_policy=True)
    _, by_k3, _ = of_vold(found, Objective(OF_TRL, CLIP, pulls=KL, share=PER_SEQUENCE), on_policy=True)
    torch.testing.assert_close(by_k2, theirs, rtol=1e-6, atol=1e-9)
    assert float((by_k3 - theirs).abs().max()) > 1e-4


@pytest.mark.parametrize(
    ("scale", "credit"),
    [("group", OF_TRL), ("none", CENTRED)],
)
def test_an_advantage_is_trls(stock: GRPOTrainer, monkeypatch: pytest.MonkeyPatch, scale: str, credit: Credit) -> None:
    """Through TRL's own `_generate_and_score_completions`, for rewards that are not 0 and 1."""
    rewards = torch.tensor([[1.0, 0.0, 0.25, 0.25], [0.0, 0.0, 0.0, 1.0], [0.5, 0.5, 0.5, 0.5]])
    monkeypatch.setattr(stock, "_calculate_rewards", lambda *_: rewards.view(-1, 1))
    monkeypatch.setattr(stock, "_generate", lambda prompts: _made(stock, prompts))
    _set(stock, {"scale_rewards": scale}, 1)
    rows = [row for row in stock.train_dataset.select(range(3)) for _ in range(4)]
    with pytest.MonkeyPatch.context() as quiet:
        quiet.setattr("trl.trainer.grpo_trainer.disable_gradient_checkpointing", lambda *_: torch.no_grad())
        found = stock._generate_and_score_completions(rows)["advantages"]
    expected = [a for group in rewards.tolist() for a in advantages(group, credit)]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
    assert expected[8:] == [0.0] * 4


def _made(stock: GRPOTrainer, prompts: Sequence[Any]) -> tuple[Any, ...]:
    stock._metrics["train"].clear()
    ids = [[1, 9] for _ in prompts]
    return ids, [[9, 2] for _ in prompts], None, prompts, None, {}, None, [[] for _ in prompts]


def test_a_pull_toward_the_reference_alone_is_trls_kl(stock: GRPOTrainer) -> None:
    """Without credit nothing but the KL is left; TRL gets advantages of 0."""
    same = Case(
        [replace(g, members=tuple(replace(m, verdict=r.member(m.rollout, r.RULINGS["W"]).verdict) for m in g.members)) for g in case().groups]
    )
    loss, gradient, _ = of_vold(same, Objective(NO_CREDIT, None, pulls=KL, share=PER_TOKEN))
    theirs, gradient_of_theirs = of_trl(stock, same, {"loss_type": "dapo", "beta": 0.04, "use_bias_correction_kl": False})
    torch.testing.assert_close(loss, theirs, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(gradient, gradient_of_theirs, rtol=1e-6, atol=1e-9)


# ---- a whole run ----------------------------------------------------------------------------------------------------------------------


def _whole_vocabulary(folder: Path) -> tuple[Qwen2ForCausalLM, PreTrainedTokenizerFast]:
    """A model all of whose rows are words that may be said: nothing is banned, and both trainers' softmaxes run over the same ids."""
    words = ["<pad>", "<eos>", *architectures.w.DIGITS, *architectures.w.LETTERS, "add", "and", "is"]
    inner = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token=None))
    inner.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", clean_up_tokenization_spaces=False)
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    config = Qwen2Config(vocab_size=len(words), max_position_embeddings=64, initializer_range=0.2, tie_word_embeddings=True, **size, **ends)
    Qwen2ForCausalLM(config).save_pretrained(folder)  # TRL loads its reference from where the model came from
    return Qwen2ForCausalLM.from_pretrained(folder), tokenizer


@pytest.mark.filterwarnings(t.OF_TRL)
@pytest.mark.parametrize("name", ["dapo", "grpo", "k3", "gspo", "dual clip"])
def test_a_run_with_vold_is_a_run_with_trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The same seed, hence the same rollouts; the gradients of two updates of the batch, the second with ratios that have left 1."""
    monkeypatch.setenv("CI", "1")
    settings, objective = PAIRS[name]
    more = {"gradient_accumulation_steps": 2, "num_iterations": 2, "max_steps": 2, "learning_rate": 3e-4 if name == "gspo" else 3e-3}
    asked = [{"prompt": f"add {place} and {9 - place} is", "verdicts": word} for place, word in enumerate(["RWWW", "RRWW", "WWWW", "RWRR"])]
    found: list[t.Watch] = []
    for trainer, stated in ((GRPOTrainer, settings), (t.VoldTrainer, {})):
        model, tokenizer = _whole_vocabulary(tmp_path / "model")
        watch = t.Watch()
        extra = {} if trainer is GRPOTrainer else {"objective": objective}
        args = t.settings(tmp_path, **more, **stated)
        data = t.Dataset.from_list(asked)
        trainer(model, args=args, reward_funcs=t.dealt, train_dataset=data, processing_class=tokenizer, callbacks=[watch], **extra).train()
        found.append(watch)
    theirs, ours = found
    for expected, gradient in zip(theirs.gradients, ours.gradients, strict=True):
        assert size_of(expected) > 1e-3
        assert_same_gradient(gradient, expected, within=3e-6)
