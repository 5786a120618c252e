"""The corpus: asked once, written whole batches at a time, sifted and counted."""

import hashlib
import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support.models import World, sampling
from support.records import rollout

from vold.adapters.corpora import ShardedCorpus
from vold.adapters.engines.scripted import ScriptedEngine
from vold.adapters.judges.boxed import BoxedJudge
from vold.adapters.problems.tiny import TinyProblems
from vold.adapters.ready_made import ReadyMadeTraces, thoughts_missing
from vold.adapters.templates import Template
from vold.base.errors import DataError
from vold.base.ids import digest_of_file
from vold.base.types import Problem, Rollout, Trace
from vold.ports import Place, Sampling
from vold.stages.corpus import CorpusRun, Ports, adopted, corpus

COUNT, BATCH, CAP = 22, 5, 20
RUN = CorpusRun(sampling=sampling(CAP), batch=BATCH)


class Silent:
    def update(self, done: int, total: int, note: str = "") -> None:
        del done, total, note


@dataclass
class Teacher:
    """Answers by script: every fifth answer is wrong, every seventh is longer than the cap. Dies when asked more than `lives` times."""

    engine: ScriptedEngine
    lives: int = 99
    asked: list[str] = field(default_factory=list)

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        if self.lives == 0:
            raise KeyboardInterrupt
        self.lives -= 1
        self.asked += [problem.id for problem in problems]
        return self.engine.sample(problems, per_problem=per_problem, sampling=sampling, place=place)

    def adopt(self, weights: object, *, version: int) -> None:
        del weights, version
        raise AssertionError("nobody trains a teacher")


def script(problem: Problem, _: int) -> str:
    place = int(problem.id.split("/")[1])
    said = str((int(problem.answer or 0) + (place % 5 == 4)) % 10)
    return " ".join(["<think>", *["ok"] * (30 if place % 7 == 6 else 3), "</think>", "\\boxed{", said, "}"])


@pytest.fixture
def teacher(world: World) -> Teacher:
    return Teacher(ScriptedEngine(template=Template(of=world.student32), script=script))


def collect(folder: Path, teacher: Teacher, run: CorpusRun = RUN) -> dict:
    problems = TinyProblems(seed=0, source="corpus", difficulties=(1, 2), per_step=0, total=COUNT)
    at = Ports(problems=problems, engine=teacher, judge=BoxedJudge(), store=ShardedCorpus(folder=folder), progress=Silent())
    return dict(corpus(run, at, facts={"teacher": "scripted"}))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@dataclass
class Numbered:
    """So many problems, each made when it is asked for: a list of them would be what a test of memory measures."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, places: slice) -> list[Problem]:
        return [Problem(id=f"n/{place}", prompt="1 + 2 = ?", answer=str(place % 10), source="n") for place in range(*places.indices(self.count))]

    def all(self) -> Any:
        return self


@dataclass
class Long:
    """Answers of a kilobyte, the same for a problem whenever it is asked. Dies after so many batches."""

    lives: int = 10**6

    def adopt(self, weights: object, *, version: int) -> None:
        del weights, version

    def sample(self, problems: Sequence[Problem], *, per_problem: int, sampling: Sampling, place: Place) -> list[Rollout]:
        del per_problem, sampling, place
        if self.lives == 0:
            raise KeyboardInterrupt
        self.lives -= 1
        return [rollout(p, 0, (1,), range(64), text=f"{p.id} {'thought ' * 128}\\boxed{{{p.answer}}}") for p in problems]


@dataclass
class Noted:
    """The last thing said of progress."""

    said: list[tuple[int, int, str]] = field(default_factory=list)

    def update(self, done: int, total: int, note: str = "") -> None:
        self.said.append((done, total, note))


def at_scale(folder: Path, count: int, engine: Long, progress: Any, *, batch: int = 500) -> dict:
    problems: Any = Numbered(count)
    at = Ports(problems=problems, engine=engine, judge=None, store=ShardedCorpus(folder=folder), progress=progress)
    return dict(corpus(CorpusRun(sampling=sampling(CAP), batch=batch), at, facts={}))


def peak_of(act: Any) -> int:
    """Bytes that Python objects took at the most."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.long
def test_a_hundred_thousand_prompts_in_bounded_memory(tmp_path: Path) -> None:
    """120 MB of answers pass through a few, and what grows with them is the ids that say what is done; stopped in the middle it ends the same."""
    few, many = (peak_of(lambda n=n: at_scale(tmp_path / str(n), n, Long(), Silent())) for n in (10_000, 100_000))
    written = sum(path.stat().st_size for path in (tmp_path / "100000" / "traces").iterdir())
    assert written > 100e6
    assert many < 2 * few
    assert many < 30e6
    progress = Noted()
    with pytest.raises(KeyboardInterrupt):
        at_scale(tmp_path / "broken", 100_000, Long(lives=120), progress)
    assert progress.said[-1] == (60_000, 100_000, "prompts answered")
    again = Noted()
    assert peak_of(lambda: at_scale(tmp_path / "broken", 100_000, Long(), again)) < 60e6
    assert again.said[0] == (60_000, 100_000, "prompts answered before")
    manifests = [(tmp_path / name / "manifest.json").read_bytes() for name in ("100000", "broken")]
    assert manifests[0] == manifests[1]
    found = json.loads(manifests[0])
    assert len(found["shards"]) == 200
    assert found["kept"] == 100_000


@pytest.mark.parametrize("batches", [*range(7)])
def test_it_goes_on_at_every_shard(tmp_path: Path, batches: int) -> None:
    """Six batches and a short one: stopped after any of them, the shards, their hashes and the manifest are those of a run never stopped."""
    at_scale(tmp_path / "whole", 33, Long(), Silent(), batch=5)
    with pytest.raises(KeyboardInterrupt):
        at_scale(tmp_path / "broken", 33, Long(lives=batches), Silent(), batch=5)
    (tmp_path / "broken" / "traces").mkdir(parents=True, exist_ok=True)
    (tmp_path / "broken" / "traces" / ".00099.jsonl.half").write_text('{"cut of')
    progress = Noted()
    at_scale(tmp_path / "broken", 33, Long(), progress, batch=5)
    (tmp_path / "broken" / "traces" / ".00099.jsonl.half").unlink()
    assert bytes_of(tmp_path / "broken") == bytes_of(tmp_path / "whole")
    assert [done for done, _, _ in progress.said] == [*([5 * batches] if batches else []), *range(5 * batches + 5, 34, 5), 33]
    finished = Noted()
    at_scale(tmp_path / "broken", 33, Long(lives=0), finished, batch=5)
    assert finished.said == [(33, 33, "prompts answered before")]
    shards = json.loads((tmp_path / "whole" / "manifest.json").read_text())["shards"]
    assert shards == {path.name: digest_of_file(path) for path in sorted((tmp_path / "whole" / "traces").iterdir())}


@pytest.mark.parametrize("batches", [0, 1, 3, 4])
def test_a_corpus_interrupted_between_batches_ends_the_same(tmp_path: Path, teacher: Teacher, batches: int) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    collect(whole, replace(teacher, asked=[]))

    with pytest.raises(KeyboardInterrupt):
        collect(broken, replace(teacher, lives=batches))
    before = {path: path.stat().st_mtime_ns for path in (broken / "traces").glob("*")}
    assert len(before) == batches
    assert not (broken / "manifest.json").exists()

    again = replace(teacher, asked=[])
    collect(broken, again)
    assert bytes_of(broken) == bytes_of(whole)
    assert len(again.asked) == COUNT - batches * BATCH  # nothing is asked twice
    assert {path: path.stat().st_mtime_ns for path in before} == before  # and nothing written again


def test_a_batch_cut_off_while_being_written_is_asked_again(tmp_path: Path, teacher: Teacher) -> None:
    collect(tmp_path / "whole", replace(teacher, asked=[]))
    with pytest.raises(KeyboardInterrupt):
        collect(tmp_path / "broken", replace(teacher, lives=2))
    shard = tmp_path / "broken" / "traces" / "00001.jsonl"
    shard.rename(shard.with_name(".00001.jsonl.half"))  # what an interrupted write leaves
    collect(tmp_path / "broken", replace(teacher, asked=[]))
    found, expected = bytes_of(tmp_path / "broken"), bytes_of(tmp_path / "whole")
    assert {name: found[name] for name in expected} == expected


def test_long_answers_are_dropped_and_counted(tmp_path: Path, teacher: Teacher) -> None:
    manifest = collect(tmp_path, teacher)
    long = [place for place in range(COUNT) if place % 7 == 6]
    wrong = [place for place in range(COUNT) if place % 5 == 4 and place not in long]
    assert manifest["asked"] == COUNT
    assert manifest["dropped"] == {"over the length cap": len(long)}
    assert manifest["kept"] == COUNT - len(long)
    assert manifest["judged"] == {"right": COUNT - len(long) - len(wrong), "wrong": len(wrong)}
    assert manifest["error_rate"] == pytest.approx(len(wrong) / (COUNT - len(long)))
    traces = ShardedCorpus(folder=tmp_path).traces()
    assert [int(t.problem.id.split("/")[1]) for t in traces] == [place for place in range(COUNT) if place not in long]
    assert all(len(t.response_ids or ()) <= CAP for t in traces)


def test_filtering_keeps_only_right_answers_and_says_what_it_dropped(tmp_path: Path, teacher: Teacher) -> None:
    manifest = collect(tmp_path, teacher, replace(RUN, filter="correct"))
    long = sum(place % 7 == 6 for place in range(COUNT))
    wrong = sum(place % 5 == 4 and place % 7 != 6 for place in range(COUNT))
    assert manifest["dropped"] == {"over the length cap": long, "wrong": wrong}
    assert manifest["kept"] + long + wrong == COUNT
    assert manifest["error_rate"] == 0
    assert all(trace.verdict is not None and trace.verdict.ruling == "right" for trace in ShardedCorpus(folder=tmp_path).traces())


def test_traces_come_back_as_they_were_written(tmp_path: Path, teacher: Teacher) -> None:
    collect(tmp_path, teacher)
    template = teacher.engine.template
    for trace in ShardedCorpus(folder=tmp_path).traces():
        assert trace.response == script(trace.problem, 0)  # without the end token
        assert trace.response_ids == template.ids_of(trace.response)  # with it
        assert trace.problem.answer is not None


def test_the_manifest_knows_every_shard(tmp_path: Path, teacher: Teacher) -> None:
    manifest = collect(tmp_path, teacher)
    assert manifest == json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["teacher"] == "scripted"
    shards = sorted((tmp_path / "traces").iterdir())
    assert len(shards) == -(-COUNT // BATCH)
    assert manifest["shards"] == {shard.name: hashlib.sha256(shard.read_bytes()).hexdigest() for shard in shards}
    store = ShardedCorpus(folder=tmp_path)
    assert store.digest() == manifest["digest"]
    store.append([], {"x": "no reason"})
    assert store.close({})["digest"] != manifest["digest"]


def test_unusual_separators_stay_inside_their_trace(tmp_path: Path) -> None:
    """JSON may hold U+2028 and its like as they are; only a line feed ends a line."""
    text = "one\u2028two\u0085three\x0cfour\r\nfive"
    store = ShardedCorpus(folder=tmp_path)
    store.append([Trace(problem=Problem(id="s/0", prompt=text, answer=None, source="s"), response=text, response_ids=None)], {})
    [trace] = store.traces()
    assert (trace.problem.prompt, trace.response) == (text, text)
    assert store.done() == {"s/0"}


# -- ready-made traces ----------------------------------------------------------------------------------------------------------------


def written(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows))
    return path


SAID = [{"role": "user", "content": "find a ?"}, {"role": "assistant", "content": "ok \\boxed{ 1 }"}]
PAIR = {"prompt": "find b ?", "response": "\u2028 \\boxed{ 2 }", "answer": 2}


def test_both_layouts_are_read(tmp_path: Path) -> None:
    system = {"role": "system", "content": "be brief"}
    path = written(tmp_path / "t.jsonl", {"messages": SAID}, "", PAIR, {"messages": [system, *SAID], "answer": "7"})
    first, second, third = ReadyMadeTraces(path, "own").traces
    assert (first.problem.prompt, first.response, first.problem.answer) == ("find a ?", "ok \\boxed{ 1 }", None)
    assert (second.problem.prompt, second.response, second.problem.answer) == ("find b ?", "\u2028 \\boxed{ 2 }", "2")
    assert (third.problem.prompt, third.problem.answer) == ("find a ?", "7")
    assert len({first.problem.id, second.problem.id, third.problem.id}) == 3
    assert all(trace.response_ids is None for trace in (first, second, third))


BROKEN = {
    "not JSON": "{oops",
    "no object": "[1, 2]",
    "no response": {"prompt": "x"},
    "no assistant": {"messages": SAID[:1]},
    "two exchanges": {"messages": SAID * 2},  # which of the answers would be learned?
    "the wrong way round": {"messages": SAID[::-1]},
    "no text": {"prompt": None, "response": "x"},
    "parts instead of text": {"messages": [SAID[0], {"role": "assistant", "content": [{"type": "text", "text": "x"}]}]},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_bad_line_is_named(tmp_path: Path, kind: str) -> None:
    path = written(tmp_path / "t.jsonl", PAIR, "", BROKEN[kind], PAIR)
    with pytest.raises(DataError, match=r"t\.jsonl, line 3: found .* expected messages .*Repair or remove the line"):
        _ = ReadyMadeTraces(path, "own").traces


@pytest.mark.parametrize("content", [None, "", "\n\n", b"\xff\xfe"])
def test_a_file_without_traces_is_refused(tmp_path: Path, content: str | bytes | None) -> None:
    path = tmp_path / "t.jsonl"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"t\.jsonl"):
        _ = ReadyMadeTraces(path, "own").traces


@pytest.mark.parametrize(("filtered", "kept"), [("none", [0, 1, 3]), ("correct", [0, 3])])
@pytest.mark.parametrize("size", [10, 3])
def test_ready_made_traces_go_through_the_same_door(tmp_path: Path, filtered: str, kept: list[int], size: int) -> None:
    rows = [{"prompt": f"q{place}", "response": f"\\boxed{{{answer}}}", "answer": "1", "num_tokens": 7} for place, answer in enumerate((1, 2, 1, 1))]
    ready = ReadyMadeTraces(written(tmp_path / "t.jsonl", *rows), "own")
    store = ShardedCorpus(folder=tmp_path / "corpus")
    run = replace(RUN, filter=filtered)
    lengths = {"own/0": 10, "own/1": 10, "own/2": 11, "own/3": 10}  # the third is over the cap
    times = []
    for _ in range(2):  # the second time, nothing is written again
        manifest = adopted(
            ready.batches(size), lambda t: lengths[t.problem.id], cap=10, run=run, judge=BoxedJudge(), store=store, facts={"from": "dataset"}
        )
        assert [int(trace.problem.id.split("/")[1]) for trace in store.traces()] == kept
        assert all(trace.num_tokens == 7 and trace.response_ids is None for trace in store.traces())
        assert (manifest["asked"], manifest["kept"]) == (4, len(kept))
        assert manifest["dropped"] == {"over the length cap": 1} | ({"wrong": 1} if filtered == "correct" else {})
        times.append([shard.stat().st_mtime_ns for shard in sorted((tmp_path / "corpus" / "traces").iterdir())])
    assert times[0] == times[1]
    names = ["00000.jsonl", "00001.jsonl"][: 1 if size == 10 else 2]
    assert manifest["shards"] == {name: digest_of_file(tmp_path / "corpus" / "traces" / name) for name in names}


def test_adoption_interrupted_between_batches_ends_the_same(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{place}", "response": "ok" if place != 4 else "x" * 50} for place in range(7)]
    path = written(tmp_path / "t.jsonl", *rows)

    def adopt(folder: Path, lives: int) -> None:
        def length(trace: Trace) -> int:
            nonlocal lives
            if lives == 0:
                raise KeyboardInterrupt
            lives -= 1
            return len(trace.response)

        store = ShardedCorpus(folder=folder)
        adopted(ReadyMadeTraces(path, "own").batches(2), length, cap=10, run=RUN, judge=None, store=store, facts={})

    adopt(tmp_path / "whole", 99)
    with pytest.raises(KeyboardInterrupt):
        adopt(tmp_path / "broken", 5)
    assert len(list((tmp_path / "broken" / "traces").iterdir())) == 2
    adopt(tmp_path / "broken", 3)  # what is left, and nothing else, is measured again
    assert bytes_of(tmp_path / "broken") == bytes_of(tmp_path / "whole")
    assert json.loads((tmp_path / "whole" / "manifest.json").read_text())["dropped"] == {"over the length cap": 1}


SHAPES = {
    "<think>\nso\n</think>\n\n4": None,
    "<think></think>4": None,
    "4": "no closed think block",
    "<think>so 4": "no closed think block",
    "so</think>4": "no closed think block",
    "</think>so<think>4": "no closed think block",
    "<think>a</think>b<think>c</think>d": "two think blocks",
    "<think>a<think>b</think>c": "two think blocks",
    "<think>a</think>b</think>c": "two think blocks",
    "Well. <think>a</think>b": "words before the reasoning",
    "\n<think>a</think>b": "words before the reasoning",
    "<think>a</think> \n": "no answer after the reasoning",
}


@pytest.mark.parametrize("response", SHAPES)
def test_what_a_trace_of_thoughts_must_be(response: str) -> None:
    assert thoughts_missing(response) == SHAPES[response]


def test_traces_of_another_shape_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": response}]} for response in SHAPES]
    ready = ReadyMadeTraces(written(tmp_path / "t.jsonl", *rows), "own", kind="mot")
    assert [t.problem.id for t in ready.traces] == ["own/0", "own/1"]
    manifest = adopted(ready.batches(5), lambda _: 1, cap=10, run=RUN, judge=None, store=ShardedCorpus(folder=tmp_path / "c"), facts={})
    counted = {
        "no closed think block": 4,
        "two think blocks": 3,
        "words before the reasoning": 2,
        "no answer after the reasoning": 1,
    }
    assert (manifest["asked"], manifest["kept"], manifest["dropped"]) == (12, 2, counted)
    assert ready.facts.unfit == counted
    assert str(ready.facts).startswith("12 rows read, 2 used, 4 dropped (no closed think block), 3 dropped (two think blocks), ")
    assert len(ReadyMadeTraces(tmp_path / "t.jsonl", "own").traces) == 12  # without the kind, nobody asks


def test_a_file_of_nothing_but_unfit_traces_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", {"prompt": "x", "response": "4"})
    with pytest.raises(DataError, match=r"t\.jsonl holds no trace that can be used: 1 traces have no closed think block"):
        _ = ReadyMadeTraces(path, "own", kind="mot").traces


def test_bad_rows_of_traces_are_dropped_and_named(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", PAIR, *(BROKEN.values()), {"prompt": "x", "response": " \n"}, PAIR)
    ready = ReadyMadeTraces(path, "own", on_bad_row="drop")
    assert [t.problem.id for t in ready.traces] == ["own/0", f"own/{len(BROKEN) + 2}"]
    assert ready.facts.rows == len(BROKEN) + 3
    assert [name for name, _ in ready.facts.bad] == [f"own/{place}" for place in range(1, len(BROKEN) + 2)]
    assert ready.facts.bad[-1] == (f"own/{len(BROKEN) + 1}", "response is empty")
    with pytest.raises(DataError, match=r"line 2: .* 9 of 11 rows cannot be used: own/1: not JSON.*; own/2: .*; …\. Repair or remove"):
        _ = ReadyMadeTraces(path, "own").traces


def test_system_length_and_origin_are_kept(tmp_path: Path) -> None:
    said = [{"role": "system", "content": "be brief"}, *SAID]
    path = written(tmp_path / "t.jsonl", {"messages": said, "num_tokens": 12, "source": "open-r1/OpenR1-Math-220k"}, PAIR)
    ready = ReadyMadeTraces(path, "own").traces
    assert (ready[0].problem.system, ready[0].problem.origin, ready[0].num_tokens) == ("be brief", "open-r1/OpenR1-Math-220k", 12)
    assert (ready[1].problem.system, ready[1].problem.origin, ready[1].num_tokens) == ("", "", None)
    store = ShardedCorpus(folder=tmp_path / "corpus")
    store.append(ready, {})
    assert store.traces() == ready


def test_answers_are_asked_for_only_where_a_filter_compares(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", {"prompt": "x", "response": "y"}, PAIR)
    assert ReadyMadeTraces(path, "own").survey.unanswered == "own/0"
    ready = ReadyMadeTraces(path, "own", on_bad_row="drop", needs_answers=True)
    assert [t.problem.id for t in ready.traces] == ["own/1"]
    assert ready.facts.bad[0][1].startswith("no answer")
