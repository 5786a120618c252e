"""Students and teachers of every build the program may meet, very small, untrained and in float64; and the step once more, densely.

The dense side reads one rollout at a time: a full forward of prompt and response through the whole model, all logits, no packing, no chunks and
no masks but the vocabulary's, which is written out here from the words themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from support import oracle
from support.oracle import Told
from torch import Tensor, nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM

from vold.adapters.models import LanguageModel
from vold.adapters.templates import Template
from vold.adapters.tiny_models.architectures import word_id, word_tokenizer
from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, Verdict
from vold.tiny import words as w

TEACHER_ROWS = 80
MUTE = [w.WORDS.index(word) for word in (w.VISION_START, w.VISION_END, w.IMAGE_PAD, w.VIDEO_PAD)]
SPOKEN = [i for i in range(len(w.WORDS)) if i not in MUTE]
"""What both models may say: every word but the vision placeholders, and no padded row."""
END = w.WORDS.index(w.TURN_END)
SUFFIX = "reason"
"""Only the teacher is told this: its prompts are not the student's."""


@dataclass(frozen=True)
class Build:
    """What differs between students."""

    tied: bool
    rows: int
    kv_heads: int


BUILDS = {
    "tied, grouped queries": Build(tied=True, rows=64, kv_heads=2),
    "untied, rows beyond the teacher's": Build(tied=False, rows=96, kv_heads=1),
    "untied, no padded rows": Build(tied=False, rows=len(w.WORDS), kv_heads=4),
}


def student(build: Build, seed: int = 0) -> LanguageModel:
    """Qwen2.5-VL's class: query, key and value have biases, and here they are not zero."""
    torch.manual_seed(seed)
    text = {
        "vocab_size": build.rows, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": build.kv_heads, "max_position_embeddings": 128, "initializer_range": 0.15, "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4}, "tie_word_embeddings": build.tied,
        **_ends(),
    }  # fmt: skip
    eyes = {
        "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32, "fullatt_block_indexes": [0],
    }  # fmt: skip
    config = Qwen2_5_VLConfig(
        text_config=text, vision_config=eyes, image_token_id=word_id(w.IMAGE_PAD), video_token_id=word_id(w.VIDEO_PAD),
        vision_start_token_id=word_id(w.VISION_START), vision_end_token_id=word_id(w.VISION_END), tie_word_embeddings=build.tied,
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    model = Qwen2_5_VLForConditionalGeneration(config)
    found = _finished(model)
    assert build.tied == (model.get_output_embeddings().weight is model.get_input_embeddings().weight)
    assert all(layer.self_attn.q_proj.bias is not None and layer.self_attn.q_proj.bias.any() for layer in model.model.language_model.layers)
    return found


def teacher(seed: int = 1) -> LanguageModel:
    """Qwen3's class: text only, of another width than any student, its head of its own."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=TEACHER_ROWS, hidden_size=40, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
        max_position_embeddings=128, initializer_range=0.15, rope_parameters={"rope_type": "default", "rope_theta": 1e4}, tie_word_embeddings=False,
        **_ends(),
    )  # fmt: skip
    config._attn_implementation = "sdpa"
    return _finished(Qwen3ForCausalLM(config))


def _ends() -> dict[str, int]:
    return {"bos_token_id": word_id(w.PAD), "eos_token_id": END, "pad_token_id": word_id(w.PAD)}


def _finished(model: Any) -> LanguageModel:
    """Float64 throughout: transformers' norms round to float32 on the way, which these do not."""
    model.double().eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "norm" in name:
            nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.2)
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = partial(_norm, module)
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = word_id(w.PAD), END
    return LanguageModel(folder=Path("made-here"), model=model, tokenizer=word_tokenizer(), image_processor=None)


def _norm(module: Any, x: Tensor) -> Tensor:
    return module.weight * (x * torch.rsqrt(x.square().mean(-1, keepdim=True) + module.variance_epsilon))


def shifted(model: LanguageModel, build: Build, by: float, seed: int) -> LanguageModel:
    """A copy of a student some way off."""
    other = student(build)
    other.model.load_state_dict(model.model.state_dict())
    shift(other, by, seed)
    return other


def shift(model: LanguageModel, by: float, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in model.trainable_parameters():
            parameter.add_(by * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype))


# -- rollouts ----------------------------------------------------------------------------------------------------------------------------


def groups_for(reader: LanguageModel, *words: str, temperature: float, cap: int = 9, seed: int = 3) -> list[Group]:
    """One group a word, one letter a rollout: Right, Wrong, Unjudged; a small letter was cut off at the cap. Some tokens were put in by hand.

    The log-probabilities of sampling are those of `reader`.
    """
    draw = Random(seed)
    out = []
    for place, word in enumerate(words):
        asked = Problem(id=f"p{place}", prompt=" ".join(draw.choices("0123456789", k=draw.randint(1, 5))), answer="7", source="hand")
        prompt = Template(of=reader).render(asked).ids
        members = []
        for sample, letter in enumerate(word):
            ids = draw.choices(SPOKEN, k=cap if letter.islower() else draw.randint(1, cap))
            ids[-1] = END if letter.isupper() else ids[-1]
            flags = tuple(t % 4 != 2 for t in range(len(ids)))
            rollout = Rollout(
                problem=asked, sample=sample, prompt_ids=prompt, response_ids=tuple(ids), logprobs=(), sampled=flags, policy_version=0,
                finish=Finish.STOP if letter.isupper() else Finish.LENGTH, text="",
            )  # fmt: skip
            with torch.no_grad():
                rollout = replace(rollout, logprobs=tuple(sampled_at(table_of(reader, prompt, rollout, temperature), rollout).tolist()))
            ruling = {"R": Ruling.RIGHT, "W": Ruling.WRONG, "U": Ruling.UNJUDGED}[letter.upper()]
            members.append(ScoredRollout(rollout=rollout, verdict=Verdict(ruling=ruling, extracted=None)))
        out.append(Group(problem=asked, members=tuple(members)))
    return out


def teachers_prompt(problem: Problem) -> tuple[int, ...]:
    """The chat as the teacher reads it, word by word."""
    said = [w.TURN_START, "user", *problem.prompt.split(), SUFFIX, w.TURN_END, w.TURN_START, "assistant"]
    return tuple(w.WORDS.index(word) for word in said)


# -- the dense side ----------------------------------------------------------------------------------------------------------------------


def table_of(reader: LanguageModel, prompt_ids: Sequence[int], rollout: Rollout, temperature: float) -> Tensor:
    """log-probabilities [response token, spoken id] of a full forward through the whole model."""
    logits_TV = reader.model(input_ids=torch.tensor([[*prompt_ids, *rollout.response_ids]])).logits[0]
    before_TV = logits_TV[len(prompt_ids) - 1 : -1]
    return (before_TV[:, SPOKEN] / temperature).log_softmax(-1)


def sampled_at(table_TS: Tensor, rollout: Rollout) -> Tensor:
    return torch.stack([table_TS[t, SPOKEN.index(i)] for t, i in enumerate(rollout.response_ids)])


@dataclass(frozen=True, eq=False)
class Seen:
    """One rollout read by every model: tables at all response tokens, the student's with its graph."""

    problem: int
    rollout: Rollout
    right: bool | None
    new: Tensor
    old: Tensor
    teacher: Tensor
    reference: Tensor

    @property
    def kept(self) -> list[int]:
        return [t for t, sampled in enumerate(self.rollout.sampled) if sampled]

    def said(self, table_TS: Tensor) -> Tensor:
        """log-probabilities of the sampled tokens."""
        return sampled_at(table_TS, self.rollout)[self.kept]

    @property
    def told(self) -> Told:
        new, old, teacher, reference = (self.said(t).detach().numpy() for t in (self.new, self.old, self.teacher, self.reference))
        cut, length = self.rollout.finish is Finish.LENGTH, len(self.rollout.response_ids)
        return Told(right=self.right, cut=cut, length=length, new=new, old=old, teacher=teacher, reference=reference)


Tables = Mapping[tuple[str, int], Tensor]


def tables_of(reader: LanguageModel, groups: Sequence[Group], temperature: float, *, as_teacher: bool = False) -> Tables:
    rollouts = [m.rollout for g in groups for m in g.members]
    prompts = [teachers_prompt(r.problem) if as_teacher else r.prompt_ids for r in rollouts]
    return {(r.problem.id, r.sample): table_of(reader, prompt, r, temperature) for r, prompt in zip(rollouts, prompts, strict=True)}


def seen(groups: Sequence[Group], *, new: Tables, old: Tables, teacher: Tables, reference: Tables) -> list[Seen]:
    out = []
    for place, group in enumerate(groups):
        for m in group.members:
            key = (m.rollout.problem.id, m.rollout.sample)
            right = None if m.verdict.ruling is Ruling.UNJUDGED else m.verdict.ruling is Ruling.RIGHT
            told = {"new": new[key], "old": old[key].detach(), "teacher": teacher[key].detach(), "reference": reference[key].detach()}
            out.append(Seen(problem=place, rollout=m.rollout, right=right, **told))
    return out


def kl(log_p_TS: Tensor, log_q_TS: Tensor) -> Tensor:
    return (log_p_TS.exp() * (log_p_TS - log_q_TS)).sum(-1)


def divergence(of: str, rollout: Seen) -> Tensor:
    """KL(π‖φ), or the even Jensen-Shannon divergence, at each sampled token."""
    new, teacher = rollout.new[rollout.kept], rollout.teacher[rollout.kept]
    if of == "student-to-teacher":
        return kl(new, teacher)
    middle = (0.5 * new.exp() + 0.5 * teacher.exp()).log()
    return 0.5 * kl(teacher, middle) + 0.5 * kl(new, middle)


def dense_loss(name: str, rollouts: Sequence[Seen], *, cap: int, step: int) -> Tensor:
    """A named method's loss, divided: Σ slope log π + wide divergence, the factors constants of the oracle's."""
    problems = sorted({r.problem for r in rollouts})
    kept = [[r for r in rollouts if r.problem == p and (r.right is not None or name in oracle.READS_NO_VERDICT)] for p in problems]
    moves = oracle.METHODS[name]([[r.told for r in group] for group in kept], cap, step)
    total = torch.zeros((), dtype=torch.float64)
    for group, moved in zip(kept, moves, strict=True):
        for rollout, move in zip(group, moved, strict=bool(moved)):
            total = total + (torch.tensor(move.slope) * rollout.said(rollout.new)).sum()
            if name in oracle.WIDE:
                total = total + (torch.tensor(move.wide) * divergence(oracle.WIDE[name], rollout)).sum()
    return total


Gradient = Mapping[str, Tensor]


def gradient_of(model: nn.Module, loss: Tensor) -> Gradient:
    """∂ loss / ∂ every parameter; the graph stays for the next method."""
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, [p for _, p in named], retain_graph=True, allow_unused=True)
    return {name: torch.zeros_like(p) if g is None else g for (name, p), g in zip(named, found, strict=True)}


def taken(model: nn.Module, z: float) -> Gradient:
    """What lies on a model, divided once; the model is left without it."""
    found = {name: torch.zeros_like(p) if p.grad is None else p.grad / z for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad(set_to_none=True)
    return found


def assert_close(found: Gradient, truth: Gradient, *, within: float) -> None:
    """Equal to `within` of the largest entry of the whole gradient."""
    assert found.keys() == truth.keys()
    largest = max(float(g.abs().max()) for g in truth.values())
    assert largest > 1e-6, "the method would teach nothing here"
    apart = {name: float((found[name] - truth[name]).abs().max()) / largest for name in truth}
    worst = max(apart, key=lambda name: apart[name])
    assert apart[worst] <= within, f"{worst} differs by {apart[worst]:.3g} of the largest entry {largest:.3g}; allowed is {within:g}"
