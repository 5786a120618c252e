"""How every figure looks: one palette, one set of axes, SVG that follows the page's light or dark colours."""

import io
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from html import escape

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc6699", "#b8860b", "#56b4e9", "#7a5195")
"""One colour an arm, by its place in the summary: Okabe and Ito's, which stay apart for every kind of colour vision."""
INK, MUTED, RULE = "#1c2321", "#5f6b68", "#d9dedc"
"""Text and lines that carry no data."""

VARIABLES = {colour: f"arm-{place}" for place, colour in enumerate(PALETTE)} | {INK: "ink", MUTED: "muted", RULE: "rule"}
"""The style sheet's name of every colour used here."""


def style() -> AbstractContextManager[None]:
    """Everything is drawn and written inside of it: text stays text, a `$` in a name stays a `$`, the same figure is the same SVG."""
    return matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "vold", "text.parse_math": False, "font.size": 9.0})


def colour_of(place: int) -> str:
    """The colour of the arm at `place`; more arms than colours begin again."""
    return PALETTE[place % len(PALETTE)]


def new_axes(width: float, height: float, *, margins: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """An empty figure of `width` × `height` inches with `margins` (left, bottom, right, top, in inches) around its axes."""
    figure = Figure(figsize=(width, height))
    left, bottom, right, top = margins
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(length=0, colors=MUTED)
    axes.grid(axis="y", color=RULE, linewidth=0.7)
    axes.set_axisbelow(True)
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    return figure, axes


def room_for(names: Iterable[str]) -> float:
    """Inches that the longest name takes beside an axis."""
    return 0.14 + 0.086 * max(map(len, names), default=0)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """The heights, as shares of an axis, moved so that neighbours stand `gap` apart and all stay on it: each crowded run is centred on its mean."""
    clusters: list[list[int]] = []
    for place in sorted(range(len(heights)), key=lambda place: heights[place]):
        clusters.append([place])
        while len(clusters) > 1 and _foot(heights, clusters[-1], gap) < _foot(heights, clusters[-2], gap) + gap * len(clusters[-2]):
            last = clusters.pop()
            clusters[-1] += last
    out = list(heights)
    for cluster in clusters:
        for rank, place in enumerate(cluster):
            out[place] = _foot(heights, cluster, gap) + gap * rank
    return out


def _foot(heights: Sequence[float], cluster: Sequence[int], gap: float) -> float:
    extent = gap * (len(cluster) - 1)
    centred = sum(heights[place] for place in cluster) / len(cluster) - extent / 2
    return max(gap / 2, min(centred, 1 - extent))


def svg_of(figure: Figure, label: str) -> str:
    """The figure as an `<svg>` element for a page: scales with its container, colours by style sheet, the same text every time."""
    out = io.StringIO()
    FigureCanvasSVG(figure).print_svg(out)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)  # holds the date
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)  # several figures on one page would repeat these
    svg = re.sub(r'<svg [^>]*(viewBox="[^"]*")[^>]*>', lambda found: f'<svg {found[1]} role="img" aria-label="{escape(label)}">', svg, count=1)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable}, {colour})")
    return svg.strip()
