"""What the joint stage carries from step to step besides weights: strengths that follow the KL, and refills. A stage that is stopped and
started again writes the same journal, byte for byte, and leaves the same model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from support import models as m
from support.runs import Bar, Interrupted, journal_of, lines_in

from vold.adapters.checkpoints import FolderCheckpoints
from vold.adapters.journals.jsonl import JsonlJournal
from vold.adapters.problems.tiny import TinyProblems
from vold.base.types import Group, Rollout, Ruling, ScoredRollout, Verdict
from vold.core.objective import K3, PER_SEQUENCE, REFERENCE, TEACHER, WRONG, Adaptive, Objective, Partner, Pull
from vold.core.zoo import DAPO, GKD, VOLD
from vold.stages.joint import JointRun, Phase, Ports, joint

STEPS = 6
BETA = Adaptive(0.2, target=1e-3, horizon=40)
FOLLOWING = replace(VOLD, pulls=(Pull(REFERENCE, BETA, K3), Pull(TEACHER, Adaptive(0.5, target=40.0, horizon=40), on=WRONG)))
DRAWING = replace(VOLD, pulls=(Pull(TEACHER, BETA, on=WRONG),), dynamic=True)


def phases(*objectives: Objective) -> tuple[Phase, ...]:
    return tuple(Phase(objective=o, until=STEPS * (place + 1) // len(objectives)) for place, o in enumerate(objectives))


CASES: dict[str, dict[str, Any]] = {
    "strengths that follow the KL": {"phases": phases(FOLLOWING)},
    "the same, in a second phase": {"phases": phases(replace(FOLLOWING, share=PER_SEQUENCE), FOLLOWING)},
    "refills": {"phases": phases(DAPO)},
    "refills that keep what the teacher needs": {"phases": phases(DRAWING), "updates_per_batch": 2},
    "steps on the corpus": {"phases": phases(GKD), "on_corpus": 0.5},
}


class Parity:
    """Rules by the sum of an answer's ids, so that an untrained student has right and wrong answers."""

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [Verdict(ruling=Ruling.RIGHT if sum(x.response_ids) % 2 else Ruling.WRONG, extracted=None) for x in rollouts]


@dataclass
class Setting:
    """A joint stage on models of its own, in a folder."""

    world: m.World
    folder: Path
    case: str

    def run(self, *, stop: int | None = None) -> None:
        """From wherever the folder says to the end, or until it is interrupted after step `stop`."""
        student, asked = self.world.fresh(dtype="float32"), self.world.fresh(dtype="float32")
        teacher, reference = m.teacher_of(self.world.fresh("teacher", dtype="float32")), m.teacher_of(asked, template=None)
        learner = m.learner_of(student, heads={Partner.TEACHER: teacher.reader.head, Partner.REFERENCE: asked.head})
        at = Ports(
            problems=TinyProblems(seed=1, source="resume", difficulties=(1, 2), per_step=3),
            engine=m.engine_of(student),
            judge=Parity(),
            teacher=teacher,
            reference=reference,
            corpus=self._traces,
            learner=learner,
            journal=JsonlJournal(folder=self.folder),
            checkpoints=FolderCheckpoints(folder=self.folder, learner=learner, every=2),
            progress=Bar("joint", None if stop is None else ("joint", stop)),
        )
        made = {"steps": STEPS, "group_size": 2, "lr": 1e-3, "warmup": 0, "sampling": m.sampling(4), "truncated_reward": "judge"}
        joint(JointRun(**(made | CASES[self.case])), at)

    def _traces(self, step: int) -> list[Group]:
        """Answers of a model that is not trained, as groups nobody judges."""
        asked = TinyProblems(seed=2, source="traces", difficulties=(1,), per_step=2).for_step(step)
        answers = m.engine_of(self.world.student32).sample(asked, per_problem=1, sampling=m.sampling(4), place=("traces", step))
        unjudged = Verdict(ruling=Ruling.UNJUDGED, extracted=None)
        return [Group(problem=x.problem, members=(ScoredRollout(rollout=x, verdict=unjudged),)) for x in answers]

    def results(self) -> dict[str, bytes]:
        return {name: (self.folder / name).read_bytes() for name in ("journal.jsonl", "model/model.safetensors")}


@pytest.fixture(scope="module")
def whole(world: m.World, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Setting]:
    """A stage nothing disturbed, once a case."""
    done: dict[str, Setting] = {}

    def whole(case: str) -> Setting:
        if case not in done:
            done[case] = Setting(world, tmp_path_factory.mktemp("whole"), case)
            done[case].run()
        return done[case]

    return whole


@pytest.mark.parametrize("case", CASES)
def test_a_stopped_stage_ends_as_if_nothing_had_happened(world: m.World, whole: Callable[[str], Setting], tmp_path: Path, case: str) -> None:
    """Stopped before the first checkpoint, and between the last two."""
    stage = Setting(world, tmp_path, case)
    for stop in (1, 5):
        with pytest.raises(Interrupted):
            stage.run(stop=stop)
        assert lines_in(tmp_path / "journal.jsonl") == stop
    stage.run()
    assert stage.results() == whole(case).results()


def values_of(stage: Setting) -> list[dict[str, Any]]:
    return [line["values"] for line in journal_of(stage.folder)]


def test_the_strengths_did_move(whole: Callable[[str], Setting]) -> None:
    """Else the test above would show nothing. The one toward the reference rises, that toward a far target falls; the second phase is its own."""
    values = values_of(whole("strengths that follow the KL"))
    up, down = ([line[f"pull/beta/{place}"] for line in values] for place in (0, 1))
    assert up[0] == 0.2 > up[1]  # the student is still its own reference
    assert up[-1] > up[2]
    assert down == sorted(down, reverse=True)
    assert len(set(down)) == STEPS
    again = [line["pull/beta/1"] for line in values_of(whole("the same, in a second phase"))]
    assert again[0] == again[STEPS // 2] == 0.5 > again[-1]


@pytest.mark.parametrize("case", ["refills", "refills that keep what the teacher needs"])
def test_there_were_refills(whole: Callable[[str], Setting], case: str) -> None:
    """More groups tried than a step has, no problem twice in one, and every group kept for a reason."""
    lines = journal_of(whole(case).folder)
    assert sum(line["values"]["groups/tried"] > 3 for line in lines) >= 2
    for line in lines:
        names = [group["problem"] for group in line["groups"]]
        assert len(set(names)) == len(names) == 3
        rulings = {group["rulings"] for group in line["groups"]}
        assert rulings <= {"rw", "wr", "ww"} if case != "refills" else rulings <= {"rw", "wr"}
    assert any("refill" in group["problem"] for line in lines for group in line["groups"])


def test_half_the_steps_were_on_the_corpus(whole: Callable[[str], Setting]) -> None:
    values = values_of(whole("steps on the corpus"))
    assert ["on_corpus" in line for line in values] == [False, True] * (STEPS // 2)
    assert all(line["reward/mean"] is None for line in values[1::2])
    assert all(line["trained_tokens"] > 0 for line in values)
