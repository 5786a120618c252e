"""Randomness by place: a draw is seeded by where in the run it happens, never by what was drawn before."""

from hashlib import blake2b


def seed_for(run_seed: int, *place: str | int) -> int:
    """The seed of one named place in the run: the same whenever, wherever and in whatever order it is asked for. In [0, 2**56)."""
    words = repr((run_seed, *place)).encode()
    return int.from_bytes(blake2b(words, digest_size=7).digest(), "big")
