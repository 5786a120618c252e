"""Draws are seeded by their place."""

from hypothesis import given
from hypothesis import strategies as st

from vold.base.seeds import seed_for

WORDS = st.one_of(st.integers(0, 10**6), st.text(max_size=6))
PLACES = st.tuples(st.integers(0, 99), st.lists(WORDS, max_size=4).map(tuple))


@given(PLACES, PLACES)
def test_one_place_one_seed(one: tuple[int, tuple[str | int, ...]], other: tuple[int, tuple[str | int, ...]]) -> None:
    first, second = (seed_for(run, *place) for run, place in (one, other))
    assert (first == second) == (one == other)
    assert 0 <= first < 2**56


def test_words_are_not_run_together_and_numbers_are_not_words() -> None:
    assert (
        len({seed_for(0, "a", "b"), seed_for(0, "ab"), seed_for(0, "a", 1, 2), seed_for(0, "a", 12), seed_for(0, "a", "12"), seed_for(1, "ab")}) == 6
    )


def test_a_seed_stays_what_it_is() -> None:
    """A run started today is resumed tomorrow, with another Python perhaps."""
    assert seed_for(7, "joint", 12, "train/3", 4) == 7301899161678774
