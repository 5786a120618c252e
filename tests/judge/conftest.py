"""One pool for all tests of the judge: its start costs more than most of them."""

from collections.abc import Iterator

import pytest

from vold.adapters.judges.equivalence import EquivalenceJudge


@pytest.fixture(scope="session")
def judge() -> Iterator[EquivalenceJudge]:
    with EquivalenceJudge(deadline=5.0, workers=1) as judge:
        yield judge
