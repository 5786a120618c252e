"""What must be said below a table of benchmarks: how sure the numbers are, and which answers and rows they leave out."""

from collections.abc import Callable, Mapping, Sequence

from vold.core.measures import Measure, is_share
from vold.report.benchmarks import Benchmark, Model
from vold.report.escaping import shortened
from vold.report.grid import unique
from vold.report.paper_numbers import HOW, PRINTED, SOURCE, Target, plain

MARK = "‡"
Answered = tuple[str, Model, Sequence[Benchmark]]
"""A model's name in the table, the model, and the benchmarks of the table that it answered."""


def notes(shown: Sequence[Answered], *, paper: Mapping[Target, bool], broken: int) -> tuple[str, ...]:
    """All captions. `paper` is what the paper prints of these benchmarks and whether it stands in the table; at most `broken` rows that could not
    be asked are named a benchmark."""
    lines = [
        _numbers(shown),
        _styles(shown),
        _counted(shown, "Cut at the length cap", lambda one: one.truncated, always=True),
        _unanswered(shown),
        _counted(shown, "Thinking ended for the model at its budget", lambda one: one.closed),
        _counted(shown, "Nothing extracted, counted as wrong", lambda one: one.unextracted, always=True),
        _counted(shown, "Not judged, left out of the numbers", lambda one: one.unjudged),
        _agreement(shown),
        _broken(shown, broken),
        _overlaps(shown),
        _marked(shown, paper),
        _printed(paper),
    ]
    return tuple(line for line in lines if line)


def marked(model: Model, benchmark: Benchmark) -> bool:
    """Whether the model was trained on part of the benchmark, by what is known of it or by what was found in its prompts."""
    known = {plain(name) for name in model.contaminated}
    return not known.isdisjoint((plain(benchmark.name), plain(benchmark.is_of))) or bool(benchmark.overlaps)


def _numbers(shown: Sequence[Answered]) -> str:
    every = [one for _, _, own in shown for one in own]
    points = unique(one.title for one in every if any(measure.units and not is_share(measure) for measure in one.measures))
    robust = unique(one.title for one in every if any(map(_depends, one.measures)))
    said = f"In percent, {_listed(points)} in points." if points else "In percent."
    said += " In brackets 95 % intervals: Wilson's over items"
    if robust:
        said += f"; robust to items that share a seed question, or over several means, in {_listed(robust)}"
    several = any(one.samples > 1 for one in every)
    return f"{said}. A mean of several answers to an item counts as many trials as its items' spread tells." if several else f"{said}."


def _depends(measure: Measure) -> bool:
    clusters = [unit.cluster for unit in measure.units if unit.cluster]
    return len(set(clusters)) < len(clusters) or len(measure.weights) > 1


def _styles(shown: Sequence[Answered]) -> str:
    styles = unique(model.style for _, model, _ in shown)
    if len(styles) == 1:
        return f"Prompt style: {styles[0]}."
    return f"Prompt styles: {'; '.join(f'{label} {model.style}' for label, model, _ in shown)}."


def _counted(shown: Sequence[Answered], sentence: str, count: Callable[[Benchmark], int | None], *, always: bool = False) -> str:
    """Counts of answers of one kind by model and benchmark."""
    told = []
    for label, _, own in shown:
        counts = [(one, found) for one in own if (found := count(one)) and one.answers]
        if counts:
            told.append(f"{label}: {', '.join(f'{one.title} {n} of {one.answers} ({100 * n / one.answers:.1f} %)' for one, n in counts)}")
    unknown = unique(label for label, _, own in shown if any(count(one) is None for one in own))
    known = sum(one.answers for _, _, own in shown for one in own if count(one) is not None)
    said = f"{sentence}: {'; '.join(told)}." if told else f"{sentence}: none of {known} answers." if always and known else ""
    return " ".join([said] * bool(said) + [f"{sentence}: not known of {_listed(unknown)}."] * bool(unknown))


def _unanswered(shown: Sequence[Answered]) -> str:
    """Rows that could have been asked and were not answered: scores of somebody's responses to some of them."""
    told = [
        f"{label}: {one.title} {missing} of {one.rows}"
        for label, _, own in shown
        for one in own
        if (missing := one.rows - len(one.broken) - one.items) > 0
    ]
    return f"Rows without an answer, left out of the numbers: {'; '.join(told)}." if told else ""


def _agreement(shown: Sequence[Answered]) -> str:
    """How often the verdicts by a language model are those of the rules."""
    told = []
    for label, _, own in shown:
        found = [
            f"{one.title} {', '.join(f'{100 * share:.1f} % with {shortened(mode)}' for mode, share in one.agreement.items())}"
            for one in own
            if one.agreement
        ]
        if found:
            told.append(f"{label}: {'; '.join(found)}")
    return f"Verdicts agree with the rules on: {'; '.join(told)}." if told else ""


def _broken(shown: Sequence[Answered], limit: int) -> str:
    told = []
    for label, _, own in shown:
        for one in own:
            if one.broken:
                named = [f"{shortened(row.id)}: {shortened(row.why)}" for row in one.broken[:limit]]
                more = [f"{len(one.broken) - limit} more"] if len(one.broken) > limit else []
                told.append(f"{label}: {one.title} {len(one.broken)} of {one.rows} ({'; '.join(named + more)})")
    return f"Broken rows, which could not be asked: {'; '.join(told)}." if told else ""


def _overlaps(shown: Sequence[Answered]) -> str:
    told = [f"{label}: {one.title} {one.overlaps} of {one.items}" for label, _, own in shown for one in own if one.overlaps]
    unknown = [label for label, _, own in shown if any(one.overlaps is None for one in own)]
    said = f"Questions that are among the training prompts: {'; '.join(told)}." if told else ""
    return " ".join([said] * bool(said) + [f"Not searched for among training prompts: {_listed(unknown)}."] * bool(unknown))


def _marked(shown: Sequence[Answered], paper: Mapping[Target, bool]) -> str:
    found = any(marked(model, one) for _, model, own in shown for one in own)
    printed = any(there and target.heading in row.contaminated for target, there in paper.items() for row in PRINTED)
    return f"{MARK} trained on part of the evaluation set." if found or printed else ""


def _printed(paper: Mapping[Target, bool]) -> str:
    shown, absent = [target for target, there in paper.items() if there], [target.heading for target, there in paper.items() if not there]
    missing = f"The paper's {_listed(absent)}: not shown, that number was not measured here." if absent else ""
    if not shown:
        return missing
    said = f"“paper: …” is what {SOURCE} prints ({_listed(unique(target.table for target in shown))}; {HOW}), by another rule than the one here."
    notes = [f"{note[0].upper()}{note[1:]}." for note in unique(target.note for target in shown if target.note)]
    return " ".join(filter(None, [said, *notes, missing]))


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words)
