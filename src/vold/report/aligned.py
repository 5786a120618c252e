"""What an alignment check has found, in words: the numbers, the verdict, and how far its scale may be trusted."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vold.base.files import write_json
from vold.core.closeness import QUANTILES, TOPS, Closeness, Estimate
from vold.core.scale import Scale, Score, Standing, Verdict
from vold.report.files import read_object

FILE = "alignment.json"
SCHEMA = 1

NOT_CLAIMED = (
    "The scale was fitted in the laptop world, on models of less than half a million parameters with some sixty words. It is not claimed for models "
    "of 3B or of any other size: there read the numbers, compare them before and after more SFT, and leave the verdict aside."
)

WORDS = {
    "log_ratio": "log-ratio to the teacher",
    "teacher_nll": "teacher's NLL",
    "kl": "KL(student ‖ teacher)",
    "teacher_entropy": "teacher's entropy",
    "student_entropy": "student's entropy",
    **{f"overlap@{k}": f"overlap of the top {k}" for k in TOPS},
    **{f"shared_mass@{k}": f"student's mass on the shared top {k}" for k in TOPS},
}
"""What each number is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A scale and where it comes from. `rehearsal`: by a grid too small for its bounds to mean much."""

    scale: Scale
    fit: Score
    held_out: Mapping[str, Score]
    """By what was held out: the SFT budgets, the teachers."""
    rehearsal: bool
    source: Mapping[str, Any]
    """Command, commit, versions, hardware, and the budgets, teachers and seeds of the grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """A student, a teacher, and what a check says of the two."""

    student: str
    teacher: str
    problems: int
    truncated: float
    mean_length: float
    closeness: Closeness
    verdict: Verdict
    fitted: Fitted
    facts: Mapping[str, Any]
    """Digests of both models, settings of the check, versions, hardware, commit."""

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"schema": SCHEMA, **asdict(self), "not_claimed": NOT_CLAIMED, "words": lines(self)}
        plain: dict[str, Any] = without_nan(found)
        return plain


def save(alignment: Alignment, root: Path) -> Path:
    """Write `alignment.json` in the run's folder, whole or not at all."""
    write_json(root / FILE, alignment.to_json())
    return root / FILE


def kept_words(run: Path) -> list[str]:
    """The page of a run's check as it was written, by `vold align` or before its joint stage; empty where there was none."""
    found = read_object(run / FILE) or read_object(run / "alignment" / FILE) or {}
    return [str(line) for line in found.get("words", [])]


def shipped_scale() -> Fitted:
    """The scale that comes with the package."""
    return fitted_of(json.loads(resources.files("vold.report").joinpath("alignment_scale.json").read_text(encoding="utf-8")))


def fitted_of(record: Mapping[str, Any]) -> Fitted:
    """What `asdict` made of a fitted scale."""
    scale = dict(record["scale"])
    pairs = {"seen": tuple(scale["seen"]), "gaps": tuple((low, high) for low, high in scale["gaps"])}
    return Fitted(
        scale=Scale(**{**scale, **pairs}),
        fit=Score(**record["fit"]),
        held_out={name: Score(**score) for name, score in record["held_out"].items()},
        rehearsal=record["rehearsal"],
        source=record["source"],
    )


def without_nan(value: Any) -> Any:
    """The same with None where a number is not one: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {key: without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def lines(alignment: Alignment) -> list[str]:
    """The page as plain lines."""
    a, c = alignment, alignment.closeness
    spread = ", ".join(f"{number(c.spread[f'q{round(100 * q):02d}'])} at {round(100 * q)} %" for q in QUANTILES)
    found = [
        f"{a.student} against {a.teacher}, at the {c.tokens:,} tokens of {c.rollouts} rollouts of {a.problems} problems "
        f"(mean length {a.mean_length:.0f}, {100 * a.truncated:.0f} % cut off):"
    ]
    found += [f"  {WORDS[name]:38} {estimate_of(name, value)}" for name, value in c.means.items()]
    found += [f"  {'spread of the log-ratio':38} {c.spread['std']:.2f} nats; {spread}"]
    return [*found, f"verdict: {said(a.verdict, a.fitted.scale)}", provenance(a.fitted), NOT_CLAIMED]


def number(value: float) -> str:
    """Two places, or three where that leaves too little; without a minus before nothing."""
    text = f"{value:.{3 if abs(value) < 0.1 else 2}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def estimate_of(name: str, value: Estimate) -> str:
    unit = "" if "@" in name else " nats"
    error = "" if math.isnan(value.error) else f" ± {number(value.error)}"
    return f"{number(value.mean)}{error}{unit}"


def said(verdict: Verdict, scale: Scale) -> str:
    """The verdict with its number and its bounds, and what follows from it."""
    margin = f"{100 * scale.margin:.0f} points of accuracy"
    measured = f"its {WORDS[scale.number]} is {estimate_of(scale.number, verdict.value)}"
    match verdict.standing:
        case Standing.FAR:
            where = f"{beyond(scale, far=True)}, from where on the pull brought less than {margin}"
            advice = "More SFT on traces of this very teacher comes before the joint stage; without, expect no more of VOLD than of GRPO."
        case Standing.CLOSE:
            where = f"{beyond(scale, far=False)}, from where on the pull brought less than {margin}"
            advice = "The student already says what the teacher would, and the pull has little left to bring; expect no more of VOLD than of GRPO."
        case Standing.WITHIN:
            where = f"{between(scale)}, where VOLD beat GRPO by {margin} or more"
            advice = "Expect the pull to help."
    sure = " The bound is within two standard errors: ask again with more problems." if verdict.unsure else ""
    span = f"{number(scale.seen[0])} to {number(scale.seen[1])}"
    seen = f" The runs of the fit had {span}, so this extrapolates." if verdict.unseen else ""
    gap = (
        f" No run of the fit lay between {number(verdict.gap[0])} and {number(verdict.gap[1])}, so the bound is a guess here." if verdict.gap else ""
    )
    return f"{verdict.standing}: {measured}, {where}. {advice}{sure}{gap}{seen}"


def beyond(scale: Scale, *, far: bool) -> str:
    """On which side of its bound a student is that is too far, or close already."""
    bound = scale.far if far else scale.near
    assert bound is not None, "nobody stands beyond a bound that is not there"
    return f"{'below' if far == scale.closer_is_higher else 'above'} {number(bound)}"


def between(scale: Scale) -> str:
    """Where the pull helped, as an interval that may be open at an end."""
    if scale.low is not None and scale.high is not None:
        return f"between {number(scale.low)} and {number(scale.high)}"
    if scale.low is not None:
        return f"not below {number(scale.low)}"
    return "where every run of the fit was" if scale.high is None else f"not above {number(scale.high)}"


def provenance(fitted: Fitted) -> str:
    """On how many runs the scale was fitted, how it did there and on runs it had not seen, and whether that was a rehearsal."""
    grid = ", ".join(f"{name} {', '.join(map(str, fitted.source[name]))}" for name in ("budgets", "teachers", "seeds"))
    tried = "; ".join(f"{_score(score)} with {name} held out" for name, score in fitted.held_out.items())
    told = f"scale: {_score(fitted.fit)} in the fit (SFT {grid}); {tried or 'no run was held out'}."
    rehearsal = " So far it comes from the quick grid, a rehearsal with a shortened joint stage: its bounds are not to be relied on even here."
    return told + (rehearsal if fitted.rehearsal else "")


def _score(score: Score) -> str:
    guessed = f"; {score.guessed} of its mistakes where no run of the fit lay" if score.guessed else ""
    return f"{score.right} of {score.cases} runs judged rightly (saying the same of all: {score.always}{guessed})"
