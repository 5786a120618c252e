"""Shared by all tests: one thread, repeatable hypothesis, and the tiny untrained models saved once a session."""

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))  # tests import their helpers as `support`

from support.models import World, saved_world

torch.set_num_threads(1)
settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Folders of an untrained student and an untrained teacher; tests load from them what they need."""
    return saved_world(tmp_path_factory.mktemp("world"))
