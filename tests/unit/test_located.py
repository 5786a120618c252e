"""Where a model is: shipped, on disk, or a hub id whose snapshot is then used like any folder."""

from pathlib import Path

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from vold.adapters.tiny_models.shipped import folder_of
from vold.base.errors import ModelError
from vold.wiring import parts


def test_shipped_and_on_disk(tmp_path: Path) -> None:
    assert parts.located("tiny:base") == folder_of("base")
    assert parts.located(str(tmp_path)) == tmp_path


def test_a_hub_id_is_its_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(parts, "snapshot_download", lambda name: asked.append(name) or str(tmp_path))
    assert parts.located("acme/some-vlm") == tmp_path
    assert asked == ["acme/some-vlm"]


def test_a_hub_id_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str) -> str:
        raise LocalEntryNotFoundError(f"{name} is not in the cache")

    monkeypatch.setattr(parts, "snapshot_download", offline)
    with pytest.raises(ModelError, match=r"cannot be had.*download the model first"):
        parts.located("acme/some-vlm")


def test_neither_folder_nor_hub_id_is_refused() -> None:
    with pytest.raises(ModelError, match=r"no model folder \.\./nowhere/at all"):
        parts.located("../nowhere/at all")
