"""Every published benchmark on real rows: load, render, processor, untrained student, judge, table."""

from pathlib import Path

from support.real import DATA, needs
from support.runs import run_here

from vold.adapters.benchmarks.registry import named
from vold.report import benchmark_tables
from vold.report.benchmarks import published_in
from vold.wiring import real_benchmarks, real_data

pytestmark = needs("bench")


def test_two_rows_of_each_go_all_the_way(tmp_path: Path) -> None:
    settings = real_benchmarks.prepared(DATA, tmp_path / "work", size=2)
    shorter = ("eval.sampling.max_new_tokens=2", "eval.examples=1", "student.max_pixels=12544", "threads=1")
    run_here(real_data.RECIPE, tmp_path / "run", *settings, *shorter)
    rows = published_in(tmp_path / "run")
    assert [scores.model.label for scores in rows] == ["base, direct", "base, reasoning"]
    names = [name for name, *_ in (*real_benchmarks.SAMPLES, *real_benchmarks.TEXT)]
    for scores in rows:
        assert [one.name for one in scores.benchmarks if one.mode == "strict"] == names
        for one in scores.benchmarks:
            assert one.broken == ()
            assert one.rows > one.items >= 2
            assert one.truncated == one.answers == one.items
            assert one.unjudged == 0
            assert one.main is not None
    page = benchmark_tables.markdown(rows)
    for name, kind, *_ in (*real_benchmarks.SAMPLES, *real_benchmarks.TEXT):
        assert named(kind).title in page, name
    assert "scoring official-rule" in page
    assert "scoring strict" in page
    report = (tmp_path / "run" / "report.html").read_text()
    assert "MathVerse" in report
