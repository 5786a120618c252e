"""Runs stages in order, each in a folder of its own: what is done and unchanged is skipped, what was interrupted goes on.

A stage is known by its key: its settings, the digests of what it reads, and its version, which is raised by hand when the meaning of a
stage changes. The git commit is recorded, and is never part of a key.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vold.base.errors import RunError, SettingsError
from vold.base.files import read_json, write_json
from vold.base.ids import digest_of, digest_of_file

RECORD = "stage.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage as the pipeline sees it.

    `settings` are its own and nobody else's, `inputs` gives the digests of what it reads (asked only when its turn has come), `act` does the
    work in the folder and may be called again after an interruption; `outputs` are the files and folders in it that others read, and
    `scratch` are those that only an interrupted stage needs.
    """

    name: str
    folder: Path
    version: int
    settings: Mapping[str, Any]
    inputs: Callable[[], Mapping[str, str]]
    act: Callable[[Path], None]
    outputs: tuple[str, ...]
    scratch: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What the pipeline did: names of stages it ran, and of those it found done."""

    ran: tuple[str, ...]
    skipped: tuple[str, ...]


Say = Callable[[str], None]


def run(stages: Sequence[Stage], *, redo: bool, facts: Mapping[str, Any], say: Say) -> Done:
    """Run what is not done. A stage whose settings or inputs changed is refused, naming them, unless `redo` moves its old folder aside."""
    ran: list[str] = []
    skipped: list[str] = []
    for stage in stages:
        identity = identity_of(stage)
        if is_done(stage, identity):
            _sweep(stage)
            skipped.append(stage.name)
            continue
        _make_way(stage, identity, threads=facts.get("threads"), redo=redo, say=say)
        say(f"{stage.name}: {'going on' if (stage.folder / RECORD).exists() else 'starting'}")
        write_json(stage.folder / RECORD, {"stage": stage.name, "key": digest_of(identity), "done": False, **identity, **facts})
        stage.act(stage.folder)
        write_json(
            stage.folder / RECORD, {"stage": stage.name, "key": digest_of(identity), "done": True, "outputs": digests(stage), **identity, **facts}
        )
        _sweep(stage)
        ran.append(stage.name)
    return Done(ran=tuple(ran), skipped=tuple(skipped))


def _sweep(stage: Stage) -> None:
    for name in stage.scratch:
        shutil.rmtree(stage.folder / name, ignore_errors=True)


def refuse_changed(stages: Sequence[Stage]) -> None:
    """Refuse stages that were made with other settings, before anything runs. Inputs are compared when a stage's turn has come."""
    for stage in stages:
        record = record_of(stage.folder)
        changed = list(differences(record, {"version": stage.version, "settings": dict(stage.settings)})) if record else []
        if changed:
            raise _other(stage, changed)


def _other(stage: Stage, changed: Sequence[str]) -> SettingsError:
    return SettingsError(
        f"{stage.folder} holds stage {stage.name} made with other settings or inputs: {'; '.join(changed)}. Nothing was touched. "
        "Give this run another --name, or use --redo to move the old stage aside and run it again."
    )


def identity_of(stage: Stage) -> dict[str, Any]:
    return {"version": stage.version, "settings": dict(stage.settings), "inputs": dict(stage.inputs())}


def is_current(stage: Stage) -> bool:
    """Whether a stage would be skipped. False for one whose inputs are not there yet, or are gone."""
    try:
        return bool(record_of(stage.folder)) and is_done(stage, identity_of(stage))
    except FileNotFoundError:  # what it was made from is gone
        return False


def is_done(stage: Stage, identity: Mapping[str, Any]) -> bool:
    """Whether the folder holds this very stage, finished, and its outputs are as they were written."""
    record = record_of(stage.folder)
    return bool(record.get("done")) and record.get("key") == digest_of(identity) and record.get("outputs") == digests(stage)


def record_of(folder: Path) -> dict[str, Any]:
    """The stage's record; empty when there is none."""
    try:
        record: dict[str, Any] = read_json(folder / RECORD)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except ValueError as error:
        raise RunError(f"{folder / RECORD} cannot be read: {error}. Move the folder {folder} away and run again.") from error
    return record


def digests(stage: Stage) -> dict[str, str]:
    """A digest of every output file, by its path in the stage's folder."""
    found: dict[str, str] = {}
    for output in stage.outputs:
        path = stage.folder / output
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path] if path.exists() else []
        found |= {str(file.relative_to(stage.folder)): digest_of_file(file) for file in files}
    return found


def _make_way(stage: Stage, identity: Mapping[str, Any], *, threads: Any, redo: bool, say: Say) -> None:
    """Let an interrupted stage go on; move a changed or damaged one aside, or refuse."""
    record = record_of(stage.folder)
    if not record:
        return
    changed = list(differences(record, identity))
    if not record.get("done") and record.get("threads", threads) != threads:
        changed.append(f"threads (rounding would change in the middle): {record['threads']} -> {threads}")
    if changed and not redo:
        raise _other(stage, changed)
    if changed or record.get("done"):
        old = next(p for n in range(1, 10_000) if not (p := stage.folder.with_name(f"{stage.folder.name}.old-{n}")).exists())
        stage.folder.rename(old)
        say(f"{stage.name}: {'settings changed' if changed else 'its outputs are damaged'}, the old folder is now {old.name}")


def differences(record: Mapping[str, Any], identity: Mapping[str, Any]) -> Iterator[str]:
    """Each setting, input or version in which a record and a stage differ, as `name: was -> is`."""
    before, now = _flat({k: record.get(k) for k in identity}), _flat(identity)
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield f"{name}: {before.get(name)!r} -> {now.get(name)!r}"


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(tree, Mapping) and tree:
        return {key: value for name, inner in tree.items() for key, value in _flat(inner, f"{prefix}.{name}" if prefix else str(name)).items()}
    return {prefix: list(tree) if isinstance(tree, tuple) else tree}


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Hold the run's folder: two processes in one run would write over each other. A folder that is somebody else's is refused."""
    refuse_foreign(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = (root / ".lock").open("w")
    except OSError as error:
        raise SettingsError(f"the run folder {root} cannot be written: {error}. Choose another with --runs FOLDER.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SettingsError(f"another process is working in {root}. Wait for it, or give this run another --name.") from error
        yield


def refuse_foreign(root: Path) -> None:
    """Raise SettingsError for a folder that holds files and is no run: nothing of it must be mixed with ours."""
    if root.exists() and not root.is_dir():
        raise SettingsError(f"the run folder {root} cannot be written: it is a file. Choose another with --name or --runs FOLDER.")
    strange = sorted(path.name for path in root.iterdir()) if root.is_dir() else []
    ours = any((root / own).exists() for own in (".lock", "settings.json")) or any(root.glob(f"*/{RECORD}"))
    if strange and not ours:
        raise SettingsError(
            f"{root} is not a run's folder: it holds {', '.join(strange[:3])}{', …' if len(strange) > 3 else ''} and no settings.json. "
            "Nothing was touched. Choose another with --name or --runs FOLDER."
        )
