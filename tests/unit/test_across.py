"""Several seeds in one table: what is averaged is the same thing measured again, and nothing else."""

from dataclasses import replace

import pytest
from support.scored import measure, scored

from vold.base.errors import DataError
from vold.report.across import Spread, across, markdown
from vold.report.benchmarks import Benchmark
from vold.report.summary import Recipe, Summary, rows_of


def of_ten(benchmark: str, modality: str, score: float) -> Benchmark:
    scores = tuple([1.0] * round(10 * score) + [0.0] * round(10 * (1 - score)))
    return scored(measure(scores), name=benchmark, modality=modality)


def summary(seed: int, sft: float, vold: float, *, recipe: str = "h", benchmark: str = "pictures") -> Summary:
    rows = rows_of("SFT", [of_ten(benchmark, "image", sft)], [seed]) + rows_of("VOLD", [of_ten(benchmark, "image", vold)], [seed])
    return Summary(recipe=Recipe(name="tiny", hash=recipe), seed=seed, versions={}, hardware={}, rows=tuple(rows))


def test_means_and_paired_differences() -> None:
    table = across([summary(10, 0.2, 0.5), summary(11, 0.6, 0.8), summary(12, 0.4, 0.8)])
    cell = ("pictures", "image", "greedy", None)
    assert table.found["VOLD", cell].mean == pytest.approx(0.7)
    difference = table.difference("VOLD", "SFT", cell)
    assert difference.values == pytest.approx((0.3, 0.2, 0.4))
    assert difference.half == pytest.approx(4.303 * 0.1 / 3**0.5)
    text = markdown(table)
    assert "| VOLD | 0.700 ± 0.430 |" in text
    assert "| SFT | +0.300 ± 0.248 (3/3) |" in text
    assert "seeds 10, 11, 12" in text


def test_one_seed_has_no_interval() -> None:
    assert str(Spread(values=(0.5,))) == "0.500 ± nan"


def test_two_benchmarks_of_one_modality_stay_apart() -> None:
    both = summary(10, 0.2, 0.9)
    both = replace(both, rows=both.rows + summary(10, 0.3, 0.1, benchmark="diagrams").rows)
    text = markdown(across([both, replace(both, seed=11)]))
    assert "| greedy | pictures, all | diagrams, all |" in text
    assert "| VOLD | 0.900 ± 0.000 | 0.100 ± 0.000 |" in text


def test_runs_that_differ_in_more_than_the_seed_are_refused() -> None:
    with pytest.raises(DataError, match="more than the seed"):
        across([summary(10, 0.2, 0.5), summary(11, 0.2, 0.5, recipe="another beta")])
    with pytest.raises(DataError, match="same seed twice"):
        across([summary(10, 0.2, 0.5), summary(10, 0.2, 0.5)])
