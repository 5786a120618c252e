"""Rows with pictures go through the packed trainer: the same states and gradients as the whole model's own unpacked forward, row by row."""

from collections.abc import Sequence

import pytest
import torch
from support import seeing
from support.seeing import FAMILIES, picture
from torch import Tensor

from vold.adapters.models import LanguageModel
from vold.core.batching import Row, batch_of
from vold.core.packing import pack

ONE, OTHER, WIDE = picture(1), picture(2, 84, 56), picture(3, 140, 28)


def rows_of(student: LanguageModel) -> list[Row]:
    """Two answers about one picture, one without, one about two pictures, and one of the words alone that stand between pictures elsewhere."""
    told: list[tuple[list[int], tuple[bytes, ...], list[int]]] = [
        ([5, 9, 12], (ONE,), [7, 8, 30, 41]),
        ([5, 9, 12], (ONE,), [7, 99, 3]),
        ([11, 12, 13, 14], (), [20, 21, 22, 23, 24]),
        ([6, 10], (OTHER, WIDE), [50, 51]),
        ([5, 9, 12], (), [7, 8, 30]),
    ]
    return [
        Row(prompt_ids=seeing.prompt(student, words, images), response_ids=tuple(said), sampled=(True,) * len(said), images=images)
        for words, images, said in told
    ]


def alone(student: LanguageModel, row: Row) -> Tensor:
    """Log-probabilities of one row's response by the whole model, unpacked, as transformers has it."""
    ids_1T = torch.tensor([[*row.prompt_ids, *row.response_ids]])
    shown = {}
    if row.images:
        patches, grids = seeing.patched(student.image_processor, row.images, of="a test")
        shown = {"pixel_values": patches, "image_grid_thw": grids, "mm_token_type_ids": (ids_1T == seeing.PAD).int()}
    student.model.model.rope_deltas = None
    logits_TV = student.model(input_ids=ids_1T, use_cache=False, **shown).logits[0]
    start = len(row.prompt_ids)
    return logits_TV[start - 1 : -1].log_softmax(-1).gather(1, ids_1T[0, start:, None]).squeeze(1)


def weights(count: int) -> Tensor:
    return torch.randn(count, generator=torch.Generator().manual_seed(7), dtype=torch.float64)


def packed(student: LanguageModel, rows: Sequence[Row], *, shared: bool = False) -> Tensor:
    batch = batch_of(rows, shared=shared, dtype=torch.float64)
    hidden_NH = student.packed(batch.ids_T, batch.spans, batch.images, batch.behind)[batch.before_N]
    return (hidden_NH @ student.head.T).log_softmax(-1).gather(1, batch.targets_N[:, None]).squeeze(1)


def gradients(student: LanguageModel, loss: Tensor) -> dict[str, Tensor]:
    student.model.zero_grad(set_to_none=True)
    loss.backward()
    return {name: p.grad.clone() for name, p in student.model.named_parameters() if p.grad is not None}


BOTH = pytest.mark.parametrize("shared", [False, True], ids=["every prompt", "shared prompts"])


@BOTH
@pytest.mark.parametrize("family", FAMILIES)
def test_a_pack_of_pictures_and_text_is_every_row_alone(family: str, shared: bool) -> None:
    student = seeing.student(family)
    rows = rows_of(student)
    with torch.no_grad():
        apart = torch.cat([alone(student, row) for row in rows])
        assert torch.allclose(packed(student, rows, shared=shared), apart, rtol=0, atol=1e-12)
        turned = torch.cat([alone(student, row) for row in rows[::-1]])
        assert torch.allclose(packed(student, rows[::-1], shared=shared), turned, rtol=0, atol=1e-12)


@BOTH
@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_are_those_of_the_unpacked_forward_tower_included(family: str, shared: bool) -> None:
    student = seeing.student(family)
    rows = rows_of(student)
    count = sum(len(row.response_ids) for row in rows)
    together = gradients(student, (weights(count) * packed(student, rows, shared=shared)).sum())
    apart = gradients(student, (weights(count) * torch.cat([alone(student, row) for row in rows])).sum())
    assert together.keys() == apart.keys()
    assert any(name.startswith("model.visual.") for name in together)
    for name, gradient in apart.items():
        within = 1e-7 if ".visual." in name else 1e-11  # the towers turn positions in single precision, and here behind a sum over rows
        assert float((together[name] - gradient).norm()) <= within * float(gradient.norm()), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_picture_matters_and_reaches_its_own_row_only(family: str) -> None:
    student = seeing.student(family)
    rows = rows_of(student)
    other = Row(prompt_ids=rows[0].prompt_ids, response_ids=rows[0].response_ids, sampled=rows[0].sampled, images=(picture(9),))
    with torch.no_grad():
        first, second = packed(student, rows), packed(student, [other, *rows[1:]])
    length = len(rows[0].response_ids)
    assert float((first[:length] - second[:length]).abs().max()) > 1e-3
    assert torch.allclose(first[length:], second[length:], rtol=0, atol=1e-13)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tower_sees_each_picture_once_and_nothing_where_nothing_is_shown(family: str) -> None:
    student = seeing.student(family)
    seen: list[int] = []
    tower = student.tower
    assert tower is not None
    tower.register_forward_hook(lambda *told: seen.append(len(told[2]["grid_thw"])), with_kwargs=True)
    rows = rows_of(student)
    with torch.no_grad():
        packed(student, rows)
        assert seen == [3]
        packed(student, [row for row in rows if not row.images])
    assert seen == [3]


def test_packs_keep_what_a_row_shows() -> None:
    student = seeing.student("qwen2.5-vl")
    rows = rows_of(student)
    for chosen in pack(rows, 30):
        assert batch_of(chosen).images == tuple(row.images for row in chosen)
