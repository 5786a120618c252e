"""How far each arm's student was from the teacher before its first update: the one-batch test of the alignment stage."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes

from vold.report.curves import Chart, Track
from vold.report.plotting import INK, MUTED, RULE, new_axes, room_for, style, svg_of

KEY = "teacher/log_ratio_start"
ALIGNED_BELOW = 1.0
"""Nats. Aligned students of the tiny world measure 0.3 to 0.45, students without alignment 4 to 5."""


def distances(arms: Sequence[Track]) -> list[tuple[Track, float]]:
    """The arms that measured it, with the mean of log π − log φ over the response tokens of their first rollouts."""
    starts = [(arm, arm.steps[0].values.get(KEY, math.nan)) for arm in arms if arm.steps]
    return [(arm, distance) for arm, distance in starts if math.isfinite(distance)]


def chart(arms: Sequence[Track]) -> Chart | None:
    """One bar an arm against the mark below which students count as aligned; None when no arm met the teacher."""
    measured = distances(arms)
    if not measured:
        return None
    with style():
        figure, axes = new_axes(5.0, 0.72 + 0.3 * len(measured), margins=(room_for(arm.label for arm, _ in measured), 0.42, 0.3, 0.3))
        _bars(axes, measured)
        _mark(axes)
        svg = svg_of(figure, "Log-ratio to the teacher at step 0: " + ", ".join(f"{arm.label} {distance:.2f}" for arm, distance in measured))
    return Chart(title="Log-ratio to the teacher at step 0", meaning="Nats per token, before the first update.", svg=svg)


def _bars(axes: Axes, measured: Sequence[tuple[Track, float]]) -> None:
    for height, (arm, distance) in enumerate(reversed(measured)):
        axes.barh(height, distance, height=0.5, color=arm.colour)
        axes.text(max(distance, 0.0) + 0.06, height, f"{distance:.2f}", color=INK, va="center")
        axes.text(-0.02, height, arm.label, color=arm.colour, va="center", ha="right", fontweight="bold", transform=axes.get_yaxis_transform())
    sizes = [distance for _, distance in measured]
    axes.set(yticks=[], xlim=(min(0.0, *sizes), max(2.0, *(1.12 * distance for distance in sizes))))
    axes.set_xlabel("nats per token", color=MUTED, loc="right", labelpad=1)


def _mark(axes: Axes) -> None:
    """The line between aligned and not."""
    axes.grid(visible=False)
    axes.spines["left"].set(visible=True, color=RULE)
    axes.axvline(ALIGNED_BELOW, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axes.text(ALIGNED_BELOW, 1.02, "aligned below 1 nat", color=MUTED, ha="center", va="bottom", transform=axes.get_xaxis_transform())
