"""Pictures as a vision tower takes them: patches and grids, each different picture once, and which sequence shows which."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vold.base.errors import DataError

Shown = Sequence[tuple[bytes, ...]]
"""For each sequence of a pack the encoded image files that its prompt shows, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The different pictures of a pack. `places` are, sequence by sequence, those that it shows, in order."""

    patches: Tensor
    grids: Tensor
    places: tuple[tuple[int, ...], ...]

    @property
    def in_order(self) -> list[int]:
        """Every picture shown, one sequence after the other."""
        return [place for of_sequence in self.places for place in of_sequence]


def patched(processor: Any, images: Sequence[bytes], *, of: str) -> tuple[Tensor, Tensor]:
    """Patches and grids of encoded image files. Raises DataError, in the name `of`, for one that cannot be read."""
    pixels = processor(images=opened(images, of=of), return_tensors="pt")
    return pixels["pixel_values"], pixels["image_grid_thw"]


def opened(images: Sequence[bytes], *, of: str) -> list[Image.Image]:
    """Pictures from encoded image files. Raises DataError, in the name `of`, for one that cannot be read."""
    try:
        return [Image.open(io.BytesIO(data)).convert("RGB") for data in images]
    except OSError as error:
        raise DataError(f"an image of {of} cannot be read: {error}. Repair or drop the row.") from error


def tokens_of(processor: Any, images: Sequence[bytes]) -> int:
    """How many tokens pictures take, by their sizes alone. Raises DataError for one that cannot be read or scaled."""
    count = 0
    for data in images:
        try:
            with Image.open(io.BytesIO(data)) as picture:
                width, height = picture.size
        except OSError as error:
            raise DataError(f"a picture cannot be read: {type(error).__name__}") from error
        try:
            count += int(processor.get_number_of_image_patches(height, width)) // processor.merge_size**2
        except ValueError as error:
            raise DataError(f"a picture of {width} × {height} pixels cannot be shown: {error}") from error
    return count


def pictures_of(processor: Any, shown: Shown, device: torch.device) -> Pictures | None:
    """What a pack's sequences show; None where none shows anything. The rollouts of one problem share their pictures: the tower sees them once."""
    place_of = {image: place for place, image in enumerate(dict.fromkeys(image for images in shown for image in images))}
    if not place_of:
        return None
    patches, grids = patched(processor, list(place_of), of="a training row")
    places = tuple(tuple(place_of[image] for image in images) for images in shown)
    return Pictures(patches=patches.to(device), grids=grids.to(device), places=places)
