r"""AIME: competition problems whose answers are whole numbers from 0 to 999."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import strict, tables
from vold.adapters.benchmarks.math500 import ask, extract
from vold.adapters.benchmarks.numeric import bare_value
from vold.adapters.benchmarks.spec import Spec
from vold.adapters.fields import BadRow, answer_of, text_of
from vold.base.ids import digest_of
from vold.base.types import Item

_WHOLE = re.compile(r"[0-9]{1,3}")


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001 - the row says all there is
    """Rows call the problem `problem`, `prompt` or `question`."""
    asked = next((row[name] for name in ("problem", "prompt", "question") if row.get(name) is not None), None)
    problem, answer = text_of(asked, "problem"), whole(answer_of(row.get("answer")))
    if answer is None:
        raise BadRow(f"answer is no whole number from 0 to 999: {row.get('answer')!r}")
    return Item(id=f"aime/{digest_of(problem)}", question=problem, answer=answer)


def whole(text: str | None) -> str | None:
    """A number from 0 to 999 without the zeros that the exam puts before it; None for anything else."""
    plain = None if text is None else text.strip().strip("$").strip()
    return str(int(plain)) if plain is not None and _WHOLE.fullmatch(plain) else None


def accepts(item: Item, extracted: str | None) -> bool:
    """The whole number itself; typesetting, a full stop and a unit do not matter, other notations of it are none."""
    found = whole(extracted)
    if found is None and extracted is not None and "=" not in extracted:
        value = bare_value(extracted)
        found = whole(value.text) if value is not None and not value.percent else None
    return found is not None and found == item.answer


SPEC = Spec(
    name="aime",
    title="AIME",
    modality="text",
    hub="HuggingFaceH4/aime_2024",
    columns=frozenset({"problem", "prompt", "question", "answer"}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strict.value,
    measures=tables.accuracy,
    split="train",
    licence="MIT for Open-Reasoner-Zero's copy; the problems are the MAA's",
    note=(
        "The exam has no prompt and no script for models: ours asks for a box, and the last box must be the whole number itself, from 0 to 999, with "
        "or without leading zeros and unit. Which year it is depends on the rows: the hub id is that of 2024."
    ),
)
