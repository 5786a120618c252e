"""Numbers of a table from graded answers, counted by hand."""

import pytest

from vold.adapters.benchmarks import tables
from vold.adapters.benchmarks.spec import Graded
from vold.base.types import Item


def item(name: str, *, cluster: str = "", **parts: str) -> Item:
    return Item(id=name, question="?", answer="1", parts=parts, cluster=cluster)


def graded(one: Item, *rights: bool | None) -> list[Graded]:
    return [Graded(item=one, sample=sample, right=right, extracted=None) for sample, right in enumerate(rights)]


def test_one_unit_an_item() -> None:
    answers = [
        *graded(item("b", cluster="s"), True, False, True, None),
        *graded(item("a", cluster="s"), False),
        *graded(item("c"), None, None),
        *graded(item("d"), True),
    ]
    found = tables.units(answers)
    assert [unit.id for unit in found] == ["b", "a", "d"]  # in the order of the items; c was never judged
    assert [unit.value for unit in found] == [pytest.approx(2 / 3), 0.0, 1.0]
    assert [unit.cluster for unit in found] == ["s", "s", ""]
    assert [unit.cluster for unit in tables.units(answers, cluster=False)] == ["", "", ""]
    assert {unit.stratum for unit in found} == {""}


def test_answers_to_one_item_need_not_stand_together() -> None:
    one, other = item("a"), item("b")
    first, second = graded(one, True, False), graded(other, False, True)
    mixed = [first[0], second[0], first[1], second[1]]
    assert [(unit.id, unit.value) for unit in tables.units(mixed)] == [("a", 0.5), ("b", 0.5)]


def test_accuracy_and_its_parts() -> None:
    answers = [
        *graded(item("1", level="10", subject="algebra"), True),
        *graded(item("2", level="9", subject="algebra"), False),
        *graded(item("3", level="9", subject="geometry"), True),
        *graded(item("4", subject="algebra"), True),
    ]
    found = tables.accuracy(answers, parts=("level", "subject"))
    assert [(measure.metric, measure.part) for measure in found] == [
        ("accuracy", ""),
        ("accuracy", "level: 9"),  # numbers by size
        ("accuracy", "level: 10"),
        ("accuracy", "subject: algebra"),
        ("accuracy", "subject: geometry"),
    ]
    assert [[unit.id for unit in measure.units] for measure in found] == [["1", "2", "3", "4"], ["2", "3"], ["1"], ["1", "2", "4"], ["3"]]
    assert [[unit.value for unit in measure.units] for measure in found][1] == [0.0, 1.0]
    assert all(measure.weights == {"": 1.0} for measure in found)


def test_nothing() -> None:
    (found,) = tables.accuracy([], parts=("level",))
    assert found.units == ()


def test_numbers_come_before_words() -> None:
    answers = [one for value in ("b", "10", "2.5", "a", "-1") for one in graded(item(value, part=value), True)]
    assert tables.values(answers, "part") == ["-1", "2.5", "10", "a", "b"]
    assert tables.values(answers, "other") == []
