"""Computer algebra in processes that can be ended: the side of them that lives in this process.

A `Pool` starts nothing before it is first asked. It talks to one keeper over two pipes, never blocks on either, keeps a bounded number of questions
on their way and needs no signal, alarm or import of this process' main module, so that it works in threads, scripts and interactive sessions.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vold
from vold.base.errors import SettingsError

IN_FLIGHT = 32
"""Questions on their way at once."""
RESTARTS = 3
"""How often in a row a keeper that was ended from outside is started again within one batch."""
START = 120.0
"""Seconds a keeper has for its imports."""
GRACE = 10.0
"""Seconds beyond the deadline after which a keeper that says nothing is taken for dead."""


@dataclass(frozen=True, slots=True)
class Question:
    """`same`: is the answer the gold? `read`: can the gold be read?"""

    task: str
    gold: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """Yes, no, or None where the process failed or the gold cannot be read; and how it came about."""

    verdict: bool | None
    note: str


WARM = (
    Question("same", answer=r"\sqrt{8}", gold=r"2\sqrt{2}"),
    Question("same", answer="(x+1)^2", gold="x^2+2x+1"),
    Question("read", gold=r"\log_{2}(x)+\frac{1}{3}"),
)
"""What any worker can answer: asked first, so that a worker with too little memory is not taken for data that cannot be read."""
STARVED = ("out of memory", "the judge's process died", "the judge failed: SystemError", "the reference cannot be read", "not readable")
"""How the notes begin that a worker gives, or is given, where its memory does not even hold what it imports."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """`workers` 0 is one a core this process may use, at most 8."""

    deadline: float
    workers: int
    memory_mb: int
    recycle: int

    @property
    def crew(self) -> int:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.workers or max(1, min(8, cores))


class Pool:
    """Answers questions in order, each within its limits. One lock: threads take turns by the batch."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._lock = threading.Lock()
        self._keeper: _Keeper | None = None
        self._tried = False

    @property
    def keeper_pid(self) -> int | None:
        """The keeper's process id; None where none runs."""
        return None if self._keeper is None else self._keeper.process.pid

    def ask(self, questions: Sequence[Question]) -> list[Reply]:
        """One reply a question. Never raises for what an answer does to its process; SettingsError where workers have too little memory for any."""
        with self._lock:
            if self._keeper is not None and self._keeper.owner != os.getpid():
                self._keeper, self._lock = None, threading.Lock()  # a forked copy of somebody else's: leave it alone
            return self._ask(questions)

    def _ask(self, questions: Sequence[Question]) -> list[Reply]:
        replies: dict[int, Reply] = {}
        losses, before = 0, -1
        while len(replies) < len(questions):
            left = [place for place in range(len(questions)) if place not in replies]
            losses, before = (losses if before == len(replies) else 0), len(replies)
            if losses > RESTARTS:
                return [replies.get(place, Reply(None, "the judge's processes were lost")) for place in range(len(questions))]
            try:
                if self._keeper is None:
                    self._keeper = _Keeper(self.limits)
                self._try_out(self._keeper)
                self._keeper.exchange(questions, left, replies)
            except OSError:
                losses += 1
                self._end()
        return [replies[place] for place in range(len(questions))]

    def _try_out(self, keeper: "_Keeper") -> None:
        """Ask the first keeper what anybody knows."""
        if self._tried:
            return
        replies: dict[int, Reply] = {}
        keeper.exchange(WARM, range(len(WARM)), replies)
        failed = [reply.note for reply in replies.values() if reply.verdict is not True and reply.note.startswith(STARVED)]
        if failed:
            self._end()
            raise SettingsError(
                f"judge.memory_mb = {self.limits.memory_mb} is too little: a process of the judge failed on {WARM[0].answer} ({failed[0]}). "
                "It takes about 100 MB before it has read anything. Set judge.memory_mb to 256 or more; the default is 1024."
            )
        self._tried = True

    def _end(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.end()

    def close(self) -> None:
        """End all processes. The pool can be asked again, and then starts anew."""
        with self._lock:
            self._end()


class _Keeper:
    """A running keeper, ended at the latest when this object or the interpreter goes."""

    def __init__(self, limits: Limits) -> None:
        given = (os.getpid(), limits.crew, limits.deadline, limits.memory_mb, limits.recycle)
        source = str(Path(vold.__file__).parents[1])
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "PYTHONINSPECT", "PYTHONSTARTUP", "PYTHONWARNINGS", "COV_"))}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH", "")])), "OMP_NUM_THREADS": "1"}
        self.limits, self.owner = limits, os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "vold.adapters.judges.keeper", *map(str, given)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, env=environment, bufsize=0, cwd="/",
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.into, self.out = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.into, False)
        os.set_blocking(self.out, False)
        self.heard = b""
        self.ready = False
        self.end = weakref.finalize(self, _end_process, self.process, self.owner)

    def exchange(self, questions: Sequence[Question], left: Sequence[int], replies: dict[int, Reply]) -> None:
        """Ask what is left and collect replies until none is missing; OSError where the keeper is gone or silent."""
        to_say, unsaid, waiting = list(reversed(left)), b"", set[int]()
        quiet_since = time.monotonic()
        while to_say or waiting or unsaid:
            while to_say and len(waiting) < IN_FLIGHT + self.limits.crew:
                place = to_say.pop()
                waiting.add(place)
                unsaid += _line(place, questions[place])
            patience = START if not self.ready else self.limits.deadline + GRACE
            readable, writable, _ = select.select([self.out], [self.into] if unsaid else [], [], 1.0)
            if not readable and not writable and time.monotonic() - quiet_since > patience:
                raise OSError("the keeper is silent")
            if writable:
                unsaid = unsaid[os.write(self.into, unsaid[:65536]) :]
            if readable:
                for reply in self.listen():
                    quiet_since = time.monotonic()
                    if "ready" in reply:
                        self.ready = True
                    else:
                        waiting.discard(reply["id"])
                        replies[reply["id"]] = Reply(reply["verdict"], reply["note"])

    def listen(self) -> list[dict[str, Any]]:
        piece = os.read(self.out, 1 << 16)
        if not piece:
            raise OSError("the keeper has ended")
        *lines, self.heard = (self.heard + piece).split(b"\n")
        return [json.loads(line) for line in lines]


def _line(place: int, question: Question) -> bytes:
    return json.dumps({"id": place, "task": question.task, "answer": question.answer, "gold": question.gold}).encode() + b"\n"


def _end_process(process: subprocess.Popen[bytes], owner: int) -> None:
    """End a keeper: at the end of its input it ends its workers and itself, and where it does not, its whole session is ended. A forked copy of this
    process only closes its ends of the pipes."""
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    if os.getpid() != owner or process.poll() is not None:
        return
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()
