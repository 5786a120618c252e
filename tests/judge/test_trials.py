"""Generated answers whose truth is known by how they were made."""

from collections import Counter

from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.adapters.judges.trials import KINDS, choices, trials
from vold.base.types import Ruling
from vold.core.choices import gold_letters, letters_in


def test_generated_answers(judge: EquivalenceJudge) -> None:
    drawn = list(trials(880, seed=3))
    verdicts = judge.compare([(trial.answer, trial.gold) for trial in drawn])
    wrong = [(trial, v.note) for trial, v in zip(drawn, verdicts, strict=True) if v.ruling is not (Ruling.RIGHT if trial.same else Ruling.WRONG)]
    assert wrong == []


def test_generated_sentences_about_options() -> None:
    drawn = list(choices(3000, seed=3))
    assert drawn == list(choices(3000, seed=3))
    assert [trial for trial in drawn if (letters_in(trial.answer) == gold_letters(trial.gold)) is not trial.same] == []
    assert sum(trial.same for trial in drawn) in range(1300, 1700)


def test_the_draw_is_repeatable_and_covers_everything() -> None:
    drawn = list(trials(4000, seed=1))
    assert drawn == list(trials(4000, seed=1)) != list(trials(4000, seed=2))
    counts = Counter((trial.kind, trial.same) for trial in drawn)
    assert all(counts[kind, same] > 20 for kind in KINDS for same in (True, False))


def test_a_judge_that_only_compares_strings_or_rounds_would_be_caught() -> None:
    """Planted: what a trial must be able to catch, it catches."""
    drawn = list(trials(2000, seed=1))
    by_letter = [trial.answer == trial.gold for trial in drawn]
    assert sum(trial.same and not found for trial, found in zip(drawn, by_letter, strict=True)) > 500
    digits = [sorted(filter(str.isdigit, trial.answer)) == sorted(filter(str.isdigit, trial.gold)) for trial in drawn]
    assert sum(found and not trial.same for trial, found in zip(drawn, digits, strict=True)) > 100
