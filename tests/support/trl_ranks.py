"""What one rank of two runs: VoldTrainer on its share of a batch, and vold's learner beside it on the whole. Started by torch.distributed.run."""

import sys
from pathlib import Path

import torch
from support import trl_runs as t
from support.models import World

from vold.core.objective import K2, TEACHER, WRONG, Z_SCORE, Clip, Objective, Over, Pull
from vold.core.zoo import ZOO

PULLED = Objective(Z_SCORE, Clip(0.2, 0.3), pulls=(Pull(TEACHER, 0.1, K2, WRONG, over=Over.PULLED),))


def main(world: World, folder: Path) -> None:
    torch.set_num_threads(1)
    cut = t.run(world, folder / "cut", ZOO["SCOPE"], "RWWR", "WWWW", "RRRR", per_device_train_batch_size=6)  # the second group lies on both ranks
    assert [len(group.members) for group in cut.groups] == [4, 4, 4]
    t.assert_same_updates(cut, [cut.groups])
    idle = t.run(world, folder / "idle", PULLED, "RWWW", "RRRR")  # the second rank has nothing to train
    t.assert_same_updates(idle, [idle.groups])
    more = {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "max_steps": 2, "learning_rate": 0.01}
    several = t.run(world, folder / "several", ZOO["VOLD_FULL"], "RWWR", "WWWW", "RRWW", **more)
    first, second = several.groups[:2] + several.groups[4:6], several.groups[2:4] + several.groups[6:]  # each rank's own first and second half
    t.assert_same_updates(several, [first, second], within=1e-8)
    counted = several.trainer.state.log_history[0]
    assert counted["z"] == sum(len(m.rollout.response_ids) for group in first for m in group.members)
    assert counted["pull/scored"] == 22.0


if __name__ == "__main__":
    main(World(Path(sys.argv[1])), Path(sys.argv[2]))
