"""Whether a training prompt repeats a benchmark's question.

Letters and digits are compared first. Where these differ, resemblance of the wording with numbers blanked out makes a suspect, and the numbers
decide: in mathematics they are the problem, so the same wording with other numbers is another problem of the same make. So is one that asks for
something else: for the least where the question asks for the greatest, for CD where it asks for BD.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from vold.core.asking import asks_otherwise
from vold.core.wording import TELLING, Wording

SHINGLE = 3
"""Characters of a shingle."""


class Kind(StrEnum):
    """How a prompt and a question are alike."""

    EXACT = "exact"
    """The same letters, digits, numbers and signs; or the question whole inside a longer prompt."""
    NEAR = "near"
    """Nearly the same wording that asks for the same, and the same numbers in the same order."""
    TEMPLATE = "template"
    """The same or nearly the same wording with other numbers, signs or pictures, or asking for something else."""


SAME_QUESTION = (Kind.EXACT, Kind.NEAR)
"""What counts as trained on, and what is left out where overlaps are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Likeness:
    """How a prompt and a question are alike. `why` says what differs, or that the prompt says more; "" where neither is so."""

    kind: Kind
    similarity: float
    """The Jaccard similarity of their shingles, numbers blanked out."""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """A training prompt that is like a benchmark's question; `kind`, `similarity` and `why` as in Likeness."""

    prompt_id: str
    question_id: str
    benchmark: str
    kind: Kind
    similarity: float
    why: str = ""
    prompt: str = ""
    """How the prompt begins."""
    question: str = ""
    """How the question begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The questions of one benchmark that prompts were compared with."""

    questions: int
    short: int = 0
    """Too short for words alone: compared to the letter, or together with their pictures."""
    wordless: int = 0
    """Without words of their own, such as those that stand in the picture: only the same picture tells of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What a comparison found. `left_out` are the prompts that training then does without."""

    overlaps: tuple[Overlap, ...]
    prompts: int
    asked: Mapping[str, Asked]
    threshold: float
    left_out: frozenset[str] = frozenset()

    @property
    def repeated(self) -> frozenset[str]:
        """The prompts that repeat a question, exactly or nearly."""
        return frozenset(overlap.prompt_id for overlap in self.overlaps if overlap.kind in SAME_QUESTION)

    def trained_on(self, benchmark: str) -> int:
        """How many questions of a benchmark are among the prompts that are not left out."""
        return len(
            {
                overlap.question_id
                for overlap in self.overlaps
                if overlap.benchmark == benchmark and overlap.kind in SAME_QUESTION and overlap.prompt_id not in self.left_out
            }
        )

    def questions_by_kind(self, benchmark: str) -> Counter[Kind]:
        """How many questions of a benchmark were met, each counted once, by its closest prompt."""
        order = list(Kind)
        closest: dict[str, Kind] = {}
        for overlap in self.overlaps:
            if overlap.benchmark == benchmark:
                found = closest.get(overlap.question_id, overlap.kind)
                closest[overlap.question_id] = min(found, overlap.kind, key=order.index)
        return Counter(closest.values())


def likeness(prompt: Wording, question: Wording, *, threshold: float, inside_from: int = TELLING, seen: bool = False) -> Likeness | None:
    """How alike they are by what they say; None where they are not, or where too little is said to tell. Pictures are not looked at.

    A question counts as standing inside a longer prompt from `inside_from` letters and digits on. Where both are `seen` to show the same pictures,
    short ones are told apart as long ones are.
    """
    told = seen or (prompt.telling and question.telling)
    if prompt.letters == question.letters:
        if not told:
            return Likeness(kind=Kind.EXACT, similarity=1.0) if fingerprint(prompt) == fingerprint(question) else None
        differs = _difference(prompt, question) or ("other signs" if prompt.signs != question.signs else "")
        return Likeness(kind=Kind.TEMPLATE if differs else Kind.EXACT, similarity=1.0, why=differs)
    if not told:
        return None
    similarity = jaccard(shingles(prompt.shape), shingles(question.shape))
    if len(question.letters) >= (1 if seen else inside_from) and stands_in(question, prompt):
        return Likeness(kind=Kind.EXACT, similarity=similarity, why="inside a longer prompt")
    if similarity < threshold:
        return None
    differs = _difference(prompt, question) or asks_otherwise(prompt, question)  # not by signs: rewording may bring some, as `find m + n` does
    return Likeness(kind=Kind.TEMPLATE if differs else Kind.NEAR, similarity=similarity, why=differs)


def fingerprint(said: Wording) -> bytes:
    """The same where letters, digits, numbers, signs and drawing are."""
    return blake2b(repr((said.letters, said.figures, said.signs, said.drawing)).encode(), digest_size=16).digest()


def stands_in(question: Wording, prompt: Wording) -> bool:
    """Whether the question stands in the prompt, from the beginning of a word to the end of one, with its numbers, signs and drawing."""
    if question.letters not in prompt.letters or question.signs not in prompt.signs or _other_drawing(prompt, question):
        return False
    edges = {*prompt.starts, len(prompt.letters)}
    found = any(at + len(question.letters) in edges and prompt.letters.startswith(question.letters, at) for at in prompt.starts)
    return found and _run_of(question.figures, prompt.figures)


@lru_cache(maxsize=16)
def shingles(shape: str) -> frozenset[str]:
    """Every run of SHINGLE characters, or all there are."""
    return frozenset(shape[at : at + SHINGLE] for at in range(max(1, len(shape) - SHINGLE + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """What both have as a share of what either has."""
    both = len(one & other)
    return both / (len(one) + len(other) - both)


def _difference(prompt: Wording, question: Wording) -> str:
    """What makes it another problem; "" where nothing does."""
    if prompt.figures != question.figures:
        return "other numbers"
    return "another drawing" if _other_drawing(prompt, question) else ""


def _other_drawing(prompt: Wording, question: Wording) -> bool:
    """Whether both have a drawing, and what is written into it differs, or where nothing is, the code. One that is missing says nothing."""
    if not (prompt.drawing and question.drawing):
        return False
    return prompt.labels != question.labels if prompt.labels or question.labels else prompt.drawing != question.drawing


def _run_of(part: Sequence[str], whole: Sequence[str]) -> bool:
    return any(whole[at : at + len(part)] == part for at in range(len(whole) - len(part) + 1))
