"""One contract for every engine: our own loop and transformers' generate, for a student that sees and for one that reads only."""

from collections.abc import Callable

import pytest
from support import models as m
from support.engine_contract import CHECKS, Subject, check_finish, check_order_and_lengths
from support.engines import subject_of, transformers_subject

from vold.adapters.engines.mixed import MixedEngine
from vold.adapters.engines.scripted import ScriptedEngine
from vold.adapters.models import LanguageModel
from vold.adapters.templates import Template
from vold.ports import RolloutEngine


def mixed_subject(speaker: LanguageModel) -> Subject:
    """Half of a script is none here: every problem goes to the model."""

    def make(seed: int) -> RolloutEngine:
        script = ScriptedEngine(template=Template(of=speaker), script=lambda *_: "1")
        return MixedEngine(model=m.engine_of(speaker, seed=seed), script=script, takes=lambda number, place: False)  # noqa: ARG005

    return subject_of(speaker, make)


SUBJECTS: dict[str, Callable[[m.World], Subject]] = {
    "own loop": lambda world: transformers_subject(world.student32, "own"),
    "own loop, few rows": lambda world: transformers_subject(world.student32, "own", rows=7),
    "generate": lambda world: transformers_subject(world.student32, "generate"),
    "own loop, text only": lambda world: transformers_subject(world.fresh("teacher", dtype="float32"), "own"),
    "generate, text only": lambda world: transformers_subject(world.fresh("teacher", dtype="float32"), "generate"),
    "mixed": lambda world: mixed_subject(world.student32),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", SUBJECTS)
def test_an_engine_keeps_the_contract(world: m.World, name: str, check: Callable[[Subject], None]) -> None:
    check(SUBJECTS[name](world))


def test_a_script_keeps_what_it_can(world: m.World) -> None:
    """It samples nothing, so only order, lengths and ends are its own."""
    words = ["1 2 3", " ".join(["4"] * 40)]
    speaker = world.student32
    subject = subject_of(speaker, lambda _: ScriptedEngine(template=Template(of=speaker), script=lambda _, sample: words[sample % 2]))
    check_order_and_lengths(subject)
    check_finish(subject)
