"""The parts a stage is made of: models, engines, teachers, learners and problems, built from settings."""

import gc
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from vold.adapters.benchmarks.asked import PlainBenchmark, PublishedBenchmark, Rows
from vold.adapters.benchmarks.spec import Style
from vold.adapters.engines.mixed import MixedEngine
from vold.adapters.engines.scripted import ScriptedEngine
from vold.adapters.engines.scripts import KINDS
from vold.adapters.engines.scripts import scripted as answered
from vold.adapters.engines.transformers import TransformersEngine
from vold.adapters.engines.vllm_server import WithPictures
from vold.adapters.journals.verdicts import JournalledJudge
from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel, load, table_at, tokenizer_at
from vold.adapters.problems.files import FileProblems, ProblemFile, problem_file
from vold.adapters.problems.tiny import TinyProblems
from vold.adapters.readings import REPEATS, Reading
from vold.adapters.ready_made import ReadyMadeTraces
from vold.adapters.rows import DataSet
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.teachers.vllm import VllmServerTeacher
from vold.adapters.templates import Template
from vold.adapters.tiny_models.shipped import folder_of
from vold.adapters.vocabulary import banned_ids, extended, learnable
from vold.base.errors import ModelError, SettingsError
from vold.base.ids import digest_of, digest_of_folder
from vold.base.seeds import seed_for
from vold.base.types import Item, Problem
from vold.config import schema
from vold.config.inert_rules import OF_SERVER
from vold.config.kinds import Section
from vold.config.objectives import phases_of
from vold.core.objective import Partner
from vold.core.vocabulary import TokenTable
from vold.ports import Judge, ProblemSource, ReferenceReader, RolloutEngine, Sampling
from vold.wiring.benchmarks import digest_of_problems, plain_benchmark, rows_of
from vold.wiring.fit import Fit, context_at, spoken_to, template_of
from vold.wiring.vllm import Vllm, served_engine, served_teacher

HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


@dataclass(kw_only=True)
class Parts:
    """Builds what a stage needs from one recipe. Nothing is loaded before it is asked for."""

    settings: schema.Settings
    root: Path
    digests: dict[Path, str] = field(default_factory=dict)
    rows: dict[str, Rows] = field(default_factory=dict)
    """The rows of published benchmarks, each read once a process."""
    plain: dict[str, PlainBenchmark] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    """Digests of what benchmarks say."""
    problem_files: dict[ProblemFile, ProblemFile] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    """Ids of prompts that training does without, since they repeat a benchmark's question."""

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

    def scorer(self, banned_V: torch.Tensor) -> LocalTeacher | VllmServerTeacher:
        """The teacher as a reader: in this process, or behind a server."""
        settings = self.settings.teacher
        if settings is not None and settings.kind == "vllm-server":
            return served_teacher(settings, self.teacher_folder, banned_V, temperature=self.settings.joint.sampling.temperature)
        return self.local_scorer(banned_V)

    @property
    def teacher_words(self) -> LanguageModel | TokenTable:
        """Whose table of ids the student's is compared with: that of a teacher that is loaded anyway, or one read from its folder."""
        settings = self.settings.teacher
        return table_at(self.teacher_folder) if settings is not None and settings.kind == "vllm-server" else self.teacher

    def local_scorer(self, banned_V: torch.Tensor, *, stays: bool = False) -> LocalTeacher:
        """The teacher as a reader in this process. `stays`: on its device, for somebody who uses its head at any time."""
        settings, j = self.settings.teacher, self.settings.joint
        assert settings is not None
        template = template_of(self.teacher, settings)
        offload = settings.offload and not stays
        return LocalTeacher(reader=self.teacher, template=template, banned_V=banned_V, offload=offload, **_reading(j))

    def reference(self, folder: Path, banned_V: torch.Tensor) -> LocalTeacher:
        """A frozen copy of the student in `folder`, which reads rollouts under their own prompts."""
        j = self.settings.joint
        reader = self.load(self.settings.student, folder)
        return LocalTeacher(reader=reader, template=None, banned_V=banned_V, **_reading(j))

    def load(self, settings: schema.ModelSettings, folder: Path) -> LanguageModel:
        return load(folder, dtype=settings.dtype, attention=settings.attention, device=settings.device, pixels=settings.pixels)

    @cached_property
    def teaches(self) -> bool:
        """Whether the teacher writes the corpus, or an arm is pulled toward it; nobody does where nothing is trained."""
        s = self.settings
        writes = s.corpus.origin == "teacher" and s.reads_corpus
        return s.eval.trained and s.teacher is not None and (writes or self.pulls)

    @cached_property
    def pulls(self) -> bool:
        """Whether an arm is pulled toward the teacher, which then reads what stage 2 asks."""
        s = self.settings
        return any(objective.needs_teacher for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint))

    @property
    def aligned_folder(self) -> Path:
        """The student that stage 2 begins with."""
        return self.root / "sft" / "model" if self.settings.sft.steps else self.student_folder

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

    def release(self) -> None:
        """Let go of the teacher, and of what stages before have left on the GPU."""
        self.__dict__.pop("teacher", None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def student_template(self, student: LanguageModel) -> Template:
        return template_of(student, self.settings.student)

    def learner(
        self,
        student: LanguageModel,
        adam: schema.AdamSettings,
        token_budget: int,
        *,
        recompute: schema.Recompute = "none",
        vision: schema.Vision = "frozen",
        shared_prompts: bool = False,
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
            recompute=recompute,
            master_weights=self.settings.student.master_weights,
            vision=vision,
            shared_prompts=shared_prompts,
        )

    def engine(self, template: Template, banned_V: torch.Tensor) -> RolloutEngine:
        """Who answers for a model that stays as it is."""
        return self.vllm.answerer(template, banned_V) if self.settings.engine.kind == "vllm" else self._own_engine(template, banned_V)

    def _own_engine(self, template: Template, banned_V: torch.Tensor) -> TransformersEngine:
        s, e = self.settings, self.settings.engine
        return TransformersEngine(speaker=template.of, template=template, banned_V=banned_V, seed=s.seed, rows=e.rows, decoder=e.decoder)

    @cached_property
    def vllm(self) -> Vllm:
        """vLLM in this process, at most one engine at a time."""
        return Vllm(self.settings)

    def _trained_engine(self, template: Template, banned_V: torch.Tensor) -> RolloutEngine:
        match self.settings.engine.kind:
            case "transformers":
                return self._own_engine(template, banned_V)
            case "vllm":
                return self.vllm.engine(template, banned_V)
            case "vllm-server":
                return WithPictures(text=served_engine(self.settings, template, banned_V), pictures=self._own_engine(template, banned_V))

    def rollouts(self, template: Template, banned_V: torch.Tensor, looked_at: Callable[[RolloutEngine], RolloutEngine]) -> RolloutEngine:
        """The engine of stage 2: the model's, which is looked at, or a script for some of the problems or all of them."""
        engine = looked_at(self._trained_engine(template, banned_V))
        scripted = self.settings.engine.scripted
        if scripted == "none":
            return engine
        script = ScriptedEngine(template=template, script=lambda p, n: answered(p, n, kind=KINDS[seed_for(0, "script", p.id) % len(KINDS)]))
        every = 2 if scripted == "half" else 1
        return MixedEngine(model=engine, script=script, takes=lambda number, place: place[0] == "joint" and number % every == 0)

    @cached_property
    def reads_verdicts(self) -> bool:
        """Whether an arm reads verdicts, and so the answers of stage 2's problems."""
        s = self.settings
        return any(objective.reads_verdict for name, arm in s.active_arms().items() for objective, _ in phases_of(name, arm, s.joint))

    @cached_property
    def student_fit(self) -> Fit:
        s, folder = self.settings, self.student_folder
        return Fit(who="student", template=self.student_words, context=context_at(folder), room=s.joint.sampling.max_new_tokens)

    @cached_property
    def student_words(self) -> Template:
        """How the student is spoken to, by its tokenizer alone, which has learned what it is to learn."""
        template = spoken_to(self.settings.student, self.student_folder)
        if self.extends:
            rows = tokenizer_at(self.student_folder)[1]
            template.of.tokenizer, _ = extended(template.of.tokenizer, tokenizer_at(self.teacher_folder)[0], rows=rows)
        return template

    @cached_property
    def teacher_fit(self) -> Fit:
        s, folder = self.settings, self.teacher_folder
        assert s.teacher is not None
        return Fit(who="teacher", template=spoken_to(s.teacher, folder), context=context_at(folder), room=s.joint.sampling.max_new_tokens)

    def corpus_problems(self) -> ProblemSource:
        """What the teacher is asked; each prompt fits its context."""
        c = self.settings.corpus
        fits = (replace(self.teacher_fit, room=c.sampling.max_new_tokens),) if c.problems.kind != "tiny" else ()
        return self.problems(c.problems, per_step=0, needs_answers=c.filter == "correct", fits=fits)

    def joint_problems(self) -> ProblemSource:
        """What stage 2 asks; each prompt fits the student's context, and the teacher's where it listens."""
        j = self.settings.joint
        fits = (self.student_fit, *((self.teacher_fit,) if self.pulls else ())) if j.problems.kind != "tiny" else ()
        return self.problems(j.problems, per_step=j.prompts_per_step, needs_answers=self.reads_verdicts, fits=fits)

    def problems(self, p: schema.ProblemSettings, *, per_step: int, needs_answers: bool, fits: tuple[Fit, ...] = ()) -> ProblemSource:
        seed = self.settings.seed if p.seed is None else p.seed
        if p.kind == "tiny":
            return TinyProblems(seed=seed, source=p.source, difficulties=p.difficulties, per_step=per_step, total=p.count)
        return FileProblems(of=self.problem_file(p, needs_answers=needs_answers, fits=fits), seed=seed, per_step=per_step)

    def problem_file(self, p: schema.ProblemSettings, *, needs_answers: bool, fits: tuple[Fit, ...] = ()) -> ProblemFile:
        """The problems of a file, a folder or the hub, read once a process."""
        found = problem_file(
            p.path,
            kind=p.kind,
            source=p.source,
            subsets=p.subsets,
            split=p.split,
            limit=p.count,
            needs_answers=needs_answers,
            on_bad_row=p.on_bad_row,
            fits=fits,
            without=self.without,
        )
        return self.problem_files.setdefault(found, found)

    def problems_digest(self, source: ProblemSource) -> dict[str, str]:
        """A digest of what problems are read from; nothing where they are drawn. A hub id has that of the problems read."""
        if not isinstance(source, FileProblems):
            return {}
        return {"problems": self._on_disk(source.of.data) or digest_of_problems(source.all())} | self._left_out(source.facts)

    def _left_out(self, facts: Reading) -> dict[str, str]:
        """What makes a source another one where prompts are left out of it."""
        return {"left out": digest_of(sorted(self.without))} if REPEATS in facts.unfit else {}

    @cached_property
    def ready_made(self) -> ReadyMadeTraces:
        """The traces of corpus.path, looked through once a process."""
        c = self.settings.corpus
        return ReadyMadeTraces(
            c.path,
            c.problems.source,
            kind=c.kind,
            subsets=c.subsets,
            split=c.split,
            on_bad_row=c.on_bad_row,
            needs_answers=c.filter == "correct" and c.on_bad_row == "drop",
            without=self.without,
        )

    def leave_out(self, prompts: frozenset[str]) -> None:
        """Train without these prompts from now on."""
        if prompts:
            self.without = prompts
            self.__dict__.pop("ready_made", None)

    def traces_digest(self) -> dict[str, str]:
        """The same for ready-made traces."""
        ready = self.ready_made
        return {"traces": self._on_disk(ready.data) or ready.survey.digest} | self._left_out(ready.facts)

    def _on_disk(self, data: DataSet) -> str | None:
        """The digest of a file or folder of data, taken once a process, for it may have gigabytes; None for a hub id."""
        if data.here is None:
            return None
        if data.here not in self.digests:
            self.digests[data.here] = str(data.on_disk)
        return self.digests[data.here]

    def benchmark(self, settings: schema.BenchmarkSettings, *, style: str = "") -> PlainBenchmark | PublishedBenchmark:
        """A benchmark, its rows read once a process; `style` stands in the place of its own where it is given."""
        if settings.kind in get_args(schema.Published):
            named = settings.model_dump_json(exclude={"name", "style", "modality", "difficulties"})
            rows = self.rows.setdefault(named, rows_of(settings, fits=self._item_askable))
            return PublishedBenchmark(name=settings.name, rows=rows, style=Style(style or settings.style))
        return self.plain.setdefault(settings.model_dump_json(), plain_benchmark(settings))

    def askable(self, problem: Problem) -> str | None:
        """Why a problem of a benchmark cannot be put to the student, its pictures included; None where it can."""
        fit = replace(self.student_fit, room=self.settings.eval.sampling.max_new_tokens)
        blind = fit.template.of.image_processor is None  # said once, of the benchmark
        return fit(replace(problem, images=() if blind else problem.images, interleaved=False))

    def _item_askable(self, item: Item) -> str | None:
        prompt = "\n".join((item.question, *item.options))
        return self.askable(Problem(id=item.id, prompt=prompt, answer=None, source="benchmark", images=item.images))

    def contents(self, benchmarks: Sequence[schema.BenchmarkSettings]) -> dict[str, str]:
        """A digest of the problems and pictures of each benchmark that is not drawn."""
        return {f"benchmark {b.name}": self._content(b) for b in benchmarks if b.kind != "tiny"}

    def _content(self, settings: schema.BenchmarkSettings) -> str:
        """Taken once a process: a benchmark may have gigabytes of pictures, and every row of the table asks."""
        key = settings.model_dump_json()
        if key not in self.said:
            self.said[key] = digest_of_problems(self.benchmark(settings).problems())
        return self.said[key]

    def digest(self, folder: Path) -> str:
        """The digest of a model folder, taken once a process for folders that no stage writes."""
        if self.root in folder.parents:
            return digest_of_folder(folder)
        if folder not in self.digests:
            self.digests[folder] = digest_of_folder(folder)
        return self.digests[folder]

    @cached_property
    def inner_judge(self) -> ReferenceReader:
        """The judge of the settings, one for the whole run."""
        return judge_of(self.settings.judge)

    def judge(self, folder: Path) -> Judge:
        """The judge of a stage: every verdict is in `verdicts.jsonl` of its folder before it is used, and is taken from there on resumption."""
        identity = digest_of(judged_by(self.settings.judge))
        return JournalledJudge(inner=self.inner_judge, path=folder / "verdicts.jsonl", identity=identity)

    def close(self) -> None:
        """End the judge's processes, and vLLM."""
        if "inner_judge" in self.__dict__:
            self.inner_judge.close()
        if "vllm" in self.__dict__:
            self.vllm.close()


def _reading(j: schema.JointSettings) -> dict[str, Any]:
    """How rollouts of stage 2 are read by a partner."""
    return {"temperature": j.sampling.temperature, "token_budget": j.token_budget, "shared_prompts": j.shared_prompts}


def judge_of(j: schema.JudgeSettings) -> ReferenceReader:
    match j.kind:
        case "exact":
            from vold.adapters.judges.exact import ExactJudge

            return ExactJudge(formats=j.formats)
        case "choice":
            from vold.adapters.judges.choice import ChoiceJudge

            return ChoiceJudge(formats=j.formats)
        case "equivalence":
            from vold.adapters.judges.equivalence import EquivalenceJudge

            return EquivalenceJudge(formats=j.formats, deadline=j.deadline, workers=j.workers, memory_mb=j.memory_mb, recycle=j.recycle)


def judged_by(j: schema.JudgeSettings) -> dict[str, Any]:
    """What verdicts depend on: the kind, the formats and the library's version, not the processes."""
    library = {"math-verify": metadata.version("math-verify")} if j.kind == "equivalence" else {}
    return {"kind": j.kind, "formats": list(j.formats), **library}


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


def sampling_of(s: schema.SamplingSettings) -> Sampling:
    return Sampling(max_new_tokens=s.max_new_tokens, temperature=s.temperature, top_p=s.top_p, top_k=s.top_k)


def plain(section: Section | None, *, but: Sequence[str] = ()) -> Any:
    return None if section is None else section.model_dump(mode="json", by_alias=True, exclude=set(but))


def trained(student: schema.StudentSettings) -> Any:
    """What training depends on of the student's settings. Master weights count where somebody does without them."""
    return plain(student, but=("images_in_tuning", *(("master_weights",) if student.master_weights else ())))


def scoring(teacher: schema.TeacherSettings | None) -> Any:
    """The same of the teacher's: not where its weights wait, nor how a server is reached."""
    return plain(teacher, but=("offload", *OF_SERVER, *(("kind",) if teacher is not None and teacher.kind == "local" else ())))


def generating(engine: schema.EngineSettings) -> Any:
    """What answers depend on of the engine's settings: who gives them, not how it is reached or what memory it has."""
    return {"kind": engine.kind, "rows": engine.rows, "decoder": engine.decoder, "scripted": engine.scripted}
