"""Fits the scale of the alignment check: from which closeness to the teacher on, and up to which, does VOLD beat GRPO?

    python bench/align_fit.py --processes 64 --write     # the whole grid; one thread a process
    python bench/align_fit.py --quick                    # a rehearsal; two CPU cores, under two minutes
    python bench/align_fit.py --json out.json

A cell is one run in the laptop world: a corpus, so many steps of SFT, the check, then GRPO and VOLD from the same student, and their greedy accuracy
on development problems, text and images. The scale is fitted on some cells and tried on others, which hold budgets, seeds and teachers that
the fit has not seen. A finished cell is kept in --out and not run again; an unfinished one goes on where it stopped. Prints tables and, with --json,
writes {"hardware", "versions", "rows", "figures"}; --write puts the scale into the package.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}  # before torch, here and in the workers

import torch

import vold.report.aligned
from vold import pipeline
from vold.adapters.facts import commit, hardware, versions
from vold.adapters.problems.tiny import TinyBenchmark
from vold.adapters.vocabulary import banned_ids
from vold.base.files import read_json, write_json
from vold.base.types import Problem, Ruling
from vold.config.load import load
from vold.core.closeness import NAMES
from vold.core.scale import Case, Scale, Standing, by_leaving_out, fitted, helps, score_of
from vold.ports import Sampling
from vold.wiring.align import Asked, aligned
from vold.wiring.fit import template_of
from vold.wiring.parts import Parts
from vold.wiring.stages import Wiring

Row = dict[str, Any]
MARGIN = 0.03
"""From which gain in accuracy on the pull counts as a help; fixed before anything was measured."""
SCALE = Path(vold.report.aligned.__file__).with_name("alignment_scale.json")
ARMS = ("grpo", "vold")
USES = ("fit", "budgets", "teachers")
NUMBER = "log_ratio"
"""What the scale is made of: the number that the pull itself acts on. It is fixed, not chosen by what does best on these cells: which one that is
moves with every few cells that are added."""
SHOWN = ("log_ratio", "teacher_nll", "kl", "teacher_entropy", "overlap@1", "overlap@5")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """`writer` wrote the traces the student is aligned to, `teacher` pulls and is the one it is compared with.

    `use`: fit; or budgets or teachers, held out.
    """

    writer: str
    teacher: str
    budget: int
    seed: int
    use: str

    @property
    def name(self) -> str:
        return f"{self.writer}-{self.teacher}-{self.budget:03}-{self.seed}"


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a cell's run is; what is not named is as in the recipe `tiny`."""

    name: str
    traces: int
    settings: tuple[str, ...]
    checked: int
    levels: tuple[int, ...]
    """Difficulties of the development problems, `evaluated` of each."""
    evaluated: int
    cells: tuple[Cell, ...]


def cells(use: str, pairs: Sequence[tuple[str, str]], budgets: Sequence[int], seeds: Sequence[int]) -> tuple[Cell, ...]:
    return tuple(Cell(writer=w, teacher=t, budget=b, seed=s, use=use) for b in budgets for w, t in pairs for s in seeds)


OWN = (("a", "a"), ("flawed", "flawed"))
FULL = Size(
    name="full",
    traces=1024,
    settings=(),
    checked=200,
    levels=(1, 3, 5),
    evaluated=200,
    cells=cells("fit", OWN, (0, 12, 25, 50, 100, 200, 400, 800), (0, 1))
    + cells("fit", OWN, (35, 70, 140, 280, 560), (3, 4))
    + cells("budgets", OWN, (18, 60, 240), (5,))
    + cells("teachers", (("b", "b"),), (25, 75, 150, 300), (5,))
    + cells("teachers", (("a", "flawed"), ("a", "b")), (200,), (5,))
    + cells("teachers", (("b", "b"),), (50, 100, 200, 400), (3, 4))
    + cells("teachers", (("b", "a"),), (100, 200, 400), (3, 4)),
)
QUICK = Size(
    name="quick",
    traces=96,
    settings=(
        *("sft.traces_per_step=12", "corpus.problems.difficulties=[1,2]", "joint.problems.difficulties=[1,2]", "joint.sampling.max_new_tokens=32"),
        *("joint.steps=4", "joint.prompts_per_step=8", "joint.group_size=4", "joint.lr=8e-4"),
    ),
    checked=16,
    levels=(1, 2),
    evaluated=12,
    cells=cells("fit", OWN, (0, 20, 40), (0,)) + cells("budgets", OWN[:1], (30,), (3,)) + cells("teachers", (("b", "a"),), (20,), (3,)),
)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--processes", type=int, default=2)
    arguments.add_argument("--minutes", type=float, default=0.0, help="start no cell after so many minutes (0: all of them); run again to go on")
    arguments.add_argument("--out", type=Path, help="where finished cells are kept (runs/align-fit; with --quick a folder that is thrown away)")
    arguments.add_argument("--write", action="store_true", help="put the scale into the package")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    size = QUICK if given.quick else FULL
    with folder_for(given.out, keep=not given.quick) as out:
        rows = measured(size, out / size.name, processes=given.processes, minutes=given.minutes)
    print(f"{len(rows)} of {len(size.cells)} cells are done, {sum(row['seconds'] for row in rows) / 60:.0f} core-minutes")
    record = judged(rows, size)
    if given.json:
        given.json.write_text(json.dumps({"hardware": hardware(1), "versions": versions(), **record}, indent=1, ensure_ascii=False) + "\n")
    if given.write and len(rows) < len(size.cells):
        print("the scale is not written before every cell is done: run the same command again.")
    elif given.write:
        write_json(SCALE, record["scale"])
        print(f"wrote {SCALE}")


@contextmanager
def folder_for(given: Path | None, *, keep: bool) -> Iterator[Path]:
    if given is not None or keep:
        yield given or Path("runs/align-fit")
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


# -- the grid -------------------------------------------------------------------------------------------------------------------------


def measured(size: Size, out: Path, *, processes: int, minutes: float) -> list[Row]:
    """The rows of all cells that are done, in the grid's order; the longest are begun first."""
    until = time.time() + 60 * minutes if minutes else float("inf")
    failed: dict[str, str] = {}
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {
            pool.submit(run_cell, cell, size, out, until): cell
            for cell in sorted(size.cells, key=lambda cell: -cell.budget)
            if finished(cell, size, out) is None
        }
        for job in as_completed(waiting):
            cell = waiting[job]
            if job.exception() is not None:
                failed[cell.name] = f"{type(job.exception()).__name__}: {job.exception()}"
            print(f"{cell.name}: {failed.get(cell.name, 'done' if finished(cell, size, out) else 'not begun')}", flush=True)
    if failed:
        raise SystemExit(f"{len(failed)} cells failed; the others are kept in {out}. The first: {next(iter(failed.items()))}")
    return [row for cell in size.cells if (row := finished(cell, size, out)) is not None]


def finished(cell: Cell, size: Size, out: Path) -> Row | None:
    """The row of a cell that was run with these very settings."""
    path = out / f"{cell.name}.json"
    row: Row | None = read_json(path) if path.is_file() else None
    return {**row, **asdict(cell)} if row is not None and row["settings"] == settings_of(cell, size) else None


def settings_of(cell: Cell, size: Size) -> list[str]:
    sft = [f"sft.steps={cell.budget}"] if cell.budget else ["sft.steps=1", "sft.lr=0.0"]  # no alignment: a step that moves nothing
    named = [f"seed={cell.seed}", f"teacher.path=tiny:teacher-{cell.teacher}", f"corpus.problems.count={size.traces}", *sft]
    return [*named, *size.settings, f"joint.arms={list(ARMS)}", "joint.validation.every=0", "judge.workers=1"]


def run_cell(cell: Cell, size: Size, out: Path, until: float) -> None:
    """One cell, in a process of its own on one thread; its row is written last, and then its run is thrown away."""
    if time.time() > until:
        return
    torch.set_num_threads(1)
    begun, root = time.perf_counter(), out / "runs" / cell.name
    resolved = load("tiny", assignments=[*settings_of(cell, size), *traces_of(cell, size, root)])
    wiring = Wiring(parts=Parts(settings=resolved.settings, root=root / "run"), bars=silent)
    carried_out([wiring.corpus_stage(), wiring.sft_stage()])
    alignment = aligned(resolved, wiring.root, quiet, silent, asked=Asked(count=size.checked))
    carried_out([wiring.joint_stage(arm) for arm in ARMS])
    right = {arm: scores(wiring.parts, wiring.root / folder, size) for arm, folder in (("sft", "sft"), *((arm, f"joint-{arm}") for arm in ARMS))}
    wiring.parts.close()
    gains = [vold - grpo for grpo, vold in zip(right["grpo"], right["vold"], strict=True)]
    gain = sum(gains) / len(gains)
    row = {
        "row": cell.name,
        **asdict(cell),
        "seconds": time.perf_counter() - begun,
        "settings": settings_of(cell, size),
        "values": {name: alignment.closeness.means[name].mean for name in NAMES},
        "errors": {name: alignment.closeness.means[name].error for name in NAMES},
        "spread": dict(alignment.closeness.spread),
        "accuracy": {name: sum(found) / len(found) for name, found in right.items()},
        "gain": gain,
        "gain_error": (sum((g - gain) ** 2 for g in gains) / (len(gains) - 1) / len(gains)) ** 0.5,
    }
    write_json(out / f"{cell.name}.json", row)
    shutil.rmtree(root)


def traces_of(cell: Cell, size: Size, root: Path) -> list[str]:
    """Settings that read another teacher's traces, once that teacher has written them; nothing where student and pull share a teacher."""
    if cell.writer == cell.teacher:
        return []
    asked = settings_of(replace(cell, teacher=cell.writer), size)
    wiring = Wiring(parts=Parts(settings=load("tiny", assignments=asked).settings, root=root / "traces"), bars=silent)
    carried_out([wiring.corpus_stage()])
    return ["corpus.from='dataset'", f"corpus.path='{(root / 'traces' / 'corpus' / 'publish').resolve()}'"]


def carried_out(stages: Sequence[pipeline.Stage]) -> None:
    pipeline.run(stages, redo=False, facts={"threads": 1}, say=quiet)


def scores(parts: Parts, folder: Path, size: Size) -> list[float]:
    """Greedy accuracy on each development problem, the mean of its text and its image version."""
    student = parts.load(parts.settings.student, folder / "model")
    engine = parts.engine(template_of(student, parts.settings.student), banned_ids(student))
    sampling = Sampling(max_new_tokens=parts.settings.joint.sampling.max_new_tokens, temperature=0.0)
    found = []
    for modality in ("text", "image"):
        rollouts = engine.sample(development(modality, size), per_problem=1, sampling=sampling, place=("align-fit", modality))
        found.append([float(verdict.ruling is Ruling.RIGHT) for verdict in parts.inner_judge.judge(rollouts)])
    return [(text + image) / 2 for text, image in zip(*found, strict=True)]


def development(modality: str, size: Size) -> Sequence[Problem]:
    return TinyBenchmark(name=modality, modality=modality, seed=0, source="development", difficulties=size.levels, size=size.evaluated).problems()


class _Silent:
    def update(self, done: int, total: int, note: str = "") -> None:
        del done, total, note


@contextmanager
def silent(title: str) -> Iterator[_Silent]:
    del title
    yield _Silent()


def quiet(text: str) -> None:
    del text


# -- the fit --------------------------------------------------------------------------------------------------------------------------


def judged(rows: Sequence[Row], size: Size) -> Row:
    """The scale, tried on the cells held out; tables on the way."""
    cases = {use: [case_of(row) for row in rows if row["use"] == use] for use in USES}
    if not cases["fit"]:
        raise SystemExit("no cell of the fit is done yet.")
    scale = fitted(cases["fit"], NUMBER, margin=MARGIN)
    show_cells(rows, scale)
    show_numbers(cases)
    scores = {use: score_of(scale, found) for use, found in cases.items() if found}
    print(f"the pull helps from {scale.number} {scale.low} to {scale.high}; seen {scale.seen[0]:.3f} to {scale.seen[1]:.3f}")
    for use, score in scores.items():
        right = f"{score.right} of {score.cases} right (saying the same of all: {score.always})"
        print(f"{use:10}{right}, {score.guessed} mistakes in a gap; {score.lost:.3f} given away a cell")
    chose = [cell for cell in size.cells if cell.use == "fit"]
    source = {
        "command": f"python bench/align_fit.py{' --quick' if size is QUICK else ''} --write",
        **{name: sorted({getattr(cell, name[:-1]) for cell in chose}) for name in ("budgets", "teachers", "seeds")},
        "held_out": sorted({f"{cell.writer} traces, teacher {cell.teacher}, {cell.budget} steps" for cell in size.cells if cell.use != "fit"}),
        "outcome": f"greedy accuracy of VOLD less GRPO on {len(size.levels) * size.evaluated} development problems, mean of text and image",
        "commit": commit(),
        "versions": versions(),
        "hardware": hardware(1),
    }
    held = {use: asdict(score) for use, score in scores.items() if use != "fit"}
    record = {"scale": asdict(scale), "fit": asdict(scores["fit"]), "held_out": held, "rehearsal": size is QUICK, "source": source}
    figures = {f"align_fit.{use}_right": score.share for use, score in scores.items()}
    figures |= {f"align_fit.{use}_always": score.always / score.cases for use, score in scores.items()}
    figures |= {f"align_fit.{use}_given_away": score.lost for use, score in scores.items()}
    figures["align_fit.core_minutes"] = sum(row["seconds"] for row in rows) / 60
    return {"margin": MARGIN, "rows": list(rows), "scale": record, "figures": figures}


def case_of(row: Row) -> Case:
    return Case(name=row["row"], budget=row["budget"], values=row["values"], gain=row["gain"], error=row["gain_error"])


def show_cells(rows: Sequence[Row], scale: Scale) -> None:
    print(f"{'writer-teacher-steps-seed':26}{'use':10}" + "".join(f"{name:>16}" for name in SHOWN) + f"{'sft':>7}{'grpo':>7}{'vold':>7}{'gain':>15}")
    for row in rows:
        case = case_of(row)
        within = scale.standing(case.values[scale.number]) is Standing.WITHIN
        told = "" if within == helps(case, MARGIN) else "   said to help" if within else "   said not to help"
        numbers = "".join(f"{row['values'][name]:16.3f}" for name in SHOWN)
        accuracy = "".join(f"{value:7.3f}" for value in row["accuracy"].values())
        print(f"{row['row']:26}{row['use']:10}{numbers}{accuracy}{row['gain']:+8.3f} ± {row['gain_error']:.3f}{told}")


def show_numbers(cases: dict[str, list[Case]]) -> None:
    print(f"{'number':18}{'from':>9}{'to':>9}{'given away, left out':>22}" + "".join(f"{use:>12}" for use in cases))
    for name in NAMES:
        scale = fitted(cases["fit"], name, margin=MARGIN)
        bounds = "".join(f"{'-' if bound is None else f'{bound:.3f}':>9}" for bound in (scale.low, scale.high))
        scores = [score_of(scale, found) for found in cases.values()]
        shares = "".join(f"{f'{score.right}/{score.cases}':>12}" for score in scores)
        print(f"{name:18}{bounds}{by_leaving_out(cases['fit'], name, margin=MARGIN):22.3f}{shares}")


if __name__ == "__main__":
    main()
