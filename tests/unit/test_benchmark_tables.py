"""Scores on disk, and the tables made of them: what stands where, what is said below, and that no word from outside becomes markup."""

import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.scores import accuracy, benchmark, mathvision, scores, units

from vold.base.errors import DataError
from vold.core.measures import Measure
from vold.core.stats import wilson
from vold.report import benchmark_tables as tables
from vold.report import escaping
from vold.report.benchmark_grid import Entry, details, labels, overviews
from vold.report.benchmarks import Broken, Scores, load, save
from vold.report.paper_numbers import PRINTED, TARGETS

EIGHT_OF_TEN = [1] * 8 + [0] * 2
HOSTILE = "<script>alert(1)</script> [red]x[/red] | `y` \x1b[31m \u202e *z*\n=A1"
VERSIONS = ("Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only")


def mathverse(values: list[int]) -> Any:
    """Two problems in five versions each."""
    whole = accuracy("mathverse", values, cluster=5)
    parts = [Measure(metric="accuracy", part=f"problem_version: {name}", units=whole.units[at::5]) for at, name in enumerate(VERSIONS)]
    return benchmark("mathverse", "MathVerse", whole, *parts)


def mme() -> Any:
    subtasks = {"count": "perception", "code": "cognition"}
    every = tuple(unit for name in subtasks for unit in units(f"mme/{name}", [200, 50, 0, 150], stratum=name))
    sides = [
        Measure(metric="score", part=side, units=tuple(u for u in every if u.stratum == name), weights={name: 1.0}, high=200.0)
        for name, side in subtasks.items()
    ]
    return benchmark("mme", "MME", Measure(metric="score", units=every, weights=dict.fromkeys(subtasks, 1.0), high=200.0), *sides)


def rows_of(text: str) -> list[list[str]]:
    """The cells of a Markdown table."""
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line.startswith("|")]


# --- the file


def test_scores_survive_the_disk(tmp_path: Path) -> None:
    kept = scores(
        "ours",
        mathverse([1, 0] * 5),
        mme(),
        mathvision([0.5, 0.25], broken=(Broken(id="mathvision/9", why="no image"),), overlaps=None, samples=4, way="sampled", closed=1),
        settings={"engine": {"tokens": 8192}},
        contaminated=("mathvista",),
    )
    save(kept, tmp_path / "scores.json")
    found = load(tmp_path)
    assert found.model == kept.model
    assert found.settings == kept.settings
    assert [replace(one, measures=()) for one in found.benchmarks] == [replace(one, measures=()) for one in kept.benchmarks]
    for one, other in zip(found.benchmarks, kept.benchmarks, strict=True):
        assert [(m.metric, m.part, m.units, dict(m.weights)) for m in one.measures] == [
            (m.metric, m.part, m.units, dict(m.weights)) for m in other.measures
        ]
    assert json.loads((tmp_path / "scores.json").read_text())["schema"] == 1


BROKEN = [
    ('"value": 1.0', '"value": "1"', r"measures\.0\.units\.0\.value is '1'"),
    ('"value": 1.0', '"value": true', "units.0.value is True"),
    ('"value": 1.0', '"value": NaN', "not a finite number"),
    ('"rows": 2', '"rows": -2', "rows is -2"),
    ('"rows": 2', '"rows": 2.5', "rows is 2.5"),
    ('"schema": 1', '"schema": 7', "schema 7"),
    ('"images_in_tuning": "no"', '"images_in_tuning": "perhaps"', "images_in_tuning is 'perhaps'"),
    ('"mode": "strict", ', "", "field required"),
    ('"id": "mathvision/1"', '"id": "mathvision/0"', "unit 'mathvision/0' twice"),
    ('{"id": "mathvision/1", ', '{"id": "mathvision/1", "stratum": "x", ', "units of 'x'"),
    ("{", "", "not JSON"),
]


@pytest.mark.parametrize(("old", "new", "said"), BROKEN)
def test_files_that_are_not_scores_are_refused(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    save(scores("ours", mathvision([1, 0])), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=said):
        load(path)


def test_no_file_and_no_object(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="evaluate it first"):
        load(tmp_path)
    (tmp_path / "scores.json").write_text("[1]")
    with pytest.raises(DataError, match="has a list"):
        load(tmp_path)
    with pytest.raises(DataError, match="2 times"):
        save(scores("ours", mathvision([1]), mathvision([0])), tmp_path / "twice.json")


# --- the table of all benchmarks


def test_the_shape_of_table_1() -> None:
    ours = scores("ours", benchmark("gsm8k", "GSM8K", accuracy("gsm8k", [1, 1, 0, 0]), modality="text"), mathvision(EIGHT_OF_TEN))
    base = scores("base", mathvision([1, 0] * 5), images_in_tuning="–")
    assert overviews([ours])[0].columns == ("MathVision", "GSM8K"), "images before text"
    low, high = (f"{100 * end:.1f}" for end in wilson(0.8, 10))
    head, _, *body = rows_of(tables.markdown([base, ours]))
    assert head == ["model", "images in tuning", "MathVision", "GSM8K"]
    assert body[0][:2] == ["base", "–"]
    assert body[0][3] == "–"
    assert body[1] == ["ours", "no", rf"80.0 \[{low} {high}\]", r"50.0 \[15.0 85.0\]"]
    assert ["paper: VOLD", "no", "28.0", "–"] in body
    assert body[-1] == ["items", "", "10", "4"]


def test_scoring_and_way_are_in_the_title_and_never_mixed() -> None:
    both = scores("ours", mathvision([1, 1]), mathvision([0, 0], mode="official-rule"), mathvision([0.5, 0.5], way="sampled", samples=8))
    assert [board.title for board in overviews([both])] == [
        "Zero-shot results, scoring strict, greedy",
        "Zero-shot results, scoring official-rule, greedy",
        "Zero-shot results, scoring strict, sampled, 8 answers an item",
    ]
    assert [board.lines[0].entries[0].value for board in overviews([both]) if board.lines[0].entries[0]] == [1.0, 0.0, 0.5]


def test_the_papers_numbers_stand_only_beside_what_they_measure() -> None:
    """Its MathVerse is Vision Only, its MME is printed by halves."""
    (board,) = overviews([scores("ours", mathverse([1, 1, 1, 1, 0] * 2), mme())])
    paper = next(line for line in board.lines if line.labels[0] == "paper: VOLD")
    found = {title: entry and entry.scale * entry.value for title, entry in zip(board.columns, paper.entries, strict=True)}
    assert found == {
        "MathVerse": None,
        "MathVerse, Vision Only": pytest.approx(37.9),
        "MME, score": None,
        "MME, score, perception": 1530.0,
        "MME, score, cognition": 738.0,
    }
    (without,) = overviews([scores("ours", benchmark("mathverse", "MathVerse", accuracy("mathverse", [1, 0])))])
    assert not any(line.printed for line in without.lines)
    assert any("The paper's MathVerse: not shown" in note for note in without.notes)
    assert "paper" not in tables.plain([scores("ours", mathvision([1]))], paper=False)


def test_the_papers_numbers_as_printed() -> None:
    """Sums over Table 1, so that a slip of a digit is seen."""
    sums = [round(sum(row.values[heading] for heading in row.values if not heading.startswith(("MME", "MMStar ", "Hall"))), 1) for row in PRINTED]
    assert sums == [303.2, 326.3, 258.6, 263.9, 342.5, 102.1]
    assert all(set(row.values) <= {target.heading for target in TARGETS} for row in PRINTED)
    base, vold = PRINTED[0], PRINTED[4]
    # the halves average to the whole of MMStar
    assert sum(base.values[f"MMStar {half}"] for half in ("perception", "reasoning")) / 2 == pytest.approx(base.values["MMStar"], abs=0.051)
    assert sum(vold.values[f"MMStar {half}"] for half in ("perception", "reasoning")) / 2 == pytest.approx(vold.values["MMStar"], abs=0.051)


def test_contamination_is_marked_and_explained() -> None:
    told, by_title, found, clean = (
        scores("told", mathvision([1, 0]), contaminated=("mathvision",)),
        scores("told by its title", mathvision([1, 0]), contaminated=("MathVision",)),
        scores("found", mathvision([1, 0], overlaps=1)),
        scores("clean", mathvision([1, 0])),
    )
    text = tables.plain([told, by_title, found, clean], paper=False)
    assert [("‡" in line) for line in text.splitlines() if line.startswith(("told", "found", "clean"))] == [True, True, True, False]
    assert "‡ trained on part of the evaluation set." in text
    assert "Questions that are among the training prompts: found: MathVision 1 of 2." in text
    assert "‡" not in tables.plain([clean], paper=False)
    assert "Not searched for among training prompts: clean." in tables.plain([scores("clean", mathvision([1], overlaps=None))], paper=False)
    printed = tables.plain([scores("clean", benchmark("mathvista", "MathVista", accuracy("mathvista", [1])))])
    assert "62.7‡" in printed
    assert "61.9‡" not in printed


def test_a_benchmark_is_known_by_what_it_is_whatever_it_is_called() -> None:
    """Settings may call MathVista "hard": the mark and the paper's numbers are MathVista's all the same."""
    renamed = benchmark("hard", "MathVista", accuracy("hard", [1, 0]), kind="mathvista")
    text = tables.plain([scores("ours", renamed, contaminated=("MathVista",))])
    assert "‡" in next(line for line in text.splitlines() if line.startswith("ours"))
    assert "62.7‡" in text


def test_what_is_not_known_is_not_called_none() -> None:
    """Of somebody's responses nobody knows which were cut; and some rows may have none."""
    (board,) = overviews([scores("given", mathvision([1] * 2, rows=500, truncated=None))])
    assert "Cut at the length cap: not known of given." in board.notes
    assert "Rows without an answer, left out of the numbers: given: MathVision 498 of 500." in board.notes
    assert not any("none of" in note for note in board.notes if note.startswith("Cut"))


def test_what_is_left_out_is_said() -> None:
    broken = tuple(Broken(id=f"mathvision/{at}", why="the image cannot be opened") for at in range(5))
    one = scores("ours", mathvision([1] * 20, rows=25, broken=broken, truncated=3, unextracted=2, unjudged=1, closed=4))
    (board,) = overviews([one])
    assert "Cut at the length cap: ours: MathVision 3 of 20 (15.0 %)." in board.notes
    assert "Nothing extracted, counted as wrong: ours: MathVision 2 of 20 (10.0 %)." in board.notes
    assert "Not judged, left out of the numbers: ours: MathVision 1 of 20 (5.0 %)." in board.notes
    assert "Thinking ended for the model at its budget: ours: MathVision 4 of 20 (20.0 %)." in board.notes
    named = next(note for note in board.notes if note.startswith("Broken rows"))
    assert "MathVision 5 of 25 (mathvision/0: the image cannot be opened; " in named
    assert named.endswith("; 2 more).")
    assert "mathvision/4" in "".join(details([one])[0].notes), "a benchmark's own table names more of them"
    clean = overviews([scores("ours", mathvision([1] * 20))])[0].notes
    assert "Cut at the length cap: none of 20 answers." in clean, "the rate is always told"
    assert not any(note.startswith(("Broken", "Not judged")) for note in clean)


def test_which_intervals_are_robust_is_said() -> None:
    (board,) = overviews([scores("ours", mathvision([1, 0]), mathverse([1, 0] * 5))])
    assert "share a seed question, or over several means, in MathVerse." in board.notes[0]
    assert board.notes[0].startswith("In percent. ")
    assert overviews([scores("ours", mme())])[0].notes[0].startswith("In percent, MME in points.")


def test_models_of_one_name_are_told_apart() -> None:
    same = [scores("VOLD", mathvision([1])), scores("VOLD", mathvision([0]), style="official"), scores("other", mathvision([0]))]
    assert labels(same) == ["VOLD (reasoning)", "VOLD (official)", "other"]
    assert labels([same[0], same[0]]) == ["VOLD (reasoning) #1", "VOLD (reasoning) #2"]
    assert "Prompt styles: VOLD (reasoning) reasoning; VOLD (official) official; other reasoning." in overviews(same)[0].notes


def test_a_number_that_cannot_be_made_is_no_zero() -> None:
    half = Measure(metric="accuracy", units=units("mmmu-pro", [1, 0], stratum="vision"), weights={"vision": 0.5, "standard-10": 0.5})
    (board,) = overviews([scores("ours", benchmark("mmmu-pro", "MMMU-Pro", half), benchmark("empty", "Empty", accuracy("empty", [])))])
    assert [tables.bracketed(entry) for entry in board.lines[0].entries] == ["–", "–"]


# --- a benchmark's own table


def test_all_parts_of_a_benchmark() -> None:
    ours, base = (scores(label, mathverse(values)) for label, values in (("ours", [1, 1, 1, 1, 0] * 2), ("base", [0, 0, 0, 0, 1] * 2)))
    text = tables.markdown([base, ours], parts=True).split("**MathVerse")[1]
    head, _, *body = rows_of(text)
    assert head[:5] == ["metric", "part", "items", "base", "ours"]
    assert [line[1] for line in body] == ["all", *(rf"problem\_version: {name}" for name in VERSIONS)]
    assert [line[2] for line in body] == ["10", *["2"] * 5]
    assert body[5][3].startswith("100.0 ")
    assert body[5][head.index("paper: VOLD")] == "37.9"
    assert body[0][head.index("paper: VOLD")] == "–"


# --- the places it is shown in


def test_a_narrow_terminal_gets_every_column() -> None:
    names = [("mathvision", "MathVision"), ("mathvista", "MathVista"), ("dynamath", "DynaMath"), ("logicvista", "LogicVista"), ("mmstar", "MMStar")]
    ours = scores("ours", *(benchmark(name, title, accuracy(name, [1, 0, 1])) for name, title in names))
    for width in (60, 90, 300):
        console = Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)
        tables.show([ours], console)
        text = console.file.getvalue()  # type: ignore[attr-defined]
        shown = text.split("In percent")[0]
        assert all(title in shown for _, title in names)
        assert max(map(len, shown.splitlines())) <= width
        assert ("±" in shown) == (width < 300)
    logged = Console(file=io.StringIO(), width=60)
    tables.show([ours], logged)
    assert logged.file.getvalue().strip() == tables.plain([ours])  # type: ignore[attr-defined]


def test_the_spreadsheets() -> None:
    ours = scores("=HYPERLINK(1)", mathvision(EIGHT_OF_TEN, overlaps=2), mme())
    rows = list(csv.DictReader(io.StringIO(tables.csv([ours]))))
    assert rows[0]["model"] == "'=HYPERLINK(1)", "a spreadsheet must not run it"
    assert (rows[0]["scoring"], rows[0]["way"]) == ("strict", "greedy")
    assert rows[0]["MathVision"] == "80.0000"
    assert float(rows[0]["MathVision low"]) == pytest.approx(100 * wilson(0.8, 10)[0], abs=1e-4)
    assert (rows[0]["MathVision n"], rows[0]["MathVision contaminated"], rows[0]["MME, score"]) == ("10", "yes", "200.0000")
    paper = next(row for row in rows if row["model"] == "paper: VOLD")
    assert (paper["MathVision"], paper["MathVision low"], paper["MME, score"]) == ("28.0000", "", "")
    long = list(csv.DictReader(io.StringIO(tables.csv_of_parts([ours], paper=False))))
    assert [(row["benchmark"], row["part"], row["value"]) for row in long] == [
        ("MathVision", "all", "80.0000"),
        ("MME", "all", "200.0000"),
        ("MME", "perception", "100.0000"),
        ("MME", "cognition", "100.0000"),
    ]


COUNTED = ("answers", "truncated", "unextracted", "unjudged", "broken")


def test_the_spreadsheets_say_what_was_left_out() -> None:
    """The counts of JSON, once a benchmark where a line is a model, on each of its lines where a line is a number; also of what has no number."""
    cut = {"truncated": 3, "unextracted": 2, "unjudged": 1, "rows": 12, "broken": (Broken(id="a", why="b"), Broken(id="c", why="d"))}
    ours = scores("ours", mathvision(EIGHT_OF_TEN, **cut), mathverse([1, 0] * 5))
    other = scores("other", mathvision([], answers=4, unjudged=4, truncated=None))
    (first, second, *printed) = csv.DictReader(io.StringIO(tables.csv([ours, other])))
    assert [first[f"MathVision {count}"] for count in COUNTED] == ["10", "3", "2", "1", "2"]
    assert [first[f"MathVerse {count}"] for count in COUNTED] == ["10", "0", "0", "0", "0"]
    assert [second[f"MathVision {count}"] for count in COUNTED] == ["4", "", "0", "4", "0"]
    assert (second["MathVision"], second["MathVision n"], second["MathVerse answers"]) == ("", "", "")
    assert printed
    assert {row[f"{title} {count}"] for row in printed for title in ("MathVision", "MathVerse") for count in COUNTED} == {""}
    assert sum(head.endswith(" truncated") for head in first) == 2, "a benchmark counts once, however many numbers it has"
    long = list(csv.DictReader(io.StringIO(tables.csv_of_parts([ours, other]))))
    told = {(row["benchmark"], row["model"], row["value"] != ""): [row[count] for count in COUNTED] for row in long}
    assert told["MathVision", "ours", True] == ["10", "3", "2", "1", "2"]
    assert told["MathVision", "other", False] == ["4", "", "0", "4", "0"]
    assert told["MathVerse", "ours", True] == ["10", "0", "0", "0", "0"]
    assert told["MathVision", "paper: VOLD", True] == [""] * 5
    assert {len(row) for row in csv.reader(io.StringIO(tables.csv_of_parts([ours, other])))} == {16}


def test_entries_in_words() -> None:
    entry = Entry(value=0.621, low=0.59, high=0.66, share=True, mark=True, n=100)
    assert (tables.bracketed(entry), tables.plus_minus(entry)) == ("62.1‡ [59.0 66.0]", "62.1‡ ±3.9")
    assert tables.bracketed(Entry(value=1530.0, share=False, mark=False)) == "1530.0"
    assert tables.bracketed(None) == "–"


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile() -> Scores:
    """Everything that comes from outside says something unfriendly."""
    measure = accuracy("x", [1, 0], part=f"subject: {HOSTILE}")
    one = benchmark("x", HOSTILE, accuracy("x", [1, 0]), measure, rows=3, broken=(Broken(id=HOSTILE, why=HOSTILE),), truncated=1)
    return scores(HOSTILE, one, style=HOSTILE)


def test_no_word_becomes_markup() -> None:
    html = Tags()
    html.feed(str(tables.html([hostile()])))
    assert html.tags <= set("details summary h3 div table thead tbody tr th td span b ul li".split())
    assert "<script>alert(1)</script>" in html.text
    page = tables.markdown([hostile()], parts=True)
    assert "<script" not in page
    assert r"\[red\]x\[/red\] \| \`y\`" in page
    assert {len(row) for row in rows_of(page.split("**")[2])} == {3}, "no label adds a column"
    for text in (page, tables.plain([hostile()], parts=True), tables.csv([hostile()]), str(tables.html([hostile()]))):
        assert "\x1b" not in text
        assert "\u202e" not in text
    console = Console(file=io.StringIO(), force_terminal=True, width=200, color_system=None)
    tables.show([hostile()], console, parts=True)
    assert "[red]x[/red]" in console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[31m" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_one_line() -> None:
    assert escaping.one_line(" a\n b\t\x07 é π ") == r"a b \x07 é π"
    assert escaping.markdown("a_b <i> & |") == r"a\_b &lt;i&gt; &amp; \|"
    assert escaping.csv("-1+cmd") == "'-1+cmd"
    assert escaping.shortened("x" * 100, 10) == "x" * 9 + "…"


def test_nothing_yet() -> None:
    assert tables.plain([]) == tables.markdown([]) == tables.NOTHING
    assert str(tables.html([])) == ""
