"""A student in half precision through SFT and stage 2, as a user runs it: killed and gone on with, it ends with the same bytes."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support.runs import SMALL, Interrupted, run_here

HALF = ("student.dtype=bfloat16", "sft.steps=8", "joint.steps=4", "joint.arms=['both']", "joint.validation.every=0", "joint.recompute=light")


@pytest.mark.long
def test_killed_and_gone_on_with(tmp_path: Path) -> None:
    recipe = tmp_path / "small.toml"
    recipe.write_text(SMALL)
    run_here(recipe, tmp_path / "whole", *HALF, only="corpus")
    shutil.copytree(tmp_path / "whole" / "corpus", tmp_path / "stopped" / "corpus")
    for kind, bar, folder, stop in (("sft", "SFT", "sft", 6), ("joint", "VOLD", "joint-both", 3)):
        run_here(recipe, tmp_path / "whole", *HALF, only=kind)
        with pytest.raises(Interrupted):
            run_here(recipe, tmp_path / "stopped", *HALF, only=kind, stop=(bar, stop))
        # where the layers are computed again is nothing that a result depends on: the rest may be run otherwise
        run_here(recipe, tmp_path / "stopped", *HALF, f"{kind}.recompute=full", only=kind)
        for name in ("journal.jsonl", "model/model.safetensors"):
            assert (tmp_path / "stopped" / folder / name).read_bytes() == (tmp_path / "whole" / folder / name).read_bytes(), (kind, name)
        saved = load_file(tmp_path / "whole" / folder / "model" / "model.safetensors")
        assert {str(tensor.dtype) for tensor in saved.values()} == {"torch.bfloat16"}
