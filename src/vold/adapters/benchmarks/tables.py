"""From graded answers to the numbers of a table."""

from collections.abc import Sequence

from vold.adapters.benchmarks.spec import Graded
from vold.core.measures import Measure, Unit


def units(graded: Sequence[Graded], *, cluster: bool = True) -> tuple[Unit, ...]:
    """One unit an item, in the order of the items: the share of right ones among its judged answers. An item without any is left out."""
    answers: dict[str, list[Graded]] = {}
    for one in graded:
        answers.setdefault(one.item.id, []).append(one)
    found = []
    for name, ones in answers.items():
        judged = [one.right for one in ones if one.right is not None]
        if judged:
            found.append(Unit(id=name, value=sum(judged) / len(judged), cluster=ones[0].item.cluster if cluster else ""))
    return tuple(found)


def accuracy(graded: Sequence[Graded], *, parts: Sequence[str] = ()) -> list[Measure]:
    """The share of right answers over everything, then for every value of each named part, values in their order (numbers by size)."""
    measures = [Measure(metric="accuracy", units=units(graded))]
    for name in parts:
        for value in values(graded, name):
            within = [one for one in graded if one.item.parts.get(name) == value]
            measures.append(Measure(metric="accuracy", part=f"{name}: {value}", units=units(within)))
    return measures


def values(graded: Sequence[Graded], part: str) -> list[str]:
    """What a part is in these items, sorted: numbers by size and before words."""
    return sorted({one.item.parts[part] for one in graded if part in one.item.parts}, key=_place)


def _place(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value
