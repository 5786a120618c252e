"""Finding training prompts that repeat a benchmark's question, before anything is trained.

MinHash with locality-sensitive hashing only finds suspects; every one of them is then compared by its true shingles, numbers, signs and pictures.
A question is compared in each of its wordings: alone, with its options, and as its benchmark puts it to a model. Questions are kept in memory with
their pictures, prompts pass by one at a time, and the same texts always give the same findings.
"""

import io
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import blake2b
from string import ascii_uppercase
from typing import TYPE_CHECKING

from PIL import Image

from vold.base.types import Item, Problem
from vold.core.overlap import Asked, Findings, Kind, Likeness, Overlap, fingerprint, likeness, shingles
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
RULES = 2
"""Another number wherever the same texts give other findings, so that kept ones are not taken for today's."""
TEMPLATES = 3
"""Questions of one benchmark that are listed as templates of one prompt, the most similar ones."""
EXCERPT = 200
"""Characters of prompt and question that an overlap shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """An item with the texts by which its benchmark puts it to a model, instructions and options included."""

    item: Item
    ways: tuple[str, ...]


Questions = Mapping[str, Iterable[Posed | Item | Problem | str]]
"""The questions of each benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question of a benchmark, ready to be compared."""

    benchmark: str
    id: str
    text: str
    images: tuple[bytes, ...]
    wordings: tuple[Wording, ...]
    """Of the question alone, and with its options, lettered and not."""
    ways: frozenset[bytes] = frozenset()
    """Fingerprints of it as its benchmark puts it: in the same long instruction two questions resemble each other whatever they ask."""

    def inside_from(self, said: Wording) -> int:
        """Letters from which a wording may stand inside a longer prompt: more where it leans on a picture or on options, which a prompt may lack."""
        return LEANING if self.images or (len(self.wordings) > 1 and said is self.wordings[0]) else TELLING

    @property
    def telling(self) -> bool:
        """Whether its words are enough to tell it, without its pictures and what its benchmark says to every question."""
        return any(said.telling for said in self.wordings)


def overlaps(prompts: Iterable[Problem], questions: Questions, *, threshold: float = 0.8) -> list[Overlap]:
    """Every prompt that is like a question, in the order of prompts, benchmarks and questions. `check` says besides what was compared."""
    return list(check(prompts, questions, threshold=threshold).overlaps)


def check(prompts: Iterable[Problem], questions: Questions, *, threshold: float = 0.8, done: Callable[[int], None] = lambda _: None) -> Findings:
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
        self._by_way: defaultdict[bytes, set[int]] = defaultdict(set)
        self._by_letters: defaultdict[str, set[int]] = defaultdict(set)
        self._by_anchor: defaultdict[str, set[tuple[int, str]]] = defaultdict(set)
        self._by_shape: defaultdict[str, set[int]] = defaultdict(set)
        self._by_sizes: defaultdict[tuple[object, ...], set[int]] = defaultdict(set)
        for place, question in enumerate(questions):
            for way in question.ways:
                self._by_way[way].add(place)
            for said in question.wordings:
                if said.letters:
                    self._by_letters[said.letters].add(place)
                if len(said.letters) >= question.inside_from(said):
                    self._by_anchor[said.letters[:ANCHOR]].add((place, said.letters))
                if said.telling:
                    self._by_shape[said.shape].add(place)
            if question.images:
                self._by_sizes[sizes(question.images)].add(place)
        self._pixels: dict[int, tuple[str, ...]] = {}
        self._empty = MinHash(num_perm=PERMUTATIONS, seed=SEED, hashfunc=zlib.crc32)
        self._buckets = MinHashLSH(num_perm=PERMUTATIONS, params=bands(threshold))
        for shape in self._by_shape:
            self._buckets.insert(shape, self._sketch(shape))
        self._threshold = threshold
        self._sizes = {shape: len(shingles(shape)) for shape in self._by_shape}
        self._most = max(self._sizes.values(), default=0) / threshold

    def suspects(self, said: Wording, images: tuple[bytes, ...]) -> Iterator[tuple[Question, bool]]:
        """The questions that the prompt may repeat, in their order, and whether both show the same pictures."""
        alike = self._by_sizes.get(sizes(images), set())
        found = self._by_letters.get(said.letters, set()) | self._by_way.get(fingerprint(said), set())
        found.update(place for place in alike if self.questions[place].wordings[0].letters in said.letters)
        if said.telling:
            anchors = {said.letters[start : start + ANCHOR] for start in said.starts} & self._by_anchor.keys()
            for anchor in anchors:
                found.update(place for place, letters in self._by_anchor[anchor] if letters in said.letters)
            size = len(shingles(said.shape))
            if size <= self._most:  # nothing is like a prompt so long
                for shape in self._buckets.query(self._sketch(said.shape)):
                    if min(size, self._sizes[shape]) / max(size, self._sizes[shape]) >= self._threshold:
                        found.update(self._by_shape[shape])
        return ((self.questions[place], place in alike and self._shows(place, images)) for place in sorted(found))

    def _shows(self, place: int, images: tuple[bytes, ...]) -> bool:
        """Whether a question shows these pictures. A question's are decoded once."""
        if images == self.questions[place].images:
            return True
        if place not in self._pixels:
            self._pixels[place] = pixels(self.questions[place].images)
        return pixels(images) == self._pixels[place]

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
    for question, seen in index.suspects(said, prompt.images):
        alike = _with_pictures(prompt, question, _closest(said, question, threshold, seen=seen), seen=seen, told=said.telling and question.telling)
        if alike is None:
            continue
        overlap = _overlap(prompt, question, alike)
        (templates[question.benchmark] if alike.kind is Kind.TEMPLATE else found).append(overlap)
    for group in templates.values():
        found += sorted(group, key=lambda overlap: -overlap.similarity)[:TEMPLATES]
    return found


def _closest(said: Wording, question: Question, threshold: float, *, seen: bool) -> Likeness | None:
    """The likeness to the wording that the prompt is closest to."""
    if seen and not question.wordings[0].letters:
        return Likeness(kind=Kind.EXACT, similarity=1.0, why="the picture that is the question")
    if fingerprint(said) in question.ways:
        return Likeness(kind=Kind.EXACT, similarity=1.0)
    found = (likeness(said, one, threshold=threshold, inside_from=question.inside_from(one), seen=seen) for one in question.wordings)
    return min(filter(None, found), key=_distance, default=None)


def _distance(alike: Likeness) -> tuple[int, float]:
    return list(Kind).index(alike.kind), -alike.similarity


def _with_pictures(prompt: Problem, question: Question, alike: Likeness | None, *, seen: bool, told: bool) -> Likeness | None:
    """The likeness once pictures have been looked at.

    Where both show some, other pictures make another problem. Where one shows some and the other none, words decide if they are enough to tell.
    """
    if alike is None or seen or not (prompt.images or question.images):
        return alike
    if not told:
        return None
    if prompt.images and question.images and alike.kind is not Kind.TEMPLATE:
        return replace(alike, kind=Kind.TEMPLATE, why="another picture")
    return alike


def sizes(images: tuple[bytes, ...]) -> tuple[object, ...]:
    """The width and height of each picture, of which only the beginning is read; the bytes of one that cannot be."""
    return tuple(map(_size, images))


def _size(image: bytes) -> object:
    try:
        with Image.open(io.BytesIO(image)) as picture:
            return picture.size
    except Exception:  # whatever a decoder raises
        return image


def pixels(images: tuple[bytes, ...]) -> tuple[str, ...]:
    """The same for the same pixels in the same order, however they are stored. Scaled or recompressed copies are not recognised."""
    return tuple(map(_pixels, images))


@lru_cache(maxsize=64)
def _pixels(image: bytes) -> str:
    try:
        with Image.open(io.BytesIO(image)) as picture:
            shown = picture.convert("RGBA")
            return blake2b(repr(shown.size).encode() + shown.tobytes(), digest_size=16).hexdigest()
    except Exception:  # whatever a decoder raises: such a file is only the same as itself
        return blake2b(image, digest_size=16).hexdigest()


def _question(benchmark: str, place: int, of: Posed | Item | Problem | str) -> Question:
    if isinstance(of, str):
        return Question(benchmark=benchmark, id=f"{benchmark}/{place}", text=of, images=(), wordings=(wording(of),))
    if isinstance(of, Posed):
        bare = _question(benchmark, place, of.item)
        return replace(bare, ways=frozenset(fingerprint(wording(way)) for way in of.ways))
    if isinstance(of, Problem):
        return Question(benchmark=benchmark, id=of.id, text=of.prompt, images=of.images, wordings=(wording(of.prompt),))
    return Question(benchmark=benchmark, id=of.id, text=of.question, images=of.images, wordings=_wordings(of))


def _wordings(item: Item) -> tuple[Wording, ...]:
    """The question alone, and with its options, lettered and not. One without words of its own is not told by its options."""
    alone = wording(item.question)
    if not (item.options and alone.letters):
        return (alone,)
    lettered = (f"{letter}. {text}" for letter, text in zip(ascii_uppercase, item.options, strict=False))
    return alone, wording("\n".join((item.question, *lettered))), wording("\n".join((item.question, *item.options)))


def _asked(questions: list[Question]) -> Asked:
    return Asked(
        questions=len(questions),
        short=sum(not question.telling and bool(question.wordings[0].letters) for question in questions),
        wordless=sum(not question.wordings[0].letters for question in questions),
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
