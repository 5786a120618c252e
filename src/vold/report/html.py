"""The page of a run: `report.html`, one file that needs nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vold.base.errors import DataError
from vold.base.files import write_text
from vold.report import aligned, alignment, benchmark_tables, overlaps
from vold.report.benchmarks import published_in
from vold.report.curves import Track, charts
from vold.report.files import caveats_in, read_journal, read_object
from vold.report.gallery import cards
from vold.report.grid import captions, grids, short
from vold.report.plotting import PALETTE
from vold.report.story import story
from vold.report.summary import Summary, load

LEFT = ("settings.json", "summary.json", "*/journal.jsonl", "*/stage.json", "eval/*/*")
"""What runs leave behind: a folder with none of it is no run."""
_NAMED = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One resolved setting and who set it."""

    name: str
    value: str
    source: str


def write_report(run: Path) -> Path:
    """Write `report.html` into the run's folder from what the run has left there so far; a part that is missing is said to be missing. Raises
    DataError for a folder in which no run has left anything."""
    if not run.is_dir():
        raise DataError(f"there is no run at {run}. Give the folder of a run, for example runs/NAME.")
    if not any(found for pattern in LEFT for found in run.glob(pattern)):
        raise DataError(f"{run} holds no run: {_held(run)}. Expected settings.json, which every run writes first. {_instead(run)}")
    path = run / "report.html"
    write_text(path, page(run))
    return path


def _held(run: Path) -> str:
    """What is in a folder, in a few words."""
    names = sorted(path.name for path in run.iterdir())
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"found {', '.join(names[:_NAMED])}{more}" if names else "it is empty"


def _instead(run: Path) -> str:
    """Which folder to give: the runs that lie in this one, where there are any."""
    below = sorted(str(path.parent) for path in run.glob("*/settings.json"))
    return f"Give one of: {', '.join(below)}." if below else "Give the folder of a run, for example runs/NAME."


def page(run: Path) -> str:
    """The whole page as text."""
    summary = load(run / "summary.json")
    settings = read_object(run / "settings.json") or {}
    sft = read_journal(run / "sft" / "journal.jsonl")
    arms = tracks(run, summary)
    tables = grids(summary) if summary else ()
    labels = [line.label for line in tables[0].lines] if tables else []
    published, met = published_in(run), overlaps.read(run)
    measured = {arm.label for arm, _ in alignment.distances(arms)}
    template = _environment().get_template("report.html.j2")
    return template.render(
        name=run.resolve().name,
        caveats=caveats_in(run),
        summary=summary,
        story=story(summary, sft, arms) if summary else "",
        tables=[(grid, captions(summary, grid)) for grid in tables] if summary else [],
        benchmarks=benchmark_tables.html(published) if published else "",
        overlaps="" if met is None else overlaps.paragraph(met),
        colours={arm.label: arm.place % len(PALETTE) for arm in arms if arm.place is not None},
        charts=charts(sft, arms),
        alignment=alignment.chart(arms),
        aligned=aligned.kept_words(run),
        unmeasured=[arm.label for arm in arms if arm.label not in measured],
        cards=cards(run, labels),
        settings=by_section(settings.get("values", {}), settings.get("sources", {})),
        facts=_facts(settings, summary),
    )


def tracks(run: Path, summary: Summary | None) -> list[Track]:
    """The journals of the arms the summary names; while there is no summary, of every `joint*` folder."""
    if summary is not None:
        named = [(arm.label, arm.folder) for arm in summary.arms]
    else:
        named = [(path.parent.name, path.parent.name) for path in sorted(run.glob("joint*/journal.jsonl"))]
    return [Track(label=label, place=place, steps=read_journal(run / folder / "journal.jsonl")) for place, (label, folder) in enumerate(named)]


def by_section(values: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, list[Setting]]:
    """Settings under dotted names, gathered by the first part of the name."""
    sections: dict[str, list[Setting]] = {}
    for name, value in _flat(values):
        sections.setdefault(name.partition(".")[0], []).append(Setting(name=name, value=str(value), source=sources.get(name, "")))
    return sections


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for key, value in values.items():
        out += _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else [(f"{prefix}{key}", value)]
    return out


def _facts(settings: Mapping[str, Any], summary: Summary | None) -> dict[str, list[tuple[str, Any]]]:
    """Versions and hardware: those the results were made with, before evaluation those the run was started with."""
    found = {"Versions": settings.get("versions", {}), "Hardware": settings.get("hardware", {})}
    if summary is not None:
        found = {"Versions": summary.versions or found["Versions"], "Hardware": summary.hardware or found["Hardware"]}
    return {title: _flat(facts) for title, facts in found.items() if facts}


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"short": short, "percent": lambda share: f"{100 * share:.4g}%"}
    return environment
