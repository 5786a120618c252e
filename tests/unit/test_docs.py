"""What the documents show is run, and what they name exists."""

import re
from pathlib import Path

from vold.adapters import metering
from vold.config.explain import refuse_contradictions
from vold.config.load import load

ROOT = Path(__file__).parents[2]


def test_the_walk_from_prompt_to_gradient_runs_as_printed() -> None:
    page = (ROOT / "docs" / "reading.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) >= 8
    session: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/reading.md, block {number}", "exec"), session)
    assert session["applied"]["grad_norm"] > 0  # type: ignore[index]


def test_files_and_commands_named_in_the_documents_exist() -> None:
    from vold.cli import app, tiny

    commands = {command.name or command.callback.__name__ for command in (*app.registered_commands, *tiny.registered_commands) if command.callback}
    commands |= {group.name for group in app.registered_groups if group.name}
    for page in (ROOT / "README.md", ROOT / "docs" / "reading.md"):
        text = page.read_text(encoding="utf-8")
        for word in re.findall(r"`(?:\.venv/bin/)?vold ([a-z-]+)", text):
            assert word in commands, f"{page.name} names `vold {word}`"
        for path in re.findall(r"`((?:src|docs)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_every_number_in_a_journal_is_explained() -> None:
    written_by = ("core/stats.py", "core/roofline.py", "stages/sft.py", "stages/joint.py")
    source = "".join((ROOT / "src" / "vold" / path).read_text(encoding="utf-8") for path in written_by)
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    phases = (metering.ROLLOUTS, metering.TEACHER, metering.REFERENCE, metering.UPDATE, metering.VALIDATION)
    names = (
        {f"flops/{phase}" for phase in phases}
        | set(re.findall(r'"([a-z]+/[a-z_]+)["{]', source))
        | set(re.findall(r'"(loss|tokens|lr|z|trained_tokens|pull_share|on_corpus)":', source))
    )
    assert {
        "reward/mean",
        "pull_share",
        "pull/beta",
        "clip/low",
        "correction/masked",
        "groups/tried",
        "on_corpus",
        "loss",
        "work/never_scored",
    } <= names
    assert [name for name in sorted(names) if f"`{name}`" not in page] == []


def test_the_recipe_for_own_data_is_accepted(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    [recipe] = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "mine.toml").write_text(recipe)
    resolved = load(str(tmp_path / "mine.toml"))
    refuse_contradictions(resolved)
    assert resolved.settings.student.suffix.endswith("\\boxed{}.")
    assert (resolved.settings.sft.lr, resolved.settings.joint.group_size) == (5e-5, 5)
