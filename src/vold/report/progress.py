"""How far a stage is: a bar on a terminal, a few plain lines anywhere else."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINES = 10
"""How many plain lines a stage prints at most."""


class Bar:
    """Progress of one named stage, shown while the `with` block lasts. Writes to standard error unless a console is given."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self.name = name
        self._console = console or Console(stderr=True)
        self._started = time.monotonic()
        self._printed = 0
        self._drawn = _drawn(self._console) if self._console.is_terminal else None
        self._task = self._drawn.add_task(name, total=None, note="") if self._drawn else None

    def __enter__(self) -> "Bar":
        self._started = time.monotonic()
        if self._drawn is not None:
            self._drawn.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._drawn is not None:
            self._drawn.stop()

    def update(self, done: int, total: int, note: str = "") -> None:
        """`done` of `total` are finished; `note` is what is worth knowing now."""
        if self._drawn is not None and self._task is not None:
            self._drawn.update(self._task, completed=done, total=total, note=note)
            return
        tenth = LINES * done // total
        if tenth > self._printed:
            self._printed = tenth
            words = [self.name, f"{done}/{total}", note, f"({time.monotonic() - self._started:.0f} s)"]
            self._console.out(" ".join(word for word in words if word), highlight=False)


def _drawn(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
    )
