"""What a reader is shown must be what was measured."""

import base64
import io
import itertools
import json
import math
import os
import re
import struct
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.scored import measure, scored

from vold.base.errors import DataError
from vold.report.curves import Quantity, Track, charts, points_of, smoothed
from vold.report.files import Step, read_journal
from vold.report.gallery import cards
from vold.report.grid import captions, grids, short, shown_difficulties
from vold.report.html import page, write_report
from vold.report.plotting import spread
from vold.report.progress import Bar
from vold.report.summary import Arm, Floors, Recipe, Row, Shortcut, Summary, load, rows_of, save
from vold.report.table import bracketed, markdown, plain, plus_minus, show

LABELS = ("base, direct", "base, reasoning", "SFT", "GRPO", "VOLD")
HOSTILE = "<think> 1 < 2 & 3 </think> <script>alert('x')</script> \\boxed{ 6 }"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 84, 56)).decode()


def row(label: str, modality: str, difficulty: int | None, value: float, **changes: Any) -> Row:
    given = Row(
        row=label,
        metric="accuracy",
        benchmark=f"tiny-{modality}",
        modality=modality,
        way="greedy",
        difficulty=difficulty,
        value=value,
        low=max(0.0, value - 0.03),
        high=min(1.0, value + 0.05),
        n=600 if difficulty is None else 100,
        seeds=(0,),
        truncated=2 if label == "VOLD" else 0,
        unjudged=0,
        answers=600 if difficulty is None else 100,
    )
    return replace(given, **changes)


def a_summary() -> Summary:
    """Every cell of the table holds another number, and images are listed first to see that text still comes first."""
    values = itertools.count(11)
    rows = [row(label, modality, k, next(values) / 100) for label in LABELS for modality in ("image", "text") for k in (1, 2, 3, 4, 5, 6, None)]
    return Summary(
        recipe=Recipe(name="tiny", hash="9f31c0"),
        seed=7,
        versions={"torch": "2.13.0"},
        hardware={"cores": 2},
        rows=tuple(rows),
        floors=Floors(
            constant=0.1,
            shortcuts=(
                Shortcut(name="last step", difficulty=None, value=0.14),
                Shortcut(name="last two", difficulty=None, value=0.23),
                Shortcut(name="last step", difficulty=3, value=0.17),
            ),
        ),
        arms=(Arm(name="grpo", label="GRPO", folder="joint-grpo"), Arm(name="vold", label="VOLD", folder="joint-vold")),
    )


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def an_answer(label: str, number: int, ruling: str, **changes: Any) -> dict[str, Any]:
    problem = {"id": f"p{number}", "prompt": f"find a + {number} ?", "answer": "6", "difficulty": 3, "image": PNG}
    return {"row": label, "benchmark": "tiny-image", "way": "greedy", "problem": problem, "text": "6", "ruling": ruling, "extracted": "6"} | changes


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of two arms, one of them with a teacher."""
    folder = tmp_path / "nice-run"
    save(a_summary(), folder / "summary.json")
    (folder / "settings.json").write_text(json.dumps({"values": {"joint": {"lr": 0.25}}, "sources": {"joint.lr": "command line"}}))
    write_lines(folder / "sft" / "journal.jsonl", [{"step": step, "values": {"loss": 3 - step / 10, "lr": None}} for step in range(4)])
    for arm, pulled in (("grpo", 0.0), ("vold", 0.5)):
        start: dict[str, float] = {"teacher/log_ratio_start": 0.38} if pulled else {}
        steps = [{"reward/mean": 0.5, "pull/rate": pulled, "pull/kl": pulled, "pull_share": None, "validation/tiny-image": 0.4} for _ in range(3)]
        write_lines(folder / f"joint-{arm}" / "journal.jsonl", [{"step": n, "values": v | (start if n == 0 else {})} for n, v in enumerate(steps)])
    for place, label in enumerate(LABELS):
        answers = [an_answer(label, 0, "right" if place > 2 else "wrong", text=HOSTILE), an_answer(label, 1, "unjudged")]
        write_lines(folder / "eval" / f"row-{9 - place}" / "examples.jsonl", answers)
    return folder


@dataclass
class Page(HTMLParser):
    """The parts of a page that the tests look at."""

    tags: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    texts: dict[str, list[str]] = field(default_factory=dict)
    cells: list[list[str]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, text: str) -> "Page":
        parser = cls()
        HTMLParser.__init__(parser)
        parser.feed(text)
        return parser

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "xlink:href")]
        if tag == "tr":
            self.cells.append([])
        if tag in ("td", "th"):
            self.cells[-1].append("")
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts[self.open[-1]][-1] += data
        if "td" in self.open or "th" in self.open:
            self.cells[-1][-1] += data


def expected_cells(summary: Summary, label: str) -> list[str]:
    """Text before images, all difficulties before 1, 3 and 5, straight from the rows."""
    found = {(one.modality, one.difficulty): one for one in summary.rows if one.row == label}
    wanted = [found[modality, k] for modality in ("text", "image") for k in (None, 1, 3, 5)]
    return [f"{one.value:.2f} [{one.low:.2f} {one.high:.2f}]".replace("0.", ".") for one in wanted]


# From scores to rows


def test_both_ends_of_an_interval_solve_wilsons_equation() -> None:
    (found,) = rows_of("VOLD", [scored(measure((1.0,) * 62 + (0.0,) * 38))], [0])
    assert found.value == pytest.approx(0.62)
    for end in (found.low, found.high):
        assert (0.62 - end) ** 2 == pytest.approx(1.959963984540054**2 * end * (1 - end) / 100)
    assert found.low < found.value < found.high
    assert (found.n, found.seeds, found.mode) == (100, (0,), "equivalence")
    assert (found.truncated, found.unjudged, found.answers) == (2, 1, 101)


def test_rows_keep_benchmarks_ways_and_difficulties_apart() -> None:
    given = [
        scored(measure((0.0,)), measure((1.0,), 2)),
        scored(measure((0.5,)), way="sampled"),
        scored(measure((0.25,)), modality="image", name="c"),
    ]
    found = [(one.benchmark, one.modality, one.way, one.difficulty, one.value) for one in rows_of("SFT", given, [0])]
    assert found == [
        ("b", "text", "greedy", None, 0.0),
        ("b", "text", "greedy", 2, 1.0),
        ("b", "text", "sampled", None, 0.5),
        ("c", "image", "greedy", None, 0.25),
    ]


def test_a_published_benchmark_is_one_row_a_mode_and_has_a_table_of_its_own() -> None:
    parts = (measure((1.0, 0.0), metric="strict score"), measure((1.0,), metric="loose score"))
    found = rows_of("SFT", [scored(*parts, mode="strict"), scored(*parts, mode="official-rule")], [0])
    assert [(one.metric, one.mode, one.value) for one in found] == [("strict score", "strict", 0.5), ("strict score", "official-rule", 0.5)]
    assert grids(replace(a_summary(), rows=tuple(found))) == ()


def test_without_a_judged_answer_nothing_is_claimed() -> None:
    (found,) = rows_of("SFT", [scored(measure(()))], [0])
    assert (found.n, found.low, found.high) == (0, 0.0, 1.0)
    assert bracketed(found) == plus_minus(found) == "–"


def test_a_summary_comes_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    save(a_summary(), path)
    assert load(path) == a_summary()
    written = json.loads(path.read_text())
    assert written["schema"] == 1
    assert {"row", "metric", "modality", "difficulty", "value", "low", "high", "n", "seeds", "benchmark", "way"} <= set(written["rows"][0])
    path.write_text(json.dumps(written | {"added later": 1}))
    assert load(path) == a_summary()
    assert load(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    ("damage", "said"), [({"schema": 2}, "schema 2"), ({"rows": [{"row": "x"}]}, "seeds"), ({"recipe": None}, "not a complete summary")]
)
def test_a_summary_of_another_make_is_refused(tmp_path: Path, damage: dict[str, Any], said: str) -> None:
    path = tmp_path / "summary.json"
    save(a_summary(), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(DataError, match=said):
        load(path)


def test_a_write_that_fails_leaves_the_old_summary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    save(a_summary(), path)

    def full(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="disk full"):
            save(replace(a_summary(), seed=8), path)
    assert load(path) == a_summary()
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


# The table


def test_markdown_holds_the_numbers_of_the_summary() -> None:
    summary = a_summary()
    lines = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in markdown(summary).splitlines() if line.startswith("|")]
    assert lines[0] == ["text, all", *[f"text, difficulty {k}" for k in (1, 3, 5)], "image, all", *[f"image, difficulty {k}" for k in (1, 3, 5)]]
    assert [line[0] for line in lines[2:-1]] == list(LABELS)
    for line in lines[2:-1]:
        assert line[1:] == expected_cells(summary, line[0])
    assert lines[-1] == ["problems", "600", "100", "100", "100", "600", "100", "100", "100"]


def test_the_page_holds_the_numbers_of_the_summary(run: Path) -> None:
    lines = {cells[0].strip(): [" ".join(cell.split()) for cell in cells[1:]] for cells in Page.of(page(run)).cells}
    for label in LABELS:
        assert [cell.replace("[", " [") for cell in lines[label]] == expected_cells(a_summary(), label)
    first = a_summary().rows[6 + 7]  # text over all, of the first label
    bars = re.findall(r"--low:(.*?)%;--high:(.*?)%;--at:(.*?)%", page(run))
    assert [float(end) / 100 for end in bars[0]] == pytest.approx([first.low, first.high, first.value])
    assert len(bars) == 8 * len(LABELS)
    assert lines["constant guess"] == [".10"] * 8
    assert lines["best shortcut"] == [".23", "–", ".17", "–"] * 2
    assert lines["problems"] == ["600", "100", "100", "100"] * 2


def test_plain_text_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    show(a_summary(), Console(file=out, width=60))
    assert out.getvalue() == plain(a_summary()) + "\n"
    assert not set(out.getvalue()) & set("\x1b─│┃━")
    (vold,) = [line for line in out.getvalue().splitlines() if line.startswith("VOLD")]
    assert re.sub(r"  +", "|", vold).split("|")[1:] == expected_cells(a_summary(), "VOLD")


@pytest.mark.parametrize(("width", "sign"), [(160, "["), (125, "±"), (72, "±")])
def test_the_drawn_table_fits_the_terminal(width: int, sign: str) -> None:
    out = io.StringIO()
    show(a_summary(), Console(file=out, width=width, force_terminal=True, color_system=None))
    text = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    drawn = [line for line in text.splitlines() if line.strip().startswith("VOLD")]
    assert len(drawn) == (2 if width == 72 else 1)
    write = bracketed if sign == "[" else plus_minus
    found = {(one.modality, one.difficulty): write(one) for one in a_summary().rows if one.row == "VOLD"}
    assert re.findall(r"\d?\.\d\d (?:\[.*?\]|±\.\d\d)", " ".join(drawn)) == [found[m, k] for m in ("text", "image") for k in (None, 1, 3, 5)]


def test_one_number_in_words() -> None:
    assert [short(value) for value in (0.0, 0.618, 1.0)] == [".00", ".62", "1.00"]
    lopsided = row("x", "text", None, 0.02, low=0.01, high=0.09)
    assert plus_minus(lopsided) == ".02 ±.07"
    assert bracketed(lopsided) == ".02 [.01 .09]"


def test_which_difficulties_are_shown() -> None:
    assert shown_difficulties([6, 5, 4, 3, 2, 1]) == (1, 3, 5)
    assert shown_difficulties([4, 2, 2]) == (2, 4)
    assert shown_difficulties([2, 4, 6, 8, 10]) == (2, 6, 10)
    assert shown_difficulties([]) == ()


def test_greedy_answers_come_first_and_benchmarks_of_one_kind_have_names() -> None:
    rows = [row("VOLD", "image", None, 0.5, way=way, benchmark=name) for way in ("sampled", "greedy") for name in ("geo", "maths")]
    rows.append(row("VOLD", "text", None, 0.5))
    found = grids(replace(a_summary(), rows=tuple(rows)))
    assert [grid.way for grid in found] == ["greedy", "sampled"]
    assert [column.group for column in found[0].columns] == ["text", "geo", "maths"]
    assert [column.group for column in found[1].columns] == ["geo", "maths"]


def test_captions_say_floors_seeds_and_what_was_left_out() -> None:
    summary = a_summary()
    said = " ".join(captions(summary, grids(summary)[0]))
    assert "constant guess scores .10" in said
    assert "“last two” .23 over all; “last step” .17 at difficulty 3" in said
    assert "Seed 0." in said
    assert "Cut at the length cap: VOLD 4 of 1200." in said  # text and images, difficulties not counted twice
    assert "Not judged" not in said
    mixed = replace(summary, rows=tuple(replace(one, seeds=(0, 1), unjudged=3) if one.row == "SFT" else one for one in summary.rows))
    said = " ".join(captions(mixed, grids(mixed)[0]))
    assert "SFT seeds 0, 1" in said
    assert "GRPO seed 0" in said
    assert "left out of the accuracy: SFT 6 of 1200." in said


# The page


def test_what_a_model_wrote_is_text_and_nothing_else(run: Path) -> None:
    seen = Page.of(page(run))
    assert not {"script", "think"} & set(seen.tags)
    assert seen.texts["pre"].count(HOSTILE) == len(LABELS)


def test_hostile_names_are_text_too(run: Path) -> None:
    summary = a_summary()
    name = "<script>$x$</script>"
    rows = tuple(replace(one, row=name) if one.row == "VOLD" else one for one in summary.rows)
    save(replace(summary, rows=rows, arms=(replace(summary.arms[1], label=name),)), run / "summary.json")
    seen = Page.of(page(run))
    assert "script" not in seen.tags
    assert seen.texts["text"].count(name) >= 3  # beside the lines of the charts, `$` and all


def test_the_page_needs_nothing_else(run: Path) -> None:
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text()
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in Page.of(text).links)
    assert f"data:image/png;base64,{PNG}" in text
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert text == page(run)


MISSING = {
    "summary.json": ("has not been evaluated", "There are no results yet"),
    "settings.json": (),
    "sft/journal.jsonl": (),
    "joint-vold/journal.jsonl": ("No arm has recorded its log-ratio",),
    "eval": ("No answers were kept",),
}
SENTENCES = {sentence for sentences in MISSING.values() for sentence in sentences}


@pytest.mark.parametrize("gone", MISSING)
def test_a_missing_part_is_said_and_the_others_stay(run: Path, gone: str) -> None:
    whole = Page.of(page(run))
    (run / gone).rename(run.parent / "away")
    text = page(run)
    assert {sentence for sentence in SENTENCES if sentence in text} == set(MISSING[gone])
    left = Page.of(text)
    assert {tag: left.tags.count(tag) for tag in ("section", "h2")} == {tag: whole.tags.count(tag) for tag in ("section", "h2")}
    assert ("SFT loss" in text) == (gone != "sft/journal.jsonl")
    assert ("command line" in text) == (gone != "settings.json")
    assert left.texts.get("pre", []).count(HOSTILE) == (0 if gone == "eval" else len(LABELS))


def test_an_empty_run_is_a_page_and_no_run_is_refused(tmp_path: Path) -> None:
    text = page(tmp_path)
    assert all(sentence in text for sentence in SENTENCES | {"No stage has written a journal yet", "The settings of this run were not found"})
    with pytest.raises(DataError, match="there is no run at"):
        write_report(tmp_path / "nowhere")


def test_a_folder_that_holds_no_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"empty holds no run: it is empty\. Expected settings\.json, .*\. Give the folder of a run, for example"):
        write_report(empty)
    assert not list(empty.iterdir())
    for name in "abcdefg":
        (empty / name).touch()
    with pytest.raises(DataError, match="found a, b, c, d, e and 2 more"):
        write_report(empty)
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "settings.json").write_text("{}")
    with pytest.raises(DataError, match=r"found one, two\. .* Give one of: \S*runs/one, \S*runs/two\.$"):
        write_report(tmp_path / "runs")
    assert not (tmp_path / "runs" / "report.html").exists()


@pytest.mark.parametrize("left", ["settings.json", "summary.json", "sft/journal.jsonl", "joint-vold/journal.jsonl", "eval"])
def test_whatever_a_run_has_left_makes_a_page(run: Path, tmp_path: Path, left: str) -> None:
    partial = tmp_path / "partial"
    (partial / left).parent.mkdir(parents=True)
    (run / left).rename(partial / left)
    assert write_report(partial).is_file()


def test_the_story_and_the_alignment_are_those_of_the_run(run: Path) -> None:
    text = " ".join(page(run).split())
    assert "recipe tiny with seed 7" in text
    assert "4 steps of SFT" in text
    assert "2 arms of 3 steps: GRPO; VOLD" in text
    values = "; ".join(f"{label} {cell.split()[0]}" for label in LABELS for cell in expected_cells(a_summary(), label)[4:5])
    assert f"Zero-shot accuracy on tiny-image (600 problems): {values}." in text
    assert "Zero-shot accuracy on tiny-text" not in text
    assert "Log-ratio to the teacher at step 0: VOLD 0.38" in text
    assert "Not measured: GRPO." in text
    assert "well below 1 nat" in text


# Journals and curves


def test_a_journal_still_being_written_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text('{"step": 0, "values": {"a": 1, "b": null}}\n{"step": 1, "values": {"a": 2}}\n{"step": 2, "val')
    steps = read_journal(path)
    assert [(step.number, step.values["a"]) for step in steps] == [(0, 1.0), (1, 2.0)]
    assert math.isnan(steps[0].values["b"])
    path.write_text('{"step": 0, "values": {}}\n{"step": 1, "val\n{"step": 2, "values": {}}\n')
    with pytest.raises(DataError, match="line 2"):
        read_journal(path)


def a_track(label: str, place: int, **values: list[float]) -> Track:
    columns = {key.replace("__", "/"): numbers for key, numbers in values.items()}
    length = len(next(iter(columns.values())))
    return Track(
        label=label, place=place, steps=tuple(Step(number=n, values={key: numbers[n] for key, numbers in columns.items()}) for n in range(length))
    )


def test_a_distance_counts_only_where_something_was_pulled() -> None:
    track = a_track("VOLD", 0, pull__kl=[0.0, 0.3, math.nan, 0.2], pull__rate=[0.0, 0.5, 0.5, 0.25])
    kl = Quantity(key="pull/kl", title="", meaning="", where_pulled=True)
    assert points_of(track.steps, kl) == ((1, 0.3), (3, 0.2))
    assert points_of(track.steps, replace(kl, where_pulled=False)) == ((0, 0.0), (1, 0.3), (3, 0.2))


def test_charts_show_each_quantity_once_and_each_arm_in_its_own_colour() -> None:
    grpo = a_track("GRPO", 0, reward__mean=[0.5, 0.6], pull__kl=[0.0, 0.0], pull__rate=[0.0, 0.0])
    vold = a_track("VOLD", 1, reward__mean=[0.5, 0.7], pull__kl=[0.3, 0.2], pull__rate=[0.5, 0.4], validation__pictures=[math.nan, 0.4])
    found = {chart.title: chart.svg for chart in charts([], [grpo, vold])}
    assert list(found) == ["Validation: pictures", "Reward", "Distance to the teacher", "Rollouts the teacher speaks on"]
    assert ">GRPO<" in found["Reward"]
    assert ">GRPO<" not in found["Distance to the teacher"]
    for svg in found.values():
        assert re.search(r"fill: var\(--arm-1, #[0-9a-f]{6}\)[^>]*>VOLD<", svg)
    assert "var(--arm-0" in found["Reward"]
    assert "var(--arm-0" not in found["Distance to the teacher"]
    assert "VOLD ends at 0.7" in found["Reward"]


def test_smoothing_keeps_straight_lines_and_ends_and_averages_the_rest() -> None:
    line = tuple((step, 2.0 * step) for step in range(100))
    assert dict(smoothed(line)) == pytest.approx(dict(line))
    spike = tuple((step, float(step == 50)) for step in range(100))
    bold = dict(smoothed(spike))
    assert bold[50] == pytest.approx(1 / 9)
    assert sum(bold.values()) == pytest.approx(1.0)
    few = spike[40:60]
    assert smoothed(few) == few


@pytest.mark.parametrize("heights", [[0.2, 0.8, 0.5], [0.5, 0.5, 0.5], [0.0, 0.01, 0.0], [1.0, 0.99, 0.97, 0.3], [0.5, 0.52, 0.6, 0.62]])
def test_names_beside_lines_stand_apart_in_the_lines_order(heights: list[float]) -> None:
    placed = spread(heights, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(sorted(placed)))
    assert sorted(range(len(heights)), key=lambda n: (heights[n], placed[n])) == sorted(range(len(heights)), key=lambda n: placed[n])
    assert min(placed) >= 0.05 - 1e-9
    assert max(placed) <= 1 + 1e-9
    if min(abs(a - b) for a, b in itertools.combinations(heights, 2)) >= 0.1:
        assert placed == pytest.approx(heights)


# The gallery


def test_cards_show_greedy_answers_on_pictures_in_the_order_of_the_table(run: Path) -> None:
    for place, label in enumerate(LABELS):
        path = run / "eval" / f"row-{9 - place}" / "examples.jsonl"
        text_problem = {"id": "t", "prompt": "a 6 find a ?", "answer": "6", "difficulty": 1, "image": None}
        extra = [
            an_answer(label, 0, "right", way="average", text="sampled"),
            an_answer(label, 2, "right" if place > 2 else "wrong", text="as problem 0"),
            an_answer(label, 3, "wrong", text="again") | {"problem": text_problem},
        ]
        write_lines(path, [*extra[:1], *[json.loads(line) for line in path.read_text().splitlines()], *extra[1:]])
    found = cards(run, LABELS)
    assert [card.prompt for card in found] == ["find a + 0 ?", "find a + 1 ?"]  # disputed first, text and repeated verdicts left out
    assert [answer.label for answer in found[0].answers] == list(LABELS)
    assert [answer.ruling.value for answer in found[0].answers] == ["wrong"] * 3 + ["right"] * 2
    assert {answer.text for answer in found[0].answers} == {HOSTILE}
    assert found[0].shown_width == 168


def test_each_difficulty_has_its_problems(run: Path) -> None:
    def lines(label: str, verdicts: dict[tuple[int, int], str]) -> list[dict[str, Any]]:
        made = [an_answer(label, number, ruling) for (_, number), ruling in verdicts.items()]
        return [one | {"problem": one["problem"] | {"difficulty": k}} for one, (k, _) in zip(made, verdicts, strict=True)]

    for label, rulings in {"SFT": "wrong right right wrong wrong", "VOLD": "wrong wrong right right right"}.items():
        keys = [(5, 0), (5, 1), (5, 2), (1, 3), (1, 4)]
        write_lines(run / "small" / "eval" / label / "examples.jsonl", lines(label, dict(zip(keys, rulings.split(), strict=True))))
    found = cards(run / "small", ["SFT", "VOLD"])
    assert [(card.difficulty, card.prompt[-3]) for card in found] == [(1, "3"), (5, "1"), (5, "0")]


# Progress


def test_a_stage_prints_few_plain_lines_and_its_last_one() -> None:
    out = io.StringIO()
    with Bar("SFT", Console(file=out, width=40)) as bar:
        for done in range(1, 401):
            bar.update(done, 400, f"loss {1 / done:.2f} [over all of the traces there are]")
    lines = out.getvalue().splitlines()
    assert len(lines) == 10
    assert re.fullmatch(r"SFT 40/400 loss 0\.03 \[over all of the traces there are\] \(\d+ s\)", lines[0])
    assert lines[-1].startswith("SFT 400/400 loss 0.00")


def test_a_short_or_resumed_stage_prints_too() -> None:
    out = io.StringIO()
    with Bar("eval", Console(file=out)) as bar:
        bar.update(2, 3)
        bar.update(3, 3)
    assert re.fullmatch(r"eval 2/3 \(\d+ s\)\neval 3/3 \(\d+ s\)\n", out.getvalue())


def test_a_long_stage_says_its_pace_and_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted since the line before, so that what was done in an earlier run makes nobody fast."""
    clock = [0.0]
    monkeypatch.setattr("vold.report.progress.time.monotonic", lambda: clock[0])
    out = io.StringIO()
    with Bar("corpus", Console(file=out, width=200)) as bar:
        bar.update(40_000, 100_000, "prompts answered before")
        for done in range(41_000, 100_001, 1_000):
            clock[0] += 20
            bar.update(done, 100_000, "prompts answered")
    lines = out.getvalue().splitlines()
    assert lines[0] == "corpus 40000/100000 prompts answered before (0 s)"
    assert lines[1] == "corpus 50000/100000 prompts answered (200 s, 50/s, 17 min left)"
    assert lines[-2] == "corpus 90000/100000 prompts answered (1000 s, 50/s, 3 min left)"
    assert lines[-1] == "corpus 100000/100000 prompts answered (1200 s)"


def test_a_terminal_gets_a_bar() -> None:
    out = io.StringIO()
    with Bar("SFT", Console(file=out, force_terminal=True, width=120)) as bar:
        bar.update(7, 9, "loss [bold]0.41")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    assert "7/9" in text
    assert "loss [bold]0.41" in text
    assert "━" in text
