"""Commands about published benchmarks: which there are, scores of somebody's responses, tables and comparisons of evaluated models."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from vold.base.errors import DataError, SettingsError
from vold.config import schema

As = Annotated[str, typer.Option("--as", help="terminal, markdown, csv or json.")]
Parts = Annotated[bool, typer.Option("--parts", help="Every part of each benchmark too.")]
NAME = "scores.json"
FORMS = ("terminal", "markdown", "csv", "json")


def register(app: typer.Typer) -> None:
    """Give an application these commands."""
    for command in (benchmarks, score, scores, compare):
        app.command()(command)


def benchmarks(as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False) -> None:
    """The published benchmarks: their rows, their licence, and what to know of their rules."""
    from vold.adapters.benchmarks.registry import SPECS

    found = [
        {"name": s.name, "title": s.title, "modality": s.modality, "hub": s.hub, "subsets": list(s.subsets), "split": s.split, "licence": s.licence}
        | {"note": s.note}
        for s in SPECS.values()
    ]
    if as_json:
        _say_json(found)
        return
    for one in found:
        typer.echo(f"{one['name']:15} {one['title']:15} {one['modality']:6} {one['hub']}, split {one['split']}, {one['licence']}")
        if one["note"]:
            typer.echo(f"{'':15} {one['note']}")


def score(
    benchmark: Annotated[str, typer.Argument(help="A benchmark's name (vold benchmarks).")],
    responses: Annotated[Path, typer.Argument(help="JSON lines of id and response, or of id and extraction; one more of an id is one more sample.")],
    rows: Annotated[str, typer.Option(help="Its rows: a file or folder in the hub's schema, or a hub id (its own when not given).")] = "",
    split: Annotated[str, typer.Option(help="Which split (its own when not given).")] = "",
    subset: Annotated[list[str] | None, typer.Option(help="Which subsets; may be repeated.")] = None,
    mode: Annotated[list[str] | None, typer.Option(help="official-rule, strict; may be repeated (both when not given).")] = None,
    reads: Annotated[str, typer.Option(help=f"What of a response the official rule reads: {', '.join(get_args(schema.Reads))}.")] = "after-think",
    label: Annotated[str, typer.Option(help="The model's name in tables.")] = "given",
    out: Annotated[Path | None, typer.Option(help="A folder for scores.json and verdicts.jsonl.")] = None,
    form: As = "terminal",
    parts: Parts = False,
) -> None:
    """Score somebody's responses, or the answers extracted from them, by a benchmark's own rules. No model is loaded."""
    modes = mode or ["official-rule", "strict"]
    for one in modes:
        if one not in ("official-rule", "strict"):
            raise SettingsError(f"--mode {one!r} is not one of: official-rule, strict. The judge mode is one of evaluations (eval.modes).")
    if reads not in get_args(schema.Reads):
        raise SettingsError(f"--reads {reads!r} is not one of: {', '.join(get_args(schema.Reads))}.")
    _refuse_form(form)
    from vold.adapters.benchmarks.registry import named
    from vold.report.benchmarks import save
    from vold.wiring.scoring import scored

    named(benchmark)
    found, lines = scored(benchmark, rows, responses, modes=modes, reads=reads, label=label, subsets=tuple(subset or ()), split=split)  # type: ignore[arg-type]
    if out is not None:
        save(found, out / NAME)
        (out / "verdicts.jsonl").write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    _show([found], form, parts)


def scores(
    folders: Annotated[list[Path], typer.Argument(help="Runs, or folders or files of evaluated models (runs/NAME/eval/ROW, or score --out).")],
    form: As = "terminal",
    parts: Parts = False,
    paper: Annotated[bool, typer.Option("--paper/--no-paper", help="The paper's own numbers beside ours.")] = True,
) -> None:
    """The table of published benchmarks: a row a model, in the shape of the paper's first table."""
    _refuse_form(form)
    from vold.report.benchmarks import load

    _show([load(path) for folder in folders for path in evaluated(folder)], form, parts, paper=paper)


def compare(
    a: Annotated[Path, typer.Argument(help="An evaluated model: runs/NAME/eval/ROW, its scores.json, or a run that evaluated a single one.")],
    b: Annotated[Path, typer.Argument(help="Another, on the same items.")],
    form: As = "terminal",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --as json.")] = False,
    parts: Parts = False,
) -> None:
    """A minus B on the items both answered, with intervals and paired tests."""
    from vold.report import compare as comparing
    from vold.report.benchmarks import load

    found = comparing.compare(load(_single(a)), load(_single(b)))
    if as_json or form == "json":
        typer.echo(comparing.as_json(found))
    elif form == "markdown":
        typer.echo(comparing.markdown(found, parts=parts))
    elif form == "terminal":
        comparing.show(found, parts=parts)
    else:
        raise SettingsError(f"--as {form!r} is not one of: terminal, markdown, json.")


def evaluated(folder: Path) -> list[Path]:
    """The scores below a run, in the order in which its table shows them, or those of one model."""
    if folder.is_file() or (folder / NAME).is_file():
        return [folder]
    from vold.report.benchmarks import evaluated_in

    found = evaluated_in(folder)
    if not found:
        raise DataError(f"{folder} holds no evaluated model. Give a run that has been evaluated, or a folder with {NAME}.")
    return found


def _single(folder: Path) -> Path:
    found = evaluated(folder)
    if len(found) > 1:
        names = ", ".join(str(path) for path in found)
        raise DataError(f"{folder} evaluated {len(found)} models, and two single ones are compared. Give one of: {names}.")
    return found[0]


def _show(found: list[Any], form: str, parts: bool, *, paper: bool = True) -> None:
    from vold.report import benchmark_tables as tables

    if form == "terminal":
        tables.show(found, parts=parts, paper=paper)
    elif form == "markdown":
        typer.echo(tables.markdown(found, parts=parts, paper=paper))
    elif form == "csv":
        typer.echo(tables.csv_of_parts(found, paper=paper) if parts else tables.csv(found, paper=paper))
    else:
        _say_json(_numbers(found))


def _refuse_form(form: str) -> None:
    """Before anything is scored for it."""
    if form not in FORMS:
        raise SettingsError(f"--as {form!r} is not one of: {', '.join(FORMS)}.")


def _numbers(found: list[Any]) -> list[dict[str, Any]]:
    """One object a number."""
    from vold.core.measures import estimate

    return [
        {"model": scores.model.label, "benchmark": b.name, "mode": b.mode, "way": b.manner, "metric": m.metric, "part": m.part}
        | {key: value if value == value else None for key, value in asdict(estimate(m)).items()}
        | ({"answers": b.answers, "truncated": b.truncated, "unextracted": b.unextracted, "unjudged": b.unjudged, "broken": len(b.broken)})
        for scores in found
        for b in scores.benchmarks
        for m in b.measures
    ]


def _say_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
