"""A declared value holds what its types say: a word in the place of an enum is refused, with the member it names."""

from collections.abc import Callable

import pytest

from vold.base.errors import ObjectiveError
from vold.core.objective import (
    NO_CREDIT,
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
    Objective,
    Overlong,
    Pull,
    Schedule,
    Share,
    TeacherRatio,
)
from vold.core.plan import plan_of
from vold.core.zoo import VOLD

MISTYPED: dict[str, tuple[Callable[[], object], str]] = {
    "credit by a word": (lambda: Credit("centred"), r"Credit\.by = 'centred' is not a Baseline\. Write Baseline\.CENTRED\."),  # type: ignore[arg-type]
    "credit by no word": (lambda: Credit("centered"), r"is not a Baseline\. Choose from Baseline\.Z_SCORE, Baseline\.CENTRED"),  # type: ignore[arg-type]
    "credit on a word": (lambda: Credit(Baseline.RAW, on="right"), r"Credit\.on = 'right' .* Write Mask\.RIGHT"),  # type: ignore[arg-type]
    "credit that follows the KL": (lambda: Credit(Baseline.RAW, weight=Adaptive(1.0, 1.0)), r"Credit\.weight = Adaptive"),  # type: ignore[arg-type]
    "level": (lambda: Clip(0.2, 0.3, level="token"), r"Clip\.level = 'token' is not a Level\. Write Level\.TOKEN\."),  # type: ignore[arg-type]
    "correction": (lambda: Correction("truncated"), r"Correction\.how = 'truncated' .* Write How\.TRUNCATED"),  # type: ignore[arg-type]
    "estimator": (lambda: Pull(TEACHER, 0.1, "k1"), r"Pull\.by = 'k1' .* Write Estimator\.K1\."),  # type: ignore[arg-type]
    "partner": (lambda: Pull("teacher", 0.1), r"Pull\.toward = 'teacher' .* Write Partner\.TEACHER\."),  # type: ignore[arg-type]
    "beta in quotes": (lambda: Pull(TEACHER, "0.1"), r"Pull\.beta = '0\.1' is not a number or a Schedule or a Adaptive"),  # type: ignore[arg-type]
    "no beta": (lambda: Pull(TEACHER, None), r"Pull\.beta = None is not a number"),  # type: ignore[arg-type]
    "half a token": (lambda: Pull(TEACHER, 0.1, Estimator.TOP_K, top=2.5), r"Pull\.top = 2\.5 is not a whole number or None"),  # type: ignore[arg-type]
    "true as a number": (lambda: Clamp(True, Beyond.STOP), r"Clamp\.limit = True is not a number"),
    "beyond": (lambda: Clamp(3.0, "stop"), r"Clamp\.beyond = 'stop' .* Write Beyond\.STOP\."),  # type: ignore[arg-type]
    "schedule": (lambda: Schedule(1.0, 0.0, until=float("nan")), r"Schedule\.until = nan is not a whole number"),  # type: ignore[arg-type]
    "ratio": (lambda: TeacherRatio("1"), r"TeacherRatio\.strength = '1' is not a number or a Schedule"),  # type: ignore[arg-type]
    "a list of pulls": (lambda: Objective(Z_SCORE, None, pulls=[Pull(TEACHER, 0.1)]), r"Objective\.pulls = .* is not a tuple of a Pull"),  # type: ignore[arg-type]
    "one pull": (lambda: Objective(Z_SCORE, None, pulls=Pull(TEACHER, 0.1)), r"Objective\.pulls = .* is not a tuple"),  # type: ignore[arg-type]
    "share": (lambda: Objective(Z_SCORE, None, share="per-token"), r"Objective\.share = .* Write Share\.PER_TOKEN\."),  # type: ignore[arg-type]
    "overlong": (lambda: Objective(Z_SCORE, None, overlong="mask"), r"Objective\.overlong = .* Write Overlong\.MASK\."),  # type: ignore[arg-type]
    "no credit at all": (lambda: Objective(None, None, pulls=(Pull(TEACHER, 0.1),)), r"Objective\.credit = None is not a Credit"),  # type: ignore[arg-type]
    "no length": (lambda: plan_of(VOLD, step=0, length_cap=0), r"a length cap of at least 1, found 0"),
}


@pytest.mark.parametrize("slip", MISTYPED)
def test_what_is_not_of_its_type_is_refused(slip: str) -> None:
    make, said = MISTYPED[slip]
    with pytest.raises(ObjectiveError, match=said):
        make()


def test_what_is_of_its_type_is_taken() -> None:
    """Whole numbers as numbers, every member of every enum, and every objective as a key."""
    made = Objective(
        Credit(Baseline.CENTRED, weight=1), Clip(1, 2, dual=4, level=Level.SEQUENCE), pulls=(Pull(TEACHER, 1, on=WRONG),),
        share=Share.PER_GROUP, correction=Correction(How.TRUNCATED, cap=2), overlong=Overlong.SOFT, entropy=Schedule(0, 1, until=3),
    )  # fmt: skip
    assert len({made, Objective(NO_CREDIT, None, pulls=(Pull(TEACHER, Adaptive(1, 1)),))}) == 2
