"""The wheel holds all that `vold` needs, and works away from the checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHIPPED = "vold/adapters/tiny_models/shipped"


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built, unpacked = tmp_path_factory.mktemp("built"), tmp_path_factory.mktemp("unpacked")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(ROOT), cwd=built)
    [wheel] = built.glob("vold-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked


def test_the_wheel_holds_every_file_of_the_package(unpacked: Path) -> None:
    assert files_of(unpacked / "vold") == files_of(ROOT / "src/vold")


def test_the_wheel_holds_recipes_and_checkpoints(unpacked: Path) -> None:
    assert (unpacked / "vold/config/recipes/tiny.toml").is_file()
    for name in ("base", "teacher-a", "teacher-b", "teacher-flawed"):
        assert any((unpacked / SHIPPED / name).glob("*.safetensors")), name


def test_the_wheel_runs_away_from_the_checkout(unpacked: Path, tmp_path: Path) -> None:
    where = run("-c", "import vold; print(vold.__file__)", cwd=tmp_path, path=unpacked)
    assert Path(where.strip()).is_relative_to(unpacked)
    assert "tiny" in run("-m", "vold", "show", "tiny", cwd=tmp_path, path=unpacked)


def run(*arguments: str, cwd: Path, path: Path | None = None) -> str:
    environment = os.environ | ({"PYTHONPATH": str(path)} if path else {})
    done = subprocess.run([sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def files_of(folder: Path) -> Sequence[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
