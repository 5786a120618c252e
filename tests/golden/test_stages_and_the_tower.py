"""No training image: the stages themselves, wired as a user runs them, never run the vision tower."""

from pathlib import Path

import pytest
from support.runs import SMALL, run_here
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel as Tower


@pytest.mark.long
def test_sft_and_stage_2_never_run_the_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tmp_path / "blind.toml"
    recipe.write_text(SMALL.replace("every = 4", "every = 0").replace("steps = 32", "steps = 4").replace("steps = 8", "steps = 3"))
    ran: list[str] = []
    original = Tower.forward
    monkeypatch.setattr(Tower, "forward", lambda self, *a, **k: ran.append("tower") or original(self, *a, **k))
    for kind in ("corpus", "sft", "joint"):
        run_here(recipe, tmp_path / "run", only=kind)
        assert ran == [], f"the {kind} stage ran the vision tower"
    run_here(recipe, tmp_path / "run", only="eval")
    assert ran, "the evaluation shows pictures, so the hook must have fired"
