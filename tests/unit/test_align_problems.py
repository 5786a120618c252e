"""Which problems an alignment check asks: the first of those that the joint stage asks."""

from pathlib import Path

import pytest
from support import own, pairs

from vold.config.load import load
from vold.core.overlap import Findings
from vold.report.overlaps import write
from vold.wiring.align import guarded_parts, problems_of
from vold.wiring.parts import Parts


def test_what_the_joint_stage_leaves_out_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    own.put_data(tmp_path)
    recipe = own.put_recipe(tmp_path, pairs.saved(tmp_path / "models"))
    settings = load(recipe, assignments=["contamination.found='drop'"]).settings
    root = tmp_path / "run"
    root.mkdir()
    every = [one.id for one in problems_of(guarded_parts(settings, root), 4)]
    write(root, Findings(overlaps=(), prompts=8, asked={}, threshold=0.8, left_out=frozenset(every[:1])))
    joint = Parts(settings=settings, root=root)
    joint.leave_out(frozenset(every[:1]))
    asked = [one.id for one in problems_of(guarded_parts(settings, root), 4)]
    assert asked == [one.id for one in joint.joint_problems().for_step(0)]
    assert every[0] not in asked
