"""From settings to stages: what each reads, what it builds, and what makes it count as done."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vold import pipeline
from vold.adapters.checkpoints import FolderCheckpoints
from vold.adapters.corpora import ShardedCorpus
from vold.adapters.journals.jsonl import JsonlJournal
from vold.adapters.metering import REFERENCE, TEACHER, MeteredEngine, MeteredJudge, MeteredLearner, MeteredScorer, meter_for, shape_in
from vold.adapters.pictures import tokens_of
from vold.adapters.problems.files import FileProblems
from vold.adapters.publication import publish
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.teachers.vllm import VllmServerTeacher
from vold.adapters.vocabulary import banned_ids
from vold.base.types import Trace
from vold.config import schema
from vold.config.objectives import as_weight, phases_of
from vold.core.objective import Partner, Want
from vold.core.overlap import Findings
from vold.core.roofline import Shape
from vold.ports import ProblemSource, Sampling
from vold.report import aligned
from vold.stages import corpus, joint, sft
from vold.wiring import align
from vold.wiring.evaluation import Bars, Row, eval_stage, rows_of
from vold.wiring.fit import template_of
from vold.wiring.parts import Parts, generating, judged_by, plain, sampling_of, scoring, trained
from vold.wiring.traces import corpus_groups, examples_of
from vold.wiring.verified import looked_at, teacher_looked_at
from vold.wiring.vllm import shape_at

VERSIONS = {"corpus": 1, "sft": 1, "joint": 1}
"""Raised by hand when the meaning of a stage changes, so that results made before are made again."""


@dataclass(kw_only=True)
class Wiring:
    """A recipe and a run folder, and everything built from them."""

    parts: Parts
    bars: Bars
    say: pipeline.Say = print
    overlaps: Findings | None = None
    """Which training prompts repeat questions of the benchmarks; None where nobody looked."""

    @property
    def s(self) -> schema.Settings:
        return self.parts.settings

    @property
    def root(self) -> Path:
        return self.parts.root

    def stages(self) -> list[pipeline.Stage]:
        """Every stage of the recipe in the order it runs."""
        return [
            *(self.training() if self.s.eval.trained else ()),
            *(eval_stage(self.parts, row, self.bars, self.overlaps) for row in self.rows()),
        ]

    def training(self) -> list[pipeline.Stage]:
        """The stages before the test."""
        s = self.s
        before = [*([self.corpus_stage()] if s.reads_corpus else []), *([self.sft_stage()] if s.sft.steps else [])]
        checks = [self.alignment_stage()] if s.joint.align and s.teacher is not None else []
        return [*before, *checks, *(self.joint_stage(name) for name in s.active_arms())]

    def rows(self) -> list[Row]:
        """The rows of the table: the base, what this run trains, and further models."""
        return rows_of(self.parts)

    # -- stages ---------------------------------------------------------------------------------------------------------------------

    def corpus_stage(self) -> pipeline.Stage:
        s = self.s
        settings: dict[str, Any] = {"corpus": plain(s.corpus), "seed": s.seed, "judge": judged_by(s.judge)}
        if s.corpus.origin == "teacher":
            settings |= {"teacher": scoring(s.teacher), "engine": generating(s.engine)}
        else:
            read = ("from", "path", "kind", "subsets", "split", "on_bad_row", "filter", "batch")
            door = {name: plain(s.corpus)[name] for name in read} | {"source": s.corpus.problems.source}
            settings = {"corpus": door, "judge": judged_by(s.judge), "max_tokens": s.sft.max_tokens}
        return pipeline.Stage(
            name="corpus",
            folder=self.root / "corpus",
            version=VERSIONS["corpus"],
            settings=settings,
            inputs=self._corpus_inputs,
            act=self._corpus_from_teacher if s.corpus.origin == "teacher" else self._corpus_from_dataset,
            outputs=("manifest.json", "traces"),  # not `publish`, which is made from them and whose card its publisher completes
        )

    def _corpus_inputs(self) -> dict[str, str]:
        c = self.s.corpus
        if c.origin == "teacher":
            asked = self.parts.problems_digest(self.parts.corpus_problems())
            return {"teacher": self.parts.digest(self.parts.teacher_folder)} | asked
        return {"student": self.parts.digest(self.parts.student_folder)} | self.parts.traces_digest()

    def _corpus_run(self) -> corpus.CorpusRun:
        c = self.s.corpus
        return corpus.CorpusRun(sampling=sampling_of(c.sampling), batch=c.batch, filter=c.filter)

    def _corpus_from_teacher(self, folder: Path) -> None:
        teacher, settings = self.parts.teacher, self.s.teacher
        assert settings is not None
        problems = self.parts.corpus_problems()
        with self.bars("corpus") as bar:
            at = corpus.Ports(
                problems=problems,
                engine=self.parts.engine(template_of(teacher, settings), banned_ids(teacher)),
                judge=self.parts.judge(folder) if any(p.answer is not None for p in problems.all()) else None,
                store=ShardedCorpus(folder=folder),
                progress=bar,
            )
            corpus.corpus(self._corpus_run(), at, facts=self._facts_of_teacher(settings, problems))
        publish(folder)

    def _facts_of_teacher(self, teacher: schema.ModelSettings, problems: ProblemSource) -> dict[str, Any]:
        """What the manifest and the card of a corpus say of how it was made."""
        c = self.s.corpus
        drawn = ("kind", "source", "difficulties", "count")
        named = drawn if c.problems.kind == "tiny" else ("kind", "path", "subsets", "split", "source", "count", "on_bad_row")
        asked = {name: value for name, value in plain(c.problems).items() if name in named}
        return {
            "from": "teacher",
            "teacher": teacher.path,
            "teacher_digest": self.parts.digest(self.parts.teacher_folder),
            "sampling": plain(c.sampling),
            "prompting": {name: value for name, value in plain(teacher).items() if name in ("template", "template_options", "system", "suffix")},
            "filter": c.filter,
            "problems": asked | (problems.facts.to_json() if isinstance(problems, FileProblems) else {}),
        }

    def _corpus_from_dataset(self, folder: Path) -> None:
        c, ready = self.s.corpus, self.parts.ready_made
        template = self.parts.student_words

        def shown(trace: Trace) -> int:
            return tokens_of(template.of.image_processor, trace.problem.images) - len(trace.problem.images)

        read = ready.survey.facts
        facts = {
            "from": "dataset",
            "path": c.path,
            "filter": c.filter,
            "cap": self.s.sft.max_tokens,
            "read": {"kind": c.kind, "path": c.path, "subsets": list(c.subsets), "split": c.split, **read.to_json()},
        }
        with self.bars("corpus") as bar:
            corpus.adopted(
                ready.batches(c.batch, done=lambda rows: bar.update(rows, read.rows, "traces adopted")),
                lambda trace: template.length(trace.problem, trace.response) + shown(trace),
                cap=self.s.sft.max_tokens,
                run=self._corpus_run(),
                judge=self.parts.judge(folder) if ready.survey.answered else None,
                store=ShardedCorpus(folder=folder),
                facts=facts,
            )
        publish(folder)

    def sft_stage(self) -> pipeline.Stage:
        s = self.s
        return pipeline.Stage(
            name="sft",
            folder=self.root / "sft",
            version=VERSIONS["sft"],
            settings={"sft": plain(s.sft, but=("checkpoint_every", "recompute")), "student": trained(s.student), "seed": s.seed},
            inputs=lambda: {
                "student": self.parts.digest(self.parts.student_folder),
                "corpus": ShardedCorpus(folder=self.root / "corpus").digest(),
                **self.parts.learned_words(self.parts.student_folder),
            },
            act=self._sft,
            outputs=("model", "journal.jsonl"),
            scratch=("checkpoints",),
        )

    def _sft(self, folder: Path) -> None:
        c = self.s.sft
        self.parts.release()
        student = self.parts.student(self.parts.student_folder)
        meter = meter_for(student)
        learner = self.parts.learner(student, c.adam, c.token_budget, vision=c.vision, recompute=c.recompute)
        run = sft.SftRun(
            steps=c.steps, traces_per_step=c.traces_per_step, lr=c.lr, warmup=c.warmup, decay=c.decay, lr_floor=c.lr_floor, seed=self.s.seed
        )
        with self.bars("SFT") as bar:
            at = sft.Ports(
                examples=[example for _, example in examples_of(self.parts, student, folder)],
                learner=MeteredLearner(learner, meter, shape_in(student)),
                journal=JsonlJournal(folder=folder, meter=meter),
                checkpoints=FolderCheckpoints(folder=folder, learner=learner, every=c.checkpoint_every),
                progress=bar,
            )
            sft.sft(run, at)

    def alignment_stage(self) -> pipeline.Stage:
        """How close the aligned student is to its teacher, before any arm is trained."""
        s = self.s
        return pipeline.Stage(
            name="joint alignment",
            folder=self.root / "alignment",
            version=VERSIONS["joint"],
            settings={
                "count": s.joint.align,
                "problems": plain(s.joint.problems),
                "sampling": plain(s.joint.sampling),
                "student": trained(s.student),
                "teacher": scoring(s.teacher),
                "engine": generating(s.engine),
                "seed": s.seed,
            },
            inputs=lambda: {
                "sft": self.parts.digest(self.parts.aligned_folder),
                "teacher": self.parts.digest(self.parts.teacher_folder),
                **self.parts.problems_digest(self.parts.joint_problems()),
            },
            act=self._align,
            outputs=(aligned.FILE,),
        )

    def _align(self, folder: Path) -> None:
        self.parts.release()
        found = align.checked(self.parts, self.bars, align.Asked(count=self.s.joint.align))
        aligned.save(found, folder)
        for line in aligned.lines(found):
            self.say(line)

    def joint_stage(self, name: str) -> pipeline.Stage:
        s = self.s
        phases = phases_of(name, s.arms[name], s.joint)
        settings: dict[str, Any] = {
            "joint": plain(s.joint, but=("checkpoint_every", "recompute", "arms", "align", *(() if s.joint.validation.every else ("validation",)))),
            "phases": [repr(phase) for phase in phases],
            "on_corpus": s.arms[name].on_corpus,
            "student": trained(s.student),
            "engine": generating(s.engine),
            "judge": judged_by(s.judge),
            "seed": s.seed,
        }
        needs_teacher = any(objective.needs_teacher for objective, _ in phases)
        if needs_teacher:
            settings["teacher"] = scoring(s.teacher)

        def inputs() -> dict[str, str]:
            found = {"sft": self.parts.digest(self.parts.aligned_folder)}
            found |= self.parts.problems_digest(self.parts.joint_problems())
            if s.joint.validation.every and s.joint.validation.benchmark is not None:
                found |= self.parts.contents([s.joint.validation.benchmark])
            if s.arms[name].on_corpus:
                found["corpus"] = ShardedCorpus(folder=self.root / "corpus").digest()
            return found | ({"teacher": self.parts.digest(self.parts.teacher_folder)} if needs_teacher else {})

        return pipeline.Stage(
            name=f"joint {name}",
            folder=self.root / f"joint-{name}",
            version=VERSIONS["joint"],
            settings=settings,
            inputs=inputs,
            act=lambda folder: self._joint(name, folder),
            outputs=("model", "journal.jsonl"),
            scratch=("checkpoints",),
        )

    def _joint(self, name: str, folder: Path) -> None:
        j = self.s.joint
        phases = phases_of(name, self.s.arms[name], j)
        objectives = [objective for objective, _ in phases]
        self.parts.release()
        aligned = self.parts.aligned_folder
        student = self.parts.student(aligned)
        needs_teacher = any(objective.needs_teacher for objective in objectives)
        banned_V = banned_ids(student, self.parts.teacher_words if needs_teacher else None)
        teacher = self.parts.scorer(banned_V) if needs_teacher else None
        needs_reference = any(objective.wants(Partner.REFERENCE) for objective in objectives)
        reference = self.parts.reference(aligned, banned_V) if needs_reference else None
        scorers = {Partner.TEACHER: teacher, Partner.REFERENCE: reference}
        wide = {partner for partner in scorers if any(objective.wants(partner) is Want.HIDDEN for objective in objectives)}
        heads = {
            partner: scorer.reader.head.detach().to(student.device)
            for partner, scorer in scorers.items()
            if isinstance(scorer, LocalTeacher) and partner in wide
        }
        learner = self.parts.learner(
            student,
            j.adam,
            j.token_budget,
            recompute=j.recompute,
            vision=j.vision,
            shared_prompts=j.shared_prompts,
            temperature=j.sampling.temperature,
            banned_V=banned_V,
            heads=heads,
        )
        run = joint.JointRun(
            steps=j.steps,
            group_size=j.group_size,
            lr=as_weight(j.lr),
            warmup=j.warmup,
            sampling=sampling_of(j.sampling),
            phases=tuple(joint.Phase(objective=objective, until=until) for objective, until in phases),
            updates_per_batch=j.updates_per_batch,
            truncated_reward=j.truncated_reward,
            max_refills=j.max_refills,
            on_corpus=self.s.arms[name].on_corpus,
            validate_every=j.validation.every,
            stream=j.stream,
        )
        meter, shape = meter_for(student), shape_in(student)
        speaker = student.twin() if j.stream else student
        engine_look = looked_at(self.s, speaker, banned_V, meter)
        listened = None if teacher is None else teacher_looked_at(teacher, self.s)
        with self.bars(self.s.arms[name].label or name) as bar:
            at = joint.Ports(
                problems=self.parts.joint_problems(),
                engine=MeteredEngine(self.parts.rollouts(self.parts.student_template(speaker), banned_V, engine_look), meter, shape),
                judge=MeteredJudge(self.parts.judge(folder), meter),
                teacher=None if teacher is None or listened is None else MeteredScorer(listened, meter, self._shape_of(teacher), TEACHER),
                reference=None if reference is None else MeteredScorer(reference, meter, shape_in(reference.reader), REFERENCE),
                corpus=corpus_groups(self.parts, student, folder, banned_V) if run.on_corpus else None,
                learner=MeteredLearner(learner, meter, shape),
                journal=JsonlJournal(folder=folder, meter=meter),
                checkpoints=FolderCheckpoints(folder=folder, learner=learner, every=j.checkpoint_every),
                progress=bar,
                validation=self._validation() if j.validation.every else None,
            )
            joint.joint(run, at)

    def _shape_of(self, teacher: LocalTeacher | VllmServerTeacher) -> Shape:
        return shape_in(teacher.reader) if isinstance(teacher, LocalTeacher) else shape_at(self.parts.teacher_folder)

    def _validation(self) -> joint.Validation:
        settings, cap = self.s.joint.validation.benchmark, self.s.joint.sampling.max_new_tokens
        assert settings is not None, "refused at start-up"
        benchmark = self.parts.benchmark(settings)
        return joint.Validation(name=benchmark.name, problems=benchmark.problems(), sampling=Sampling(max_new_tokens=cap, temperature=0.0))
