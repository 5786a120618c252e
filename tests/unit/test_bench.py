"""Every script under bench/ runs at its small size and writes what it printed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
SCRIPTS = sorted(path for path in BENCH.glob("*.py") if path.stem not in ("goals", "rehearsal"))  # which runs the others, and which needs real data


@pytest.mark.long
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_small_measurement(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script), "--quick", "--json", str(tmp_path / "out.json")], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out.json").read_text())
    assert {"hardware", "versions", "rows", "figures"} <= set(found)
    assert len(found["rows"]) > 1
    assert all(row["seconds"] > 0 for row in found["rows"])
    assert all(row["row"] in done.stdout for row in found["rows"])
    assert all(name.startswith(f"{script.stem}.") and value >= 0 for name, value in found["figures"].items())
    assert any(found["figures"].values())


def test_there_is_something_to_measure() -> None:
    assert SCRIPTS
