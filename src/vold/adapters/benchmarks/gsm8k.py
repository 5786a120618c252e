"""GSM8K: word problems whose answer is a number behind `####`."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import finding, strict, tables
from vold.adapters.benchmarks.numeric import bare_value, in_digits
from vold.adapters.benchmarks.reads import Boxed
from vold.adapters.benchmarks.spec import Spec, Style
from vold.adapters.fields import BadRow, text_of
from vold.base.ids import digest_of
from vold.base.types import Item, Verdict
from vold.core.answers import as_number, last_hashes, last_line

_HASHED = re.compile(r"#### (-?[0-9.,]+)")
_NUMBERS = re.compile(r"-?[0-9.,]+")
_READ = 300
"""How many characters at the end of a response verl reads."""
REASONED = "{question}\n\nThink step by step. Then write the answer, a number alone, on a last line that begins with ####, as in #### 42."
DIRECTLY = "{question}\n\nAnswer with one line: #### and the number, as in #### 42."


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001 - the row says all there is
    question, solution = text_of(row.get("question"), "question"), text_of(row.get("answer"), "answer")
    gold = hashed(solution)
    if gold is None or as_number(gold) is None:
        raise BadRow("answer has no number behind ####")
    return Item(id=f"gsm8k/{digest_of(question)}", question=question, answer=gold, facts={"solution": solution})


def ask(item: Item, style: Style) -> str:
    if style is Style.REASONING:
        return item.question
    return (DIRECTLY if style is Style.DIRECT else REASONED).format(question=item.question)


def hashed(text: str) -> str | None:
    """The official rule: the first number behind `####` and one blank, without its commas."""
    found = _HASHED.search(text)
    return None if found is None else found[1].replace(",", "")


def extract(item: Item, response: str) -> str | None:  # noqa: ARG001
    """By the official rule; a response that is nothing but a number is that number, and so is a box that was asked for, without unit and currency."""
    value = bare_value(response) if isinstance(response, Boxed) else None
    if value is not None:
        return in_digits(value)
    bare = response.strip().strip("$")
    return bare.replace(",", "") if _NUMBERS.fullmatch(bare) else hashed(response)


def accepts(item: Item, extracted: str | None) -> bool:
    """Equal as strings: 18.0 and 18. are not 18."""
    return extracted == item.answer


def verl(response: str, *, flexible: bool = False) -> str | None:
    """What verl's reward reads, for comparisons with runs trained on it: in the last 300 characters the last number behind `####`, or `flexible`, the
    last number of any kind with its commas."""
    end = response[-_READ:]
    if not flexible:
        found = _HASHED.findall(end)
        return found[-1].replace(",", "") if found else None
    return next((number for number in reversed(_NUMBERS.findall(end)) if number != "."), None)


def judge_strictly(item: Item, response: str) -> Verdict:
    """As a number, wherever a final answer may stand, and behind `####` or `A:` as in the published solutions."""
    found = finding.answer_in(response)
    if found is None:
        text = finding.final(response)
        behind = (last_hashes(text) or "").strip("*_ \t")  # a heading has #### as well
        found = behind if bare_value(behind) is not None else last_line(text)
    return strict.value(item, response) if found is None else strict.compared(found, item.answer)


SPEC = Spec(
    name="gsm8k",
    title="GSM8K",
    modality="text",
    hub="openai/gsm8k",
    columns=frozenset({"question", "answer"}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=judge_strictly,
    measures=tables.accuracy,
    subsets=("main",),
    usual=("main",),
    licence="MIT",
    note=(
        "The benchmark has no prompt for chat models: ours asks for the #### line that its rule reads. Its rule takes the first number behind "
        "#### and compares strings without commas; verl's strict rule takes the last one of the last 300 characters, its flexible rule the last "
        "number of any kind there, commas and a trailing full stop kept. A box that was asked for instead is read as its number."
    ),
)
