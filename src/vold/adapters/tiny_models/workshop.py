"""Makes the laptop world's models in one seeded pass, measures them, and writes down how they were made."""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from vold.adapters import facts
from vold.adapters.models import load
from vold.adapters.tiny_models.architectures import save
from vold.adapters.tiny_models.pretrain import PretrainPlan, build_base, build_teacher
from vold.adapters.tiny_models.shipped import NAMES
from vold.adapters.tiny_models.skills import skills_of
from vold.base.files import read_json, write_json
from vold.base.ids import digest_of_file

BAND = 0.08
"""How far a skill of a rerun may lie below the shipped model's: other machines round differently, and training amplifies it."""

SOLID = 0.9
"""Skills from here on are what the recipe gives every time, and are held to the band. Lower ones (answering without a chain, listing a
picture) hang on when in the pass they begin to form; they are measured and shown."""


def pretrain(folder: Path, *, seed: int, plan: PretrainPlan, processes: int, report: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Build base and teachers into `folder`, measure them, write `recipe.json`, and return its content. `report` is told (done, total, note)."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(processes, mp_context=context) as pool:
        news = manager.Queue()
        jobs = [pool.submit(_build, name, folder, seed, plan, news) for name in NAMES]
        _listen(jobs, news, plan, report)
        for job in jobs:
            job.result()
    record = {
        "seed": seed,
        "plan": asdict(plan),
        "command": f"vold tiny pretrain --seed {seed}",
        "versions": facts.versions(),
        "hardware": facts.hardware(1),
        "models": {name: {"sha256": digest_of_file(folder / name / "model.safetensors"), "skills": measured(folder / name)} for name in NAMES},
    }
    write_json(folder / "recipe.json", record)
    return record


def _build(name: str, folder: Path, seed: int, plan: PretrainPlan, news: Any) -> None:
    """One model, in a process of its own on one thread: two at once cost nothing, two threads in one may."""
    torch.set_num_threads(1)

    def progress(phase: str, step: int, steps: int) -> None:
        news.put((name, phase, step, steps))

    model = build_base(seed, plan, progress) if name == "base" else build_teacher(name.removeprefix("teacher-"), seed, plan, progress)
    save(folder / name, model)


def _listen(jobs: list[Future[None]], news: Any, plan: PretrainPlan, report: Callable[[int, int, str], None]) -> None:
    total = plan.text.steps + plan.tower.steps + plan.joint.steps + 3 * plan.teacher.steps
    done = 0
    while not all(job.done() for job in jobs):
        try:
            name, phase, _, _ = news.get(timeout=1.0)
        except Empty:
            continue
        done += 1
        report(done, total, f"{name}: {phase}")
    report(total, total, "measuring")


def measured(folder: Path) -> dict[str, float]:
    """The skills of a model on disk, rounded to three places."""
    torch.set_num_threads(1)
    return {name: round(score, 3) for name, score in skills_of(load(folder)).items()}


def below_band(found: Mapping[str, Any], shipped: Mapping[str, Any]) -> list[str]:
    """Solid skills of the shipped models in which a rerun falls below them by more than the band, as `model skill: found < shipped - band`."""
    return [
        f"{name} {skill}: {found['models'][name]['skills'][skill]:.3f} < {score:.3f} - {BAND}"
        for name, model in shipped["models"].items()
        for skill, score in model["skills"].items()
        if score >= SOLID and found["models"][name]["skills"][skill] < score - BAND
    ]


def shipped_record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = read_json(folder / "recipe.json")
    return record
