"""HallusionBench: yes-or-no questions on original and edited figures, counted one by one, by whole figures, and by questions over all figures."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import strict, tables
from vold.adapters.benchmarks.spec import Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, picture_of, text_of
from vold.base.types import Item
from vold.core.measures import Measure, Unit

_SIGNS = ';/[]"{}()=+\\_->@<`,?!'
_GROUPED = re.compile(r"\d,\d")
_STOP = re.compile(r"\.(?!\d)")
_STOPS = 32
"""How many full stops the rule takes away: an accident of the original that is kept."""
DIRECTLY = "{question}\nPlease answer yes or no."


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001 - the row says all there is
    category, kind = text_of(row.get("category"), "category"), text_of(row.get("subcategory"), "subcategory")
    family, figure, number = (_name(row.get(name), name) for name in ("set_id", "figure_id", "question_id"))
    answer = _name(row.get("gt_answer"), "gt_answer")
    if answer not in ("0", "1"):
        raise BadRow(f"gt_answer is neither 0 nor 1: {answer[:60]!r}")
    seen = row.get("image") is not None
    if not seen and _name(row.get("visual_input"), "visual_input") != "0":
        raise BadRow("no image")
    place = f"{category}/{kind}/{family}"
    return Item(
        id=f"hallusionbench/{place}/{figure}/{number}",
        question=text_of(row.get("question"), "question"),
        answer="Yes" if answer == "1" else "No",
        images=(picture_of(row["image"], folder),) if seen else (),
        facts={"figure": f"{place}/{figure}" if seen else "", "question": f"{place}/{number}"},
        parts={"category": category, "subcategory": f"{category} {kind}"},
        cluster=place,
    )


def _name(value: Any, field: str) -> str:
    said = answer_of(value)
    if said is None:
        raise BadRow(f"no {field}")
    return said


def ask(item: Item, style: Style) -> str:
    return DIRECTLY.format(question=item.question) if style is Style.DIRECT else item.question


def extract(item: Item, response: str) -> str | None:  # noqa: ARG001
    """The one of the words yes and no that occurs, in any case; None where both or neither do."""
    words = set(_without_signs(response.lower()).split())
    found = [word for word in ("yes", "no") if word in words]
    return found[0] if len(found) == 1 else None


def _without_signs(text: str) -> str:
    """A sign goes where it stands beside a blank anywhere, or where digits are grouped by commas; otherwise it becomes a blank."""
    grouped, out = _GROUPED.search(text) is not None, text
    for sign in _SIGNS:
        if sign in out:
            out = out.replace(sign, "" if grouped or f"{sign} " in text or f" {sign}" in text else " ")
    return _STOP.sub("", out, count=_STOPS)


def accepts(item: Item, extracted: str | None) -> bool:
    return extracted is not None and extracted.strip().lower() == item.answer.lower()


WAYS: Mapping[str, Callable[[Item], str]] = {
    "aAcc": lambda item: item.id,
    "fAcc": lambda item: item.facts["figure"],
    "qAcc": lambda item: item.facts["question"],
}
"""What has to be right as a whole, by metric."""


def measures(graded: Sequence[Graded]) -> Sequence[Measure]:
    """The mean of the three accuracies, each of them, and the accuracy of every category and subcategory."""
    found = {metric: wholes(graded, metric) for metric in WAYS}
    mean = Measure(metric="mean of aAcc, fAcc, qAcc", units=sum(found.values(), ()), weights=dict.fromkeys(WAYS, 1 / 3))
    each = [Measure(metric=metric, units=units, weights={metric: 1.0}) for metric, units in found.items()]
    return [mean, *each, *tables.accuracy(graded, parts=("category", "subcategory"))[1:]]


def wholes(graded: Sequence[Graded], metric: str) -> tuple[Unit, ...]:
    """One unit a question, figure, or question over all its figures: the share of samples in which everything of it is right.

    A sample with something unjudged counts where something else in it is wrong; otherwise it is left out.
    """
    samples: dict[str, dict[int, list[Graded]]] = {}
    for one in graded:
        if name := WAYS[metric](one.item):
            samples.setdefault(name, {}).setdefault(one.sample, []).append(one)
    units = []
    for name, by_sample in samples.items():
        rights = [[one.right for one in ones] for ones in by_sample.values()]
        known = [all(ones) for ones in rights if False in ones or None not in ones]
        if known:
            seed = next(iter(by_sample.values()))[0].item.cluster
            units.append(Unit(id=f"{metric}/{name}", value=sum(known) / len(known), cluster=seed, stratum=metric))
    return tuple(units)


SPEC = Spec(
    name="hallusionbench",
    title="HallusionBench",
    modality="image",
    hub="lmms-lab/HallusionBench",
    columns=frozenset({"category", "subcategory", "visual_input", "set_id", "figure_id", "question_id", "question", "gt_answer", "image"}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strict.yes_no,
    measures=measures,
    split="image",
    licence="BSD-3-Clause",
    note=(
        "Over questions with a figure (split image, 951 of 1,129), as leaderboards do. The benchmark's own judge is GPT-4, which also forgives an "
        "unclear answer where there is no figure; the rule here is that of leaderboards without a judge: exactly one of the words yes and no. "
        "Figures and questions are kept apart by category, subcategory and set, as in its script. No published verdicts were at hand: all this is "
        "inferred."
    ),
)
