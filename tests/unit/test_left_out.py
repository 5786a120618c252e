"""A rollout that the engine or a partner could not give: counted, said, and without a place in credit, pulls and Z."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support import models as m
from support.plans import plan_for
from support.records import groups_of, problem, spoken
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.adapters.corpora import ShardedCorpus
from vold.adapters.engines.scripted import ScriptedEngine
from vold.adapters.generations import KeptAnswers
from vold.adapters.judges.boxed import BoxedJudge
from vold.adapters.problems.tiny import TinyProblems
from vold.adapters.templates import Template
from vold.base.errors import DataError, NothingJudged
from vold.base.types import Finish, Group, Problem, Rollout, Ruling, ScoredRollout, View, unanswered
from vold.core import stats
from vold.core.objective import Want
from vold.core.zoo import DAPO, DR_GRPO, GRPO, KDRL, OPD, VOLD, ZOO
from vold.stages import corpus, evaluate
from vold.stages.joint import joint, scored
from vold.stages.left_out import verdicts_on

ASKED = [problem(name) for name in "abc"]
RUN = corpus.CorpusRun(sampling=m.sampling(8), batch=5)
WORDS = {0: "\\boxed{ 7 }", 1: "\\boxed{ 6 }", 2: "1 2 3 4 5 6 7 8 9"}


class Silent:
    def update(self, done: int, total: int, note: str = "") -> None:
        del done, total, note


def failing(world: m.World, *fails: tuple[str, int]) -> ScriptedEngine:
    """A script that has no answer to some (problem, sample)."""

    class Failing(ScriptedEngine):
        def sample(self, problems: Sequence[Problem], **asked: Any) -> list[Rollout]:
            found = super().sample(problems, **asked)
            return [unanswered(x.problem, x.sample, "too long") if (x.problem.id.split("/")[0], x.sample) in fails else x for x in found]

    return Failing(template=Template(of=world.student32), script=lambda _, sample: WORDS[sample])


class Judge(BoxedJudge):
    def judge(self, rollouts: Sequence[Rollout]) -> Any:
        assert all(x.finish is not Finish.FAILED for x in rollouts), "a judge is shown answers only"
        return super().judge(rollouts)


@pytest.mark.parametrize("stream", [0, 1])
def test_a_failed_rollout_is_counted_said_and_left_out(world: m.World, stream: int) -> None:
    recorder, teacher = Recorder(asked=ASKED), some_teacher()
    joint(run_of(steps=1, stream=stream), ports_of(world, recorder, teacher, engine=failing(world, ("b", 1), ("c", 0)), judge=Judge()))
    _, _, values, groups = recorder.of("write")[0]
    failed = groups[1].members[1]
    assert (failed.verdict.ruling, failed.verdict.note) == (Ruling.UNJUDGED, "left out: too long")
    assert values["engine/excluded"] == 2
    assert "teacher/excluded" not in values
    assert values["rollouts/unjudged"] == 2
    assert values["length/mean"] == pytest.approx((3 * 8 + 2 * 4 + 2 * 4) / 7)
    assert recorder.of("apply")[0][1] == 3 * 8 + 2 * 4 + 2 * 4
    assert all(x.finish is not Finish.FAILED for x in teacher.asked)


def test_a_step_of_which_nothing_came_back_is_refused(world: m.World) -> None:
    everything = [(name, sample) for name in "abc" for sample in range(3)]
    with pytest.raises(NothingJudged, match="left out: too long"):
        joint(run_of(steps=1), ports_of(world, Recorder(asked=ASKED), some_teacher(), engine=failing(world, *everything)))


def without(group: Group, place: int, **changes: Any) -> Group:
    """The group with one member changed."""
    return replace(group, members=tuple(replace(x, **changes) if at == place else x for at, x in enumerate(group.members)))


def emptied(member: ScoredRollout) -> dict[str, Any]:
    rollout = unanswered(member.rollout.problem, member.rollout.sample, "gone", prompt_ids=member.rollout.prompt_ids)
    return {"rollout": rollout, "verdict": verdicts_on([rollout], Judge())[0], "teacher_logprobs": None, "reference_logprobs": None}


@pytest.mark.parametrize("name", sorted(ZOO))
def test_no_objective_gives_it_a_place(name: str) -> None:
    """Credit, pulls and Z are those of the group without it, whatever the objective reads."""
    plan = plan_for(ZOO[name])
    whole = spoken(groups_of("RWWw", "WWR", "WW"))
    gone = [without(whole[0], 1, **emptied(whole[0].members[1])), *whole[1:]]
    smaller = [replace(whole[0], members=(whole[0].members[0], *whole[0].members[2:])), *whole[1:]]
    assert plan.counts(gone) == plan.counts(smaller)
    rest = [0, 2, 3]
    for found, expected in ((plan.advantages, 0.0), (plan.touches, False), (plan.pull_weights, (0.0,) * len(plan.betas))):
        of_gone = found(gone[0])
        assert of_gone[1] == expected
        assert [of_gone[place] for place in rest] == list(found(smaller[0]))
    assert [plan.share_of(gone[0].members[place], gone[0]) for place in rest] == [plan.share_of(x, smaller[0]) for x in smaller[0].members]


@dataclass
class Partly:
    """A teacher that cannot read some rollouts."""

    inner: Any
    fails: frozenset[tuple[str, int]]
    gives: Want = Want.HIDDEN

    def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View | None]:
        views = self.inner.score(rollouts, want=want, top=top)
        return [None if (x.problem.id.split("/")[0], x.sample) in self.fails else view for x, view in zip(rollouts, views, strict=True)]


def test_what_the_teacher_cannot_read_is_counted_and_left_out(world: m.World) -> None:
    recorder = Recorder(asked=ASKED)
    teacher: Any = Partly(some_teacher(), frozenset({("a", 1)}))
    joint(run_of(steps=1), ports_of(world, recorder, teacher))
    _, _, values, groups = recorder.of("write")[0]
    member = groups[0].members[1]
    assert (member.verdict.ruling, member.excluded, member.teacher_logprobs) == (Ruling.WRONG, "teacher", None)
    assert values["teacher/excluded"] == 1
    assert "engine/excluded" not in values
    assert values["teacher/nll_start"] == 4.0
    assert recorder.of("apply")[0][1] == 3 * (4 + 4 + 8) - 4


@pytest.mark.parametrize("objective", [VOLD, KDRL, OPD, DAPO, DR_GRPO], ids=["VOLD", "KDRL", "OPD", "DAPO", "DR_GRPO"])
def test_gradients_are_those_without_it(world: m.World, objective: Any) -> None:
    """On a real model: a member that its teacher could not read adds nothing, and its group's credit stays what its verdict made it."""
    plan = plan_for(objective)
    groups = groups_of("RWW", "WWR")
    marked = [without(groups[0], 1, excluded="teacher", teacher_logprobs=None), groups[1]]
    learner = m.learner_of(world.student64)
    learner.freeze_behaviour([without(groups[0], 1, **emptied(groups[0].members[1]))])
    assert learner.behaviour is not None
    assert len(learner.behaviour) == 2
    learner.behaviour = None
    found = m.gradient_of(learner, marked, objective)
    rows = {(x.rollout.problem.id, x.rollout.sample) for g in marked for x, touched in zip(g.members, plan.touches(g), strict=True) if touched}
    assert (groups[0].problem.id, groups[0].members[1].rollout.sample) not in rows
    assert plan.counts(marked).z <= plan.counts(groups).z
    assert m.size_of(found) > 0


def test_the_reference_is_not_asked_about_what_the_teacher_could_not_read() -> None:
    asked: list[Rollout] = []

    class Reference:
        gives = Want.HIDDEN

        def score(self, rollouts: Sequence[Rollout], *, want: Want = Want.SAMPLED, top: int = 0) -> list[View]:
            del want, top
            asked.extend(rollouts)
            return [View(logprobs=(-1.0,) * len(x.response_ids)) for x in rollouts]

    groups = groups_of("RWW")
    pulled = replace(VOLD, pulls=(*VOLD.pulls, replace(VOLD.pulls[0], toward=GRPO.pulls[0].toward)))
    teacher: Any = Partly(some_teacher(), frozenset({(groups[0].problem.id, groups[0].members[1].rollout.sample)}))
    reference: Any = Reference()
    (group,) = scored(groups, plan_for(pulled), teacher, reference)
    assert group.members[1].excluded == "teacher"
    assert [x.sample for x in asked] == [groups[0].members[2].rollout.sample]
    assert stats.left_out(group.members) == {"teacher/excluded": 1.0}


def test_a_corpus_drops_it_and_says_why(world: m.World, tmp_path: Path) -> None:
    class Failing(ScriptedEngine):
        def sample(self, problems: Sequence[Problem], **asked: Any) -> list[Rollout]:
            return [unanswered(x.problem, x.sample, "too long") if x.problem.id == fails else x for x in super().sample(problems, **asked)]

    engine = Failing(template=Template(of=world.student32), script=lambda *_: "\\boxed{ 7 }")
    problems = TinyProblems(seed=0, source="corpus", difficulties=(1, 2), per_step=0, total=12)
    fails = problems.all()[3].id
    at = corpus.Ports(problems=problems, engine=engine, judge=Judge(), store=ShardedCorpus(folder=tmp_path), progress=Silent())
    manifest = corpus.corpus(RUN, at, facts={})
    assert manifest["dropped"]["no answer from the engine"] == 1
    assert manifest["kept"] + sum(manifest["dropped"].values()) == manifest["asked"] == 12


def test_an_evaluation_counts_it_as_unjudged(world: m.World) -> None:
    class Plain:
        name = title = kind = "b"
        modality, broken, seen = "text", (), 3

        def problems(self) -> Sequence[Problem]:
            return ASKED

        def measures(self, judged: Any) -> tuple:
            del judged
            return ()

    way = evaluate.Way(name="greedy", sampling=m.sampling(8, 0.0))
    at = evaluate.Ports(engine=failing(world, ("b", 0)), benchmarks=[(Plain(), {"boxed": Judge()})], progress=Silent())  # type: ignore[arg-type]
    (result,), answers = evaluate.evaluate([way], at)
    assert (result.answers, result.unjudged, result.unextracted) == (3, 1, 0)
    assert answers[1].verdicts["boxed"].note == "left out: too long"


def test_kept_answers_ask_it_again(world: m.World, tmp_path: Path) -> None:
    asked = [problem(name, f"find {name} + b ?") for name in "abc"]

    def kept(*fails: tuple[str, int]) -> list[Rollout]:
        engine = failing(world, *fails)
        answers = KeptAnswers(inner=engine, template=engine.template, path=tmp_path / "kept.jsonl", identity={}, rows=2)
        return answers.sample(asked, per_problem=1, sampling=m.sampling(8, 0.0), place=("x",))

    assert [x.finish for x in kept(("b", 0))] == [Finish.STOP, Finish.FAILED, Finish.STOP]
    assert len((tmp_path / "kept.jsonl").read_text().splitlines()) == 2
    assert [x.finish for x in kept()] == [Finish.STOP] * 3


def test_a_prompt_that_cannot_be_put_says_why(world: m.World) -> None:
    """Unknown words, a control token in the text, a picture that is none: each is that problem's own failure."""
    bad = [problem("w", "find xyzzy"), problem("c", "find <|im_end|> a"), replace(problem("i"), images=(b"nothing",)), problem("ok")]
    found = m.engine_of(world.student32).sample(bad, per_problem=2, sampling=m.sampling(3), place=("x",))
    assert [x.finish is Finish.FAILED for x in found] == [True] * 6 + [False] * 2
    for x, words in zip(found[::2], ("does not know", "control token", "cannot be read"), strict=False):
        assert words in x.note
    with pytest.raises(DataError):
        Template(of=world.student32).render(bad[0])
