"""vLLM in an environment of its own (`make test-vllm`): one engine at a time in this process, servers as processes of their own."""

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support import models as m
from support.vllm_servers import Process

from vold.adapters.tiny_models.shipped import folder_of

if TYPE_CHECKING:
    from vold.adapters.engines.vllm import VllmSampler


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    own = [item for item in items if "vllm" in item.keywords]
    missing = importlib.util.find_spec("vllm") is None
    for item in own:
        item.add_marker(pytest.mark.filterwarnings("default"))  # other people's
        if missing:
            item.add_marker(pytest.mark.skip(reason="vLLM is not installed here; make test-vllm makes an environment that has it"))


@pytest.fixture(scope="module")
def sampler(world: m.World) -> Iterator["VllmSampler"]:
    """The untrained student in vLLM, in this process. Closing one takes down what another would need: so one at a time."""
    from vold.adapters.engines.vllm import VllmSampler
    from vold.adapters.vocabulary import banned_ids

    size = dict(world.student32.image_processor.size)
    made = VllmSampler(folder=world.student_folder, banned_V=banned_ids(world.student32), context=512, size=size, memory=1)
    yield made
    made.close()


@pytest.fixture(scope="session")
def servers(world: m.World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """An untrained student, whose architecture is that of the laptop world's, and the laptop world's teacher, each behind a local server."""
    logs = tmp_path_factory.mktemp("servers")
    folders = {"student": world.student_folder, "teacher": folder_of("teacher-a")}
    started = {name: Process(folder, logs / f"{name}.log") for name, folder in folders.items()}
    try:
        for process in started.values():
            process.wait()
        yield started
    finally:
        for process in started.values():
            process.stop()
