"""Who reads the teacher, who is trained, what Z is, and how weights change with the step."""

from dataclasses import replace

import pytest
import torch
from support.models import sampling
from support.plans import plan_for, z_of
from support.records import groups_of, member, problem, rollout, with_teacher

from vold.adapters.teachers.tabular import TabularTeacher
from vold.base.errors import NothingJudged, ObjectiveError
from vold.base.types import Group, Ruling
from vold.core.objective import (
    ALL_WRONG,
    CENTRED,
    EVERY,
    NO_CREDIT,
    REFERENCE,
    RIGHT,
    TEACHER,
    WRONG,
    Clip,
    Estimator,
    Mask,
    Objective,
    Over,
    Pull,
    Schedule,
    Share,
    Want,
    refuse_impossible,
)
from vold.core.plan import Counts, plan_of
from vold.core.zoo import OPD, VOLD, VOLD_RL, VOLD_UNMASKED
from vold.stages.joint import JointRun, Phase, parts_of, scored, updated

RIGHT_ONLY = replace(VOLD, pulls=(Pull(TEACHER, beta=0.1, on=RIGHT),))
WHERE_ALL_FAILED = replace(VOLD, pulls=(Pull(TEACHER, beta=0.1, on=ALL_WRONG),))
NOT_WHEN_CUT = replace(VOLD, pull_truncated=False)
OFF = replace(VOLD, pulls=(Pull(TEACHER, beta=0.0, on=WRONG),))

# the group, whom the teacher is asked about, and who is trained: one mark a rollout
TABLE = [
    (VOLD, "RWWw", ".xxx", "xxxx"),
    (VOLD, "RRR", "...", "..."),
    (VOLD, "WWw", "xxx", "xxx"),
    (VOLD, "RUWU", "..x.", "x.x."),
    (VOLD, "RUU", "...", "..."),
    (VOLD, "WUU", "x..", "x.."),
    (VOLD_UNMASKED, "RWWw", "xxxx", "xxxx"),
    (VOLD_UNMASKED, "RRU", "xx.", "xx."),
    (VOLD_RL, "RWWw", "....", "xxxx"),
    (VOLD_RL, "WWW", "...", "..."),
    (VOLD_RL, "RUW", "...", "x.x"),
    (OPD, "RWUu", "xxxx", "xxxx"),
    (RIGHT_ONLY, "RWW", "x..", "xxx"),
    (RIGHT_ONLY, "RRR", "xxx", "xxx"),
    (RIGHT_ONLY, "WWW", "...", "..."),
    (WHERE_ALL_FAILED, "RWW", "...", "xxx"),
    (WHERE_ALL_FAILED, "WWU", "xx.", "xx."),
    (NOT_WHEN_CUT, "RWw", ".x.", "xxx"),
    (NOT_WHEN_CUT, "Www", "x..", "x.."),
    (OFF, "WWW", "...", "..."),
]


def marks(flags: list[bool] | tuple[bool, ...]) -> str:
    return "".join("x" if flag else "." for flag in flags)


@pytest.mark.parametrize(("objective", "word", "asked", "trained"), TABLE, ids=[f"{place}-{row[1]}" for place, row in enumerate(TABLE)])
def test_who_is_asked_and_who_is_trained(objective: Objective, word: str, asked: str, trained: str) -> None:
    (group,) = groups_of(word)
    plan = plan_for(objective)
    assert marks([plan.wants_teacher(x, group) for x in group.members]) == asked
    assert marks(plan.touches(group)) == trained


@pytest.mark.parametrize("row", [0, 1, 6, 8, 11, 17], ids=lambda row: TABLE[row][1])
def test_the_teacher_is_asked_only_where_it_is_read(row: int) -> None:
    objective, word, asked, _ = TABLE[row]
    table = TabularTeacher(logprobs_VV=torch.zeros(64, 64))
    groups = scored(with_teacher(groups_of(word), lambda _: None), plan_for(objective), table)
    assert marks([x.rollout in table.asked for x in groups[0].members]) == asked
    assert marks([x.teacher_logprobs is not None for x in groups[0].members]) == asked


def lengths(*sizes: int) -> Group:
    """A right and otherwise wrong answers of these lengths."""
    asked = problem()
    return Group(
        problem=asked,
        members=tuple(member(rollout(asked, i, [9], [10] * n), Ruling.WRONG if i else Ruling.RIGHT) for i, n in enumerate(sizes)),
    )


def test_z_counts_every_judged_sampled_token() -> None:
    """Neither masks nor skips shrink it; unjudged rollouts and inserted tokens have no place in it."""
    groups = [lengths(3, 5), lengths(2)]
    assert z_of(groups, VOLD) == z_of(groups, VOLD_UNMASKED) == z_of(groups, VOLD_RL) == z_of(groups, OPD) == 10
    asked = problem()
    unjudged = member(rollout(asked, 0, [9], [10] * 4), Ruling.UNJUDGED)
    inserted = member(rollout(asked, 1, [9], [10] * 4, sampled=[True, False, False, True]), Ruling.WRONG)
    more = [Group(problem=asked, members=(unjudged, inserted))]
    assert z_of(more, VOLD) == z_of(more, VOLD_RL) == 2
    assert z_of(more, OPD) == 6, "an objective that reads no verdict keeps the rollout"


def test_shares_and_their_z() -> None:
    """Per token: s = 1 and Z tokens. Per sequence: s = 1/length, Z rollouts. Per group: s = 1/its tokens, Z groups. Fixed: s = 1/cap, Z rollouts."""
    groups = [lengths(4, 2), lengths(1, 1, 1)]
    by = {share: plan_for(replace(VOLD, share=share), length_cap=8) for share in Share}
    found = {share: [plan.share_of(x, groups[0]) for x in groups[0].members] for share, plan in by.items()}
    assert found == {
        Share.PER_TOKEN: [1.0, 1.0],
        Share.PER_SEQUENCE: [0.25, 0.5],
        Share.PER_GROUP: [1 / 6, 1 / 6],
        Share.FIXED_LENGTH: [0.125, 0.125],
    }
    assert {share: plan.counts(groups).z for share, plan in by.items()} == {
        Share.PER_TOKEN: 9,
        Share.PER_SEQUENCE: 5,
        Share.PER_GROUP: 2,
        Share.FIXED_LENGTH: 5,
    }


def test_a_pull_over_its_own_tokens_is_counted_beside_z() -> None:
    """One right answer of 4 tokens, one wrong of 2: the pull's part of Z is 2 tokens, and its weight is scaled by 6/2."""
    plan = plan_for(replace(VOLD, pulls=(Pull(TEACHER, beta=0.1, on=WRONG, over=Over.PULLED), Pull(TEACHER, beta=0.1, on=ALL_WRONG))))
    counts = plan.counts([lengths(4, 2)])
    assert counts == Counts(z=6, pulled=(2, 0))
    assert plan.pull_scales(counts) == (3.0, 1.0)
    assert counts + Counts(z=4, pulled=(1, 4)) == Counts(z=10, pulled=(3, 4))


def test_a_share_per_sequence_counts_sampled_tokens() -> None:
    inserted = member(rollout(problem(), 0, [9], [10] * 4, sampled=[True, False, False, True]), Ruling.WRONG)
    group = Group(problem=problem(), members=(inserted,))
    for share in (Share.PER_SEQUENCE, Share.PER_GROUP):
        assert plan_for(replace(VOLD, share=share)).share_of(inserted, group) == 0.5


def test_schedule_ends() -> None:
    """KDRL's: 0.005 at the start, 0.001 at step 80 and after."""
    falling = Schedule(0.005, 0.001, until=80)
    assert [falling.at(step) for step in (0, 80, 81, 10_000)] == [0.005, 0.001, 0.001, 0.001]
    assert falling.at(40) == pytest.approx(0.003)
    later = Schedule(0.0, 1.0, begin=10, until=20)
    assert [later.at(step) for step in (0, 10, 15, 20, 21)] == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_a_group_nobody_could_judge_is_not_divided_by_zero() -> None:
    run = JointRun(steps=1, group_size=2, lr=0.1, warmup=0, sampling=sampling(4), phases=(Phase(objective=VOLD, until=1),))
    with pytest.raises(NothingJudged, match="could be judged"):
        updated(run, None, groups_of("UU"), plan_for(VOLD))  # type: ignore[arg-type]


def test_parts_of_a_batch_are_whole_and_mixed() -> None:
    """Problems dealt by difficulty in turn would otherwise give every update a difficulty of its own."""
    groups = groups_of(*["RW"] * 20)
    parts = parts_of(groups, 5, step=3)
    assert sorted(g.problem.id for part in parts for g in part) == sorted(g.problem.id for g in groups)
    assert [len(part) for part in parts] == [4] * 5
    assert all({groups.index(g) % 5 for g in part} != {place} for place, part in enumerate(parts))
    assert parts == parts_of(groups, 5, step=3)
    assert parts != parts_of(groups, 5, step=4)
    assert parts_of(groups, 1, step=3) == [list(groups)]


def test_contradictions_are_refused() -> None:
    with pytest.raises(ObjectiveError, match="teaches nothing"):
        Objective(OPD.credit, None)
    with pytest.raises(ObjectiveError, match="bounds advantages"):
        replace(OPD, clip=Clip(0.2, 0.2))
    with pytest.raises(ObjectiveError, match="push away"):
        Pull(TEACHER, beta=-0.1)
    with pytest.raises(ObjectiveError, match="finite"):
        Pull(TEACHER, beta=Schedule(0.1, float("nan"), until=3))
    with pytest.raises(ObjectiveError, match="low"):
        Clip(0.0, 0.2)
    with pytest.raises(ObjectiveError, match="no teacher"):
        refuse_impossible(VOLD, group_size=5, has_teacher=False)
    with pytest.raises(ObjectiveError, match="no spread"):
        refuse_impossible(Objective(CENTRED, None), group_size=1, has_teacher=False)
    refuse_impossible(OPD, group_size=1, has_teacher=True)
    assert {mask for mask in Mask if not mask.reads_verdict} == {EVERY}


def test_hidden_states_are_asked_for_only_while_a_pull_needs_them() -> None:
    """A sum over the vocabulary fades out, a sampled pull stays: from then on the sampled tokens' numbers are enough."""
    fading = Pull(TEACHER, Schedule(1.0, 0.0, until=5), Estimator.FULL_STUDENT_TO_PARTNER)
    both = Objective(NO_CREDIT, None, pulls=(fading, Pull(TEACHER, 0.1), Pull(REFERENCE, 0.1, Estimator.TOP_K, top=2)))
    asked = [plan_of(both, step=step, length_cap=8).asks(TEACHER) for step in (0, 4, 5, 6)]
    assert asked == [Want.HIDDEN, Want.HIDDEN, Want.SAMPLED, Want.SAMPLED]
    assert plan_of(both, step=6, length_cap=8).asks(REFERENCE) is Want.HIDDEN
    assert plan_of(both, step=0, length_cap=8).top(REFERENCE) == 0, "those are the student's likeliest"


def test_likeliest_ids_are_asked_for_only_while_a_pull_needs_them() -> None:
    """As many as the greediest pull with force reads; hidden states beside them only where another pull reads those."""
    fading = Pull(TEACHER, Schedule(1.0, 0.0, until=5), Estimator.PARTNER_TOP_K, top=8)
    wide = Pull(TEACHER, Schedule(1.0, 0.0, until=3), Estimator.FULL_STUDENT_TO_PARTNER)
    objective = Objective(NO_CREDIT, None, pulls=(fading, wide, Pull(TEACHER, Schedule(1.0, 0.0, until=7), Estimator.PARTNER_TOP_K, top=2)))
    plans = [plan_of(objective, step=step, length_cap=8) for step in (0, 3, 5, 7)]
    assert [(plan.asks(TEACHER), plan.top(TEACHER)) for plan in plans] == [
        (Want.HIDDEN, 8), (Want.TOP_K, 8), (Want.TOP_K, 2), (Want.SAMPLED, 0),
    ]  # fmt: skip
    assert objective.wants(TEACHER) is Want.HIDDEN
    assert replace(objective, pulls=(fading,)).wants(TEACHER) is Want.TOP_K
    assert [[one.covers(other) for other in Want] for one in Want] == [[True, False, False], [True, True, False], [True, True, True]]
