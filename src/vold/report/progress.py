"""How far a stage is: a bar on a terminal, a few plain lines anywhere else."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

LINES = 10
"""How many plain lines a stage prints at most."""


class _Pace(ProgressColumn):
    """How much is done a second, of late."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.3g}/s", style="dim")


class Bar:
    """Progress of one named stage, shown while the `with` block lasts. Writes to standard error unless a console is given."""

    def __init__(self, name: str, console: Console | None = None) -> None:
        self.name = name
        self._console = console or Console(stderr=True)
        self._started = time.monotonic()
        self._printed = 0
        self._before = (0, 0.0)
        """How much was done when the last line was printed, and when."""
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
            since = time.monotonic() - self._started
            words = [self.name, f"{done}/{total}", note, f"({since:.0f} s{self._pace(done, total, since)})"]
            self._before = (done, since)
            self._console.out(" ".join(word for word in words if word), highlight=False)

    def _pace(self, done: int, total: int, since: float) -> str:
        """How fast it went since the last line, and how long the rest takes at that pace; nothing where it is too short to say."""
        seconds = since - self._before[1]
        if seconds < 1 or done == total:
            return ""
        rate = (done - self._before[0]) / seconds
        left = (total - done) / rate
        return f", {rate:.3g}/s, {f'{left / 60:.0f} min' if left >= 120 else f'{left:.0f} s'} left"


def _drawn(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        _Pace(),
        TextColumn("{task.fields[note]}", style="dim", markup=False),
        console=console,
    )
