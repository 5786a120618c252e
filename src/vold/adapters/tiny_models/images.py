"""Encoded pictures to the student's pixel input, through its own image processor."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Pixels:
    """Patches of one or more pictures end to end, and each picture's grid (frames, rows, columns of patches)."""

    patches: Tensor
    grids: Tensor


def pixels_of(processor: Any, pngs: Sequence[bytes]) -> Pixels:
    images = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
    out = processor(images=images, return_tensors="pt")
    return Pixels(patches=out["pixel_values"].to(torch.float32), grids=out["image_grid_thw"])
