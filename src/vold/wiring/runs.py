"""A whole run: checks first, stages next, then the summary and the report."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from vold import pipeline
from vold.adapters import facts
from vold.adapters.problems.files import FileProblems
from vold.base.errors import Refusal, SettingsError
from vold.base.files import write_json
from vold.base.ids import digest_of
from vold.config import schema
from vold.config.explain import caveats, refuse_contradictions
from vold.config.load import Resolved
from vold.report import benchmarks, summary
from vold.report.html import write_report
from vold.tiny.shortcuts import CONSTANT, shortcut_scores
from vold.wiring.contamination import Guarded, guarded
from vold.wiring.evaluation import Bars
from vold.wiring.parts import Parts
from vold.wiring.preflight import refuse_unreadable
from vold.wiring.references import unreadable
from vold.wiring.stages import Wiring

STAGES = ("corpus", "sft", "joint", "eval")


def run(resolved: Resolved, *, root: Path, bars: Bars, say: Callable[[str], None], only: str | None = None, redo: bool = False) -> pipeline.Done:
    """Run every stage of a recipe in `root` (or only those of one kind), then write `summary.json` and `report.html`."""
    refuse_contradictions(resolved)
    refuse_absent(resolved.settings, only)
    torch.set_num_threads(resolved.settings.threads)
    wiring = Wiring(parts=Parts(settings=resolved.settings, root=root), bars=bars, say=say)
    pipeline.refuse_foreign(root)
    refuse_unreadable(wiring.parts, kinds_of(resolved.settings, only))
    try:
        guard = guarded(wiring.parts, say)
        wiring.overlaps = None if guard is None else guard.findings
        stages = [stage for stage in wiring.stages() if only in (None, kind_of(stage))]
        begun = {kind_of(stage) for stage in stages if not pipeline.is_current(stage)}
        told = references_of(wiring.parts, begun, say)
        return _run(resolved, wiring, stages, told=told, guard=guard, say=say, only=only, redo=redo)
    finally:
        wiring.parts.close()


def kinds_of(s: schema.Settings, only: str | None = None) -> tuple[str, ...]:
    """The kinds of stages that are run."""
    return (only,) if only is not None else s.kinds


def refuse_absent(s: schema.Settings, only: str | None) -> None:
    """Raise SettingsError for a single stage that the recipe does not have."""
    if only is not None and only not in s.kinds:
        why = "eval.trained = false trains nothing" if not s.eval.trained else "sft.steps = 0 begins stage 2 with the student as it is"
        raise SettingsError(f"there is no stage {only} in this recipe: {why}. Its stages: {', '.join(s.kinds)}.")


def _run(
    resolved: Resolved,
    wiring: Wiring,
    stages: Sequence[pipeline.Stage],
    *,
    told: dict[str, Any] | None,
    guard: Guarded | None,
    say: Callable[[str], None],
    only: str | None,
    redo: bool,
) -> pipeline.Done:
    root = wiring.root
    with pipeline.locked(root):
        refuse_missing_start(wiring, only)
        pipeline.refuse_changed([] if redo else stages)
        write_json(root / "settings.json", settings_record(resolved))
        if told is not None:
            write_json(root / "references.json", told)
        if guard is not None:
            guard.write(root)
        done = pipeline.run(
            stages, redo=redo, facts={"versions": facts.versions(), "commit": facts.commit(), "threads": resolved.settings.threads}, say=say
        )
        if (only is None or finished(wiring)) and (done.ran or not is_written(wiring)):
            say("measuring what shortcuts score, writing the report")
            summary.save(summarised(wiring), root / "summary.json")
            write_report(root)
    return done


def references_of(parts: Parts, kinds: Collection[str], say: Callable[[str], None]) -> dict[str, Any] | None:
    """What was read for these kinds of stages, and which references cannot be judged against: said before anything is spent. None where there is
    nothing to say, as in the laptop world."""
    problems = parts.joint_problems() if "joint" in kinds else None
    read = problems.facts if isinstance(problems, FileProblems) else None
    if read is not None:
        say(f"joint.problems: {read}")
    found = unreadable(parts, kinds)
    for one in found:
        say(str(one))
    return {"read": None if read is None else read.to_json(), "unreadable": [asdict(one) for one in found]} if read or found else None


def refuse_missing_start(wiring: Wiring, only: str | None) -> None:
    """A single stage needs what the stages before it leave behind, as they left it and for these very settings."""
    before = [stage for stage in wiring.stages() if kind_of(stage) in STAGES[: STAGES.index(only or "corpus")]]
    pipeline.refuse_changed(before)
    for stage in before:
        if not pipeline.is_current(stage):
            state = "has changed since, or what it was made from has" if pipeline.record_of(stage.folder).get("done") else "is not done"
            raise Refusal(
                f"stage {only} reads what stage {stage.name} leaves in {stage.folder}, and that {state}. "
                f"Run `vold {kind_of(stage)}` first, or `vold run`."
            )


def kind_of(stage: pipeline.Stage) -> str:
    return stage.name.split()[0]


def finished(wiring: Wiring) -> bool:
    """Whether every stage of the recipe is done with these settings and with what is there now."""
    return all(pipeline.is_current(stage) for stage in wiring.stages())


def is_written(wiring: Wiring) -> bool:
    """Whether the report is there and the summary shows these very results: a run may have been killed between the last stage and them."""
    found = summary.load(wiring.root / "summary.json")
    return found is not None and found.rows == rows_of(wiring) and (wiring.root / "report.html").exists()


def rows_of(wiring: Wiring) -> tuple[summary.Row, ...]:
    seeds = [wiring.s.seed]
    return tuple(
        one for row in wiring.rows() for one in summary.rows_of(row.label, benchmarks.load(wiring.root / "eval" / row.slug).benchmarks, seeds)
    )


def summarised(wiring: Wiring) -> summary.Summary:
    s = wiring.s
    return summary.Summary(
        recipe=summary.Recipe(name=s.name, hash=digest_of(s.model_dump(mode="json", exclude={"seed"}))),
        seed=s.seed,
        versions=facts.versions(),
        hardware=facts.hardware(s.threads),
        rows=rows_of(wiring),
        floors=floors(s),
        arms=tuple(summary.Arm(name=name, label=arm.label or name, folder=f"joint-{name}") for name, arm in s.active_arms().items()),
    )


def floors(s: schema.Settings) -> summary.Floors:
    """What the laptop world's problems give away without a chain, by difficulty and (as the mean) over all of them; nothing for other problems."""
    levels = sorted({k for benchmark in s.eval.benchmarks if benchmark.kind == "tiny" for k in benchmark.difficulties})
    if not levels or any(benchmark.kind != "tiny" for benchmark in s.eval.benchmarks):
        return summary.Floors()
    scores = {k: shortcut_scores(k) for k in levels}
    by_level = [
        summary.Shortcut(name=name, difficulty=k, value=value) for k, found in scores.items() for name, value in found.items() if name != CONSTANT
    ]
    best = [max(value for name, value in found.items() if name != CONSTANT) for found in scores.values()]
    overall = summary.Shortcut(name="the best shortcut at each difficulty", difficulty=None, value=sum(best) / len(best))
    constant = sum(found[CONSTANT] for found in scores.values()) / len(scores)
    return summary.Floors(constant=constant, shortcuts=(*by_level, overall))


def settings_record(resolved: Resolved) -> dict[str, Any]:
    """What is written with the run: every value, who set it, versions, hardware and commit."""
    s = resolved.settings
    return {
        "recipe": s.name,
        "caveats": caveats(s),
        "values": s.model_dump(mode="json", by_alias=True),
        "sources": dict(resolved.sources),
        "versions": facts.versions(),
        "hardware": facts.hardware(s.threads),
        "commit": facts.commit(),
    }
