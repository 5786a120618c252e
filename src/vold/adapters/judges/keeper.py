"""The process that keeps the judges' processes: it hands them answers, ends those that take too long and starts fresh ones.

    python -m vold.adapters.judges.keeper PARENT WORKERS DEADLINE MEMORY_MB RECYCLE

One JSON object a line comes in on standard input, {"id", "task", "answer", "gold"}, and one goes out on standard output for each,
{"id", "verdict", "note"}, in any order. The keeper imports math-verify once and forks; it has one thread, never looks at an answer itself, and
waits only in `select`, so nothing a model wrote can hold it up. It ends, and its workers with it, when its input ends or its parent is gone.
"""

import gc
import json
import logging
import os
import select
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from vold.adapters.judges.worker import serve

LOOK_UP = 0.5
"""Seconds between two looks at whether the parent lives."""


@dataclass(slots=True)
class Worker:
    pid: int
    line: socket.socket
    done: int = 0
    job: dict[str, Any] | None = None
    until: float = 0.0
    heard: bytes = b""


@dataclass(slots=True, kw_only=True)
class Keeper:
    parent: int
    workers: int
    deadline: float
    memory_mb: int
    recycle: int
    crew: list[Worker] = field(default_factory=list)
    waiting: list[dict[str, Any]] = field(default_factory=list)
    said: bytes = b""
    heard: bytes = b""

    def run(self) -> None:
        """Until the input ends."""
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        self.say({"ready": os.getpid()})
        try:
            while os.getppid() == self.parent:
                self.hand_out()
                soon = min([w.until for w in self.crew if w.job is not None], default=time.monotonic() + LOOK_UP)
                lines = [w.line for w in self.crew]
                pause = max(0.0, min(LOOK_UP, soon - time.monotonic()))
                watched: list[Any] = [0, *lines]
                readable, writable, _ = select.select(watched, [1] if self.said else [], [], pause)
                if 0 in readable and not self.listen():
                    return
                if writable:
                    self.said = self.said[os.write(1, self.said[:65536]) :]
                for worker in [w for w in self.crew if w.line in readable]:
                    self.hear(worker)
                for worker in [w for w in self.crew if w.job is not None and time.monotonic() >= w.until]:
                    self.give_up(worker, f"deadline of {self.deadline:g} s passed")
        except BrokenPipeError:
            return
        finally:
            for worker in list(self.crew):
                self.dismiss(worker)

    def say(self, reply: dict[str, Any]) -> None:
        self.said += json.dumps(reply).encode() + b"\n"

    def listen(self) -> bool:
        """Take what has come in; False at its end."""
        try:
            piece = os.read(0, 1 << 16)
        except BlockingIOError:
            return True
        *lines, self.heard = (self.heard + piece).split(b"\n")
        self.waiting += [json.loads(line) for line in lines]
        return bool(piece)

    def hand_out(self) -> None:
        """Give every idle worker a job; fork where there are jobs and not enough workers."""
        while self.waiting:
            worker = next((w for w in self.crew if w.job is None), None)
            if worker is None:
                if len(self.crew) == self.workers:
                    return
                worker = self.hire()
            if select.select([worker.line], [], [], 0)[0]:  # an idle worker says nothing: this one is gone
                self.dismiss(worker)
                continue
            job = self.waiting.pop(0)
            worker.job, worker.until = job, time.monotonic() + self.deadline
            try:
                worker.line.sendall(json.dumps(job).encode() + b"\n")  # an idle worker's line is empty and longer than a job
            except OSError:
                self.give_up(worker, "the judge's process died")

    def hire(self) -> Worker:
        ours, theirs = socket.socketpair()
        me = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                ours.close()
                for other in self.crew:
                    other.line.close()
                serve(theirs, keeper=me, deadline=self.deadline, memory_mb=self.memory_mb)
            finally:
                os._exit(1)
        theirs.close()
        worker = Worker(pid=pid, line=ours)
        self.crew.append(worker)
        return worker

    def hear(self, worker: Worker) -> None:
        """Pass a verdict on, or notice that the worker is gone."""
        try:
            piece = worker.line.recv(1 << 16)
        except OSError:
            piece = b""
        if not piece:
            self.give_up(worker, "")
            return
        worker.heard += piece
        if not worker.heard.endswith(b"\n") or worker.job is None:
            return
        reply = json.loads(worker.heard)
        self.say({"id": worker.job["id"], "verdict": reply["verdict"], "note": reply["note"]})
        worker.job, worker.heard = None, b""
        worker.done += 1
        if reply["last"] or worker.done >= self.recycle:
            self.dismiss(worker)

    def give_up(self, worker: Worker, note: str) -> None:
        """End a worker; its answer, if it had one, stays without a verdict."""
        job = worker.job
        status = self.dismiss(worker)
        if job is not None:
            signal_ = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            self.say({"id": job["id"], "verdict": None, "note": note or f"the judge's process died (signal {signal_})"})

    def dismiss(self, worker: Worker) -> int:
        self.crew.remove(worker)
        worker.line.close()
        found, status = os.waitpid(worker.pid, os.WNOHANG)
        if not found:
            os.kill(worker.pid, signal.SIGKILL)
            _, status = os.waitpid(worker.pid, 0)
        return status


def main() -> None:
    """Import, warm up, serve."""
    parent, workers, deadline, memory_mb, recycle = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the parent, which then closes this process' input
    logging.disable(logging.CRITICAL)
    out = os.dup(1)  # nothing that prints may reach the replies
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from sympy import QQ, symbols
    from sympy.polys.rings import PolyRing

    from vold.adapters.judges.algebra import judged

    for variables in range(1, 13):
        PolyRing(symbols(f"x:{variables}"), QQ)  # sympy writes and compiles arithmetic for each number of variables, which workers may not
    for answer, gold in WARM:
        judged(answer, gold)
    os.dup2(out, 1)
    os.close(out)
    gc.collect()
    gc.freeze()
    Keeper(parent=int(parent), workers=int(workers), deadline=float(deadline), memory_mb=int(memory_mb), recycle=int(recycle)).run()


WARM = [
    (r"\frac{1}{2}x^{2}+3\sqrt{2}", r"\frac{x^{2}}{2}+\sqrt{18}"),
    (r"2x(x+1)-\sin(x)\cos(x)", r"2x^{2}+2x-\frac{\sin(2x)}{2}"),
    (r"\log_{2}(8)", "3"),
    (r"-\frac{\pi}{4}+e^{2}", r"e^{2}-\frac{\pi}{4}"),
    ("3-4i", "-4i+3"),
    (r"\ln(3)\cdot 5!", r"120\ln 3"),
    ("y=2x+3", "2x-y+3=0"),
    ("2f", "f(2)"),
    (r"|x|!", r"\frac{1}{2}\binom{n}{k}"),
]
"""Fixed expressions, so that the parser's tables are filled and modules that run code of their own are imported once, before workers are confined."""

if __name__ == "__main__":
    main()
