"""Checkpoints of a learner: plain Hugging Face layout plus optimizer state, whole or not there, digests checked before use."""

import logging
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from vold.adapters.learners.single import SingleLearner
from vold.adapters.models import LanguageModel
from vold.base.files import fresh, read_json, settle, write_json
from vold.base.ids import digests_of_files

log = logging.getLogger(__name__)

TOKENIZER_AND_PROCESSOR = ("tokenizer*", "vocab*", "merges*", "special_tokens*", "added_tokens*", "chat_template*", "*processor_config.json")


@dataclass(slots=True, kw_only=True)
class FolderCheckpoints:
    """Saves into `folder/checkpoints/step-N` every `every` steps (0: never), keeping the newest two, and the result into `folder/model`.

    The checkpoints stay when the result is there: the pipeline sweeps them away once the stage is recorded as done.
    """

    folder: Path
    learner: SingleLearner
    every: int
    kept: dict[str, float] = field(default_factory=dict)

    def restore(self) -> int:
        for checkpoint in sorted((self.folder / "checkpoints").glob("step-*"), reverse=True):
            if whole(checkpoint):
                state = torch.load(checkpoint / "optimizer.pt", weights_only=True)
                self.learner.load_state(state, load_file(checkpoint / "weights.safetensors"))
                self.kept.clear()
                self.kept.update(state["kept"])
                return int(state["next"])
            aside = checkpoint.with_name(f"damaged-{checkpoint.name}")
            log.warning("%s is damaged (its digests do not match); it is now %s, and the one before it is used.", checkpoint, aside.name)
            shutil.move(checkpoint, aside)
        return 0

    def after(self, step: int) -> None:
        if self.every <= 0 or step % self.every:
            return
        half = fresh(self.folder / "checkpoints" / f".half-{step:07d}")
        save_file({name: p.detach().contiguous() for name, p in self.learner.student.model.named_parameters()}, half / "weights.safetensors")
        torch.save({**self.learner.state(), "next": step, "kept": dict(self.kept)}, half / "optimizer.pt")
        files = sorted(half.iterdir())
        write_json(half / "digests.json", dict(zip((path.name for path in files), digests_of_files(files), strict=True)))
        settle(half, self.folder / "checkpoints" / f"step-{step:07d}")
        for old in sorted((self.folder / "checkpoints").glob("step-*"))[:-2]:
            shutil.rmtree(old)

    def finish(self) -> None:
        half = fresh(self.folder / ".half-model")
        save_model(self.learner.student, half)
        settle(half, self.folder / "model")


def whole(checkpoint: Path) -> bool:
    """Whether every file of a checkpoint is there with the digest it was written with."""
    try:
        digests: dict[str, Any] = read_json(checkpoint / "digests.json")
        return bool(digests) and digests_of_files([checkpoint / name for name in digests]) == list(digests.values())
    except (OSError, ValueError):
        return False


def save_model(model: LanguageModel, folder: Path) -> None:
    """Weights and config as stock transformers reads them; tokenizer and processor files are those of the model it came from, unchanged but for
    words that the tokenizer has learned since."""
    model.model.save_pretrained(folder)
    for pattern in TOKENIZER_AND_PROCESSOR:
        for path in model.folder.glob(pattern):
            shutil.copy2(path, folder / path.name)
    if model.learned:
        for stale in ("added_tokens.json", "special_tokens_map.json", "vocab.json", "merges.txt"):
            (folder / stale).unlink(missing_ok=True)  # tokenizer.json says all of it
        model.tokenizer.save_pretrained(folder)
