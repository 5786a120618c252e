"""What happened during training, one chart a quantity, from the journals of the stages."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from vold.report.files import Step
from vold.report.plotting import INK, MUTED, colour_of, new_axes, room_for, spread, style, svg_of

Points = tuple[tuple[int, float], ...]
"""(step, value), finite values only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """Something a journal records each step, and how to read its chart."""

    key: str
    title: str
    meaning: str
    share: bool = False
    """True where values lie between 0 and 1."""
    where_pulled: bool = False
    """True where a value means something only in steps in which a pull acted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """The journal of one arm; `place` is the arm's place in the summary and gives its colour. None: a stage that is no arm."""

    label: str
    place: int | None
    steps: tuple[Step, ...]

    @property
    def colour(self) -> str:
        return INK if self.place is None else colour_of(self.place)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """One chart, ready for a page."""

    title: str
    meaning: str
    svg: str


LOSS = Quantity(key="loss", title="SFT loss", meaning="Nats per token of the teacher's traces.")
QUANTITIES = (
    Quantity(key="reward/mean", title="Reward", meaning="Share of right answers among the text rollouts of a step.", share=True),
    Quantity(key="pull/kl", title="Distance to the teacher", meaning="Estimated KL, nats per token, where the pull acts.", where_pulled=True),
    Quantity(key="pull/rate", title="Rollouts the teacher speaks on", meaning="Share of rollouts pulled; for VOLD the wrong ones.", share=True),
    Quantity(key="pull_share", title="Strength of the pull", meaning="The teacher's part of the update over the reward's.", where_pulled=True),
    Quantity(key="groups/all_right", title="Groups all right", meaning="Nothing left to learn from these problems.", share=True),
    Quantity(key="groups/mixed", title="Groups mixed", meaning="The only groups in which the reward tells answers apart.", share=True),
    Quantity(key="groups/all_wrong", title="Groups all wrong", meaning="Here only the teacher teaches.", share=True),
    Quantity(key="rollouts/unjudged", title="Rollouts unjudged", meaning="The judge failed or the reference cannot be read: left out."),
    Quantity(key="judge/disagreement", title="Judges disagree", meaning="Share of verdicts that a comparison to the letter would turn.", share=True),
    Quantity(key="length/mean", title="Length", meaning="Mean tokens per rollout."),
    Quantity(key="rollouts/truncated", title="Rollouts cut off", meaning="Share that hit the length cap.", share=True),
    Quantity(key="entropy/sampled", title="Entropy", meaning="Mean negative log-probability of the sampled tokens, in nats."),
)
SMOOTHED_FROM = 24
"""Shorter lines are drawn as they are; longer ones are averaged over about a twelfth of their steps."""
ROUND = (1, 2, 2.5, 5, 10)
"""Ticks stand at multiples of these."""


def charts(sft: Sequence[Step], arms: Sequence[Track]) -> tuple[Chart, ...]:
    """A chart for every quantity that any journal holds: validation first, the SFT loss last."""
    drawn = [_chart(quantity, arms) for quantity in (*_validations(arms), *QUANTITIES)]
    drawn.append(_chart(LOSS, [Track(label="SFT", place=None, steps=tuple(sft))]))
    return tuple(chart for chart in drawn if chart is not None)


def _validations(arms: Sequence[Track]) -> list[Quantity]:
    keys = dict.fromkeys(key for arm in arms for step in arm.steps for key in step.values if key.startswith("validation/"))
    meaning = "Greedy accuracy on held-out problems."
    return [Quantity(key=key, title=f"Validation: {key.removeprefix('validation/')}", meaning=meaning, share=True) for key in keys]


def points_of(steps: Iterable[Step], quantity: Quantity) -> Points:
    """What there is to draw: finite values, and only steps in which a pull acted where the quantity asks for that."""
    return tuple(
        (step.number, value)
        for step in steps
        if math.isfinite(value := step.values.get(quantity.key, math.nan)) and (not quantity.where_pulled or step.values.get("pull/rate", 0.0) > 0)
    )


def smoothed(points: Points) -> Points:
    """A centred moving mean. The window narrows towards both ends, so that a rise or a fall is not flattened there."""
    values = [value for _, value in points]
    halves = [min(len(points) // SMOOTHED_FROM, place, len(points) - 1 - place) for place in range(len(points))]
    windows = [values[place - half : place + half + 1] for place, half in enumerate(halves)]
    return tuple((step, math.fsum(window) / len(window)) for (step, _), window in zip(points, windows, strict=True))


def _chart(quantity: Quantity, tracks: Sequence[Track]) -> Chart | None:
    drawn = [(track, points) for track in tracks if (points := points_of(track.steps, quantity))]
    if not drawn:
        return None
    ends = [(track, smoothed(points)[-1][1]) for track, points in drawn]
    described = f"{quantity.title}: {', '.join(f'{track.label} ends at {end:.3g}' for track, end in ends)}"
    with style():
        figure, axes = new_axes(4.4, 2.5, margins=(0.45, 0.38, room_for(track.label for track in tracks), 0.15))
        for track, points in drawn:
            _line(axes, points, track.colour)
        _scale(axes, quantity, [value for _, points in drawn for _, value in points])
        _names(axes, ends)
        svg = svg_of(figure, described)
    return Chart(title=quantity.title, meaning=quantity.meaning, svg=svg)


def _line(axes: Axes, points: Points, colour: str) -> None:
    """Every step faintly and its smoothed course boldly; marks instead of smoothing where there are few points."""
    if len(points) < SMOOTHED_FROM:
        axes.plot(*zip(*points, strict=True), color=colour, linewidth=1.7, marker="o", markersize=3.2, clip_on=False)
        return
    axes.plot(*zip(*points, strict=True), color=colour, linewidth=0.8, alpha=0.3, clip_on=False)
    axes.plot(*zip(*smoothed(points), strict=True), color=colour, linewidth=1.9, solid_capstyle="round", clip_on=False)


def _scale(axes: Axes, quantity: Quantity, values: Sequence[float]) -> None:
    top = max(values)
    axes.set_ylim(bottom=min(0.0, *values), top=1.0 if quantity.share and top > 0.5 else top * 1.08 or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=ROUND))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=ROUND))
    axes.margins(x=0.02)
    axes.set_xlabel("step", color=MUTED, loc="right", labelpad=1)


def _names(axes: Axes, ends: Sequence[tuple[Track, float]]) -> None:
    """Each line's name in its colour beside its last point, names moved apart where lines end close together."""
    low, high = axes.get_ylim()
    heights = spread([(end - low) / (high - low) for _, end in ends], 0.085)
    for (track, _), height in zip(ends, heights, strict=True):
        axes.text(1.02, height, track.label, color=track.colour, transform=axes.transAxes, va="center", fontweight="bold")
