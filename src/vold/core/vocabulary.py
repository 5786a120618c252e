"""Which token ids a pair of models may say.

Student and teacher must agree on what an id means. Ids that cannot be decoded (padded rows) and vision placeholders leave the sampler and
both softmaxes alike, so that a teacher equal to the student gives a log-ratio of exactly 0.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vold.base.errors import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenTable:
    """The ids a tokenizer can decode, the rows its model has, and its placeholders for pictures and videos."""

    words: Mapping[int, str]
    rows: int
    placeholders: frozenset[int]


def speakable(tables: Iterable[TokenTable]) -> frozenset[int]:
    """Ids that every table can decode, has a row for, and does not use as a placeholder."""
    common: frozenset[int] | None = None
    for table in tables:
        ids = frozenset(i for i in table.words if i < table.rows and i not in table.placeholders)
        common = ids if common is None else common & ids
    return common or frozenset()


def agree(student: TokenTable, teacher: TokenTable) -> bool:
    """Whether every id both tables know means the same word in both."""
    return all(teacher.words.get(i, word) == word for i, word in student.words.items())


def refuse_disagreement(student: TokenTable, teacher: TokenTable) -> None:
    """Raise ModelError when one id means different words to the two models."""
    clashes = [i for i in sorted(set(student.words) & set(teacher.words)) if student.words[i] != teacher.words[i]]
    if clashes:
        first = clashes[0]
        raise ModelError(
            f"student and teacher disagree on {len(clashes)} token ids, the first is {first}: {student.words[first]!r} against "
            f"{teacher.words[first]!r}. Teacher log-probabilities would be read at the wrong entries. Choose a teacher that shares "
            "the student's tokenizer."
        )
