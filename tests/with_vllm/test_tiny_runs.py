"""The tiny world's whole method with vLLM in the place of transformers."""

from pathlib import Path

import pytest
from support.runs import journal_of, run_here, summary_of
from support.short import SHORT

pytestmark = pytest.mark.vllm


def test_every_stage_with_vllm_in_this_process(tmp_path: Path) -> None:
    run_here("tiny", tmp_path / "run", *SHORT, "engine.kind='vllm'")
    journal = journal_of(tmp_path / "run" / "joint-vold")
    assert [line["step"] for line in journal] == [0, 1, 2]
    assert all(line["values"]["trained_tokens"] > 0 and "engine/excluded" not in line["values"] for line in journal)
    assert {row["row"] for row in summary_of(tmp_path / "run")["rows"]} >= {"base, direct", "SFT", "VOLD"}
