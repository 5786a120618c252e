"""Algebra that may take its time: other tests keep the machine busy."""

from collections.abc import Iterator

import pytest

from vold.adapters.benchmarks import strict
from vold.adapters.judges.equivalence import EquivalenceJudge


@pytest.fixture(scope="module", autouse=True)
def patient_judge() -> Iterator[None]:
    """The strict rule's judge with a deadline that load does not reach."""
    strict.close()
    strict._shared[:] = [EquivalenceJudge(deadline=60)]
    yield
    strict.close()
    strict._shared.clear()
