"""The kinds of values that settings have: bounded numbers, numbers that move during a run, and a plain value or else a table."""

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Positive = Annotated[int, Field(gt=0)]
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Levels = Annotated[tuple[Positive, ...], Field(min_length=1)]

T = TypeVar("T")
Plain = Annotated[T, Tag("(plain)")]
Table = Annotated[T, Tag("(table)")]
Spoken = Annotated[T, Tag("(word)")]
"""Tags stand in parentheses, so that `load` can tell them from names when pydantic puts them into the place of an error."""

EITHER = Discriminator(lambda value: "(table)" if isinstance(value, dict | BaseModel) else "(plain)")
"""`Annotated[Plain[A] | Table[B], EITHER]`: what is no table is judged as an A alone, so that one slip gives one message."""

IF_SPOKEN = Discriminator(lambda value: "(word)" if isinstance(value, str) else "(plain)")
"""`Annotated[Plain[A] | Spoken[B], IF_SPOKEN]`: the same for a string or else a number or switch."""


class Section(BaseModel):
    """A table of settings: frozen, and closed to names it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class ScheduleSettings(Section):
    """A number that moves linearly from `start` to `end` between the steps `begin` and `until`.

    Steps are those of the whole stage: in an arm of phases they are not counted anew where a phase begins.
    """

    start: Rate
    end: Rate
    until: Positive
    begin: Count = 0


class AdaptiveSettings(Section):
    """A strength that follows the measured KL: raised while the KL is above `target`, lowered while it is below."""

    start: Rate
    target: Rate
    horizon: Positive = 10_000
    reach: Fraction = 0.2


def _kind_of_strength(value: Any) -> str | None:
    """Which branch of a `Strength` a value is meant as; None for a table with keys of both kinds, or of neither."""
    if not isinstance(value, dict | BaseModel):
        return "(plain)"
    if isinstance(value, BaseModel):
        return "(adaptive)" if isinstance(value, AdaptiveSettings) else "(table)"
    scheduled, adaptive = (bool(value.keys() & keys) for keys in ({"end", "until", "begin"}, {"target", "horizon", "reach"}))
    return None if scheduled == adaptive else "(adaptive)" if adaptive else "(table)"


Number = Annotated[Plain[Rate] | Table[ScheduleSettings], EITHER]
Strength = Annotated[
    Plain[Rate] | Table[ScheduleSettings] | Annotated[AdaptiveSettings, Tag("(adaptive)")],
    Discriminator(
        _kind_of_strength,
        custom_error_type="kind_of_strength",
        custom_error_message=(
            "expected a schedule (start, end, until, begin) or a strength that follows the KL (start, target, horizon, reach), found the keys of "
            "neither or of both. Keep those of one; tables of several layers are merged key by key, and a plain number in between starts afresh"
        ),
    ),
]
