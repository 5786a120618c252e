"""One named method in full: what it optimises, where it is from, what it needs, and the settings that say it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vold.core.objective import Objective, Partner, Want
from vold.core.zoo import Method, Recipe

SIGNS = "A advantage, ρ new over old policy, π student, φ teacher, π₀ reference, r reward, sg no gradient"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A method and what the settings make of it, which this layer does not know."""

    name: str
    method: Method
    settings: Mapping[str, Any]
    toml: str
    rendering: str
    why: str
    """Why it is rendered so."""


def json_of(page: Page) -> dict[str, Any]:
    """A method for programs."""
    objective = page.method.objective
    teacher, reference = objective.wants(Partner.TEACHER), objective.wants(Partner.REFERENCE)
    return {
        "name": page.name,
        "equation": page.method.equation,
        "source": page.method.source,
        "note": page.method.note,
        "line": str(objective),
        "settings": page.settings,
        "needs_teacher": teacher is not None,
        "needs_reference": reference is not None,
        "needs_distribution": Want.HIDDEN in (teacher, reference),
        "reads_verdict": objective.reads_verdict,
        "rendering": page.rendering,
        "rendering_why": page.why,
    }


def json_of_recipe(name: str, recipe: Recipe) -> dict[str, Any]:
    """A sequence of objectives for programs."""
    phases = [{"objective": objective, "when": when} for objective, when in recipe.phases]
    return {"name": name, **asdict(recipe), "phases": phases}


def show_method(page: Page, console: Console | None = None) -> None:
    """Print a method. Lines to be copied are never broken."""
    console = console or Console()
    method = page.method
    rows = {
        "loss": method.equation,
        "": f"where {SIGNS}",
        "value": str(method.objective),
        "source": method.source,
        "note": method.note,
        "needs": "; ".join(needs_of(method.objective)),
        "rendered": f"as a {page.rendering}: {page.why}",
    }
    _print(page.name, rows, console)
    hint = "An arm of a recipe needs the base alone. The rest says what it stands for, to be changed."
    if method.objective.clip is not None:
        hint += " A clip is taken where it can act: with joint.updates_per_batch = 2 or more."
    console.print(Text(f"\n{hint}", style="dim"), soft_wrap=True)
    console.print(Text(page.toml), soft_wrap=True)


def show_recipe(name: str, recipe: Recipe, console: Console | None = None) -> None:
    """Print a sequence of objectives, or a mix of two streams."""
    phases = {f"{place}.": f"{objective}: {when}" for place, (objective, when) in enumerate(recipe.phases, start=1)}
    _print(name, {**phases, "source": recipe.source, "note": recipe.note}, console or Console())


def needs_of(objective: Objective) -> list[str]:
    """What has to be there for this objective to be formed, in words."""
    gives = {
        Want.SAMPLED: "for the log-probability of each sampled token",
        Want.TOP_K: "for its likeliest ids at each token",
        Want.HIDDEN: "for the whole distribution at each token",
    }
    found = [f"a {partner} {gives[want]}" for partner in Partner if (want := objective.wants(partner)) is not None]
    return [*found, *(["answers that can be judged"] if objective.reads_verdict else [])]


def _print(title: str, rows: Mapping[str, str], console: Console) -> None:
    console.print(Text(title, style="bold"))
    said = {name: text for name, text in rows.items() if text}
    width = max(map(len, said))
    if not console.is_terminal:
        console.out("\n".join(f"{name:{width}}  {text}" for name, text in said.items()), highlight=False)
        return
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(style="dim", width=width)
    table.add_column()
    for name, text in said.items():
        table.add_row(name, Text(text))
    console.print(table)
