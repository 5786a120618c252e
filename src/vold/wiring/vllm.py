"""vLLM from settings: the engine in this process, the one behind a server, and the teacher behind another."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers import AutoConfig

from vold.adapters.engines.served import Probe, Sampler, ServedEngine
from vold.adapters.engines.vllm_server import VllmServerSampler
from vold.adapters.models import LanguageModel, tokenizer_at
from vold.adapters.served import Server
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.teachers.vllm import VllmServerTeacher
from vold.adapters.templates import Template
from vold.base.ids import digest_of
from vold.base.types import Problem
from vold.config import schema
from vold.core.roofline import Shape, shape_of
from vold.ports import Sampling
from vold.wiring.fit import context_at, template_of

if TYPE_CHECKING:
    from vold.adapters.engines.vllm import VllmSampler

OF_WRITING = frozenset({"_name_or_path", "transformers_version", "architectures", "dtype", "bos_token_id", "eos_token_id", "pad_token_id"})
"""Fields of a config that say nothing of how a model computes."""
PROMPTS = 4096
"""Tokens that a prompt may take beside the longest answer, where nobody says otherwise."""
HELLO = tuple(Problem(id=f"hello/{place}", prompt="1", answer=None, source="hello") for place in range(4))
"""What is asked after each push of weights."""
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.25}
"""What rounding explains between two programs that compute one model: measured up to 6e-6, and up to 0.08."""


@dataclass(kw_only=False)
class Vllm:
    """vLLM in this process: one engine at a time, kept for the next model of the same architecture, which only pushes its weights."""

    settings: schema.Settings
    sampler: "VllmSampler | None" = field(default=None, init=False)
    architecture: str = field(default="", init=False)

    def engine(self, template: Template, banned_V: Tensor) -> ServedEngine:
        """For a model in training: weights are pushed by `adopt`."""
        return engine_of(self.settings, self._sampler(template.of, banned_V), template, banned_V)

    def answerer(self, template: Template, banned_V: Tensor) -> ServedEngine:
        """For a model that stays as it is: its weights have been pushed, and verified."""
        engine = self.engine(template, banned_V)
        engine.adopt(dict(template.of.model.named_parameters()), version=0)
        return engine

    def close(self) -> None:
        """End the engine, if there is one."""
        if self.sampler is not None:
            self.sampler.close()
            self.sampler = None

    def _sampler(self, model: LanguageModel, banned_V: Tensor) -> "VllmSampler":
        from vold.adapters.engines.vllm import VllmSampler

        e, device, dtype = self.settings.engine, model.device.type, str(model.head.dtype).removeprefix("torch.")
        context = e.context or min(context_at(model.folder), longest_answer(self.settings) + PROMPTS)
        size = None if model.image_processor is None else {edge: int(pixels) for edge, pixels in dict(model.image_processor.size).items()}
        architecture = digest_of([_architecture(model), size, device, dtype])
        if self.sampler is not None and self.architecture == architecture:
            self.sampler.wake()
            self.sampler.ban(banned_V)
            return self.sampler
        self.close()
        self.sampler, self.architecture = None, architecture
        self.sampler = VllmSampler(
            folder=model.folder,
            banned_V=banned_V,
            dtype=dtype,
            device=device,
            memory=e.cache_gb if device == "cpu" else e.memory_share,
            context=context,
            eager=device == "cpu" if e.eager == "auto" else e.eager == "yes",
            gpus=e.gpus,
            sleep=e.sleep,
            size=size,
        )
        return self.sampler


def _architecture(model: LanguageModel) -> list[Any]:
    """What models must have in common to be served by one engine: everything but their weights, and what training writes into a config."""
    config = model.model.config.to_dict()
    parts = (config.get("text_config", config), config.get("vision_config", {}))
    return [type(model.model).__name__, *({name: value for name, value in part.items() if name not in OF_WRITING} for part in parts)]


def longest_answer(s: schema.Settings) -> int:
    return max(s.corpus.sampling.max_new_tokens, s.joint.sampling.max_new_tokens, s.eval.sampling.max_new_tokens)


def served_engine(s: schema.Settings, template: Template, banned_V: Tensor) -> ServedEngine:
    """For a model in training, by a server."""
    e = s.engine
    server = Server(url=e.url, setting="engine.url", timeout=e.timeout, retries=e.retries, workers=e.workers, remote=e.remote)
    sampler = VllmServerSampler(server=server, banned_V=banned_V, exchange=Path(e.exchange) if e.exchange else None, tolerated=e.tolerated)
    return engine_of(s, sampler, template, banned_V)


def engine_of(s: schema.Settings, sampler: Sampler, template: Template, banned_V: Tensor) -> ServedEngine:
    """The engine over a sampler, verified against the model whose weights it is given, at the temperature of stage 2."""
    model, temperature = template.of, s.joint.sampling.temperature
    reader = LocalTeacher(reader=model, template=None, banned_V=banned_V, temperature=temperature)
    tolerance = s.engine.tolerance or TOLERANCE[str(model.head.dtype).removeprefix("torch.")]
    probe = Probe(problems=HELLO, sampling=Sampling(max_new_tokens=16, temperature=temperature), reader=reader, tolerance=tolerance)
    return ServedEngine(sampler=sampler, speaker=model, template=template, seed=s.seed, probe=probe)


def served_teacher(t: schema.TeacherSettings, folder: Path, banned_V: Tensor, *, temperature: float) -> VllmServerTeacher:
    """The teacher behind a server. Its tokenizer is read from `folder`, its weights are not."""
    tokenizer, rows = tokenizer_at(folder)
    template = template_of(LanguageModel(folder=folder, model=None, tokenizer=tokenizer, image_processor=None), t)
    server = Server(url=t.url, setting="teacher.url", timeout=t.timeout, retries=t.retries, workers=t.workers, remote=t.remote)
    return VllmServerTeacher(server=server, template=template, banned_V=banned_V, rows=rows, temperature=temperature, tolerated=t.tolerated)


def shape_at(folder: Path) -> Shape:
    """What a model that is not loaded costs to read with, its numbers two bytes wide."""
    return shape_of(AutoConfig.from_pretrained(folder), number=2)


def refuse_unserved(s: schema.Settings) -> None:
    """Raise SettingsError where vLLM is not installed, or a server does not answer: before anything is spent."""
    if s.engine.kind == "vllm":
        from vold.adapters.engines.vllm import importable

        importable()
    if s.engine.kind == "vllm-server":
        Server(url=s.engine.url, setting="engine.url", timeout=10.0, remote=s.engine.remote).model()
    if s.teacher is not None and s.teacher.kind == "vllm-server":
        Server(url=s.teacher.url, setting="teacher.url", timeout=10.0, remote=s.teacher.remote).model()
