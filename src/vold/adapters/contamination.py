"""Finding training prompts that repeat a benchmark's question, before anything is trained.

MinHash with locality-sensitive hashing only finds suspects; every one of them is then compared by its true shingles, numbers, signs and pictures.
Questions are kept in memory with their pictures, prompts pass by one at a time, and the same texts always give the same findings.
"""

import io
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from PIL import Image

from vold.base.types import Item, Problem
from vold.core.overlap import Asked, Findings, Kind, Likeness, Overlap, likeness, shingles
from vold.core.wording import TELLING, Wording, wording

if TYPE_CHECKING:
    from datasketch import MinHash

PERMUTATIONS = 128
SEED = 1
MISSED = 1e-4
"""The chance at which a pair of exactly the threshold's similarity may fail to become a suspect; more similar pairs are missed less."""
ANCHOR = 24
"""Letters by which a question's beginning is looked for inside prompts."""
LEANING = 2 * TELLING
"""Letters from which a question that leans on a picture or on options counts as standing inside a longer prompt."""
TEMPLATES = 3
"""Questions of one benchmark that are listed as templates of one prompt, the most similar ones."""
EXCERPT = 200
"""Characters of prompt and question that an overlap shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a benchmark, ready to be compared."""

    benchmark: str
    id: str
    text: str
    images: tuple[bytes, ...]
    wording: Wording
    inside_from: int = TELLING
    """Letters from which it may stand inside a longer prompt: more where it leans on a picture or on options, which a prompt may lack."""


def overlaps(prompts: Iterable[Problem], questions: Mapping[str, Iterable[Item | Problem | str]], *, threshold: float = 0.8) -> list[Overlap]:
    """Every prompt that is like a question, in the order of prompts, benchmarks and questions. `check` says besides what was compared."""
    return list(check(prompts, questions, threshold=threshold).overlaps)


def check(
    prompts: Iterable[Problem],
    questions: Mapping[str, Iterable[Item | Problem | str]],
    *,
    threshold: float = 0.8,
    done: Callable[[int], None] = lambda _: None,
) -> Findings:
    """Compare all prompts with all questions, by benchmark. `done` is told how many prompts have been compared.

    A question in words alone is called by its benchmark and its place. Raises ValueError for a threshold that is no similarity.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold = {threshold} is no similarity: give a number above 0 and up to 1.")
    listed = [_question(name, place, one) for name, group in questions.items() for place, one in enumerate(group)]
    index = _Index(listed, threshold)
    found: list[Overlap] = []
    count = 0
    for count, prompt in enumerate(prompts, start=1):
        found += _overlaps_of(prompt, index, threshold)
        done(count)
    asked = {name: _asked([one for one in listed if one.benchmark == name]) for name in questions}
    return Findings(overlaps=tuple(found), prompts=count, asked=asked, threshold=threshold)


class _Index:
    """Where to look for the questions that a prompt may repeat."""

    def __init__(self, questions: list[Question], threshold: float) -> None:
        from datasketch import MinHash, MinHashLSH  # scipy comes with it and takes a second

        self.questions = questions
        self._by_letters: defaultdict[str, list[int]] = defaultdict(list)
        self._by_anchor: defaultdict[str, list[int]] = defaultdict(list)
        self._by_shape: defaultdict[str, list[int]] = defaultdict(list)
        for place, question in enumerate(questions):
            said = question.wording
            if said.letters:
                self._by_letters[said.letters].append(place)
            if len(said.letters) >= question.inside_from:
                self._by_anchor[said.letters[:ANCHOR]].append(place)
            if said.telling:
                self._by_shape[said.shape].append(place)
        self._empty = MinHash(num_perm=PERMUTATIONS, seed=SEED, hashfunc=zlib.crc32)
        self._buckets = MinHashLSH(num_perm=PERMUTATIONS, params=bands(threshold))
        for shape in self._by_shape:
            self._buckets.insert(shape, self._sketch(shape))
        self._threshold = threshold
        self._sizes = {shape: len(shingles(shape)) for shape in self._by_shape}
        self._most = max(self._sizes.values(), default=0) / threshold

    def suspects(self, said: Wording) -> list[Question]:
        """The questions that the prompt may repeat, in their order."""
        found = set(self._by_letters.get(said.letters, ()))
        if said.telling:
            anchors = {said.letters[start : start + ANCHOR] for start in said.starts} & self._by_anchor.keys()
            for anchor in anchors:
                found.update(place for place in self._by_anchor[anchor] if self.questions[place].wording.letters in said.letters)
            size = len(shingles(said.shape))
            if size <= self._most:  # nothing is like a prompt so long
                for shape in self._buckets.query(self._sketch(said.shape)):
                    if min(size, self._sizes[shape]) / max(size, self._sizes[shape]) >= self._threshold:
                        found.update(self._by_shape[shape])
        return [self.questions[place] for place in sorted(found)]

    def _sketch(self, shape: str) -> "MinHash":
        sketch = self._empty.copy()
        sketch.update_batch([shingle.encode() for shingle in shingles(shape)])
        return sketch


def bands(threshold: float) -> tuple[int, int]:
    """(bands, rows a band) of the hashing: as many rows as leave a pair at the threshold unseen at most MISSED of the time."""
    fits = [rows for rows in range(1, PERMUTATIONS // 2 + 1) if (1 - threshold**rows) ** (PERMUTATIONS // rows) <= MISSED]
    rows = max(fits, default=1)
    return PERMUTATIONS // rows, rows


def _overlaps_of(prompt: Problem, index: _Index, threshold: float) -> list[Overlap]:
    said = wording(prompt.prompt)
    found: list[Overlap] = []
    templates: defaultdict[str, list[Overlap]] = defaultdict(list)
    for question in index.suspects(said):
        alike = likeness(said, question.wording, threshold=threshold, inside_from=question.inside_from)
        alike = _with_pictures(prompt, question, alike, told=said.telling)
        if alike is None:
            continue
        overlap = _overlap(prompt, question, alike)
        (templates[question.benchmark] if alike.kind is Kind.TEMPLATE else found).append(overlap)
    for group in templates.values():
        found += sorted(group, key=lambda overlap: -overlap.similarity)[:TEMPLATES]
    return found


def _with_pictures(prompt: Problem, question: Question, alike: Likeness | None, *, told: bool) -> Likeness | None:
    """The likeness once pictures have been looked at.

    Where both show some, other pictures make another problem. Where one shows some and the other none, words decide if they are enough to tell.
    """
    if alike is None or not (prompt.images or question.images):
        return alike
    if prompt.images and question.images:
        if alike.kind is Kind.TEMPLATE or same_pictures(prompt.images, question.images):
            return alike
        return replace(alike, kind=Kind.TEMPLATE, why="another picture") if told else None
    return alike if told else None


def same_pictures(some: tuple[bytes, ...], others: tuple[bytes, ...]) -> bool:
    """Whether they show the same pixels in the same order, however they are stored. Scaled or recompressed copies are not recognised."""
    return some == others or (len(some) == len(others) and [_pixels(one) for one in some] == [_pixels(one) for one in others])


@lru_cache(maxsize=64)
def _pixels(image: bytes) -> str:
    try:
        with Image.open(io.BytesIO(image)) as picture:
            shown = picture.convert("RGBA")
            return blake2b(repr(shown.size).encode() + shown.tobytes(), digest_size=16).hexdigest()
    except Exception:  # whatever a decoder raises: such a file is only the same as itself
        return blake2b(image, digest_size=16).hexdigest()


def _question(benchmark: str, place: int, of: Item | Problem | str) -> Question:
    if isinstance(of, str):
        return Question(benchmark=benchmark, id=f"{benchmark}/{place}", text=of, images=(), wording=wording(of))
    if isinstance(of, Item):
        text, leans = of.question, bool(of.images or of.options)
    else:
        text, leans = of.prompt, bool(of.images)
    return Question(
        benchmark=benchmark,
        id=of.id,
        text=text,
        images=of.images,
        wording=wording(text),
        inside_from=LEANING if leans else TELLING,
    )


def _asked(questions: list[Question]) -> Asked:
    return Asked(
        questions=len(questions),
        short=sum(0 < len(question.wording.letters) < TELLING for question in questions),
        wordless=sum(not question.wording.letters for question in questions),
    )


def _overlap(prompt: Problem, question: Question, alike: Likeness) -> Overlap:
    return Overlap(
        prompt_id=prompt.id,
        question_id=question.id,
        benchmark=question.benchmark,
        kind=alike.kind,
        similarity=alike.similarity,
        why=alike.why,
        prompt=_excerpt(prompt.prompt),
        question=_excerpt(question.text),
    )


def _excerpt(text: str) -> str:
    line = " ".join(text[: 2 * EXCERPT].split())
    return line if len(line) <= EXCERPT else f"{line[: EXCERPT - 1]}…"
