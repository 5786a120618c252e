"""A few problems with what every model answered, chosen by rule rather than by hand."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vold.base.types import Ruling
from vold.report.files import read_lines

PER_DIFFICULTY = 2
AT_MOST = 12
SMALL = 150
"""Pixels. Narrower pictures are enlarged, with sharp pixels."""
ENLARGED = 2

Key = tuple[str, str]
"""Benchmark and problem id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one model answered."""

    label: str
    text: str
    ruling: Ruling
    extracted: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One problem and its answers, in the order of the result table. `image` is the picture as base64, None for a text problem."""

    benchmark: str
    prompt: str
    reference: str | None
    difficulty: int | None
    image: str | None
    answers: tuple[Answer, ...]

    @property
    def shown_width(self) -> int | None:
        """Pixels to draw a small picture at, every pixel of it ENLARGED times; None for pictures large enough as they are."""
        width = 0 if self.image is None else png_width(self.image)
        return ENLARGED * width if 0 < width < SMALL else None


def png_width(image: str) -> int:
    """Width in pixels of a PNG given as base64; 0 when it is no PNG."""
    head = base64.b64decode(image[:32])
    return int.from_bytes(head[16:20], "big") if head.startswith(b"\x89PNG") and len(head) >= 20 else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What choosing needs to know of a problem."""

    difficulty: int | None
    drawn: bool
    rulings: dict[str, str]

    @property
    def disputed(self) -> bool:
        return len(set(self.rulings.values())) > 1


def cards(run: Path, labels: Sequence[str]) -> tuple[Card, ...]:
    """The chosen problems with one answer a label; empty when the run kept no answers. Answers are read twice, so that most never stay in memory."""
    seen: dict[Key, _Seen] = {}
    for line in _answers(run):
        problem = line["problem"]
        entry = seen.setdefault(
            (line["benchmark"], problem["id"]), _Seen(difficulty=problem.get("difficulty"), drawn=problem.get("image") is not None, rulings={})
        )
        entry.rulings[line["row"]] = line["ruling"]
    keys = chosen(seen)
    found: dict[Key, list[dict[str, Any]]] = {key: [] for key in keys}
    for line in _answers(run):
        key = (line["benchmark"], line["problem"]["id"])
        if key in found:
            found[key].append(line)
    return tuple(_card(found[key], labels) for key in keys)


def chosen(seen: dict[Key, _Seen]) -> list[Key]:
    """Pictures where there are any; at each difficulty problems the models disagree on first, no two with the same verdicts."""
    drawn = any(one.drawn for one in seen.values())
    by_difficulty: dict[int | None, dict[str, Key]] = {}
    for key, one in sorted(seen.items(), key=lambda item: not item[1].disputed):
        if one.drawn == drawn:
            by_difficulty.setdefault(one.difficulty, {}).setdefault(repr(sorted(one.rulings.items())), key)
    levels = sorted(by_difficulty, key=lambda level: (level is None, level))
    keys = [key for level in levels for key in list(by_difficulty[level].values())[: PER_DIFFICULTY if len(levels) > 1 else AT_MOST]]
    return keys[:AT_MOST]


def _answers(run: Path) -> Iterator[dict[str, Any]]:
    """One answer a model and problem: the greedy one where there is one."""
    for path in sorted(run.glob("eval/*/examples.jsonl")):
        given: set[Key] = set()
        ways = {line["way"] for line in read_lines(path)}
        way = "greedy" if "greedy" in ways else min(ways, default="")
        for line in read_lines(path):
            key = (line["benchmark"], line["problem"]["id"])
            if line["way"] == way and key not in given:
                given.add(key)
                yield line


def _card(lines: Sequence[dict[str, Any]], labels: Sequence[str]) -> Card:
    problem = lines[0]["problem"]
    order = {label: place for place, label in enumerate(labels)}
    return Card(
        benchmark=lines[0]["benchmark"],
        prompt=problem["prompt"],
        reference=problem.get("answer"),
        difficulty=problem.get("difficulty"),
        image=problem.get("image"),
        answers=tuple(
            Answer(label=line["row"], text=line["text"], ruling=Ruling(line["ruling"]), extracted=line.get("extracted"))
            for line in sorted(lines, key=lambda line: order.get(line["row"], len(order)))
        ),
    )
