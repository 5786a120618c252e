"""Objectives for tests: one a feature, with names; and a strategy that draws any valid one."""

from hypothesis import strategies as st

from vold.core.objective import (
    ALL_WRONG,
    CENTRED,
    EVERY,
    FIXED_LENGTH,
    JSD,
    K1_ADVANTAGE,
    K2,
    K3,
    LEAVE_ONE_OUT,
    NO_CREDIT,
    PER_GROUP,
    PER_SEQUENCE,
    RAW,
    REFERENCE,
    RIGHT,
    TEACHER,
    WRONG,
    Z_SCORE,
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

FULL, FORWARD, TOP_K = Estimator.FULL_STUDENT_TO_PARTNER, Estimator.FULL_PARTNER_TO_STUDENT, Estimator.TOP_K
PARTNER_TOP_K = Estimator.PARTNER_TOP_K
CLIP = Clip(0.2, 0.3)
HALF_K2 = Pull(TEACHER, 0.5, K2, WRONG)


def alone(pull: Pull) -> Objective:
    return Objective(NO_CREDIT, None, pulls=(pull,))


def corrected(*settings: object, on: Terms = Terms.ALL, **more: object) -> Objective:
    return Objective(Z_SCORE, CLIP, pulls=(HALF_K2,), correction=Correction(*settings, on=on, **more))  # type: ignore[arg-type]


# fmt: off
STATED = {
    # credit
    "z-score":                  Objective(Z_SCORE, CLIP),
    "biased z-score":           Objective(Credit(Baseline.Z_SCORE, unbiased=False, epsilon=0.1), CLIP),
    "leave one out":            Objective(LEAVE_ONE_OUT, None),
    "raw":                      Objective(RAW, None),
    "credit on right":          Objective(Credit(Baseline.Z_SCORE, on=RIGHT), CLIP),
    "credit by pass rate":      Objective(Credit(Baseline.CENTRED, weigh=Weigh.PASS_RATE), CLIP),
    "credit by perplexity":     Objective(Credit(Baseline.RAW, weigh=Weigh.HIGH_STUDENT_PERPLEXITY), None),
    "teacher ratio":            Objective(Credit(Baseline.Z_SCORE, by_teacher=TeacherRatio(0.7, 0.9)), CLIP),
    # clip
    "dual clip":                Objective(Z_SCORE, Clip(0.2, 0.3, dual=1.5)),
    "clip by sequence":         Objective(Z_SCORE, Clip(0.1, 0.15, level=Level.SEQUENCE)),
    "sequence, token advantages": Objective(Z_SCORE, Clip(0.3, 0.5, level=Level.SEQUENCE), pulls=(Pull(TEACHER, 0.5, K1_ADVANTAGE, WRONG),)),
    # pulls
    "masked k2":                Objective(Z_SCORE, CLIP, pulls=(HALF_K2,)),
    "k1 as an advantage":       Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.5, K1_ADVANTAGE, WRONG),)),
    "k3 to the reference":      alone(Pull(REFERENCE, 0.3, K3)),
    "k2 where all failed":      Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.5, K2, ALL_WRONG),)),
    "over pulled tokens":       Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.5, K2, WRONG, over=Over.PULLED),)),
    "over each group's pulled": Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.5, K2, WRONG, over=Over.PULLED),), share=Share.PER_GROUP),
    "by fail rate":             Objective(Z_SCORE, CLIP, pulls=(Pull(TEACHER, 0.5, K2, WRONG, weigh=Weigh.FAIL_RATE),)),
    "by teacher perplexity":    alone(Pull(TEACHER, 0.5, K2, WRONG, weigh=Weigh.LOW_TEACHER_PERPLEXITY)),
    "clamp that stops":         alone(Pull(TEACHER, 0.5, K2, clamp=Clamp(1.0, Beyond.STOP))),
    "clamp that saturates":     alone(Pull(TEACHER, 0.5, K3, clamp=Clamp(1.0, Beyond.SATURATE))),
    "full":                     alone(Pull(TEACHER, 0.5, FULL, WRONG)),
    "full, other direction":    alone(Pull(TEACHER, 0.5, FORWARD)),
    "jsd":                      alone(Pull(TEACHER, 0.5, JSD, mix=0.2)),
    "top-k":                    alone(Pull(TEACHER, 0.5, TOP_K, WRONG, top=4)),
    "partner-top-k":            alone(Pull(TEACHER, 0.5, PARTNER_TOP_K, WRONG, top=4)),
    "two pulls":                Objective(CENTRED, CLIP, pulls=(Pull(TEACHER, 0.5, FULL, WRONG), Pull(REFERENCE, 0.2, K3, RIGHT, over=Over.PULLED))),
    "no pull on truncated":     Objective(Z_SCORE, CLIP, pulls=(HALF_K2,), pull_truncated=False),
    # everything else
    "per sequence":             Objective(Z_SCORE, CLIP, pulls=(HALF_K2,), share=PER_SEQUENCE),
    "per group":                Objective(Z_SCORE, CLIP, pulls=(HALF_K2,), share=PER_GROUP),
    "fixed length":             Objective(Z_SCORE, CLIP, pulls=(HALF_K2,), share=FIXED_LENGTH),
    "truncated weight":         corrected(How.TRUNCATED, 2.0),
    "masked weight":            corrected(How.MASKED, 2.0, 0.5),
    "weight by sequence":       corrected(How.TRUNCATED, 1.5, level=Level.SEQUENCE),
    "weight on the credit":     corrected(How.TRUNCATED, 2.0, on=Terms.CREDIT),
    "weight on the pull":       corrected(How.TRUNCATED, 2.0, on=Terms.PULL),
    "overlong out":             Objective(Z_SCORE, CLIP, pulls=(HALF_K2,), overlong=Overlong.MASK),
    "overlong soft":            Objective(Z_SCORE, CLIP, overlong=Overlong.SOFT, soft_buffer=0.5),
    "entropy":                  Objective(Z_SCORE, CLIP, entropy=0.3),
    "scheduled":                Objective(Credit(Baseline.Z_SCORE, weight=Schedule(0.0, 1.0, until=8)), CLIP,
                                          pulls=(Pull(TEACHER, Schedule(0.8, 0.2, until=6, begin=2), K2, EVERY),)),
}
# fmt: on
"""Each shows one thing a declaration can say. Numbers are such that it matters in the groups of `support.checks_of_objectives`."""

FRACTIONS = st.sampled_from((0.1, 0.3, 0.5, 0.9))
WEIGHTS = st.one_of(st.sampled_from((0.2, 1.0)), st.just(Schedule(0.1, 0.9, until=7)), st.just(Schedule(1.0, 0.0, until=9, begin=2)))
MASKS = st.sampled_from(Mask)


@st.composite
def credits(draw: st.DrawFn) -> Credit:
    by = draw(st.sampled_from(Baseline))
    if by is Baseline.NONE:
        return NO_CREDIT
    weigh = draw(st.sampled_from([w for w in Weigh if w is not Weigh.LOW_TEACHER_PERPLEXITY]))
    ratio = draw(st.none() | st.builds(TeacherRatio, st.one_of(FRACTIONS, st.just(Schedule(0.0, 1.0, until=6))), FRACTIONS))
    made = {"unbiased": draw(st.booleans()), "epsilon": draw(st.sampled_from((1e-6, 0.2))), "weight": draw(WEIGHTS)}
    return Credit(by, **made, on=draw(MASKS), weigh=weigh, by_teacher=ratio)  # type: ignore[arg-type]


@st.composite
def clips(draw: st.DrawFn) -> Clip:
    low, high = draw(st.sampled_from((0.05, 0.2, 1.0))), draw(st.sampled_from((0.02, 0.3)))
    return Clip(low, high, dual=draw(st.sampled_from((None, 1.4, 3.0))), level=draw(st.sampled_from(Level)))


@st.composite
def pulls(draw: st.DrawFn) -> Pull:
    toward, by = draw(st.sampled_from(Partner)), draw(st.sampled_from([e for e in Estimator if e is not Estimator.K1]))
    weighs = [w for w in Weigh if w is not Weigh.LOW_TEACHER_PERPLEXITY or toward is TEACHER]
    clamps = st.none() if by.vocabulary_wide else st.none() | st.builds(Clamp, st.sampled_from((0.5, 2.0)), st.sampled_from(Beyond))
    return Pull(
        toward,
        draw(st.one_of(WEIGHTS, st.just(0.0), st.just(Adaptive(0.4, target=0.1)))),
        by,
        draw(MASKS),
        over=draw(st.sampled_from(Over)),
        weigh=draw(st.sampled_from(weighs)),
        clamp=draw(clamps),
        mix=draw(FRACTIONS) if by is JSD else None,
        top=draw(st.integers(1, 40)) if by.takes_top else None,
    )


@st.composite
def corrections(draw: st.DrawFn, terms: list[Terms]) -> Correction:
    how = draw(st.sampled_from(How))
    floor = draw(st.sampled_from((0.0, 0.4))) if how is How.MASKED else 0.0
    caps = (2.0, 8.0) if how is How.MASKED else (1.0, 2.0, 8.0)
    return Correction(how, draw(st.sampled_from(caps)), floor, draw(st.sampled_from(Level)), draw(st.sampled_from(terms)))


@st.composite
def objectives(draw: st.DrawFn) -> Objective:
    """Any valid one."""
    credit = draw(credits())
    pulled = tuple(draw(st.lists(pulls(), min_size=0 if credit.present else 1, max_size=2)))
    has_advantage = credit.present or any(pull.by is K1_ADVANTAGE for pull in pulled)
    terms = [Terms.ALL, *([Terms.CREDIT] if credit.present else []), *([Terms.PULL] if pulled else [])]
    overlong = draw(st.sampled_from([o for o in Overlong if o is not Overlong.SOFT or credit.present]))
    return Objective(
        credit,
        draw(st.none() | clips()) if has_advantage else None,
        pulls=pulled,
        share=draw(st.sampled_from(Share)),
        pull_truncated=draw(st.booleans()),
        correction=draw(st.none() | corrections(terms)),
        overlong=overlong,
        soft_buffer=draw(st.sampled_from((0.2, 0.6))) if overlong is Overlong.SOFT else 0.2,
        entropy=draw(st.sampled_from((0.0, 0.0, 0.1, Schedule(0.0, 0.3, until=5)))),
    )
