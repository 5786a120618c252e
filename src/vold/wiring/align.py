"""The alignment check of a run: its aligned student, its teacher, and problems of its joint stage; before that stage or after it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vold import pipeline
from vold.adapters import facts
from vold.adapters.models import LanguageModel
from vold.adapters.teachers.local import LocalTeacher
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import DataError, Refusal, SettingsError
from vold.base.files import read_json
from vold.base.types import Problem
from vold.config import schema
from vold.config.load import Resolved
from vold.report.aligned import Alignment, save, shipped_scale
from vold.stages import align
from vold.wiring.contamination import left_out
from vold.wiring.evaluation import Bars
from vold.wiring.parts import Parts, plain, sampling_of
from vold.wiring.preflight import refuse_unloadable

COUNT = 200
"""Problems of a check, where nobody says otherwise."""
ROLLOUTS = 64
"""Rollouts answered and read at a time, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How large a check is to be."""

    count: int = COUNT
    samples: int = 1


def resolved_of(root: Path) -> Resolved:
    """The settings of a run as it wrote them. Raises DataError where there are none."""
    path = root / "settings.json"
    try:
        record = read_json(path)
        values = schema.Settings.model_validate_json(json.dumps(record["values"]))
    except FileNotFoundError as error:
        raise DataError(f"{root} holds no settings.json, so it is not a run's folder. Run `vold sft RECIPE` first, or name its folder.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read as a run's settings: {error} Run the recipe again under another --name.") from error
    return Resolved(settings=values, sources=record.get("sources", {}))


def aligned(resolved: Resolved, root: Path, say: pipeline.Say, bars: Bars, *, asked: Asked | None = None) -> Alignment:
    """Check the aligned student in `root` against the teacher of the settings, write `alignment.json` there, and say what was found."""
    torch.set_num_threads(resolved.settings.threads)
    parts = guarded_parts(resolved.settings, root)
    refuse_unaligned(parts)
    refuse_unloadable(parts)
    alignment = checked(parts, bars, asked or Asked())
    say(f"wrote {save(alignment, root)}")
    return alignment


def guarded_parts(settings: schema.Settings, root: Path) -> Parts:
    """The parts of a run, without the prompts that its joint stage leaves out: or other problems would come first."""
    parts = Parts(settings=settings, root=root)
    parts.leave_out(left_out(settings, root))
    return parts


def checked(parts: Parts, bars: Bars, asked: Asked) -> Alignment:
    """The check itself, over models that can be loaded."""
    settings = parts.settings
    problems = problems_of(parts, asked.count)
    student = parts.student(parts.aligned_folder)
    banned_V = banned_ids(student, parts.teacher)
    fitted = shipped_scale()
    run = align.AlignRun(
        samples=asked.samples,
        sampling=sampling_of(settings.joint.sampling),
        batch=max(1, min(settings.engine.rows, ROLLOUTS) // asked.samples),
        scale=fitted.scale,
    )
    with bars("alignment check") as bar:
        at = align.Ports(
            problems=problems,
            engine=parts.engine(parts.student_template(student), banned_V),
            student=own_reader(parts, student, banned_V),
            teacher=align.Reader(scorer=parts.local_scorer(banned_V, stays=True), head_VH=parts.teacher.head),
            banned_V=banned_V,
            progress=bar,
        )
        found = align.align(run, at)
    assert settings.teacher is not None
    return Alignment(
        student=str(parts.aligned_folder),
        teacher=settings.teacher.path,
        problems=found.problems,
        truncated=found.truncated,
        mean_length=found.mean_length,
        closeness=found.closeness,
        verdict=found.verdict,
        fitted=fitted,
        facts=facts_of(parts, asked),
    )


def refuse_unaligned(parts: Parts) -> None:
    """Raise Refusal where stage 1 has not finished, SettingsError where there is no teacher."""
    if parts.settings.teacher is None:
        raise SettingsError("an alignment check compares the student with a teacher, but no [teacher] is set. Add one with its path.")
    folder = parts.root / "sft"
    if not parts.settings.sft.steps:
        return
    if not pipeline.record_of(folder).get("done") or not (folder / "model").is_dir():
        raise Refusal(f"{folder} holds no aligned student: stage sft is not done. Run `vold sft` first, or `vold run`.")


def problems_of(parts: Parts, count: int) -> list[Problem]:
    """The first problems that the joint stage will ask, each of which fits both models."""
    if count < 1:
        raise SettingsError(f"--count {count} asks for no problem. Give 1 or more; a few hundred are usual.")
    j = parts.settings.joint
    fits = (parts.student_fit, parts.teacher_fit) if j.problems.kind != "tiny" else ()
    if j.problems.kind != "tiny":
        count = min(count, len(parts.problems(j.problems, per_step=1, needs_answers=False, fits=fits).all()))
    return list(parts.problems(j.problems, per_step=count, needs_answers=False, fits=fits).for_step(0))


def own_reader(parts: Parts, student: LanguageModel, banned_V: Tensor) -> align.Reader:
    """The student as the reader of its own rollouts, under the prompts they were drawn with."""
    j = parts.settings.joint
    scorer = LocalTeacher(reader=student, template=None, banned_V=banned_V, temperature=j.sampling.temperature, token_budget=j.token_budget)
    return align.Reader(scorer=scorer, head_VH=student.head)


def facts_of(parts: Parts, asked: Asked) -> dict[str, Any]:
    """What the numbers depend on."""
    s = parts.settings
    return {
        "recipe": s.name,
        "seed": s.seed,
        "count": asked.count,
        "samples": asked.samples,
        "sampling": plain(s.joint.sampling),
        "student_digest": parts.digest(parts.aligned_folder),
        "teacher_digest": parts.digest(parts.teacher_folder),
        "versions": facts.versions(),
        "hardware": facts.hardware(s.threads),
        "commit": facts.commit(),
    }
