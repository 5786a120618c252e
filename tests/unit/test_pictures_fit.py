"""Pictures that cannot be shown are found before a weight is loaded, and the tokens they take are those that the processor makes."""

import io
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from vold.adapters.models import image_processor_at
from vold.adapters.pictures import tokens_of
from vold.adapters.tiny_models.shipped import folder_of
from vold.base.errors import DataError
from vold.base.types import Problem
from vold.config.load import load
from vold.wiring.parts import Parts


@dataclass(frozen=True, kw_only=True)
class Told:
    """A template under which all words have one length, and a picture is one placeholder."""

    LENGTH = 10
    of: object
    system: str = ""
    suffix: str = ""

    def ids(self, problem: Problem) -> tuple[int, ...]:
        return (0,) * (self.LENGTH + len(problem.images))


def png(width: int, height: int) -> bytes:
    stored = io.BytesIO()
    Image.new("RGB", (width, height)).save(stored, "PNG")
    return stored.getvalue()


@pytest.mark.parametrize("size", [(1, 1), (60, 60), (300, 40), (40, 300), (900, 700), (100, 1)])
def test_tokens_are_those_of_the_processor(size: tuple[int, int]) -> None:
    processor = image_processor_at(folder_of("base"), max_pixels=50176)
    with Image.open(io.BytesIO(png(*size))) as picture:
        made = processor(images=[picture.convert("RGB")], return_tensors="pt")["image_grid_thw"]
    assert tokens_of(processor, [png(*size)]) == int(made.prod()) // processor.merge_size**2
    assert tokens_of(processor, [png(*size)] * 3) == 3 * (int(made.prod()) // processor.merge_size**2)


def test_a_strip_is_refused_with_its_size() -> None:
    with pytest.raises(DataError, match="a picture of 4000 × 3 pixels cannot be shown"):
        tokens_of(image_processor_at(folder_of("base")), [png(4000, 3)])


def test_a_strip_and_a_picture_over_the_context_cannot_be_asked(tmp_path: Path) -> None:
    parts = Parts(settings=load("tiny").settings, root=tmp_path)
    problem = Problem(id="p", prompt="a = 3 . a ?", answer=None, source="s")
    context = parts.student_fit.context
    parts.student_fit = replace(parts.student_fit, template=Told(of=parts.student_fit.template.of))  # type: ignore[arg-type]
    assert "cannot be shown" in str(parts.askable(replace(problem, images=(png(4000, 3),))))
    one = tokens_of(parts.student_fit.template.of.image_processor, [png(300, 300)])
    fits = (context - parts.settings.eval.sampling.max_new_tokens - Told.LENGTH) // one
    assert parts.askable(replace(problem, images=(png(300, 300),) * fits)) is None
    assert "over its context" in str(parts.askable(replace(problem, images=(png(300, 300),) * (fits + 1))))
