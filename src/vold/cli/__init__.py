"""The command line."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vold.base.errors import DataError, SettingsError, VoldError
from vold.cli import benchmarks
from vold.config.explain import inactive, refuse_contradictions, rendering_of, renderings_of, values_of
from vold.config.load import Resolved, about_overlay, load, meant, overlay_names, recipe_names
from vold.config.written import settings_of, toml_of
from vold.core.zoo import METHODS, RECIPES

if TYPE_CHECKING:
    from vold.report.method import Page

app = typer.Typer(
    help="Turns a vision-language model into a better reasoner with a text-only teacher and text-only data.",
    no_args_is_help=True,
    add_completion=False,
)
tiny = typer.Typer(help="The laptop world: its models, and what they can do.", no_args_is_help=True)
app.add_typer(tiny, name="tiny")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vold {metadata.version('vold')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    """Turns a vision-language model into a better reasoner with a text-only teacher and text-only data."""


Recipe = Annotated[str, typer.Argument(help="A recipe's name, or the path of a .toml file.")]
Assignments = Annotated[list[str] | None, typer.Argument(help="Settings as key=value, such as joint.group_size=8.")]
Overlays = Annotated[list[str] | None, typer.Option("--overlay", "-o", help="Another recipe or file laid over the first; may be repeated.")]
Name = Annotated[str, typer.Option(help="The run's folder below --runs; the recipe's name when not given.")]
Runs = Annotated[Path, typer.Option(help="Where runs are kept.")]
Redo = Annotated[bool, typer.Option("--redo", help="Move stages made with other settings aside and run them again.")]


def _run(recipe: str, assignments: list[str] | None, overlays: list[str] | None, name: str, runs: Path, redo: bool, only: str | None) -> None:
    resolved = load(recipe, overlays=overlays or [], assignments=assignments or [])
    refuse_contradictions(resolved)
    root = runs / (name or resolved.settings.name)
    _say(f"{resolved.settings.name}: {resolved.settings.about}" if resolved.settings.about else resolved.settings.name)
    _say("loading torch and transformers")
    from vold.wiring.runs import run as run_stages  # heavy: everything above is checked before torch is loaded

    done = run_stages(resolved, root=root, bars=_bar, say=_say, only=only, redo=redo)
    if not done.ran:
        _say(f"nothing to do: every stage in {root} is done for these settings ({len(done.skipped)} skipped).")
    _show_results(root)


def _bar(title: str):
    from vold.report.progress import Bar

    return Bar(title)


def _say(text: str) -> None:
    typer.echo(text)


def _say_json(value: Any) -> None:
    _say(json.dumps(value, indent=2, ensure_ascii=False))


def _show_results(root: Path) -> None:
    from vold.report import benchmark_tables, summary, table
    from vold.report.benchmarks import published_in
    from vold.report.files import caveats_in
    from vold.report.grid import grids
    from vold.report.verdicts import judged

    found = summary.load(root / "summary.json")
    if found is not None:
        for caveat in caveats_in(root):
            _say(f"note: {caveat}")
        published = published_in(root)
        if grids(found) or not published:
            table.show(found)
        if published:
            benchmark_tables.show(published)
        for stage in judged(root):
            if stage.compared or stage.unjudged:
                _say(f"judge, {stage}.")
        _say(f"{root / 'report.html'} shows curves and rollouts beside their drawings; {root / 'summary.json'} holds the numbers.")


@app.command()
def run(
    recipe: Recipe, assignments: Assignments = None, overlay: Overlays = None, name: Name = "", runs: Runs = Path("runs"), redo: Redo = False
) -> None:
    """All stages of a recipe: what is done is skipped, what was interrupted goes on."""
    _run(recipe, assignments, overlay, name, runs, redo, None)


def _stage_command(stage: str, about: str) -> Callable[..., None]:
    def command(
        recipe: Recipe, assignments: Assignments = None, overlay: Overlays = None, name: Name = "", runs: Runs = Path("runs"), redo: Redo = False
    ) -> None:
        _run(recipe, assignments, overlay, name, runs, redo, stage)

    command.__doc__ = about
    return app.command(name=stage)(command)


_stage_command("corpus", "Stage 0 alone: the teacher's traces, or ready-made ones.")
_stage_command("sft", "Stage 1 alone: the student is aligned to the traces.")
_stage_command("joint", "Stage 2 alone: every arm of the recipe, from the aligned student.")
_stage_command("eval", "The zero-shot test alone: base, aligned student and every arm.")


@app.command()
def demo(runs: Runs = Path("runs")) -> None:
    """The whole story in under ninety seconds: base, SFT, GRPO and VOLD in the laptop world."""
    _run("demo", None, None, "", runs, False, None)


@app.command(name="real-data")
def real_data(
    data: Annotated[Path, typer.Argument(help="A folder with real prompts, traces, images and token tables (docs/data.md tells its layout).")],
    runs: Runs = Path("runs"),
    redo: Redo = False,
    size: Annotated[str, typer.Option(help="small, or paper: untrained models as large as the paper's, on one GPU of 80 GB or more.")] = "small",
    only_benchmarks: Annotated[bool, typer.Option("--benchmarks", help="Instead of the stages, every published benchmark on its real rows.")] = False,
) -> None:
    """Every stage on real data and real token tables with untrained models: shows that the path works, and nothing else."""
    if size not in ("small", "paper"):
        raise SettingsError(f"--size {size!r} is not one of: small, paper.")
    from vold.adapters.facts import spent
    from vold.wiring import real_data as door

    if only_benchmarks:
        from vold.wiring import real_benchmarks

        _say("building an untrained student over the real token table")
        settings = real_benchmarks.prepared(data, runs / "real-data")
        _run(door.RECIPE, settings, None, "real-benchmarks", runs, redo, None)
        _say(spent())
        return
    _say("building untrained models over the real token tables")
    settings = door.prepared(data, runs / "real-data", size=size)
    check(door.RECIPE, settings, None, "", runs)
    _run(door.RECIPE, settings, None, "", runs, redo, None)
    _say("the teacher's way of making a corpus, over its own token table:")
    _run(door.RECIPE, [*settings, *door.by_teacher(data)], None, f"{door.RECIPE}-teacher", runs, redo, "corpus")
    for line in door.told(runs / door.RECIPE):
        _say(line)
    _say(spent())


@app.command()
def show(
    recipe: Recipe,
    assignments: Assignments = None,
    overlay: Overlays = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Every setting of a recipe, who set it, how each arm is rendered, and what cannot act."""
    resolved = load(recipe, overlays=overlay or [], assignments=assignments or [])
    refuse_contradictions(resolved)
    if as_json:
        settings = {name: {"value": value, "set_by": source} for name, value, source in values_of(resolved)}
        arms = [
            {"arm": name, "until": placed.until, "objective": str(placed.objective), "rendering": rendering.kind, "rendering_why": rendering.why}
            for name, placed, rendering in renderings_of(resolved)
        ]
        _say_json({"recipe": resolved.settings.name, "settings": settings, "arms": arms, "inactive": inactive(resolved)})
        return
    _say(f"recipe {resolved.settings.name}: {resolved.settings.about}")
    _print_values(resolved)
    for name, placed, rendering in renderings_of(resolved):
        _say(f"arm {name}, until step {placed.until}: {placed.objective!s}")
        _say(f"    rendered as a {rendering.kind}: {rendering.why}")
    for note in inactive(resolved):
        _say(f"inactive: {note}")


@app.command()
def check(
    recipe: Recipe,
    assignments: Assignments = None,
    overlay: Overlays = None,
    name: Name = "",
    runs: Runs = Path("runs"),
    card: Annotated[str, typer.Option("--card", help="Plan for a card of so many gigabytes: 24, 48, 80 or 141.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Models, tokens, prompts, data, overlaps, references, memory and time of a recipe, before anything is spent; exit code 2 where a run would be
    refused."""
    resolved = load(recipe, overlays=overlay or [], assignments=assignments or [])
    from vold.report import checked as page
    from vold.wiring.check import check as look  # heavy: settings are read before torch is loaded

    found = look(resolved, root=runs / (name or resolved.settings.name), card=card or None)
    _say_json(found.to_json()) if as_json else page.show(found)
    if found.refusals:
        raise typer.Exit(2)


@app.command()
def align(
    run_folder: Annotated[Path, typer.Argument(help="A run's folder, after its SFT stage.")],
    count: Annotated[int, typer.Option(min=1, help="Problems answered.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """How close the aligned student is to its teacher, and whether the pull can be expected to help."""
    from vold.report.aligned import lines
    from vold.wiring.align import Asked, aligned, resolved_of

    found = aligned(resolved_of(run_folder), run_folder, (lambda _: None) if as_json else _say, _bar, asked=Asked(count=count))
    if as_json:
        _say_json(found.to_json())
        return
    for line in lines(found):
        _say(line)


def _print_values(resolved: Resolved) -> None:
    rows = [(name, repr(value), source) for name, value, source in values_of(resolved) if not (name.startswith("arms.") and value in (None, []))]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    for name, value, source in rows:
        _say(f"{name:{widths[0]}}  {value:{min(widths[1], 48)}}  {source}")


@app.command()
def zoo(
    name: Annotated[str, typer.Argument(help="A method's name, such as VOLD; all of them side by side when not given.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """The methods that objectives can be based on, side by side; or one of them in full."""
    from vold.report import method as pages
    from vold.report import zoo as table

    if not name and as_json:
        recipes = [pages.json_of_recipe(known, recipe) for known, recipe in RECIPES.items()]
        _say_json({"methods": [pages.json_of(_page(known)) for known in METHODS], "recipes": recipes})
    elif not name:
        table.show()
    elif (known := _known(name)) in RECIPES:
        recipe = RECIPES[known]
        _say_json(pages.json_of_recipe(known, recipe)) if as_json else pages.show_recipe(known, recipe)
    else:
        page = _page(known)
        _say_json(pages.json_of(page)) if as_json else pages.show_method(page)


def _known(name: str) -> str:
    """The name as the zoo writes it, whatever its case and its dashes."""
    written = name.upper().replace("-", "_")
    known = [*METHODS, *RECIPES]
    if written not in known:
        raise SettingsError(f"the zoo has no method {name!r}{meant(written, known)} `vold zoo` shows all of them.")
    return written


def _page(name: str) -> "Page":
    from vold.report.method import Page

    method = METHODS[name]
    settings = {"base": name, **settings_of(method.objective)}
    rendering = rendering_of(method.objective)
    toml = toml_of(settings, table=f"arms.{name.lower().replace('_', '-')}.objective")
    return Page(name=name, method=method, settings=settings, toml=toml, rendering=rendering.kind, why=rendering.why)


@app.command()
def recipes() -> None:
    """The recipes that ship with the package, and the overlays that change some of their settings."""
    for name in recipe_names():
        _say(f"{name:20} {load(name).settings.about}")
    for name in overlay_names():
        _say(f"-o {name:17} {about_overlay(name)}")


@app.command()
def report(run_folder: Annotated[Path, typer.Argument(help="A run's folder, such as runs/tiny.")]) -> None:
    """Write a run's report.html again and show its table."""
    from vold.report.html import write_report

    _say(f"wrote {write_report(run_folder)}")
    _show_results(run_folder)


@app.command()
def table(
    run_folders: Annotated[list[Path], typer.Argument(help="Folders of runs of one recipe with different seeds.")],
    way: Annotated[str, typer.Option(help="greedy or sampled.")] = "greedy",
) -> None:
    """One table over several seeds, with paired differences, as Markdown."""
    if way not in ("greedy", "sampled"):
        raise SettingsError(f"--way {way!r} is not one of: greedy, sampled.")
    from vold.report import across, summary
    from vold.report.benchmarks import RULES

    summaries = [found for folder in run_folders if (found := summary.load(folder / "summary.json")) is not None]
    if len(summaries) < len(run_folders):
        raise DataError(f"{len(run_folders) - len(summaries)} of the {len(run_folders)} folders hold no summary.json. Run them to the end first.")
    if not any(row.way == way and row.mode not in RULES for found in summaries for row in found.rows):
        raise DataError(f"these runs hold no {way} answers to problems of their own. Published benchmarks are shown by `vold scores`.")
    _say(across.markdown(across.across(summaries), way=way))


benchmarks.register(app)


@tiny.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="Where the models go.")] = Path("runs/tiny-models"),
    seed: Annotated[int, typer.Option(help="The one seed of the pass.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="Models trained side by side, one thread each.")] = 2,
) -> None:
    """Build the base VLM and the three teachers from scratch, measure them, and hold them against the shipped ones."""
    from vold.adapters.tiny_models import workshop
    from vold.adapters.tiny_models.pretrain import PretrainPlan
    from vold.adapters.tiny_models.shipped import shipped_folder

    with _bar("pretrain") as bar:
        record = workshop.pretrain(out, seed=seed, plan=PretrainPlan(), processes=processes, report=bar.update)
    _print_skills(record)
    if (shipped_folder() / "recipe.json").is_file():
        missed = workshop.below_band(record, workshop.shipped_record(shipped_folder()))
        _say("every solid skill of the shipped models is within the band." if not missed else "below the band of the shipped models:")
        for line in missed:
            _say(f"  {line}")
        if missed:
            raise typer.Exit(1)


@tiny.command()
def skills() -> None:
    """What the shipped models can do, as measured when they were made, and how they were made."""
    from vold.adapters.tiny_models import workshop
    from vold.adapters.tiny_models.shipped import shipped_folder

    record = workshop.shipped_record(shipped_folder())
    _say(f"made by `{record['command']}` on {record['hardware']['processor']}, torch {record['versions']['torch']}")
    _print_skills(record)


def _print_skills(record: dict[str, Any]) -> None:
    for name, model in record["models"].items():
        _say(f"{name} (sha256 {model['sha256'][:16]}…)")
        for skill, score in model["skills"].items():
            _say(f"  {skill:26} {score:.3f}")


def main() -> None:
    """The entry point: errors of ours in plain words, with their exit codes (0 done, 1 failed, 2 refused, 130 interrupted)."""
    try:
        with _interruptible():
            app()
    except VoldError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C anywhere ends in one line and 130: the command line library would make an abort with code 1 of it."""

    def interrupted(*_: object) -> None:
        typer.echo("interrupted: run the same command again to go on.", err=True)
        raise SystemExit(130)

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
