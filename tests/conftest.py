"""Shared by all tests: one thread, repeatable hypothesis, and the tiny untrained models saved once a session."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if shutil.which("nvidia-smi") is None:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is first imported, which torch may do

import pytest
import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # tests import their helpers as `support`

if TYPE_CHECKING:
    from support.models import World

torch.set_num_threads(1)
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> "World":
    """Folders of an untrained student and an untrained teacher; tests load from them what they need."""
    from support.models import saved_world  # transformers take seconds to import: only where a model is needed

    return saved_world(tmp_path_factory.mktemp("world"))
