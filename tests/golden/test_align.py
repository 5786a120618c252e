"""The alignment check on a real run of the laptop world, between its SFT and its joint stage."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.runs import Bar, run_here

from vold.adapters.vocabulary import banned_ids
from vold.base.errors import DataError, ModelError, Refusal, SettingsError
from vold.config.load import load
from vold.core import stats
from vold.core.closeness import NAMES, TOPS
from vold.report.aligned import FILE, NOT_CLAIMED, Alignment, lines
from vold.report.html import write_report
from vold.wiring.align import Asked, aligned, resolved_of
from vold.wiring.parts import Parts, sampling_of

SHORT = (
    "corpus.problems.count=96",
    "corpus.problems.difficulties=[1,2]",
    "sft.steps=24",
    "sft.traces_per_step=16",
    "joint.problems.difficulties=[1,2]",
    "joint.sampling.max_new_tokens=24",
    "joint.validation.every=0",
    "seed=5",
)
ASKED = Asked(count=12)


@contextmanager
def bars(title: str) -> Iterator[Bar]:
    yield Bar(title, None)


def check(root: Path, *assignments: str, asked: Asked = ASKED) -> Alignment:
    said: list[str] = []
    found = aligned(load("tiny", assignments=[*SHORT, *assignments]), root, said.append, bars, asked=asked)
    assert said == [f"wrote {root / FILE}"]
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run after `vold corpus` and `vold sft`."""
    folder = tmp_path_factory.mktemp("golden") / "tiny"
    for stage in ("corpus", "sft"):
        run_here("tiny", folder, *SHORT, only=stage)
    return folder


@pytest.fixture(scope="module")
def found(root: Path) -> Alignment:
    return check(root)


def test_a_run_is_checked_before_its_joint_stage(root: Path, found: Alignment) -> None:
    assert not list(root.glob("joint-*"))
    assert found.student == str(root / "sft" / "model")
    assert (found.teacher, found.problems, found.closeness.rollouts) == ("tiny:teacher-a", 12, 12)
    assert found.closeness.tokens == pytest.approx(12 * found.mean_length)
    means = {name: estimate.mean for name, estimate in found.closeness.means.items()}
    assert means["kl"] > 0
    assert means["teacher_nll"] > means["log_ratio"] > 0
    assert all(0 <= means[f"{name}@{k}"] <= 1 for name in ("overlap", "shared_mass") for k in TOPS)
    assert 0.1 < means["overlap@1"] < 1


def test_the_numbers_are_those_of_the_rollouts_and_the_teacher(root: Path, found: Alignment) -> None:
    """The log-ratio once more, as the joint stage takes it: from what the engine noted and what the teacher says of whole rollouts."""
    parts = Parts(settings=load("tiny", assignments=SHORT).settings, root=root)
    student = parts.student(root / "sft" / "model")
    banned_V = banned_ids(student, parts.teacher)
    problems = parts.joint_problems().for_step(0)[:12]
    engine, sampling = parts.engine(parts.student_template(student), banned_V), sampling_of(parts.settings.joint.sampling)
    rollouts = engine.sample(problems, per_problem=1, sampling=sampling, place=("align",))
    views = parts.scorer(banned_V).score(rollouts)
    expected = stats.log_ratio(rollouts, [view.logprobs for view in views])
    assert found.closeness.means["log_ratio"].mean == pytest.approx(expected["teacher/log_ratio_start"], abs=1e-4)
    assert found.closeness.means["teacher_nll"].mean == pytest.approx(expected["teacher/nll_start"], abs=1e-4)
    assert found.closeness.tokens == sum(len(rollout.response_ids) for rollout in rollouts)


def test_what_was_found_is_in_the_run(root: Path, found: Alignment) -> None:
    told = json.loads((root / FILE).read_text())
    assert told["schema"] == 1
    assert told["closeness"]["means"]["kl"]["mean"] == found.closeness.means["kl"].mean
    assert set(told["closeness"]["means"]) == set(NAMES)
    assert told["verdict"]["standing"] == found.verdict.standing
    assert told["not_claimed"] == NOT_CLAIMED
    assert told["words"] == lines(found)
    assert {"student_digest", "teacher_digest", "commit", "versions", "hardware", "count", "sampling"} <= set(told["facts"])


def test_the_settings_are_those_the_run_wrote(root: Path, found: Alignment) -> None:
    resolved = resolved_of(root)
    assert resolved.settings == load("tiny", assignments=SHORT).settings
    assert resolved.source_of("sft.steps") == "command line"
    again = aligned(resolved, root, lambda _: None, bars, asked=ASKED)
    assert again.closeness == found.closeness


def test_the_check_touches_nothing_of_the_run(root: Path, found: Alignment) -> None:
    del found
    assert sorted(p.name for p in root.iterdir() if p.name != ".lock") == [FILE, "corpus", "settings.json", "sft"]
    done = run_here("tiny", root, *SHORT, only="sft")
    assert done.skipped == ("sft",)


def test_an_unaligned_student_is_farther_and_a_teacher_of_another_style_too(root: Path, found: Alignment, tmp_path: Path) -> None:
    near = found.closeness.means
    for stage in ("corpus", "sft"):
        run_here("tiny", tmp_path / "run", *SHORT, "sft.steps=1", "sft.lr=0.0", only=stage)
    base = check(tmp_path / "run", "sft.steps=1", "sft.lr=0.0").closeness.means
    shutil.copytree(root, tmp_path / "other")
    other = check(tmp_path / "other", "teacher.path='tiny:teacher-b'").closeness.means
    for far in (base, other):
        assert far["log_ratio"].mean > near["log_ratio"].mean + 1
        assert far["overlap@1"].mean < near["overlap@1"].mean - 0.1


def test_a_student_pulled_to_itself_is_at_no_distance(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "run")
    means = check(tmp_path / "run", f"teacher.path='{root / 'sft' / 'model'}'").closeness.means
    assert (means["log_ratio"].mean, means["kl"].mean, means["overlap@5"].mean) == (0.0, 0.0, 1.0)


def test_several_samples_a_problem(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "run")
    twice = check(tmp_path / "run", asked=Asked(count=3, samples=2))
    assert (twice.problems, twice.closeness.rollouts) == (3, 6)


def test_what_cannot_be_checked_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no settings\.json.*vold sft"):
        resolved_of(tmp_path)
    with pytest.raises(Refusal, match="stage sft is not done"):
        check(tmp_path)
    shutil.copytree(root, tmp_path / "run")
    (tmp_path / "run" / FILE).unlink()
    with pytest.raises(SettingsError, match="asks for no problem"):
        check(tmp_path / "run", asked=Asked(count=0))
    with pytest.raises(SettingsError, match="whole policy"):
        check(tmp_path / "run", "joint.sampling.top_k=5")
    with pytest.raises(ModelError):
        check(tmp_path / "run", "teacher.path='tiny:nobody'")
    assert not (tmp_path / "run" / FILE).exists()
    (tmp_path / "run" / "settings.json").write_text('{"values": {"name": 3}}')
    with pytest.raises(DataError, match="cannot be read as a run's settings"):
        resolved_of(tmp_path / "run")


def test_a_run_checks_before_its_joint_stage_where_it_is_told_to(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(root, folder)
    (folder / FILE).unlink(missing_ok=True)
    said: list[str] = []
    more = ("joint.align=12", "joint.arms=['vold']", "joint.steps=1", "joint.warmup=0")
    run_here("tiny", folder, *SHORT, *more, only="joint", said=said)
    page = [line for line in said if "rollouts of 12 problems" in line]
    assert len(page) == 1
    assert said.index(page[0]) < said.index("joint vold: starting")
    assert NOT_CLAIMED in said
    kept = json.loads((folder / "alignment" / FILE).read_text())
    assert kept["problems"] == 12
    again: list[str] = []
    run_here("tiny", folder, *SHORT, *more, only="joint", said=again)
    assert not any("rollouts of 12 problems" in line for line in again)
    assert NOT_CLAIMED in write_report(folder).read_text()
