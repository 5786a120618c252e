r"""MATH-500: 500 competition problems of five levels whose answers are LaTeX, by the grader that came with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vold.adapters.benchmarks import strict, tables
from vold.adapters.benchmarks.cleaning import mathruler_boxed
from vold.adapters.benchmarks.graders import prm800k_grade
from vold.adapters.benchmarks.spec import Graded, Spec, Style
from vold.adapters.fields import BadRow, answer_of, difficulty_of, text_of
from vold.base.types import Item
from vold.core.measures import Measure

REASONED = "{problem}\n\nThink step by step and put the final answer in \\boxed{{}}."
DIRECTLY = "{problem}\n\nAnswer with \\boxed{{}} around the final answer and nothing else."


def item_of(row: Mapping[str, Any], subset: str, folder: Path | None) -> Item:  # noqa: ARG001 - the row says all there is
    problem, answer = text_of(row.get("problem"), "problem"), answer_of(row.get("answer"))
    if answer is None:
        raise BadRow("no answer")
    level = difficulty_of(row.get("level"))
    if level is None or not 1 <= level <= 5:
        raise BadRow(f"level is not 1 to 5: {row.get('level')!r}")
    name = text_of(row.get("unique_id"), "unique_id").removesuffix(".json")
    return Item(id=f"math500/{name}", question=problem, answer=answer, parts={"subject": text_of(row.get("subject"), "subject"), "level": str(level)})


def ask(item: Item, style: Style) -> str:
    if style is Style.REASONING:
        return item.question
    return (DIRECTLY if style is Style.DIRECT else REASONED).format(problem=item.question)


def extract(item: Item, response: str) -> str | None:  # noqa: ARG001
    """The last box, which must be closed; a response of one line without any is taken for the content of one."""
    if "\\boxed" in response:
        found = mathruler_boxed(response)
        return None if found == "None" else found
    bare = response.strip()
    return bare if bare and "\n" not in bare else None


def accepts(item: Item, extracted: str | None) -> bool:
    return prm800k_grade(extracted, item.answer)


def measures(graded: Sequence[Graded]) -> Sequence[Measure]:
    return tables.accuracy(graded, parts=("subject", "level"))


SPEC = Spec(
    name="math500",
    title="MATH-500",
    modality="text",
    hub="HuggingFaceH4/MATH-500",
    columns=frozenset({"problem", "answer", "subject", "level", "unique_id"}),
    item=item_of,
    ask=ask,
    extract=extract,
    accepts=accepts,
    strict=strict.value,
    measures=measures,
    licence="MIT",
    note=(
        "The benchmark has no prompt for chat models: ours asks for a box. Graded by PRM800K's rule on the last box, where an unreduced fraction is "
        "wrong and unit words are dropped; a last box that is never closed counts as none."
    ),
)
