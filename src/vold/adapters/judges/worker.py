"""What one judge's process does, and everything it may not do.

It is forked by the keeper, reads one job a line from its socket and answers each with one line. It cannot write a file, start a program, open a
connection or run text as code, has limits on memory, processor time and files, and dies with its keeper.
"""

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from typing import Any, NoReturn

FRAMES = 3000
"""Python's recursion limit: enough for the deepest expression that is spelled out."""

_NEVER = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.spawn", "subprocess.Popen", "pty.spawn", "ctypes.", "socket.")
_NOTHING_WRITTEN = tuple(
    """
    os.remove os.rename os.mkdir os.rmdir os.link os.symlink os.truncate os.chmod os.chown os.utime os.kill os.killpg os.putenv os.setxattr
    shutil. tempfile. signal.pthread_kill code.__new__ mmap.__new__ syslog. fcntl. ftplib. urllib. http. smtplib. sqlite3. webbrowser.
    """.split()
)
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refused(BaseException):
    """An act that judging an answer never needs. Not an Exception, so that no library takes it for a failed simplification."""


def refuse(event: str, given: tuple[Any, ...]) -> None:
    """The audit hook: reading modules is all that is left."""
    if event == "open":
        _, mode, flags = given
        if (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _TO_WRITE):
            raise Refused(event)
    elif event.startswith(_NEVER) or event.startswith(_NOTHING_WRITTEN):
        raise Refused(event)
    elif event == "compile" and given[1] in ("<string>", b"<string>", "<lambdifygenerated-1>"):
        raise Refused("running text as code")


def serve(line: socket.socket, *, keeper: int, deadline: float, memory_mb: int) -> NoReturn:
    """Judge what comes in until the line is closed."""
    from vold.adapters.judges.algebra import judged, unreadable

    _confine(keeper, memory_mb)
    heard = line.makefile("rb")
    for text in heard:
        job = json.loads(text)
        _more_time(deadline)
        verdict, note, last = None, "", False
        try:
            if job["task"] == "read":
                reason = unreadable(job["gold"])
                verdict, note = reason is None, reason or ""
            else:
                verdict, note = judged(job["answer"], job["gold"])
        except (MemoryError, SystemError):  # the second where no memory is left to raise the first
            verdict, note, last = None, "out of memory", True
        except RecursionError:
            verdict, note, last = (None, "the judge failed: RecursionError", True)
        except Refused as act:
            verdict, note, last = None, f"refused: {act}", True
        except Exception as failure:
            verdict, note = None, f"the judge failed: {type(failure).__name__}"
        line.sendall(json.dumps({"verdict": verdict, "note": note, "last": last}).encode() + b"\n")
        if last:
            break
    os._exit(0)


def _confine(keeper: int, memory_mb: int) -> None:
    """Limits first, then the hook, after which nothing can be loosened."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != keeper:
        os._exit(0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    for signal_ in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_, signal.SIG_DFL)
    for name, most in (("AS", memory_mb << 20), ("CORE", 0), ("FSIZE", 0), ("NPROC", 0), ("NOFILE", 64)):
        which = getattr(resource, f"RLIMIT_{name}", None)
        if which is not None:
            _limit(which, most)
    sys.setrecursionlimit(FRAMES)
    sys.addaudithook(refuse)


def _limit(which: int, most: int) -> None:
    try:
        resource.setrlimit(which, (most, most))
    except (ValueError, OSError):  # some systems do not know it or have a lower one already
        return


def _more_time(deadline: float) -> None:
    """A second clock for the time the keeper cannot look: processor seconds for this answer."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + deadline) + 3
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
