"""Settings to objectives: what is given changes the base, what is not stays, and what cannot be is refused by the name of its table."""

from dataclasses import fields, replace

import pytest

from vold.base.errors import ObjectiveError, Refusal, SettingsError
from vold.config.explain import refuse_contradictions, values_of
from vold.config.load import load
from vold.config.objective_schema import ClipSettings, CorrectionSettings, CreditSettings, ObjectiveSettings, PullSettings, TeacherRatioSettings
from vold.config.objectives import phases_of
from vold.core import zoo
from vold.core.objective import (
    NO_CREDIT,
    Adaptive,
    Baseline,
    Beyond,
    Clamp,
    Clip,
    Correction,
    Credit,
    Estimator,
    How,
    Level,
    Mask,
    Objective,
    Over,
    Overlong,
    Partner,
    Pull,
    Schedule,
    Share,
    TeacherRatio,
    Terms,
    Weigh,
)

TABLES = {
    Objective: ObjectiveSettings,
    Credit: CreditSettings,
    TeacherRatio: TeacherRatioSettings,
    Clip: ClipSettings,
    Pull: PullSettings,
    Correction: CorrectionSettings,
}


def objective(*changes: str) -> Objective:
    """The objective of an arm that only says this, with two updates a batch so that its clip may be set."""
    settings = ["joint.arms=['a']", "joint.updates_per_batch=2", *(f"arms.a.objective.{change}" for change in changes)]
    resolved = load("tiny", assignments=settings)
    refuse_contradictions(resolved)
    assert list(values_of(resolved))  # what was read can be written
    return phases_of("a", resolved.settings.arms["a"], resolved.settings.joint)[0][0]


@pytest.mark.parametrize("value", TABLES, ids=lambda value: value.__name__)
def test_every_field_can_be_set(value: type) -> None:
    assert {field.name for field in fields(value)} <= set(TABLES[value].model_fields)


VOLD, PULL = zoo.VOLD, zoo.VOLD.pulls[0]

CHANGED = {
    ("base=GKD",): zoo.GKD,
    ("credit=centred", "credit.weight=0.5"): replace(VOLD, credit=Credit(Baseline.CENTRED, weight=0.5)),  # a name is short for { by = name }
    ("credit.on=wrong", "credit=leave-one-out"): replace(VOLD, credit=Credit(Baseline.LEAVE_ONE_OUT, on=Mask.WRONG)),
    ("credit.on=wrong", "credit=none", "clip=none"): replace(VOLD, credit=NO_CREDIT, clip=None),  # leaves nothing to be masked
    ("base=SRPO", "credit=centred"): replace(zoo.SRPO, credit=Credit(Baseline.CENTRED, on=Mask.RIGHT)),
    ("credit.weight={start=1.0, end=0.0, until=9}",): replace(VOLD, credit=Credit(Baseline.Z_SCORE, weight=Schedule(1.0, 0.0, until=9))),
    ("credit={epsilon=0.1, unbiased=false, on='right', weigh='pass-rate'}",): replace(
        VOLD, credit=Credit(Baseline.Z_SCORE, unbiased=False, epsilon=0.1, on=Mask.RIGHT, weigh=Weigh.PASS_RATE)
    ),
    ("credit.by_teacher={}",): replace(VOLD, credit=Credit(Baseline.Z_SCORE, by_teacher=TeacherRatio())),
    ("base=RLSD", "credit.by_teacher.strength=0.5"): replace(zoo.RLSD, credit=Credit(Baseline.Z_SCORE, by_teacher=TeacherRatio(0.5, 0.2))),
    ("base=RLSD", "credit.by_teacher=none"): replace(zoo.RLSD, credit=Credit(Baseline.Z_SCORE)),
    ("base=RLSD", "credit.by_teacher.strength=0.5", "credit.by_teacher=none", "credit.by_teacher.epsilon=0.1"): replace(
        zoo.RLSD, credit=Credit(Baseline.Z_SCORE, by_teacher=TeacherRatio(1.0, 0.1))
    ),
    ("base=SCOPE", "credit=none"): replace(zoo.SCOPE, credit=NO_CREDIT),  # what stood beside the base's credit goes with it
    ("base=SCOPE", "credit.by=none"): replace(zoo.SCOPE, credit=NO_CREDIT),
    ("clip.high=0.5",): replace(VOLD, clip=Clip(0.2, 0.5)),
    ("clip.dual=3",): replace(VOLD, clip=Clip(0.2, 0.3, dual=3.0)),
    ("clip={dual='none', level='sequence'}",): replace(VOLD, clip=Clip(0.2, 0.3, level=Level.SEQUENCE)),
    ("clip=none",): replace(VOLD, clip=None),
    ("base=GSPO", "clip.dual=3", "clip=none", "clip.low=0.1", "clip.high=0.2"): replace(zoo.GSPO, clip=Clip(0.1, 0.2)),  # by tokens, as is usual
    ("base=RLOO", "clip={low=0.1, high=0.2}"): replace(zoo.RLOO, clip=Clip(0.1, 0.2)),
    ("pull.beta={start=1e-3, target=5e-4, horizon=50}",): replace(VOLD, pulls=(replace(PULL, beta=Adaptive(1e-3, 5e-4, horizon=50)),)),
    ("pull.beta={start=1.0, end=0.0, until=5, begin=2}",): replace(VOLD, pulls=(replace(PULL, beta=Schedule(1.0, 0.0, until=5, begin=2)),)),
    ("pull={toward='reference', by='k3', on='every'}",): replace(VOLD, pulls=(Pull(Partner.REFERENCE, 0.1, Estimator.K3),)),
    ("pull={over='pulled', weigh='fail-rate'}",): replace(VOLD, pulls=(replace(PULL, over=Over.PULLED, weigh=Weigh.FAIL_RATE),)),
    ("pull.clamp={limit=5, beyond='stop'}",): replace(VOLD, pulls=(replace(PULL, clamp=Clamp(5.0, Beyond.STOP)),)),
    ("pull.clamp={limit=5, beyond='stop'}", "pull.clamp=none"): VOLD,
    ("pull={by='jsd', mix=0.3}",): replace(VOLD, pulls=(replace(PULL, by=Estimator.JSD, mix=0.3),)),
    ("pull={by='top-k', top=64}",): replace(VOLD, pulls=(replace(PULL, by=Estimator.TOP_K, top=64),)),
    ("pull={by='partner-top-k', top=64}",): replace(VOLD, pulls=(replace(PULL, by=Estimator.PARTNER_TOP_K, top=64),)),
    ("base=GKD", "pull={by='top-k', top=8}", "pull.by=partner-top-k"): replace(
        zoo.GKD, pulls=(Pull(Partner.TEACHER, 1.0, Estimator.PARTNER_TOP_K, top=8),)
    ),
    ("base=GKD", "pull.mix=0.1"): replace(zoo.GKD, pulls=(replace(zoo.GKD.pulls[0], mix=0.1),)),
    ("base=GKD", "pull.by=k2"): replace(zoo.GKD, pulls=(Pull(Partner.TEACHER, 1.0),)),  # the base's mix goes with its jsd
    ("base=GKD", "pull={by='top-k', top=8}"): replace(zoo.GKD, pulls=(Pull(Partner.TEACHER, 1.0, Estimator.TOP_K, top=8),)),
    ("pulls=[{toward='teacher', beta=1, on='right'}, {toward='reference', beta=0.5, by='k3'}]",): replace(
        VOLD, pulls=(Pull(Partner.TEACHER, 1.0, on=Mask.RIGHT), Pull(Partner.REFERENCE, 0.5, Estimator.K3))
    ),
    ("pulls=[]",): replace(VOLD, pulls=()),
    ("share=per-group",): replace(VOLD, share=Share.PER_GROUP),
    ("pull_truncated=false",): replace(VOLD, pull_truncated=False),
    ("correction.how=truncated",): replace(VOLD, correction=Correction(How.TRUNCATED)),
    ("correction={how='masked', cap=3, floor=0.5, level='sequence', on='credit'}",): replace(
        VOLD, correction=Correction(How.MASKED, 3.0, 0.5, Level.SEQUENCE, Terms.CREDIT)
    ),
    ("correction.how=truncated", "correction=none"): VOLD,
    ("correction={how='masked', cap=3}", "correction=none", "correction.how=truncated"): replace(VOLD, correction=Correction(How.TRUNCATED)),
    ("overlong=mask",): replace(VOLD, overlong=Overlong.MASK),
    ("overlong=soft", "soft_buffer=0.5"): replace(VOLD, overlong=Overlong.SOFT, soft_buffer=0.5),
    ("entropy=0.01",): replace(VOLD, entropy=0.01),
    ("entropy={start=0.01, end=0.0, until=5}",): replace(VOLD, entropy=Schedule(0.01, 0.0, until=5)),
    ("dynamic=true",): replace(VOLD, dynamic=True),
    ("base=DAPO", "dynamic=false", "overlong=keep"): replace(zoo.DAPO, dynamic=False, overlong=Overlong.KEEP),
}


@pytest.mark.parametrize("changes", CHANGED, ids=" ".join)
def test_what_is_given_changes_the_base_and_nothing_else(changes: tuple[str, ...]) -> None:
    assert objective("base=VOLD", *changes) == CHANGED[changes]


IMPOSSIBLE = {
    ("pull.by=k1",): ("k1 as a loss teaches nothing", '"k2"'),
    ("pull.by=jsd",): ('"jsd" needs a mix', "0.5"),
    ("pull.mix=0.5",): ("nothing else reads one",),
    ("pull.by=partner-top-k",): ('"partner-top-k" need a top', "32 to 128"),
    ("pull={by='partner-top-k', top=0}",): ("partner-top-k needs top >= 1",),
    ("pull.top=5",): ("top = 5", "nothing else reads one"),
    ("base=GKD", "pull={by='k2', mix=0.5}"): ("nothing else reads one",),
    ("pull.beta={start=1.0, end=0.0, begin=4, until=4}",): ("begin = 4 and until = 4", "Raise until"),
    ("pull.beta={start=0.0, target=1.0}",): ("start > 0", "plain number"),
    ("pull={by='full-student-to-partner', clamp={limit=5, beyond='stop'}}",): ("sums over the vocabulary", "Remove the clamp"),
    ("base=RLOO", "clip.low=0.1"): ("RLOO has no clip", "clip.low and clip.high are both needed"),
    ("clip=none", "clip.low=0.1"): ('VOLD with clip = "none" in an earlier layer has no clip', "clip.low and clip.high are both needed"),
    ("clip=none", "clip.dual=3"): ('with clip = "none" in an earlier layer', "clip.low and clip.high are both needed"),
    ("correction.how=masked", "correction=none", "correction.cap=3"): ('correction = "none" in an earlier layer', "correction.how is needed"),
    ("correction.cap=3",): ("VOLD has no correction", "correction.how is needed"),
    ("correction={how='truncated', floor=0.5}",): ("floor = 0.5 cannot act", '"masked"'),
    ("credit={by='none', on='right'}", "clip=none"): ("nothing to be masked", "leave its settings out"),
    ("soft_buffer=0.5",): ("soft_buffer = 0.5 cannot act", 'overlong = "soft"'),
    ("base=OPD", "dynamic=true"): ("dynamic sampling", "Set dynamic = false"),
}


@pytest.mark.parametrize("changes", IMPOSSIBLE, ids=" ".join)
def test_what_an_objective_refuses_comes_with_the_name_of_its_table(changes: tuple[str, ...]) -> None:
    with pytest.raises(ObjectiveError) as refused:
        objective("base=VOLD", *changes)
    assert str(refused.value).startswith("arms.a.objective: ")
    assert [piece for piece in IMPOSSIBLE[changes] if piece not in str(refused.value)] == []


def test_the_table_of_a_phase_is_named_by_its_place() -> None:
    phases = "arms.vold={phases=[{steps=40, objective={base='VOLD'}}, {steps=40, objective={base='VOLD', pull={by='k1'}}}]}"
    with pytest.raises(ObjectiveError, match=r"^arms\.vold\.phases\.1\.objective: k1 as a loss"):
        refuse_contradictions(load("tiny", assignments=["arms={}", phases]))


SLIPS = {
    "credit=zscore": "credit = 'zscore' is not one of: 'z-score', 'centred', 'leave-one-out', 'raw', 'none'; a table of by, unbiased, epsilon,",
    "credit.by=zscore": "credit.by = 'zscore' is not one of: 'z-score', 'centred', 'leave-one-out', 'raw', 'none'.",
    "clip.dual=big": "clip.dual = 'big' is not one of: 'none'; a number works too.",
    "pull.beta=strong": "pull.beta = 'strong': input should be a valid number; a table of start, end, until, begin, target, ",
    "pull.beta={start=1, end=0, until=3, target=1}": "expected a schedule (start, end, until, begin) or a strength that follows the KL",
    "pull.beta={start=1}": "found the keys of neither or of both",
    "pull.beta={start=1, target=1, horzion=3}": "[arms.a.objective.pull.beta] has no setting 'horzion'; did you mean \"horizon\"?",
    "pull.clamp={limit=1, byond='stop'}": "[arms.a.objective.pull.clamp] has no setting 'byond'; did you mean \"beyond\"?",
    "pull.by=k4": "pull.by = 'k4' is not one of: 'k1', 'k1-advantage', 'k2', 'k3', ",
    "entropy={start=1, target=1}": "[arms.a.objective.entropy] has no setting 'target'",
    "credit.by_teacher={strnegth=1}": "[arms.a.objective.credit.by_teacher] has no setting 'strnegth'; did you mean \"strength\"?",
    "pulls=[{toward='teacher'}]": "arms.a.objective.pulls.0.beta is not set",
    "pulls=[{beta=1.0}]": "arms.a.objective.pulls.0.toward is not set",
    "pulls=[{toward='teacher', beta=1, bye='k2'}]": "[arms.a.objective.pulls.0] has no setting 'bye'; did you mean \"by\"?",
}


@pytest.mark.parametrize("change", SLIPS)
def test_a_slip_in_a_table_or_a_name_gives_messages_about_what_was_meant(change: str) -> None:
    with pytest.raises(SettingsError) as refused:
        objective(change)
    lines = str(refused.value).splitlines()
    assert any(SLIPS[change] in line for line in lines)
    assert all(line.startswith("command line: ") and "(" not in line.partition(" = ")[0] for line in lines)  # no words of pydantic's in a name


def test_a_clamp_that_was_switched_off_is_said_anew_as_a_whole() -> None:
    with pytest.raises(SettingsError, match=r"^command line: arms\.a\.objective\.pull\.clamp\.beyond is not set"):
        objective("pull.clamp={limit=5, beyond='stop'}", "pull.clamp=none", "pull.clamp.limit=3")


def test_every_refused_value_gives_one_message_only() -> None:
    for change in ("credit=zscore", "clip=loose", "pull.clamp=3", "correction=some", "pull.beta={start=1}", "credit.by_teacher=1"):
        with pytest.raises(SettingsError) as refused:
            objective(change)
        assert len(str(refused.value).splitlines()) == 1, str(refused.value)


TRACES = {
    ("base=GKD",): None,
    ("base=QWEN3_OPD",): None,
    ("base=GKD", "pull={by='partner-top-k', top=8}"): None,
    ("base=GKD", "entropy=0.01"): None,
    ("base=VOLD",): "a z-score credit, and a trace has no group",
    ("base=OPD_ADVANTAGE",): 'a pull by "k1-advantage", which is a divergence only on the student\'s own tokens',
    ("base=GKD", "pull.by=k2"): 'a pull by "k2", which is a divergence only on the student\'s own tokens',
    ("base=GKD", "pull.by=top-k", "pull.top=4"): 'a pull by "top-k", which',
    ("base=GKD", "pull.on=wrong"): 'a pull on "wrong" rollouts',
    ("base=GKD", "pull.weigh=low-teacher-perplexity"): 'weigh = "low-teacher-perplexity"',
    ("base=GKD", "pull.beta={start=1.0, target=0.1}"): "strength that follows the KL, which the corpus' tokens do not measure",
    ("base=GKD", "pull.beta={start=1.0, end=0.5, until=9}"): None,
    ("base=GKD", "correction={how='truncated'}"): "was sampled by nobody here",
}


@pytest.mark.parametrize("changes", TRACES, ids=" ".join)
def test_traces_of_the_corpus_are_taken_by_objectives_without_groups_and_verdicts(changes: tuple[str, ...]) -> None:
    settings = ["joint.arms=['a']", "arms.a.on_corpus=0.5", *(f"arms.a.objective.{change}" for change in changes)]
    said = TRACES[changes]
    if said is None:
        refuse_contradictions(load("tiny", assignments=settings))
        return
    with pytest.raises(SettingsError) as refused:
        refuse_contradictions(load("tiny", assignments=settings))
    for piece in ("arms.a.on_corpus = 0.5", "but arms.a.objective has a ", said, "Set on_corpus = 0, or", "GKD"):
        assert piece in str(refused.value)
    refuse_contradictions(load("tiny", assignments=[*settings, "arms.a.on_corpus=0"]))


def test_one_phase_that_reads_verdicts_keeps_an_arm_from_the_corpus() -> None:
    phases = "phases=[{steps=40, objective={base='GKD'}}, {steps=40, objective={base='VOLD'}}]"
    with pytest.raises(Refusal, match=r"arms\.a\.phases\.1\.objective has a z-score credit"):
        refuse_contradictions(load("tiny", assignments=["joint.arms=['a']", "arms.a.on_corpus=0.5", f"arms.a.{phases}"]))
