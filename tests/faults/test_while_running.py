"""What goes wrong in the middle of a run: it stops with the step and the rollouts named, and what was saved before is as it was."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from support import models as m
from support.records import problem, rollout
from support.runs import Interrupted, journal_of, results_of, run_here, unlike
from support.stage import Recorder, ports_of, run_of, some_teacher

from vold.adapters.learners.single import SingleLearner
from vold.base.errors import Diverged, NothingJudged
from vold.base.types import Finish, Rollout, Ruling, Verdict
from vold.core.zoo import VOLD
from vold.ports import Example
from vold.stages.joint import joint

SHORT = ("corpus.problems.count=32", "sft.steps=4", "sft.traces_per_step=4", "sft.checkpoint_every=2", "joint.steps=4", "joint.prompts_per_step=4",
         "joint.checkpoint_every=2", "joint.arms=['vold']", "joint.validation.every=0", "eval.samples=0", "joint.sampling.max_new_tokens=24",
         "eval.benchmarks=[{name='t', size=2}]")  # fmt: skip


def prints(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the run leaves when nothing goes wrong."""
    root = tmp_path_factory.mktemp("whole")
    run_here("tiny", root, *SHORT)
    return results_of(root)


@pytest.mark.parametrize("value", [float("nan"), pytest.param(float("inf"), marks=pytest.mark.long)], ids=str)
@pytest.mark.parametrize(("stage", "step"), [("sft", 3), ("joint-vold", 3)])
def test_a_loss_that_is_no_number_names_step_and_rollouts_and_keeps_the_checkpoint(
    whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float, stage: str, step: int
) -> None:
    root = tmp_path / "run"
    backward = SingleLearner._backward
    saved: list[dict[str, str]] = []

    def spoilt(self: SingleLearner, loss: float, hidden: torch.Tensor, slope: torch.Tensor, rows: Sequence, at: int) -> None:
        if at == step and (rows[0].weights != ()) == (stage != "sft"):
            saved.append(prints(root / stage / "checkpoints"))
            loss = loss * value
        backward(self, loss, hidden, slope, rows, at)

    with monkeypatch.context() as patched:
        patched.setattr(SingleLearner, "_backward", spoilt)
        with pytest.raises(Diverged) as stopped:
            run_here("tiny", root, *SHORT)
    said = str(stopped.value)
    assert stopped.value.exit_code == 1
    assert f"step {step}: the loss is {value if value == value else 'nan'}" in said.replace("-inf", "inf")
    assert ("joint/" if stage != "sft" else "corpus/") in said  # a rollout by its problem, or a trace by its own
    assert ("sample" in said) == (stage != "sft")
    assert prints(root / stage / "checkpoints") == saved[0] != {}
    assert not (root / stage / "model").exists()

    run_here("tiny", root, *SHORT)  # what was a fluke is gone: the run goes on from the last good checkpoint
    assert unlike(whole, results_of(root)) == []


def test_a_gradient_that_is_no_number_stops_before_the_weights_move(world: m.World) -> None:
    learner = m.learner_of(world.fresh(dtype="float32"))
    learner.accumulate_examples([Example(prompt_ids=(9, 10), response_ids=(11, 2))])
    learner.student.head.grad = torch.full_like(learner.student.head, float("inf"))
    before = {name: p.detach().clone() for name, p in learner.weights().items()}
    with pytest.raises(Diverged, match=r"update 0: the gradient norm is (inf|nan)"):
        learner.apply(2, lr=0.1)
    assert all(torch.equal(p, before[name]) for name, p in learner.weights().items())


class Silent:
    """Answers nothing at all to every second sample: no token, not even the end."""

    def adopt(self, weights: object, *, version: int) -> None:
        del weights, version

    def sample(self, problems: Sequence, *, per_problem: int, sampling: object, place: object) -> list[Rollout]:
        del sampling, place
        said = {0: ((), ""), 1: ((27, 16, 28, 2), "\\boxed{ 7 }"), 2: ((10, 2), "1")}
        return [
            rollout(p, sample, (9, 10), said[sample % 3][0], text=said[sample % 3][1], finish=Finish.STOP)
            for p in problems
            for sample in range(per_problem)
        ]


def test_answers_without_a_single_token_are_wrong_and_have_no_gradient(world: m.World) -> None:
    learner, recorder, teacher = (
        m.learner_of(world.fresh(dtype="float32")),
        Recorder(asked=[problem("a")]),
        m.teacher_of(world.fresh("teacher", dtype="float32")),
    )
    at = ports_of(world, recorder, teacher, engine=Silent(), learner=learner)  # type: ignore[arg-type]
    joint(run_of(VOLD, steps=2, group_size=6, updates_per_batch=1), at)
    _, _, values, groups = recorder.of("write")[0]
    assert [x.verdict.ruling for x in groups[0].members] == [Ruling.WRONG, Ruling.RIGHT, Ruling.WRONG] * 2
    assert values["z"] == 2 * (4 + 2)
    assert values["grad_norm"] > 0


def test_a_batch_of_nothing_but_empty_answers_changes_no_weight_by_gradient(world: m.World) -> None:
    learner = m.learner_of(world.fresh(dtype="float32"))
    assert learner.accumulate_examples([Example(prompt_ids=(9, 10), response_ids=())]) == {"nll": 0.0}
    reader = m.teacher_of(world.fresh("teacher", dtype="float32"))
    [view] = reader.score([rollout(problem(), 0, (9, 10), ())])
    assert view.logprobs == ()


class Broken:
    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [Verdict(ruling=Ruling.UNJUDGED, extracted=None, note="out of memory") for _ in rollouts]


def test_a_step_of_which_nothing_was_judged_stops_the_run(world: m.World) -> None:
    recorder = Recorder(asked=[problem("a")])
    with pytest.raises(NothingJudged, match=r"step 0: none of its 3 rollouts.*a/0: out of memory.*delete that file") as stopped:
        joint(run_of(), ports_of(world, recorder, some_teacher(), judge=Broken()))
    assert stopped.value.exit_code == 1
    assert recorder.of("apply") == []


def test_an_interrupted_run_keeps_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        run_here("tiny", tmp_path / "run", *SHORT, stop=("VOLD", 3))
    assert len(journal_of(tmp_path / "run" / "joint-vold")) == 3
