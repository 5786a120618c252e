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


@dataclass(frozen=True, slots=True, kw_only=True)
class OneSided:
    """An id that one of two models can decode and the other cannot."""

    id: int
    word: str
    of: str
    """`student` or `teacher`."""
    decision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two token tables compared id by id.

    `shared` ids mean the same word in both; `one_sided` ids are in one of them; `clashes` mean different words, and such a pair cannot work.
    Padded rows are rows without a word. `said` counts the ids that both may say: those over which both softmaxes run.
    """

    shared: int
    clashes: tuple[tuple[int, str, str], ...]
    one_sided: tuple[OneSided, ...]
    student_rows: int
    teacher_rows: int
    student_padded: int
    teacher_padded: int
    placeholders: tuple[int, ...]
    said: int


def compared(student: TokenTable, teacher: TokenTable, *, added: Iterable[int] = (), spelled: bool = False) -> Comparison:
    """The report on a pair. `added` are ids that the student's tokenizer has been given; `spelled` says that the others are spelled out."""
    both = student.words.keys() & teacher.words.keys()
    clashes = tuple((i, student.words[i], teacher.words[i]) for i in sorted(both) if student.words[i] != teacher.words[i])
    given = frozenset(added)
    one_sided = [OneSided(id=i, word=student.words[i], of="teacher", decision="given to the student's tokenizer") for i in sorted(given)]
    for i in sorted(teacher.words.keys() - student.words.keys()):
        why = "spelled out by the student's own tokens" if spelled else "banned: the student cannot decode it"
        one_sided.append(OneSided(id=i, word=teacher.words[i], of="teacher", decision=why))
    for i in sorted(student.words.keys() - teacher.words.keys()):
        one_sided.append(OneSided(id=i, word=student.words[i], of="student", decision="banned while the teacher listens: it cannot decode it"))
    return Comparison(
        shared=len(both) - len(clashes) - len(given & both),
        clashes=clashes,
        one_sided=tuple(one_sided),
        student_rows=student.rows,
        teacher_rows=teacher.rows,
        student_padded=_padded(student),
        teacher_padded=_padded(teacher),
        placeholders=tuple(sorted(student.placeholders | teacher.placeholders)),
        said=len(speakable([student, teacher])),
    )


def _padded(table: TokenTable) -> int:
    return table.rows - sum(i < table.rows for i in table.words)
