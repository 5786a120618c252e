"""The zero-shot test from settings: which models are rows, how each is asked, by which rules it is scored, and what is kept of it."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from vold import pipeline
from vold.adapters import facts
from vold.adapters.benchmarks.asked import AskingJudge, PlainBenchmark, PublishedBenchmark, RuleJudge
from vold.adapters.benchmarks.reads import Reads
from vold.adapters.benchmarks.spec import Mode
from vold.adapters.evaluations import write_answers
from vold.adapters.generations import KeptAnswers
from vold.adapters.journals.verdicts import JournalledJudge
from vold.adapters.models import LanguageModel
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import Unanswered
from vold.base.ids import digest_of
from vold.config import schema
from vold.core.overlap import Findings
from vold.core.stats import PICTURES
from vold.ports import Benchmark, Judge, Progress, Sampling
from vold.report import benchmarks as kept
from vold.stages import evaluate
from vold.wiring.fit import template_of
from vold.wiring.parts import Parts, generating, judged_by, located, plain, sampling_of

if TYPE_CHECKING:
    from vold.adapters.benchmarks.endpoint import EndpointJudge

Bars = Callable[[str], AbstractContextManager[Progress]]
"""Opens a progress display for a named stage."""

VERSION = 2
BASES = frozenset({"tiny:base", *(f"Qwen/Qwen2.5-VL-{size}-Instruct" for size in ("3B", "7B", "32B", "72B"))})
"""Students that are not tuned further: the table has `–` for them."""
ANSWERING = ("python", "torch", "transformers", "tokenizers", "numpy", "pillow")
"""Packages whose version may move an answer. Those that judge answers are not among them: another version judges the kept ones anew."""
RULES = 1
"""Raised by hand when a rule of a benchmark changes, so that verdicts made before are made again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the table: a checkpoint, how it is spoken to, and what is known of its training."""

    slug: str
    label: str
    folder: Callable[[], Path]
    speaks: schema.ModelSettings
    trained: bool = False
    """Whether this run trained it."""
    style: str = ""
    reads: Reads = "auto"
    suffix_everywhere: bool = False
    images_in_tuning: Literal["yes", "no", "–", "unknown"] = "unknown"
    """Of a model that this run trains its journals tell it, once they are there."""
    contaminated: tuple[str, ...] = ()


def rows_of(parts: Parts) -> list[Row]:
    """The base under the direct and the reasoning prompt, the aligned student and every arm, and further models."""
    s = parts.settings
    rows: list[Row] = []
    if s.eval.base:
        direct = s.student.model_copy(update={"suffix": ""})
        bases = (("base-direct", "base, direct", direct, "direct"), ("base-reasoning", "base, reasoning", s.student, ""))
        for slug, label, speaks, style in bases:
            base = partial(located, s.student.path)
            tuned = tuning_of(s.student)
            rows.append(Row(slug=slug, label=label, speaks=speaks, style=style, folder=base, images_in_tuning=tuned, reads=s.eval.reads))
    if s.eval.trained:
        arms = {f"joint-{name}": arm.label or name for name, arm in s.active_arms().items()}
        for slug, label in {**({"sft": "SFT"} if s.sft.steps else {}), **arms}.items():
            trained = partial(_model_of, parts.root / slug)
            rows.append(Row(slug=slug, label=label, speaks=s.student, folder=trained, trained=True, reads=s.eval.reads))
    for name, model in s.eval.models.items():
        rows.append(
            Row(
                slug=f"model-{name}",
                label=model.label,
                folder=partial(located, model.path),
                speaks=model,
                style=model.style,
                reads=model.reads,
                suffix_everywhere=model.suffix_everywhere,
                images_in_tuning=model.images_in_tuning,
                contaminated=model.contaminated,
            )
        )
    return rows


def tuning_of(student: schema.StudentSettings) -> Literal["yes", "no", "–", "unknown"]:
    """Whether the student was tuned on images before: as the settings say, else `–` for models known to be as their makers published them."""
    if student.images_in_tuning != "auto":
        return student.images_in_tuning
    return "–" if student.path in BASES else "unknown"


def tuned_by(parts: Parts, slug: str) -> Literal["yes", "no"]:
    """Whether a model that this run trained was tuned on images, by this run's stages or before it."""
    journals = [parts.root / stage / "journal.jsonl" for stage in dict.fromkeys(("sft", slug))]
    shown = any(journal.is_file() and f'"{PICTURES}"' in journal.read_text(encoding="utf-8") for journal in journals)
    return "yes" if shown or tuning_of(parts.settings.student) == "yes" else "no"


def _model_of(stage: Path) -> Path:
    return stage / "model"


def eval_stage(parts: Parts, row: Row, bars: Bars, overlaps: Findings | None = None) -> pipeline.Stage:
    """`overlaps` are marked where the row is a model that this run trained."""
    s = parts.settings
    met = trained_on(s, overlaps) if row.trained else {}
    apart = ("models", "trained", "base", "examples", *(() if s.eval.samples else ("sampling",)))
    return pipeline.Stage(
        name=f"eval {row.label}",
        folder=parts.root / "eval" / row.slug,
        version=VERSION,
        settings={
            "eval": plain(s.eval, but=apart) | {"cap": s.eval.sampling.max_new_tokens},
            "examples": s.eval.examples,
            "student": plain(row.speaks, but=("master_weights",)),
            "asked": {"style": row.style, "reads": row.reads, "suffix_everywhere": row.suffix_everywhere},
            "rules": RULES,
            "engine": generating(s.engine),
            "judge": judged_by(s.judge),
            "label": row.label,
        }
        | ({"seed": s.seed} if s.eval.samples else {}),
        inputs=lambda: {"model": parts.digest(row.folder())} | parts.contents(s.eval.benchmarks) | ({"overlaps": str(met)} if met else {}),
        act=lambda folder: _evaluate(parts, row, folder, bars, met),
        outputs=("scores.json", "examples.jsonl"),
    )


def trained_on(s: schema.Settings, overlaps: Findings | None) -> dict[str, int]:
    """By benchmark, how many of its questions are among the training prompts; empty where nobody looked."""
    return {} if overlaps is None else {b.name: overlaps.trained_on(b.name) for b in s.eval.benchmarks if b.name in overlaps.asked}


def _evaluate(parts: Parts, row: Row, folder: Path, bars: Bars, met: Mapping[str, int]) -> None:
    e = parts.settings.eval
    parts.release()
    model = parts.load(row.speaks, row.folder())
    asked = endpoint(parts) if Mode.JUDGE in e.modes else None
    with bars(f"eval {row.label}") as bar:
        at = evaluate.Ports(
            engine=_engine(parts, row, model),
            benchmarks=[(b := parts.benchmark(settings, style=row.style), rules_of(parts, row, b, folder, asked)) for settings in e.benchmarks],
            progress=bar,
        )
        results, answers = evaluate.evaluate(ways_of(e), at)
    if asked is not None and asked.unreached:
        raise Unanswered(
            f"{asked.unreached} questions to the judging model {asked.model} at {asked.url} got no reply ({_told(asked.failures)}), so {row.label} "
            "is not scored yet. Answers and replies are kept: run the same again once it can be reached, or leave judge out of eval.modes."
        )
    write_answers(folder, row.label, answers, examples=e.examples)
    kept.save(scores_of(parts, row, at.benchmarks, results, met), folder / "scores.json")


def ways_of(e: schema.EvalSettings) -> list[evaluate.Way]:
    """Greedy once, sampled several times, or both; thinking may be ended in either."""
    greedy = Sampling(max_new_tokens=e.sampling.max_new_tokens, temperature=0.0, think_budget=e.think_budget, closing=e.closing)
    ways = [evaluate.Way(name="greedy", sampling=greedy)] if e.greedy else []
    if e.samples:
        ways.append(
            evaluate.Way(name="sampled", sampling=replace(sampling_of(e.sampling), think_budget=e.think_budget, closing=e.closing), samples=e.samples)
        )
    return ways


def _engine(parts: Parts, row: Row, model: LanguageModel) -> KeptAnswers:
    """The engine with its answers on disk, one file a model and a way of speaking to it."""
    template = template_of(model, row.speaks, suffix_everywhere=row.suffix_everywhere)
    engine = parts.engine(template, banned_ids(model))
    content = parts.digest(row.folder())
    identity = {
        "model": content,
        "dtype": row.speaks.dtype,
        "attention": row.speaks.attention,
        "pixels": [row.speaks.min_pixels, row.speaks.max_pixels],
        "device": model.device.type,
        "engine": parts.settings.engine.kind,
        "versions": {name: version for name, version in facts.versions().items() if name in (*ANSWERING, *_engine_library(parts))},
    }
    path = parts.root / "generations" / f"{content}.jsonl"
    return KeptAnswers(inner=engine, template=template, path=path, identity=identity, seed=parts.settings.seed, rows=parts.settings.engine.rows)


def _engine_library(parts: Parts) -> tuple[str, ...]:
    return facts.VLLM if parts.settings.engine.kind == "vllm" else ()


def _told(failures: Mapping[str, int]) -> str:
    return ", ".join(f"{why}: {count}" for why, count in sorted(failures.items(), key=lambda one: -one[1]))


def rules_of(
    parts: Parts, row: Row, benchmark: PlainBenchmark | PublishedBenchmark, folder: Path, asked: "EndpointJudge | None"
) -> Mapping[str, Judge]:
    """By scoring mode, who says what is right: the run's own judge for plain problems, the rules of a published benchmark for its own."""
    s = parts.settings
    if isinstance(benchmark, PlainBenchmark):
        return {s.judge.kind: parts.judge(folder)}
    rules: dict[str, Judge] = {}
    for mode in map(Mode, s.eval.modes):
        if mode is Mode.JUDGE:
            assert asked is not None, "the judge mode comes with a model to ask"
            rules[mode.value] = AskingJudge(of=benchmark, ask=asked.judge)
            continue
        rule = RuleJudge(of=benchmark, mode=mode, reads=row.reads)
        identity = digest_of([mode.value, benchmark.spec.name, row.reads, benchmark.style, RULES, judged_by(schema.JudgeSettings())])
        rules[mode.value] = JournalledJudge(inner=rule, path=folder / "verdicts.jsonl", identity=identity, by_problem=True)
    return rules


def endpoint(parts: Parts) -> "EndpointJudge":
    """The language model of the judge mode; its replies are kept with the run."""
    from vold.adapters.benchmarks.endpoint import EndpointJudge

    e = parts.settings.eval.endpoint
    assert e is not None, "refused at start-up"
    return EndpointJudge(
        url=e.url,
        model=e.model,
        key_env=e.key_env,
        cache=parts.root / "generations" / "judge.jsonl",
        timeout=e.timeout,
        retries=e.retries,
        workers=e.workers,
    )


def scores_of(
    parts: Parts, row: Row, asked: Sequence[tuple[Benchmark, Mapping[str, Judge]]], results: Sequence[evaluate.Result], met: Mapping[str, int]
) -> kept.Scores:
    """What is written of one row: every number with the units behind it."""
    s = parts.settings
    benchmarks = {benchmark.name: benchmark for benchmark, _ in asked}
    return kept.Scores(
        model=kept.Model(
            label=row.label,
            path=str(row.speaks.path),
            digest=parts.digest(row.folder()),
            style=row.style or "reasoning",
            images_in_tuning=tuned_by(parts, row.slug) if row.trained else row.images_in_tuning,
            contaminated=row.contaminated,
        ),
        benchmarks=tuple(_kept(benchmarks[result.benchmark], result, met.get(result.benchmark)) for result in results),
        settings={"eval": plain(s.eval, but=("models",)), "speaks": plain(row.speaks, but=("master_weights",)), "reads": row.reads},
    )


def _kept(benchmark: Benchmark, result: evaluate.Result, overlaps: int | None) -> kept.Benchmark:
    return kept.Benchmark(
        name=result.benchmark,
        kind=benchmark.kind,
        title=result.title,
        modality=result.modality,
        mode=result.mode,
        way=result.way,
        rows=benchmark.seen,
        broken=tuple(kept.Broken(id=name, why=why) for name, why in result.broken),
        items=result.items,
        answers=result.answers,
        truncated=result.truncated,
        unextracted=result.unextracted,
        unjudged=result.unjudged,
        overlaps=overlaps,
        measures=result.measures,
        samples=result.samples,
        closed=result.closed,
        agreement=result.agreement if result.mode == Mode.JUDGE else {},
    )
