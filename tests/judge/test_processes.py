"""The processes behind the judge: deadlines, limits, deaths from outside, and nothing left behind."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import children_of, gone, in_session, wait_until
from support.records import problem, rollout

from vold.adapters.judges import pool as pool_module
from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.adapters.judges.hostile import hostile
from vold.adapters.judges.pool import IN_FLIGHT
from vold.base.errors import SettingsError
from vold.base.types import Ruling

SLOW = "9^{9^{9^{9}}}"
HARD = (r"\sqrt{8}", r"2\sqrt{2}")

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")


@pytest.fixture(scope="module")
def quick() -> Iterator[EquivalenceJudge]:
    """A judge with little patience and two workers."""
    with EquivalenceJudge(deadline=0.7, workers=2, memory_mb=512) as judge:
        yield judge


def right(judge: EquivalenceJudge) -> bool:
    return judge.compare([HARD])[0].ruling is Ruling.RIGHT


def keeper_of(judge: EquivalenceJudge) -> int:
    found = judge.pool.keeper_pid
    assert found is not None
    return found


def test_numbers_and_words_start_no_process() -> None:
    judge = EquivalenceJudge()
    pairs = [
        ("7", "7"),
        ("1/2", "0.5"),
        ("no", "yes"),
        ("5 cm", "5 m"),
        ("8", "7"),
        (r"\frac{", "7"),
        (r"\text{No}", "no"),
        ("x" * 3000, "7"),
        ("(1,2)", "7"),
    ]
    verdicts = judge.compare(pairs)
    assert [v.ruling for v in verdicts] == [Ruling.RIGHT] * 2 + [Ruling.WRONG] * 4 + [Ruling.RIGHT] + [Ruling.WRONG] * 2
    assert judge.unreadable(["7", "", "yes", None, r"\frac{1"])[0] is None
    rolled = [rollout(problem(), 0, [1], [2], text=text) for text in (r"\boxed{7}", "nothing", r"\boxed{\frac{14}{2}}")]
    assert [v.ruling for v in judge.judge(rolled)] == [Ruling.RIGHT, Ruling.WRONG, Ruling.RIGHT]
    assert judge.pool.keeper_pid is None


def test_a_deadline_leaves_an_answer_unjudged_and_the_rest_judged(quick: EquivalenceJudge) -> None:
    right(quick)
    begun = time.monotonic()
    verdicts = quick.compare([HARD, (SLOW, "5"), HARD, (f"{SLOW}+1", "5"), (r"\sqrt{8}", r"3\sqrt{2}")])
    assert time.monotonic() - begun < 4
    assert [v.ruling for v in verdicts] == [Ruling.RIGHT, Ruling.UNJUDGED, Ruling.RIGHT, Ruling.UNJUDGED, Ruling.WRONG]
    assert verdicts[1].note == "deadline of 0.7 s passed"


def test_hostile_answers(quick: EquivalenceJudge, tmp_path: Path) -> None:
    """All at once: none is right, none is executed, none takes longer than its limit, and the pool works afterwards."""
    canary = tmp_path / "canary"
    answers = hostile(str(canary))
    begun = time.monotonic()
    verdicts = quick.compare([(answer, r"3\pi+\frac{1}{7}") for answer in answers.values()])
    spent = time.monotonic() - begun
    slow = sum(v.note.startswith("deadline") for v in verdicts)
    assert spent < 0.7 * slow + 12
    assert not [name for name, v in zip(answers, verdicts, strict=True) if v.ruling is Ruling.RIGHT]
    assert not canary.exists()
    assert right(quick)


def test_hostile_references(quick: EquivalenceJudge, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    golds = [
        gold for name, gold in hostile(str(canary)).items() if "code" in name or name in ("nul", "surrogate", "empty", "braces", "tex", "backslashes")
    ]
    assert all(v.ruling is not Ruling.RIGHT for v in quick.compare([("5", gold) for gold in golds]))
    assert len(quick.unreadable(golds)) == len(golds)
    assert not canary.exists()


def test_what_is_forbidden_is_refused_and_would_have_worked(tmp_path: Path) -> None:
    """The audit hook, tried in a process of its own; without it the same acts do what they say."""
    acts = [
        "open({path!r}, 'w')",
        "__import__('os').system('touch ' + {path!r})",
        "__import__('os').open({path!r}, 65)",
        "__import__('subprocess').run(['touch', {path!r}])",
        "__import__('os').mkdir({path!r})",
        "__import__('os').symlink('/', {path!r})",
        "eval(\"open({path!r}, 'w')\")",
    ]
    code = "import sys; from vold.adapters.judges.worker import Refused, refuse\nif {hook}: sys.addaudithook(refuse)\n"
    code += "try:\n  {act}\nexcept Refused: sys.exit(7)"
    for hook in (True, False):
        for number, act in enumerate(acts):
            path = tmp_path / f"{hook}{number}"
            done = subprocess.run([sys.executable, "-c", code.format(hook=hook, act=act.format(path=str(path)))], check=False)
            assert (done.returncode == 7, path.exists() or path.is_symlink()) == (hook, not hook), act


def test_memory_is_limited() -> None:
    """A number of 1.2 GB."""
    with EquivalenceJudge(deadline=20, workers=1, memory_mb=160) as judge:
        assert [(v.ruling, v.note) for v in judge.compare([("2^{10^{10}}", "5")])] == [(Ruling.UNJUDGED, "out of memory")]
        assert right(judge)
    with EquivalenceJudge(deadline=20, workers=1, memory_mb=512) as judge:
        (verdict,) = judge.compare([("3^{10^{5}}", "5")])
        assert verdict.ruling is Ruling.WRONG


@pytest.mark.parametrize("memory_mb", [1, 64])
def test_too_little_memory_is_the_settings_fault_and_not_the_data_s(memory_mb: int) -> None:
    """With less than its imports take, a worker dies or takes everything for unreadable. The first question says so, and so does the next."""
    with EquivalenceJudge(workers=1, memory_mb=memory_mb) as judge:
        for ask in (lambda: judge.compare([HARD]), lambda: judge.unreadable(["2x^2+2x"])):
            with pytest.raises(SettingsError, match=rf"judge.memory_mb = {memory_mb} is too little"):
                ask()
            assert judge.pool.keeper_pid is None
        assert judge.compare([("7", "7")])[0].ruling is Ruling.RIGHT


def test_a_warm_pair_that_meets_its_deadline_blames_nobody() -> None:
    with EquivalenceJudge(workers=1, deadline=0.0005) as judge:
        assert judge.compare([HARD])[0].note == "deadline of 0.0005 s passed"


def test_workers_are_replaced_after_so_many_answers() -> None:
    with EquivalenceJudge(workers=1, recycle=3) as judge:
        right(judge)
        seen = []
        for number in range(6):
            seen.append(tuple(children_of(keeper_of(judge))))
            judge.compare([(rf"\sqrt{{{8 + number}}}", r"2\sqrt{2}")])
        assert len(set(seen) - {()}) >= 2
        assert all(len(children) <= 1 for children in seen)


def test_a_worker_killed_from_outside_is_replaced(quick: EquivalenceJudge) -> None:
    right(quick)
    children = children_of(keeper_of(quick))
    for child in children:
        os.kill(child, signal.SIGKILL)
    assert wait_until(lambda: all(map(gone, children)), 5)
    assert right(quick)


def test_a_worker_killed_at_work_leaves_its_answer_unjudged() -> None:
    with EquivalenceJudge(deadline=30, workers=1) as judge:
        right(judge)
        keeper = keeper_of(judge)
        killer = threading.Timer(0.4, lambda: [os.kill(child, signal.SIGKILL) for child in children_of(keeper)])
        killer.start()
        verdicts = judge.compare([(SLOW, "5"), HARD])
        killer.join()
        assert [v.ruling for v in verdicts] == [Ruling.UNJUDGED, Ruling.RIGHT]
        assert verdicts[0].note == "the judge's process died (signal 9)"


def test_a_keeper_killed_from_outside_is_started_again(quick: EquivalenceJudge) -> None:
    right(quick)
    before = keeper_of(quick)
    os.kill(before, signal.SIGKILL)
    assert right(quick)
    assert keeper_of(quick) != before
    assert wait_until(lambda: not in_session(before), 2)


def test_a_keeper_that_is_killed_again_and_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never raises and never waits for ever."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with EquivalenceJudge() as judge:
        (verdict,) = judge.compare([HARD])
    assert verdict.ruling is Ruling.UNJUDGED
    assert verdict.note == "the judge's processes were lost"


def test_a_stopped_keeper_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "GRACE", 0.5)
    with EquivalenceJudge(deadline=0.5, workers=1) as judge:
        right(judge)
        os.kill(keeper_of(judge), signal.SIGSTOP)
        assert right(judge)


def test_nothing_is_left_after_close_or_collection() -> None:
    judge = EquivalenceJudge(workers=2)
    right(judge)
    session = keeper_of(judge)
    assert in_session(session)
    judge.close()
    assert not in_session(session)
    assert right(judge)
    session = keeper_of(judge)
    del judge
    gc.collect()
    assert not in_session(session)


PARENT = """
    import sys, os, time
    from vold.adapters.judges.equivalence import EquivalenceJudge
    judge = EquivalenceJudge(workers=2, deadline=60)
    judge.compare([(r"\\sqrt{8}", r"2\\sqrt{2}")])
    print(judge.pool.keeper_pid, flush=True)
    LAST
"""


@pytest.mark.parametrize("last", ["judge.compare([('9^{9^{9^{9}}}', '5')])", "time.sleep(60)", "pass", "raise SystemExit(3)"])
def test_nothing_is_left_when_the_parent_ends(last: str) -> None:
    """Killed while it waits for a verdict, killed while it does something else, at its end, and at an exit: with neither `with` nor `close`."""
    code = textwrap.dedent(PARENT).replace("LAST", last)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    session = int(parent.stdout.readline())
    if last.startswith(("judge", "time")):
        assert in_session(session)
        time.sleep(0.3)
        parent.kill()
    parent.wait(20)
    parent.stdout.close()
    assert wait_until(lambda: not in_session(session), 3)


def test_nothing_is_left_when_a_copy_of_the_parent_keeps_the_pipes_open() -> None:
    """A data loader's fork holds the keeper's input open; the keeper looks for its parent itself."""
    last = "child = os.fork()\nif child == 0:\n    time.sleep(30); os._exit(0)\nprint(child, flush=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(PARENT).replace("LAST", last)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    session, child = int(parent.stdout.readline()), int(parent.stdout.readline())
    parent.kill()
    parent.wait(20)
    parent.stdout.close()
    try:
        assert not gone(child)
        assert wait_until(lambda: not in_session(session), 3)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_big_batch_in_order_and_duplicates_once(quick: EquivalenceJudge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many more questions than fit on their way, with long answers: no deadlock, and each gets its own verdict."""
    asked: list[int] = []
    ask = quick.pool.ask
    monkeypatch.setattr(quick.pool, "ask", lambda questions: asked.append(len(questions)) or ask(questions))
    count = 6 * IN_FLIGHT
    filler = r"+\sqrt{0}" * 3
    pairs = [(rf"\sqrt{{{n * n * 2}}}" + filler, rf"{n + n % 2}\sqrt{{2}}") for n in range(2, count)]
    verdicts = quick.compare(pairs + pairs + pairs[::-1])
    expected = [Ruling.WRONG if n % 2 else Ruling.RIGHT for n in range(2, count)]
    assert [v.ruling for v in verdicts] == expected + expected + expected[::-1]
    assert [v.extracted for v in verdicts] == [answer for answer, _ in pairs + pairs + pairs[::-1]]
    assert asked == [len(pairs)]


def test_threads_share_a_judge(quick: EquivalenceJudge) -> None:
    found: dict[int, list[Ruling]] = {}

    def ask(n: int) -> None:
        found[n] = [
            v.ruling for v in quick.compare([(rf"\sqrt{{{n * n * 3}}}", rf"{n}\sqrt{{3}}"), (rf"\sqrt{{{n * n * 3}}}", rf"{n + 1}\sqrt{{3}}")])
        ]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(2, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {n: [Ruling.RIGHT, Ruling.WRONG] for n in range(2, 8)}


def test_a_judge_first_asked_in_a_thread_outlives_it() -> None:
    with EquivalenceJudge(workers=1) as judge:
        first = threading.Thread(target=right, args=(judge,))
        first.start()
        first.join(60)
        keeper = keeper_of(judge)
        assert right(judge)
        assert keeper_of(judge) == keeper


def test_a_script_without_a_main_guard() -> None:
    """Nothing imports the caller's main module again."""
    code = "print('once')\nfrom vold.adapters.judges.equivalence import EquivalenceJudge\njudge = EquivalenceJudge(workers=1)\n"
    code += r"print(judge.compare([(r'\sqrt{8}', r'2\sqrt{2}')])[0].ruling)"
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["once", "right"]
    assert not done.stderr
