"""A recipe's plan: its numbers from settings and configs, for the device it names or a card that somebody has in mind."""

import json
import os
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig

from vold.base.errors import ModelError, SettingsError
from vold.config import schema
from vold.config.objectives import phases_of
from vold.core import kernels, planning
from vold.core.planning import Amounts, Assumed, Card, Model, Trained, Work
from vold.core.roofline import Machine
from vold.report.planned import Needs, Planned

BYTES = {"float32": 4, "bfloat16": 2, "float64": 8}
PROMPT = 512
"""Tokens of a prompt in the memory plan: longer than nearly all of them."""
ASSUMED = Assumed(trace=3350, response=2000, prompt=150, accuracy=0.45)
"""Lengths and accuracy of the paper's run, as far as it gives them; an answer is never planned longer than its cap."""
WRITTEN = 205_000
"""Traces that a teacher writes where a recipe does not count its problems: the paper's."""


def planned(s: schema.Settings, card: str | None) -> Planned | None:
    """Memory and time of a recipe on one device; None where there is nothing to train. Raises ModelError for a model whose shape is unknown."""
    if not s.eval.trained:
        return None
    device = card_of(s, card)
    work = work_of(s, cuda=card is not None or s.student.device.startswith("cuda"))
    held = planning.phases(work)
    needs = tuple(
        Needs(
            phase=one.phase, terms=dict(one.terms), fits=one.bytes <= planning.room(device), changes=tuple(planning.changes(work, one.phase, device))
        )
        for one in held
    )
    assumed = _assumed(s)
    timed = planning.times(work, _amounts(s), assumed, device) if work.cuda else []
    return Planned(
        card=device.name,
        room=planning.room(device),
        needs=needs,
        took=tuple(timed),
        assumed=assumed,
        arms=len(s.active_arms()),
        machine=device.machine,
    )


def card_of(s: schema.Settings, name: str | None) -> Card:
    """The card of this name, the GPU that is here, or this machine's memory. Raises SettingsError for a name that is none."""
    if name is not None:
        if name not in planning.CARDS:
            raise SettingsError(f"no card {name}. Known, by gigabytes: {', '.join(planning.CARDS)}.")
        return planning.CARDS[name]
    if s.student.device.startswith("cuda") and torch.cuda.is_available():
        found = torch.cuda.get_device_properties(0)
        like = min(planning.CARDS.values(), key=lambda card: abs(card.memory - found.total_memory))
        return Card(name=found.name, memory=found.total_memory, machine=like.machine)
    if s.student.device.startswith("cuda"):
        return planning.CARDS["80"]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Card(name="this machine's memory", memory=pages, machine=Machine(flops=1e11, bandwidth=1e10))


def work_of(s: schema.Settings, *, cuda: bool) -> Work:
    student = model_of(s.student)
    pulls = any(objective.needs_teacher for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint))
    writes = s.corpus.origin == "teacher" and s.reads_corpus
    half = s.student.dtype == "bfloat16"
    prompt = min(PROMPT, s.sft.max_tokens)
    return Work(
        student=student,
        teacher=model_of(s.teacher) if s.teacher is not None and (pulls or writes) else None,
        masters=half and s.student.master_weights,
        cuda=cuda,
        fused=cuda and half and kernels.installed(),
        sft=Trained(tokens=s.sft.token_budget, longest=min(s.sft.max_tokens, s.sft.token_budget), recompute=s.sft.recompute) if s.sft.steps else None,
        joint=Trained(
            tokens=s.joint.token_budget,
            longest=prompt + s.joint.sampling.max_new_tokens,
            recompute=s.joint.recompute,
        ),
        rows=s.engine.rows,
        prompt=prompt,
        corpus_cap=s.corpus.sampling.max_new_tokens if writes else 0,
        cap=s.joint.sampling.max_new_tokens,
        pulls=pulls,
        offload=cuda and s.teacher is not None and s.teacher.offload,
    )


def model_of(settings: schema.ModelSettings) -> Model:
    """By its config where it lies here, else by the shapes that come with the package. Raises ModelError where neither is."""
    path = settings.path
    known = resources.files("vold.config.shapes") / f"{Path(path).name}.json"
    if path.startswith("tiny:") or (Path(path) / "config.json").is_file():
        return _at_hand(path, BYTES[settings.dtype])
    if not known.is_file():
        names = sorted(entry.name.removesuffix(".json") for entry in resources.files("vold.config.shapes").iterdir() if entry.name.endswith(".json"))
        raise ModelError(f"no shape of {path} is known, so nothing can be planned. Download it, or plan with one of {', '.join(names)}.")
    config: dict[str, Any] = json.loads(known.read_text(encoding="utf-8"))
    tower = config.pop("tower_parameters")
    return Model(name=path, config=SimpleNamespace(**config), number=BYTES[settings.dtype], tower=tower)


def _at_hand(path: str, number: int) -> Model:
    from vold.wiring.parts import located

    whole = AutoConfig.from_pretrained(located(path))
    text = whole.get_text_config()
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "vocab_size")
    config: dict[str, Any] = {name: getattr(text, name) for name in names}
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    tied = bool(getattr(whole, "tie_word_embeddings", False) or getattr(text, "tie_word_embeddings", False))
    return Model(name=path, config=SimpleNamespace(**config, head_dim=head, tie_word_embeddings=tied), number=number, tower=_tower(whole))


def _tower(config: Any) -> int:
    """Numbers of the vision tower, counted in a model that takes no memory."""
    if not hasattr(config, "vision_config"):
        return 0
    from transformers.models.auto.modeling_auto import AutoModelForImageTextToText

    with torch.device("meta"):
        family: Any = AutoModelForImageTextToText
        model = family.from_config(config)
    return sum(parameter.numel() for parameter in model.model.visual.parameters())


def _assumed(s: schema.Settings) -> Assumed:
    return Assumed(
        trace=min(ASSUMED.trace, s.sft.max_tokens - ASSUMED.prompt if s.sft.max_tokens > ASSUMED.prompt else s.sft.max_tokens),
        response=min(ASSUMED.response, s.joint.sampling.max_new_tokens),
        prompt=ASSUMED.prompt,
        accuracy=ASSUMED.accuracy,
    )


def _amounts(s: schema.Settings) -> Amounts:
    writes = s.corpus.origin == "teacher" and s.reads_corpus
    return Amounts(
        traces=(s.corpus.problems.count or WRITTEN) if writes else 0,
        sft_steps=s.sft.steps,
        traces_per_step=s.sft.traces_per_step,
        joint_steps=s.joint.steps,
        prompts_per_step=s.joint.prompts_per_step,
        group_size=s.joint.group_size,
    )
