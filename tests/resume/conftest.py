"""One small run that nothing disturbed: what every interrupted one must equal."""

from pathlib import Path

import pytest
from support.runs import SMALL, run_here


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def uninterrupted(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the whole run."""
    root = tmp_path_factory.mktemp("uninterrupted") / "small"
    run_here(recipe, root)
    return root
