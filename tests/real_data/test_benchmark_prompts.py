"""Benchmark items as training prompts: found in every wording that their benchmark or a data set may give them, together with their pictures."""

from collections.abc import Callable
from functools import cache
from string import ascii_uppercase

import pytest
from support.real import DATA, needs

from vold.adapters.benchmarks.asked import PublishedBenchmark
from vold.adapters.benchmarks.spec import Style
from vold.adapters.contamination import check
from vold.base.types import Item, Problem
from vold.config.schema import BenchmarkSettings
from vold.core.overlap import SAME_QUESTION
from vold.wiring.benchmarks import rows_of
from vold.wiring.contamination import posed
from vold.wiring.real_benchmarks import SAMPLES, TEXT

pytestmark = needs("bench")
FILES = {name: (kind, f"bench/{path}", subset) for name, kind, path, subset in SAMPLES} | {name: (kind, path, "") for name, kind, path in TEXT}
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."


@cache
def benchmark(name: str) -> PublishedBenchmark:
    kind, path, subset = FILES[name]
    settings = BenchmarkSettings(name=name, kind=kind, path=str(DATA / path), subsets=(subset,) if subset else (), size=40)
    return PublishedBenchmark(name=name, rows=rows_of(settings, fits=lambda _: None))


def with_options(item: Item) -> str:
    return "\n".join((item.question, *(f"({letter}) {text}" for letter, text in zip(ascii_uppercase, item.options, strict=False))))


def repeated(name: str, put: Callable[[Item], str]) -> tuple[set[str], set[str]]:
    """The items, and those that are found when all are put like this."""
    of = benchmark(name)
    prompts = [Problem(id=one.id, prompt=put(one), answer=None, source="planted", images=one.images) for one in of.items.values()]
    same = {(one.prompt_id, one.question_id) for one in check(prompts, {name: posed(of)}).overlaps if one.kind in SAME_QUESTION}
    return set(of.items), {prompt for prompt, question in same if prompt == question}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("style", Style)
def test_an_item_as_its_benchmark_puts_it_is_found(name: str, style: Style) -> None:
    items, found = repeated(name, lambda one: benchmark(name).spec.ask(one, style))
    assert found == items


@pytest.mark.parametrize("name", FILES)
def test_an_item_as_a_data_set_puts_it_is_found(name: str) -> None:
    for put in (lambda one: one.question, with_options, lambda one: f"{with_options(one)}\n{BOXED}", lambda one: f"Solve: {one.question}"):
        items, found = repeated(name, put)
        assert found == items


def test_other_items_are_not_taken_for_it() -> None:
    """Every pair of other items asks for something else, or shows another picture."""
    for name in ("geometry3k", "mmmu-pro standard-10"):
        of = benchmark(name)
        prompts = [Problem(id=one.id, prompt=one.question, answer=None, source="planted", images=one.images) for one in of.items.values()]
        pairs = [one for one in check(prompts, {name: posed(of)}).overlaps if one.kind in SAME_QUESTION]
        assert {one.prompt_id for one in pairs if one.prompt_id != one.question_id} == set()
