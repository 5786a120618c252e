"""Who may import whom, and what runs without torch."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

IMPORT_WITHOUT_TORCH = """
import importlib, pkgutil, sys
sys.modules["torch"] = sys.modules["transformers"] = None  # importing them raises

import vold.base, vold.config
packages = (vold.base, vold.config)
inside = [module.name for package in packages for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in [*inside, "vold.core.objective", "vold.core.zoo"]:
    importlib.import_module(name)
    print(name)
"""


def test_the_import_contracts_hold() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kept, 0 broken" in done.stdout


def test_settings_need_no_torch(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT_WITHOUT_TORCH], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {"vold.base.types", "vold.config.schema", "vold.core.zoo"} <= set(done.stdout.split())
