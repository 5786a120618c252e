"""The rehearsal of a whole run: stopped after the first step of each stage that trains, gone on with, and told phase by phase."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support import real

SCRIPT = Path(__file__).parents[2] / "bench" / "rehearsal.py"
pytestmark = [*real.needs("orz57k"), pytest.mark.long, pytest.mark.timeout(1200)]


def test_two_steps_of_every_stage_with_a_stop_in_between(tmp_path: Path) -> None:
    asked = [sys.executable, str(SCRIPT), str(real.DATA), "-s", "threads=1", "--json", str(tmp_path / "out.json")]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=1100, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stopped after the first step of") == 2
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert {(row["stage"], row["phase"]) for row in rows} >= {("sft", "update"), ("joint", "rollouts"), ("joint", "teacher"), ("joint", "update")}
    assert all(row["mfu"] is None or 0 < row["mfu"] < 1.5 for row in rows)
