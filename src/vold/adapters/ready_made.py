"""Somebody else's traces: a data set of questions with the answers that a model wrote to them."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

from vold.adapters.containers import Row
from vold.adapters.fields import BadRow, answer_of, asked_in, system_of, text_of, turns_of
from vold.adapters.problems.layouts import BOX, asks_for_a_form, shown_in, without_marks, words_or_nothing
from vold.adapters.readings import REPEATS, BadRows, Reading
from vold.adapters.rows import DataSet
from vold.base.types import Problem, Trace

OPEN, CLOSE = "<think>", "</think>"
COLUMNS = frozenset({"messages", "prompt", "response", "answer", "source", "num_tokens", "image", "images"})
WANTED = "messages with a user and an assistant turn, or prompt and response"
USUAL = {"mot": ("math", "code", "science")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """A row that can be read, and whose trace is not one to learn from."""

    id: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What is in a data set of traces, without the traces."""

    facts: Reading
    answered: int
    unanswered: str | None
    """The first trace without a reference answer."""
    pictured: str | None
    """The first trace that shows a picture."""
    digest: str


@dataclass(frozen=True)
class ReadyMadeTraces:
    """Traces with `messages` (an optional system turn, one user and one assistant turn), or `prompt` and `response`; `answer` is optional, and so are
    pictures (`image`, or a list `images`), which are shown before the words.

    `kind` mot asks for one closed think block with an answer after it; rows without are unfit, not errors. Nothing is kept in memory unless
    `traces` is asked for.
    """

    path: Path | str
    source: str
    kind: str = "messages"
    subsets: tuple[str, ...] = ()
    split: str = "train"
    on_bad_row: str = "refuse"
    needs_answers: bool = False
    without: frozenset[str] = frozenset()
    """Ids of traces that are left out since their prompt repeats a benchmark's question."""

    @property
    def data(self) -> DataSet:
        return DataSet(path=str(self.path), subsets=self.subsets, split=self.split, usual=USUAL.get(self.kind, ()), noun="corpus")

    @property
    def traces(self) -> Sequence[Trace]:
        """All of them at once. Raises DataError as `survey` does."""
        assert self.survey.facts.kept
        return [item for item in self.stream() if isinstance(item, Trace)]

    @property
    def facts(self) -> Reading:
        return self.survey.facts

    @cached_property
    def survey(self) -> Survey:
        """One pass over everything. Raises DataError naming the bad rows where they are not to be dropped, and where no trace is left."""
        data = self.data
        bad = BadRows(data, wanted=WANTED, refuse=self.on_bad_row == "refuse")
        rows = kept = answered = 0
        unanswered: str | None = None
        pictured: str | None = None
        unfit: Counter[str] = Counter()
        digest = blake2b(digest_size=16)
        for row in data.rows(COLUMNS, otherwise=".jsonl"):
            rows += 1
            try:
                item = self._item(row)
            except BadRow as error:
                bad.add(row, self._name(row), str(error))
                continue
            if isinstance(item, Unfit):
                unfit[item.why] += 1
                digest.update(repr(item).encode())
                continue
            kept += 1
            answered += item.problem.answer is not None
            unanswered = unanswered or (item.problem.id if item.problem.answer is None else None)
            pictured = pictured or (item.problem.id if item.problem.images else None)
            digest.update(repr((item.problem, item.response, item.num_tokens)).encode())
        names = bad.settle(rows=rows, kept=kept, otherwise="; ".join(f"{count} traces have {why}" for why, count in unfit.items()))
        facts = Reading(rows=rows, kept=kept, bad=names, unfit=dict(unfit))
        return Survey(facts=facts, answered=answered, unanswered=unanswered, pictured=pictured, digest=digest.hexdigest())

    def stream(self) -> Iterator[Trace | Unfit]:
        """Every row that can be read, in order; what `survey` says of the others is not said again."""
        for row in self.data.rows(COLUMNS, otherwise=".jsonl"):
            try:
                yield self._item(row)
            except BadRow:
                continue

    def batches(self, size: int, *, done: Callable[[int], None] = lambda _: None) -> Iterator[tuple[list[Trace], dict[str, str]]]:
        """The rows of `stream` by `size`: traces, and the reasons of those that are unfit. `done` is told how many rows have been given out."""
        items, given = self.stream(), 0
        while batch := list(islice(items, size)):
            yield [item for item in batch if isinstance(item, Trace)], {item.id: item.why for item in batch if isinstance(item, Unfit)}
            given += len(batch)
            done(given)

    def _item(self, row: Row) -> Trace | Unfit:
        if row.why:
            raise BadRow(row.why)
        if not isinstance(row.value, Mapping):
            raise BadRow("no object with named fields")
        system, prompt, response = _spoken(row.value)
        images = shown_in(row.value, self.data.folder)
        name = self._name(row)
        why = thoughts_missing(response) if self.kind == "mot" else None
        if name in self.without:
            why = REPEATS
        if why is not None:
            return Unfit(id=name, why=why)
        origin = words_or_nothing(row.value.get("source"))
        problem = Problem(
            id=name,
            prompt=without_marks(prompt, len(images)),
            images=images,
            answer=self._answer(row.value.get("answer")),
            source=self.source,
            system=system,
            instructed=BOX in prompt or BOX in system or (self.kind == "mot" and asks_for_a_form(prompt, row.subset, origin)),
            origin=origin,
        )
        return Trace(problem=problem, response=response, response_ids=None, num_tokens=_length(row.value.get("num_tokens")))

    def _answer(self, value: Any) -> str | None:
        try:
            answer = answer_of(value)
        except BadRow:
            if self.needs_answers:
                raise
            return None
        if self.needs_answers and answer is None:
            raise BadRow('no answer, which corpus.filter = "correct" compares with')
        return answer

    def _name(self, row: Row) -> str:
        return f"{self.source}/{row.subset}/{row.number}" if row.subset else f"{self.source}/{row.number}"


def thoughts_missing(response: str) -> str | None:
    """Why a trace is not one closed think block with an answer after it; None where it is."""
    opened, closed = response.count(OPEN), response.count(CLOSE)
    if not opened or not closed or response.find(CLOSE) < response.find(OPEN):
        return "no closed think block"
    if opened > 1 or closed > 1:
        return "two think blocks"
    if not response.startswith(OPEN):
        return "words before the reasoning"
    if not response.split(CLOSE)[1].strip():
        return "no answer after the reasoning"
    return None


def _spoken(fields: Mapping[str, Any]) -> tuple[str, str, str]:
    """(system prompt or "", question, response)."""
    if fields.get("messages") is None:
        system, prompt = asked_in(fields.get("prompt"), "prompt")
        return system, prompt, text_of(fields.get("response"), "response")
    turns = turns_of(fields["messages"], "messages")
    system, said = (turns[0][1], turns[1:]) if turns[0][0] == "system" else ("", turns)
    roles = [role for role, _ in said]
    if roles != ["user", "assistant"]:
        raise BadRow(f"turns of {', '.join(roles[:4])}{', …' if len(roles) > 4 else ''}: expected one question and one answer")
    return system_of(system), text_of(said[0][1], "the user turn"), text_of(said[1][1], "the assistant turn")


def _length(value: Any) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
