"""The parts a stage is made of: models, engines, teachers, learners and problems, built from settings."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from vold.adapters.engines.transformers import TransformersEngine
from vold.adapters.judges.boxed import BoxedJudge
from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel, load, tokenizer_at
from vold.adapters.problems.jsonl import JsonlBenchmark, JsonlProblems
from vold.adapters.problems.tiny import TinyBenchmark, TinyProblems
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.templates import Template, layout_of
from vold.adapters.tiny_models.shipped import folder_of
from vold.adapters.vocabulary import banned_ids, extended, learnable
from vold.base.errors import ModelError, SettingsError
from vold.base.ids import digest_of, digest_of_file, digest_of_folder
from vold.base.types import Problem
from vold.config import schema
from vold.config.kinds import Section
from vold.config.objectives import phases_of
from vold.core.objective import Partner
from vold.ports import Benchmark, ProblemSource, Sampling

HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


@dataclass(kw_only=True)
class Parts:
    """Builds what a stage needs from one recipe. Nothing is loaded before it is asked for."""

    settings: schema.Settings
    root: Path
    digests: dict[Path, str] = field(default_factory=dict)
    benchmarks: dict[schema.BenchmarkSettings, Benchmark] = field(default_factory=dict)

    @cached_property
    def student_folder(self) -> Path:
        return located(self.settings.student.path)

    @cached_property
    def teacher_folder(self) -> Path:
        if self.settings.teacher is None:
            raise SettingsError("this stage needs a teacher, but no [teacher] is set. Add one with its path.")
        return located(self.settings.teacher.path)

    @cached_property
    def teacher(self) -> LanguageModel:
        folder = self.teacher_folder
        assert self.settings.teacher is not None
        return self.load(self.settings.teacher, folder)

    def scorer(self, banned_V: torch.Tensor) -> LocalTeacher:
        settings, j = self.settings.teacher, self.settings.joint
        assert settings is not None
        template = template_of(self.teacher, settings)
        return LocalTeacher(
            reader=self.teacher, template=template, banned_V=banned_V, temperature=j.sampling.temperature, token_budget=j.token_budget
        )

    def reference(self, folder: Path, banned_V: torch.Tensor) -> LocalTeacher:
        """A frozen copy of the student in `folder`, which reads rollouts under their own prompts."""
        j = self.settings.joint
        reader = self.load(self.settings.student, folder)
        return LocalTeacher(reader=reader, template=None, banned_V=banned_V, temperature=j.sampling.temperature, token_budget=j.token_budget)

    def load(self, settings: schema.ModelSettings, folder: Path) -> LanguageModel:
        return load(folder, dtype=settings.dtype, attention=settings.attention, device=settings.device)

    @cached_property
    def teaches(self) -> bool:
        """Whether the teacher writes the corpus, or an arm is pulled toward it."""
        s = self.settings
        pulled = any(objective.needs_teacher for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint))
        return s.teacher is not None and (s.corpus.origin == "teacher" or pulled)

    @property
    def extends(self) -> bool:
        """Whether the student's tokenizer is given the words that only the teacher has."""
        return self.teaches and self.settings.student.think_marks == "extend"

    def learned_words(self, folder: Path) -> dict[str, str]:
        """A digest of the words that the student in this folder is given; nothing where there is none."""
        new = learnable(tokenizer_at(folder)[0], tokenizer_at(self.teacher_folder)[0]) if self.extends else {}
        return {"words of the teacher": digest_of({i: token.content for i, token in new.items()})} if new else {}

    def student(self, folder: Path) -> LanguageModel:
        """The student that is trained: with the teacher's further words where `think_marks` says so."""
        model = self.load(self.settings.student, folder)
        if self.extends:
            model.tokenizer, new = extended(model.tokenizer, tokenizer_at(self.teacher_folder)[0], rows=model.head.shape[0])
            model.learned = bool(new)
        return model

    def student_template(self, student: LanguageModel) -> Template:
        return template_of(student, self.settings.student)

    def learner(
        self,
        student: LanguageModel,
        adam: schema.AdamSettings,
        token_budget: int,
        *,
        temperature: float = 1.0,
        banned_V: torch.Tensor | None = None,
        heads: Mapping[Partner, torch.Tensor] = MappingProxyType({}),
    ) -> SingleLearner:
        return SingleLearner(
            student=student,
            adam=Adam(betas=(adam.beta1, adam.beta2), weight_decay=adam.weight_decay, clip_norm=adam.clip_norm),
            banned_V=banned_ids(student) if banned_V is None else banned_V,
            temperature=temperature,
            token_budget=token_budget,
            heads=heads,
        )

    def engine(self, template: Template, banned_V: torch.Tensor) -> TransformersEngine:
        return TransformersEngine(
            speaker=template.of, template=template, banned_V=banned_V, seed=self.settings.seed, rows=self.settings.engine.rows
        )

    def problems(self, p: schema.ProblemSettings, *, per_step: int, needs_answers: bool) -> ProblemSource:
        seed = self.settings.seed if p.seed is None else p.seed
        if p.kind == "tiny":
            return TinyProblems(seed=seed, source=p.source, difficulties=p.difficulties, per_step=per_step, total=p.count)
        return JsonlProblems(path=Path(p.path), source=p.source, seed=seed, per_step=per_step, limit=p.count, needs_answers=needs_answers)

    def benchmark(self, settings: schema.BenchmarkSettings) -> Benchmark:
        """A benchmark, its file read once a process."""
        return self.benchmarks.setdefault(settings, benchmark_of(settings))

    def contents(self, benchmarks: Sequence[schema.BenchmarkSettings]) -> dict[str, str]:
        """A digest of the problems and pictures of each benchmark that is a file."""
        return {f"benchmark {b.name}": digest_of_problems(self.benchmark(b).problems()) for b in benchmarks if b.kind == "jsonl"}

    def digest(self, folder: Path) -> str:
        """The digest of a model folder, taken once a process for folders that no stage writes."""
        if self.root in folder.parents:
            return digest_of_folder(folder)
        if folder not in self.digests:
            self.digests[folder] = digest_of_folder(folder)
        return self.digests[folder]

    def judge(self) -> BoxedJudge:
        return BoxedJudge(exact=self.settings.judge.kind == "exact")


def benchmark_of(settings: schema.BenchmarkSettings) -> Benchmark:
    """The laptop world's problems (the same as text and as images), or a file's."""
    if settings.kind == "jsonl":
        return JsonlBenchmark(name=settings.name, modality=settings.modality, path=Path(settings.path), limit=settings.size)
    return TinyBenchmark(
        name=settings.name, modality=settings.modality, seed=0, source=settings.split, difficulties=settings.difficulties, size=settings.size
    )


def digest_of_problems(problems: Sequence[Problem]) -> str:
    return digest_of([[p.id, p.prompt, p.answer, p.difficulty, *(blake2b(image).hexdigest() for image in p.images)] for p in problems])


def located(path: str) -> Path:
    """A model's folder: shipped with the package (`tiny:NAME`), on disk, or the local snapshot of a hub id. Raises ModelError for none of them."""
    if path.startswith("tiny:"):
        return folder_of(path.removeprefix("tiny:"))
    if Path(path).is_dir():
        return Path(path)
    if not HUB_ID.fullmatch(path):
        raise ModelError(f"no model folder {path}. Give a folder in Hugging Face layout, a hub id such as Qwen/Qwen3-8B, or tiny:base.")
    try:
        return Path(snapshot_download(path))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelError(
            f"{path} is no folder here, and as a hub id it cannot be had: {error} Give a folder, or download the model first."
        ) from error


def template_of(model: LanguageModel, settings: schema.ModelSettings, *, suffix: str | None = None) -> Template:
    """How the settings say a model is spoken to; `suffix` stands in the place of theirs."""
    return Template(
        of=model,
        system=settings.system,
        suffix=settings.suffix if suffix is None else suffix,
        options=dict(settings.template_options),
        layout=layout_of(settings.template),
    )


def sampling_of(s: schema.SamplingSettings) -> Sampling:
    return Sampling(max_new_tokens=s.max_new_tokens, temperature=s.temperature, top_p=s.top_p, top_k=s.top_k)


def plain(section: Section | None, *, but: Sequence[str] = ()) -> Any:
    return None if section is None else section.model_dump(mode="json", by_alias=True, exclude=set(but))


def file_digest(name: str, path: str) -> dict[str, str]:
    return {name: digest_of_file(Path(path))} if path and Path(path).is_file() else {}
