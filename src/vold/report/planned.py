"""A plan in the terminal: what each phase holds and whether it fits, what to change where it does not, and how long all of it takes."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from vold.core.planning import GIB, Assumed, Change, Took
from vold.core.roofline import Machine

HOUR = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """One phase's memory in bytes by name, and what makes it fit."""

    phase: str
    terms: dict[str, int]
    fits: bool
    changes: tuple[Change, ...]

    @property
    def bytes(self) -> int:
        return sum(self.terms.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A recipe on one device."""

    card: str
    room: int
    needs: tuple[Needs, ...]
    took: tuple[Took, ...]
    """Empty where no card's speeds are known."""
    assumed: Assumed
    arms: int
    machine: Machine

    @property
    def fits(self) -> bool:
        return all(one.fits for one in self.needs)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "fits": self.fits}


def lines(planned: Planned) -> Iterator[Any]:
    """What `vold check` prints of it."""
    yield Text(f"memory on {planned.card}: {planned.room / GIB:.1f} GiB are planned with; worst pack, every answer at its cap")
    yield _memory(planned)
    for one in planned.needs:
        if not one.fits:
            yield Text(f"{one.phase} does not fit. {_advice(one)}", style="bold red")
    if planned.took:
        a, speeds = planned.assumed, f"{planned.machine.flops / 1e12:.0f} TFLOP/s, {planned.machine.bandwidth / 1e12:.1f} TB/s"
        yield Text(
            f"\ntime at {speeds}, assuming prompts of {a.prompt} tokens, traces of {a.trace}, answers of {a.response}, {a.accuracy:.0%} of them right"
        )
        yield _time(planned)
        if planned.arms > 1:
            yield Text(f"Stage 2 is said once; this recipe has {planned.arms} arms.")


def _memory(planned: Planned) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("phase", "GiB", "", "of which"):
        table.add_column(heading, justify="right" if heading == "GiB" else "left")
    for one in planned.needs:
        parts = ", ".join(f"{name} {size / GIB:.1f}" for name, size in one.terms.items() if size >= GIB / 20)
        table.add_row(one.phase, f"{one.bytes / GIB:.1f}", "fits" if one.fits else Text("too much", style="bold red"), parts)
    return table


def _time(planned: Planned) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("phase", "at least, h", "expected, h", "from"):
        table.add_column(heading, justify="right" if heading.endswith("h") else "left", overflow="fold")
    for one in planned.took:
        table.add_row(one.phase, f"{one.ideal / HOUR:.2f}", f"{one.expected / HOUR:.1f}", one.formula)
    table.add_row("all", f"{sum(t.ideal for t in planned.took) / HOUR:.2f}", f"{sum(t.expected for t in planned.took) / HOUR:.1f}", "")
    return table


def _advice(one: Needs) -> str:
    if not one.changes:
        return "No setting of one card makes it: take a larger card, a smaller model or several GPUs."
    told = " or ".join(f"{change.settings} ({change.bytes / GIB:.1f} GiB)" for change in one.changes[:3])
    return f"It would with {told}."
