"""MME: two yes-or-no questions a picture in 14 subtasks, each worth 100 points for right questions and 100 for pictures with both right."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import strict, tables
from vold.adapters.benchmarks.spec import Graded, Spec, Style
from vold.adapters.fields import BadRow, picture_of, text_of
from vold.base.ids import digest_of
from vold.base.types import Item
from vold.core.measures import Measure, Unit

SIDES = {
    "perception": ("existence", "count", "position", "color", "posters", "celebrity", "scene", "landmark", "artwork", "OCR"),
    "cognition": ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning"),
}
_SIDE_OF = {subtask: side for side, subtasks in SIDES.items() for subtask in subtasks}
FULL_MARKS = 200.0
"""Of a picture, and so of a subtask: 100 for its questions and 100 for having all of them right."""


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001 - the row says all there is
    picture, question = text_of(row.get("question_id"), "question_id"), text_of(row.get("question"), "question")
    subtask, answer = text_of(row.get("category"), "category").strip(), text_of(row.get("answer"), "answer").strip().strip(".")
    if subtask not in _SIDE_OF:
        raise BadRow(f"unknown category {subtask[:60]!r}")
    if answer.lower() not in ("yes", "no"):
        raise BadRow(f"answer is neither Yes nor No: {answer[:60]!r}")
    seed = picture if picture.startswith(f"{subtask}/") else f"{subtask}/{picture}"
    return Item(
        id=f"mme/{seed}/{digest_of(question)}",  # both questions of a picture have its id
        question=question.strip(),
        answer=answer,
        images=(picture_of(row.get("image"), folder),),
        parts={"side": _SIDE_OF[subtask], "subtask": subtask},
        cluster=seed,
    )


def ask(item: Item, style: Style) -> str:  # noqa: ARG001 - every question ends with "Please answer yes or no."
    return item.question


def extract(item: Item, response: str) -> str | None:  # noqa: ARG001
    """Yes or no where it stands in the first four characters: yes before no."""
    start = response.lower().strip()[:4]
    return next((word for word in ("yes", "no") if word in start), None)


def accepts(item: Item, extracted: str | None) -> bool:
    return extracted is not None and extracted.strip().lower() == item.answer.lower()


def measures(graded: Sequence[Graded]) -> Sequence[Measure]:
    """The total of 2,800 points, then 2,000 of perception, 800 of cognition and 200 of each subtask, then plain accuracy."""
    found = scores(graded)
    sides = [
        Measure(metric="score", part=side, units=_within(found, side), weights=dict.fromkeys(SIDES[side], 1.0), high=FULL_MARKS) for side in SIDES
    ]
    subtasks = [
        Measure(metric="score", part=f"subtask: {name}", units=units, weights={name: 1.0}, high=FULL_MARKS)
        for name in tables.values(graded, "subtask")
        if (units := tuple(unit for unit in found if unit.stratum == name))
    ]
    total = Measure(metric="score", units=found, weights=dict.fromkeys(_SIDE_OF, 1.0), high=FULL_MARKS)
    return [total, *sides, *subtasks, *tables.accuracy(graded)]


def _within(found: Sequence[Unit], side: str) -> tuple[Unit, ...]:
    return tuple(unit for unit in found if unit.stratum in SIDES[side])


def scores(graded: Sequence[Graded]) -> tuple[Unit, ...]:
    """One unit a picture: 100 times the share of its questions that are right, and 100 more where all are; over several samples their mean.

    A sample in which a question of the picture could not be judged does not count.
    """
    pictures: dict[str, dict[int, list[Graded]]] = {}
    for one in graded:
        pictures.setdefault(one.item.cluster, {}).setdefault(one.sample, []).append(one)
    found = []
    for name, samples in pictures.items():
        judged = [[one.right for one in ones] for ones in samples.values() if all(one.right is not None for one in ones)]
        values = [100.0 * sum(map(bool, rights)) / len(rights) + 100.0 * all(rights) for rights in judged]
        if values:
            subtask = next(iter(samples.values()))[0].item.parts["subtask"]
            found.append(Unit(id=name, value=sum(values) / len(values), cluster=name, stratum=subtask))
    return tuple(found)


SPEC = Spec(
    name="mme",
    title="MME",
    modality="image",
    hub="lmms-lab/MME",
    columns=frozenset({"question_id", "image", "question", "answer", "category"}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strict.yes_no,
    measures=measures,
    note=(
        "Perception counts to 2,000 and cognition, which the paper calls reasoning, to 800. The benchmark's script takes yes or no from the first "
        "four characters of the lower-cased answer (yes first), so `nothing` and `not sure` are no; blanks before it are ignored here, as toolkits "
        "do. No published verdicts were at hand: the rule is inferred from public copies of that script."
    ),
)
