"""What stage 2 refuses before its first step, however it was put together: nothing is sampled, nothing is trained."""

import re
from dataclasses import replace
from typing import Any

import pytest
from support import models as m
from support.records import groups_of, problem
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.base.errors import Refusal
from vold.core.objective import REFERENCE, TEACHER, Estimator, Pull, Want
from vold.core.zoo import GKD, GRPO, OPD, VOLD, VOLD_FULL
from vold.ports import Sampling
from vold.stages.joint import JointRun, Phase, joint

UNFIT: dict[str, tuple[JointRun, str]] = {
    "no phases": (run_of(phases=()), r"the phases end at steps \[\]"),
    "phases too short": (run_of(phases=(Phase(objective=OPD, until=1),)), r"\[1\].*the run's 2 steps"),
    "phases that fall": (run_of(phases=(Phase(objective=OPD, until=5), Phase(objective=VOLD, until=3))), r"must rise"),
    "no update": (run_of(updates_per_batch=0), "updates_per_batch = 0"),
    "no rollout": (run_of(OPD, group_size=0), "group_size = 0"),
    "a group of one": (run_of(group_size=1), "a group of 1 has no spread"),
    "a slip in a word": (run_of(truncated_reward="wrnog"), r"'wrnog' is not one of: wrong, judge, drop"),
    "greedy": (run_of(sampling=Sampling(max_new_tokens=8, temperature=0.0)), "drawn from the whole policy"),
    "cut off": (run_of(sampling=Sampling(max_new_tokens=8, top_p=0.9)), "drawn from the whole policy"),
    "no corpus": (run_of(GKD, on_corpus=0.5), "on_corpus = 0.5 .* no corpus given"),
    "traces without a group": (run_of(VOLD, on_corpus=1.0), "on_corpus = 1 .* z-score credit, and a trace has no group"),
    "more than every step": (run_of(GKD, on_corpus=1.5), "on_corpus = 1.5 is a share"),
    "no reference": (run_of(GRPO), "pulls toward a reference, but none is given"),
}


class NobodyAnswers:
    """An engine that must not be asked."""

    def adopt(self, *_: Any, **__: Any) -> None:
        raise AssertionError("the stage began")

    sample = adopt


@pytest.mark.parametrize("what", UNFIT)
def test_a_run_that_cannot_work_is_refused_before_it_begins(world: m.World, what: str) -> None:
    run, said = UNFIT[what]
    recorder = Recorder(asked=[problem("a")])
    with pytest.raises(Refusal, match=re.compile(said, re.DOTALL)):
        joint(run, ports_of(world, recorder, some_teacher(), engine=NobodyAnswers()))
    assert recorder.said == []


def test_a_teacher_that_is_not_there_or_says_too_little(world: m.World) -> None:
    ports = ports_of(world, Recorder(asked=[problem("a")]), None, engine=NobodyAnswers())
    with pytest.raises(Refusal, match="pulls toward a teacher, but no teacher is set"):
        joint(run_of(), ports)
    sampled_only = replace(some_teacher(), gives=Want.SAMPLED)
    with pytest.raises(Refusal, match='"full-student-to-partner" reads the teacher\'s whole distribution'):
        joint(run_of(VOLD_FULL), replace(ports, teacher=sampled_only))
    likeliest = replace(VOLD, pulls=(Pull(TEACHER, 0.1, Estimator.PARTNER_TOP_K, top=4),))
    with pytest.raises(Refusal, match=r'"partner-top-k" reads the teacher\'s likeliest tokens.*log-probabilities of sampled.*pull.by = "k2"'):
        joint(run_of(likeliest), replace(ports, teacher=sampled_only))
    some = replace(some_teacher(), gives=Want.TOP_K)
    with pytest.raises(Refusal, match=r'whole distribution.*of its likeliest and of sampled tokens.*pull.by = "partner-top-k"'):
        joint(run_of(VOLD_FULL), replace(ports, teacher=some))
    with pytest.raises(AssertionError, match="the stage began"):
        joint(run_of(likeliest), replace(ports, teacher=some))
    both = replace(VOLD, pulls=(Pull(REFERENCE, 0.1, Estimator.FULL_PARTNER_TO_STUDENT), Pull(TEACHER, 0.1)))
    with pytest.raises(AssertionError, match="the stage began"):  # the reference gives it all; of the teacher only sampled tokens are asked
        joint(run_of(both), replace(ports, teacher=sampled_only, reference=some_teacher()))


def test_one_problem_twice_in_a_step_is_refused_before_anybody_answers(world: m.World) -> None:
    recorder = Recorder(asked=[problem("a"), problem("a")])

    class Adopts(NobodyAnswers):
        def adopt(self, *_: Any, **__: Any) -> None:
            pass

    with pytest.raises(Refusal, match="a step holds problem a/0 twice"):
        joint(run_of(), ports_of(world, recorder, some_teacher(), engine=Adopts()))


def test_numbers_of_the_students_own_tokens_are_not_told_of_traces(world: m.World) -> None:
    recorder = Recorder(asked=[problem("a")], sums={"tokens": 4.0, "pulled_tokens": 4.0, "k3": 2.0, "logprob": -3.0, "log_ratio": 1.0})
    joint(run_of(GKD, on_corpus=0.5), ports_of(world, recorder, some_teacher(), corpus=lambda _: groups_of("U")))
    own, traces = (entry[2] for entry in recorder.of("write"))
    told = {"pull/kl", "pull/log_ratio", "pull/log_ratio_max", "pull_share", "entropy/sampled"}
    assert told <= set(own)
    assert not told & set(traces)
    assert traces["trained_tokens"] == 4.0
