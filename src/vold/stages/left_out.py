"""Answers that an engine could not give: never shown to a judge, counted, and said; one of them does not sink the others."""

from collections.abc import Sequence

from vold.base.types import Finish, Rollout, Ruling, Verdict
from vold.ports import Judge

LEFT_OUT = "left out"


def verdicts_on(rollouts: Sequence[Rollout], judge: Judge) -> list[Verdict]:
    """One verdict a rollout: the judge's where there is an answer, and otherwise unjudged, with what the engine said."""
    answered = [rollout for rollout in rollouts if rollout.finish is not Finish.FAILED]
    said = iter(judge.judge(answered) if answered or not rollouts else [])
    return [left_out(rollout) if rollout.finish is Finish.FAILED else next(said) for rollout in rollouts]


def left_out(rollout: Rollout) -> Verdict:
    return Verdict(ruling=Ruling.UNJUDGED, extracted=None, note=f"{LEFT_OUT}: {rollout.note or rollout.text or 'the engine gave no reason'}")
