"""The run in one paragraph, told from its own numbers."""

from collections.abc import Sequence

from vold.report.curves import Track
from vold.report.files import Step
from vold.report.grid import Grid, grids, short
from vold.report.summary import Summary


def story(summary: Summary, sft: Sequence[Step], arms: Sequence[Track]) -> str:
    """What was run and what came of it; nothing that is not in the summary or the journals."""
    parts = [f"This run followed the recipe {summary.recipe.name} with seed {summary.seed}: a vision-language model learns to reason from text."]
    if sft:
        parts.append(f"It was first aligned to a text-only teacher by {_steps(len(sft))} of SFT on the teacher's traces.")
    if trained := [arm for arm in arms if arm.steps]:
        parts.append(f"The joint stage then learned from the student's own answers to text problems, in {_arms(trained)}.")
    if results := [sentence for grid in grids(summary)[:1] for sentence in _results(grid)]:
        parts.append("No step of this training saw a picture. " + " ".join(results))
    return " ".join(parts)


def _arms(arms: Sequence[Track]) -> str:
    count = f"{len(arms)} arm{'' if len(arms) == 1 else 's'}"
    lengths = {len(arm.steps) for arm in arms}
    if len(lengths) == 1:
        return f"{count} of {_steps(lengths.pop())}: {'; '.join(arm.label for arm in arms)}"
    return f"{count}: {'; '.join(f'{arm.label} ({_steps(len(arm.steps))})' for arm in arms)}"


def _results(grid: Grid) -> list[str]:
    """One sentence a picture benchmark: every line's accuracy over all difficulties."""
    sentences = []
    for place, column in enumerate(grid.columns):
        if column.modality != "image" or column.difficulty is not None:
            continue
        values = [f"{line.label} {short(cell.value)}" for line in grid.lines if (cell := line.cells[place]) is not None and cell.n]
        if values:
            sentences.append(f"Zero-shot {grid.metric} on {column.benchmark} ({grid.problems(place)} problems): {'; '.join(values)}.")
    return sentences


def _steps(count: int) -> str:
    return f"{count:,} step{'' if count == 1 else 's'}"
