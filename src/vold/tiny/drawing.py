"""Facts as pictures: a grid of cells of 28 pixels, one fact to a cell, some cells empty.

Twenty-eight pixels are what one merged patch of the student's vision tower covers, so every cell becomes one image token.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from PIL import Image, ImageDraw, ImageFont

CELL = 28
GRIDS = ((2, 2), (3, 2), (2, 3), (4, 2), (3, 3))
"""Columns and rows a picture may have. Pictures differ in size so that a question never starts at one fixed place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A grid of `columns` × `rows` cells in reading order, each a fact or empty, and the PNG that shows it."""

    columns: int
    rows: int
    cells: tuple[tuple[str, int] | None, ...]
    png: bytes

    @property
    def facts(self) -> tuple[tuple[str, int], ...]:
        return tuple(cell for cell in self.cells if cell is not None)


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def draw(random: Random, facts: tuple[tuple[str, int], ...]) -> Picture:
    """A picture of `facts`: random grid that holds them, random cells, pale background, dark ink, jittered letters."""
    columns, rows = random.choice([grid for grid in GRIDS if grid[0] * grid[1] >= len(facts)])
    cells: list[tuple[str, int] | None] = [None] * (columns * rows)
    for fact, place in zip(facts, random.sample(range(columns * rows), len(facts)), strict=True):
        cells[place] = fact
    paper = tuple(random.randint(215, 255) for _ in range(3))
    ink = tuple(random.randint(0, 80) for _ in range(3))
    image = Image.new("RGB", (columns * CELL, rows * CELL), paper)
    pen = ImageDraw.Draw(image)
    for place, cell in enumerate(cells):
        if cell is None:
            continue
        size = random.randint(14, 16)
        text = f"{cell[0]}{cell[1]}"
        font = _font(size)
        width = pen.textlength(text, font=font)
        x = place % columns * CELL + random.uniform(1, max(1.0, CELL - 1 - width))
        y = place // columns * CELL + random.uniform(0, max(0.0, CELL - 1 - 1.15 * size))
        pen.text((x, y), text, fill=ink, font=font)
    out = io.BytesIO()
    image.save(out, format="PNG")
    return Picture(columns=columns, rows=rows, cells=tuple(cells), png=out.getvalue())
