"""The laptop world's models that come with the package."""

from importlib import resources
from pathlib import Path

from vold.base.errors import ModelError
from vold.base.files import read_json
from vold.base.ids import digest_of_file

NAMES = ("base", "teacher-a", "teacher-b", "teacher-flawed")


def shipped_folder() -> Path:
    return Path(str(resources.files("vold.adapters.tiny_models") / "shipped"))


def folder_of(name: str) -> Path:
    """The folder of a shipped model, its weights checked against the recorded digest. Raises ModelError."""
    if name not in NAMES:
        raise ModelError(f"tiny:{name} does not ship with the package. Choose one of: {', '.join(f'tiny:{known}' for known in NAMES)}.")
    folder = shipped_folder() / name
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise ModelError(f"{weights} is missing from the installation. Install the package again, or make the models with `vold tiny pretrain`.")
    expected = read_json(shipped_folder() / "recipe.json")["models"][name]["sha256"]
    if digest_of_file(weights) != expected:
        raise ModelError(f"{weights} is not the file that was shipped (its SHA-256 differs from recipe.json). Install the package again.")
    return folder
