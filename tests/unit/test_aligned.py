"""What is said of an alignment check: every number, the bound that decides, where the scale comes from, and what is not claimed for it."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from vold.config.load import load, recipe_names
from vold.core.closeness import NAMES, Closeness, Estimate
from vold.core.scale import Scale, Score, verdict_of
from vold.report.aligned import NOT_CLAIMED, WORDS, Alignment, Fitted, fitted_of, lines, number, provenance, save, shipped_scale
from vold.wiring.align import resolved_of

DISTANCE = Scale(number="log_ratio", low=0.2, high=1.66, seen=(0.05, 7.7), margin=0.03)
SHARED = Scale(number="overlap@5", low=0.42, high=0.93, seen=(0.1, 0.99), margin=0.02)
SPREAD = {"std": 1.25, "q05": -0.7, "q25": -0.001, "q50": 0.0, "q75": 0.5, "q95": 3.0}


def fitted(scale: Scale, *, rehearsal: bool = False) -> Fitted:
    return Fitted(
        scale=scale,
        fit=Score(cases=42, right=39, always=30, lost=0.004),
        held_out={"budgets": Score(cases=20, right=17, always=12, lost=0.01), "teachers": Score(cases=14, right=8, always=9, lost=0.02)},
        rehearsal=rehearsal,
        source={"budgets": [0, 25, 800], "teachers": ["a", "flawed"], "seeds": [0, 1, 2], "command": "python bench/align_fit.py --write"},
    )


def alignment(value: float, scale: Scale = DISTANCE, *, error: float = 0.02, rehearsal: bool = False) -> Alignment:
    means = {name: Estimate(mean=0.51, error=0.04) for name in NAMES} | {scale.number: Estimate(mean=value, error=error)}
    closeness = Closeness(rollouts=200, tokens=4321, means=means, spread=SPREAD)
    return Alignment(
        student="runs/tiny/sft/model",
        teacher="tiny:teacher-a",
        problems=200,
        truncated=0.035,
        mean_length=21.6,
        closeness=closeness,
        verdict=verdict_of(closeness, scale),
        fitted=fitted(scale, rehearsal=rehearsal),
        facts={"commit": "abc"},
    )


def verdict_in(found: Alignment) -> str:
    [line] = [line for line in lines(found) if line.startswith("verdict: ")]
    return line


# -- the verdict ----------------------------------------------------------------------------------------------------------------------


def test_too_far() -> None:
    told = verdict_in(alignment(4.5))
    assert told.startswith("verdict: too far: its log-ratio to the teacher is 4.50 ± 0.020 nats, above 1.66, ")
    assert "less than 3 points" in told
    assert "More SFT on traces of this very teacher" in told


def test_within_reach() -> None:
    told = verdict_in(alignment(0.38))
    assert told.startswith("verdict: within reach: its log-ratio to the teacher is 0.38 ± 0.020 nats, between 0.20 and 1.66, where VOLD beat GRPO")
    assert "by 3 points of accuracy or more" in told
    assert "within two standard errors" not in told
    assert "extrapolates" not in told


def test_close_already() -> None:
    told = verdict_in(alignment(0.1))
    assert told.startswith("verdict: close already: its log-ratio to the teacher is 0.10 ± 0.020 nats, below 0.20, ")
    assert "little left to bring" in told


def test_what_is_shared_counts_the_other_way_round_and_has_no_unit() -> None:
    assert verdict_in(alignment(0.3, SHARED)).startswith("verdict: too far: its overlap of the top 5 is 0.30 ± 0.020, below 0.42, ")
    assert verdict_in(alignment(0.95, SHARED)).startswith("verdict: close already: its overlap of the top 5 is 0.95 ± 0.020, above 0.93, ")
    assert "less than 2 points" in verdict_in(alignment(0.3, SHARED))


@pytest.mark.parametrize(
    ("low", "high", "words"), [(None, 1.66, "not above 1.66"), (0.2, None, "not below 0.20"), (None, None, "where every run of the fit was")]
)
def test_an_open_end_is_told_as_such(low: float | None, high: float | None, words: str) -> None:
    assert words in verdict_in(alignment(0.5, replace(DISTANCE, low=low, high=high)))


def test_a_close_call_and_a_student_beyond_all_runs_are_told() -> None:
    assert "ask again with more problems" in verdict_in(alignment(1.64))
    assert "The runs of the fit had 0.050 to 7.70, so this extrapolates." in verdict_in(alignment(9.0))


# -- the page -------------------------------------------------------------------------------------------------------------------------


def test_every_number_is_on_the_page() -> None:
    page = lines(alignment(0.38))
    assert set(WORDS) == set(NAMES)
    assert page[0] == "runs/tiny/sft/model against tiny:teacher-a, at the 4,321 tokens of 200 rollouts of 200 problems (mean length 22, 4 % cut off):"
    for name in NAMES:
        [line] = [line for line in page if line.startswith(f"  {WORDS[name]} ")]
        assert line.endswith(" nats") == ("@" not in name)
    assert "  spread of the log-ratio                1.25 nats; -0.70 at 5 %, -0.001 at 25 %, 0.000 at 50 %, 0.50 at 75 %, 3.00 at 95 %" in page


def test_the_page_ends_with_where_the_scale_comes_from_and_what_is_not_claimed() -> None:
    *_, source, last = lines(alignment(0.38))
    assert last == NOT_CLAIMED
    assert "laptop world" in last
    assert "not claimed for models of 3B" in last
    assert source == (
        "scale: 39 of 42 runs judged rightly (saying the same of all: 30) in the fit (SFT budgets 0, 25, 800, teachers a, flawed, seeds 0, 1, 2); "
        "17 of 20 runs judged rightly (saying the same of all: 12) with budgets held out; "
        "8 of 14 runs judged rightly (saying the same of all: 9) with teachers held out."
    )


def test_a_rehearsal_says_so() -> None:
    assert "rehearsal" not in provenance(fitted(DISTANCE))
    assert provenance(fitted(DISTANCE, rehearsal=True)).endswith("its bounds are not to be relied on even here.")


@pytest.mark.parametrize(
    ("value", "text"), [(1.005, "1.00"), (0.0421, "0.042"), (-0.0001, "0.000"), (0.0, "0.000"), (-0.7, "-0.70"), (12.0, "12.00")]
)
def test_numbers_as_they_are_printed(value: float, text: str) -> None:
    assert number(value) == text


def test_an_unknown_error_is_left_out() -> None:
    assert "is 0.38 nats, between" in verdict_in(alignment(0.38, error=math.nan))


def test_a_verdict_between_runs_of_the_fit_says_so() -> None:
    gapped = replace(DISTANCE, gaps=((0.1, 0.3), (1.2, 2.1)))
    (told,) = (line for line in lines(alignment(1.5, gapped)) if line.startswith("verdict: "))
    assert "No run of the fit lay between 1.20 and 2.10, so the bound is a guess here." in told
    assert "a guess" not in "".join(lines(alignment(0.5, gapped)))


# -- files ----------------------------------------------------------------------------------------------------------------------------


def test_the_file_holds_numbers_thresholds_and_words(tmp_path: Path) -> None:
    found = alignment(0.38, error=math.nan, rehearsal=True)
    path = save(found, tmp_path)
    assert path == tmp_path / "alignment.json"
    told = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    value = {"mean": 0.38, "error": None}
    assert told["verdict"] == {"standing": "within reach", "value": value, "unsure": False, "unseen": False, "gap": None}
    assert told["fitted"]["scale"] == {"number": "log_ratio", "low": 0.2, "high": 1.66, "seen": [0.05, 7.7], "margin": 0.03, "gaps": []}
    assert told["fitted"]["rehearsal"] is True
    assert told["closeness"]["spread"] == SPREAD
    assert (told["not_claimed"], told["words"], told["facts"]) == (NOT_CLAIMED, lines(found), {"commit": "abc"})
    assert fitted_of(told["fitted"]) == found.fitted


def test_the_shipped_scale_says_where_it_comes_from() -> None:
    shipped = shipped_scale()
    assert shipped.scale.number == "log_ratio"
    assert shipped.scale.seen[0] < shipped.scale.seen[1]
    assert shipped.scale.low is not None or shipped.scale.high is not None
    assert {"budgets", "teachers"} == set(shipped.held_out)
    assert {"command", "commit", "versions", "hardware", "budgets", "teachers", "seeds", "held_out", "outcome"} <= set(shipped.source)
    assert "bench/align_fit.py" in shipped.source["command"]
    assert shipped.rehearsal == ("--quick" in shipped.source["command"])
    if not shipped.rehearsal:
        assert len(shipped.source["budgets"]) >= 5
        assert len(shipped.source["teachers"]) >= 2


@pytest.mark.parametrize("name", recipe_names())
def test_settings_come_back_as_they_were_written(name: str, tmp_path: Path) -> None:
    settings = load(name).settings
    record = {"values": settings.model_dump(mode="json", by_alias=True), "sources": {"seed": f"recipe {name}"}}
    (tmp_path / "settings.json").write_text(json.dumps(record))
    assert resolved_of(tmp_path).settings == settings
