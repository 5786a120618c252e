"""Which sequences go together, and how they lie there: under a token budget, of about equal cost, whole ones end to end or behind shared prompts."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Protocol, TypeVar


class Sequenced(Protocol):
    """A prompt and a response in ids, and the pictures that the prompt shows."""

    @property
    def prompt_ids(self) -> tuple[int, ...]: ...

    @property
    def response_ids(self) -> tuple[int, ...]: ...

    @property
    def images(self) -> tuple[bytes, ...]: ...


R = TypeVar("R", bound=Sequenced)


def length_of(row: Sequenced) -> int:
    return len(row.prompt_ids) + len(row.response_ids)


def opening_of(row: Sequenced) -> tuple[object, ...]:
    """What a response is read behind: equal ones have equal hidden states."""
    return row.prompt_ids, row.images


def pack(rows: Sequence[R], token_budget: int, *, quadratic: float = 0.0, at_least: int = 1, shared: bool = False) -> list[list[R]]:
    """Micro-batches of whole sequences, at most `token_budget` tokens each, of about equal cost; a longer sequence stands alone.

    A sequence of l tokens costs l + `quadratic` · l²: the layers and their attention. The costliest are dealt first, each to the cheapest pack that
    has room. Inside a pack the longest come first, equal lengths side by side. The gradient depends on none of it. `at_least` packs are made where
    there are rows enough. With `shared` prompts rows that have one stay together as far as the budget allows, and the prompt counts once.
    """
    bundles = _bundles(rows, token_budget) if shared else [[row] for row in rows]
    tokens = [_tokens(bundle) for bundle in bundles]
    costs = [count + quadratic * sum(length_of(row) ** 2 for row in bundle) for count, bundle in zip(tokens, bundles, strict=True)]
    return [[row for place in places for row in bundles[place]] for places in _dealt(tokens, costs, token_budget, at_least)]


def _bundles(rows: Sequence[R], token_budget: int) -> list[list[R]]:
    """Rows of one prompt, begun anew where the next one would not fit any more."""
    found: list[list[R]] = []
    open_for: dict[tuple[object, ...], list[R]] = {}
    for row in rows:
        bundle = open_for.get(opening_of(row))
        if bundle is None or _tokens(bundle) + len(row.response_ids) > token_budget:
            found.append(bundle := [])
            open_for[opening_of(row)] = bundle
        bundle.append(row)
    return found


def _tokens(bundle: Sequence[Sequenced]) -> int:
    return len(bundle[0].prompt_ids) + sum(len(row.response_ids) for row in bundle)


def _dealt(tokens: Sequence[int], costs: Sequence[float], token_budget: int, at_least: int) -> list[list[int]]:
    """The places of what is to be packed, by pack, the longest first in each."""
    order = sorted(range(len(tokens)), key=lambda place: (-tokens[place], place))
    count = max(at_least, -(-sum(tokens) // max(1, token_budget)))
    packs: list[list[int]] = [[] for _ in range(min(count, len(tokens)))]
    loads = [[0.0, 0.0, place] for place in range(len(packs))]  # cost, tokens, whose
    heapq.heapify(loads)
    for place in order:
        passed = []
        while loads and loads[0][1] and loads[0][1] + tokens[place] > token_budget:
            passed.append(heapq.heappop(loads))
        if not loads:
            packs.append([])
            loads = [[0.0, 0.0, len(packs) - 1]]
        cheapest = heapq.heappop(loads)
        packs[int(cheapest[2])].append(place)
        for load in (*passed, [cheapest[0] + costs[place], cheapest[1] + tokens[place], cheapest[2]]):
            heapq.heappush(loads, load)
    return [chosen for chosen in packs if chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Where rows lie in a pack: the ids, their spans, and for each row the place before its response's first token and that token's own."""

    ids: list[int]
    spans: tuple[int, ...]
    behind: tuple[int | None, ...]
    images: tuple[tuple[bytes, ...], ...]
    last: list[int]
    first: list[int]


def end_to_end(rows: Sequence[Sequenced]) -> Layout:
    starts = list(accumulate((length_of(row) for row in rows[:-1]), initial=0))
    first = [start + len(row.prompt_ids) for start, row in zip(starts, rows, strict=True)]
    return Layout(
        ids=list(chain.from_iterable(row.prompt_ids + row.response_ids for row in rows)),
        spans=tuple(length_of(row) for row in rows),
        behind=(),
        images=tuple(row.images for row in rows),
        last=[place - 1 for place in first],
        first=first,
    )


def behind_prompts(rows: Sequence[Sequenced]) -> Layout:
    """Each different prompt once, its responses behind it, in the order in which a prompt is first met; `last` and `first` in that of the rows."""
    members: dict[tuple[object, ...], list[int]] = {}
    for place, row in enumerate(rows):
        members.setdefault(opening_of(row), []).append(place)
    ids: list[int] = []
    spans: list[int] = []
    behind: list[int | None] = []
    images: list[tuple[bytes, ...]] = []
    last, first = [0] * len(rows), [0] * len(rows)

    def put(length: int, prompt: int | None, shown: tuple[bytes, ...]) -> None:
        spans.append(length)
        behind.append(prompt)
        images.append(shown)

    for places in members.values():
        prompt, of_prompt = rows[places[0]], len(spans)
        ids += prompt.prompt_ids
        end = len(ids)
        put(len(prompt.prompt_ids), None, prompt.images)
        for place in places:
            last[place], first[place] = end - 1, len(ids)
            if said := rows[place].response_ids:
                ids += said
                put(len(said), of_prompt, ())
    return Layout(ids=ids, spans=tuple(spans), behind=tuple(behind), images=tuple(images), last=last, first=first)
