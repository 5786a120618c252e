"""What a run will hold and take: against a measurement on a GPU, against its own parts, and what is said where something does not fit."""

from dataclasses import replace

import pytest
from rich.console import Console

from vold.base.errors import ModelError, SettingsError
from vold.config.load import load
from vold.core import memory, planning
from vold.core.memory import Way
from vold.core.planning import CARDS, GIB
from vold.core.roofline import Span
from vold.report import planned as page
from vold.wiring.planning import ASSUMED, card_of, model_of, planned, work_of

PAPER = "vold-qwen2.5-vl-3b"
MEASURED = 64.97 * GIB
"""Allocated at the most on an H200 by two accumulations of these packs: weights, masters and gradients of a Qwen2.5-VL-3B, and the larger pack."""
LENGTHS = {"tokens": 15_866, "sequences": 6}


def plan_for(card: str | None, *assignments: str, recipe: str = PAPER) -> page.Planned:
    found = planned(load(recipe, assignments=assignments).settings, card)
    assert found is not None
    return found


def test_the_paper_s_student_on_a_gpu_as_measured() -> None:
    student = model_of(load(PAPER).settings.student)
    way = Way(number=2, attention="varlen", recompute="light", widens=False, fused=True)
    held = memory.persistent(student.config, way, frozen=student.tower)
    lengths = (LENGTHS["tokens"] // LENGTHS["sequences"],) * LENGTHS["sequences"]
    work = memory.accumulate(student.config, way, lengths, sum(lengths), fresh=False)
    assert held.bytes - held.terms["moments"] + work.bytes == pytest.approx(MEASURED, rel=0.15)


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("Qwen2.5-VL-3B-Instruct", 3.75),
        ("Qwen2.5-VL-7B-Instruct", 8.29),
        ("Qwen3-4B", 4.02),
        ("Qwen3-8B", 8.19),
        ("Qwen3-14B", 14.77),
        ("Qwen3-32B", 32.76),
    ],
)
def test_shapes_have_the_numbers_their_cards_say(name: str, billions: float) -> None:
    model = model_of(load(PAPER, assignments=[f"student.path=Qwen/{name}"]).settings.student)
    assert (memory.parameters(model.config) + model.tower) / 1e9 == pytest.approx(billions, rel=0.002)


def test_a_large_card_holds_the_paper_s_run_and_a_small_one_does_not() -> None:
    assert plan_for("141").fits
    small = plan_for("80")
    assert [one.phase for one in small.needs if not one.fits] == ["SFT, update", "stage 2, update"]
    assert all(one.changes == () for one in plan_for("24").needs if one.phase.endswith("update")), "55 GiB of weights and moments fit no such card"


@pytest.mark.parametrize("card", ["48", "80"])
def test_what_is_advised_makes_it_fit(card: str) -> None:
    """Each advice, taken by itself, brings its phase under the card's memory, and is what the plan then says."""
    for one in plan_for(card).needs:
        assert one.fits or one.changes or card == "48", one.phase
        for change in one.changes:
            then = next(two for two in plan_for(card, *change.settings.split()).needs if two.phase == one.phase)
            assert then.fits
            assert then.bytes == change.bytes


def test_phases_are_those_of_the_recipe() -> None:
    every = ["corpus, generating", "SFT, update", "stage 2, generating", "stage 2, teacher", "stage 2, update"]
    assert [one.phase for one in plan_for("141").needs] == every
    assert [one.phase for one in plan_for("141", "joint.arms=['grpo']", "corpus.from=dataset", "corpus.path=x").needs] == [
        every[i] for i in (1, 2, 4)
    ]
    assert [one.phase for one in plan_for("141", "sft.steps=0").needs] == every[2:]


def test_a_teacher_that_waits_is_in_no_phase_but_its_own() -> None:
    here, waiting = plan_for("141"), plan_for("141", "teacher.offload=true")
    teacher = next(one for one in here.needs if one.phase == "stage 2, update").terms["teacher"]
    gained = {one.phase: one.bytes - two.bytes for one, two in zip(here.needs, waiting.needs, strict=True)}
    assert {phase: size for phase, size in gained.items() if size} == {"stage 2, generating": teacher, "stage 2, update": teacher}


def test_time_is_the_accountant_s_over_the_share_that_was_measured() -> None:
    found = {one.phase: one for one in plan_for("141").took}
    student, machine = model_of(load(PAPER).settings.student).shape, CARDS["141"].machine
    cost = student.training([Span(ASSUMED.prompt, ASSUMED.trace)] * 256) + student.stepping()
    assert found["SFT"].ideal == pytest.approx(4000 * cost.seconds(machine))
    for name, share in (("SFT", "update"), ("corpus", "decode"), ("stage 2, teacher", "teacher")):
        assert found[name].expected == pytest.approx(found[name].ideal / planning.SHARES[share].value)
    assert found["stage 2, teacher"].ideal < found["stage 2, update"].ideal
    doubled = plan_for("141", "joint.steps=120")
    assert {one.phase: one for one in doubled.took}["stage 2, update"].ideal == pytest.approx(2 * found["stage 2, update"].ideal)


def test_more_of_anything_never_holds_less() -> None:
    work = work_of(load(PAPER).settings, cuda=True)
    assert work.sft is not None
    before = {one.phase: one.bytes for one in planning.phases(work)}
    for more in (
        replace(work, rows=64),
        replace(work, cap=16_384),
        replace(work, sft=replace(work.sft, tokens=32_768)),
        replace(work, masters=False),
    ):
        after = {one.phase: one.bytes for one in planning.phases(more)}
        assert all(after[phase] >= size for phase, size in before.items()) or not more.masters
    assert {one.phase: one.bytes for one in planning.phases(replace(work, masters=False))}["SFT, update"] < before["SFT, update"]


def test_the_laptop_world_is_planned_on_this_machine() -> None:
    found = plan_for(None, recipe="tiny")
    assert found.fits
    assert found.took == ()
    assert all(one.bytes < GIB for one in found.needs)


def test_nothing_is_planned_where_nothing_is_trained() -> None:
    assert planned(load("zero-shot").settings, "80") is None


def test_a_shape_that_nobody_knows_and_a_card_that_is_none() -> None:
    with pytest.raises(ModelError, match=r"no shape of Some/Model is known.*Qwen3-8B"):
        plan_for("80", "teacher.path=Some/Model")
    with pytest.raises(SettingsError, match=r"no card 12\. Known, by gigabytes: 24, 48, 80, 141"):
        plan_for("12")
    assert card_of(load(PAPER).settings, None).memory > 0


def test_the_page_says_what_does_not_fit_and_what_to_change() -> None:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        for part in page.lines(plan_for("80")):
            console.print(part)
        text = console.export_text()
    assert "memory on 80 GB (H100)" in text
    assert "SFT, update does not fit. It would with sft.recompute=full" in text
    assert "4,000 steps × train(256 × 3500 tokens)" in text
    assert "this recipe has 2 arms" in text
