"""Checkpoint folders looked through before anything is loaded: what is missing, cut off or of the wrong kind is told by name."""

import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import AutoModelForCausalLM, AutoModelForImageTextToText

from vold.adapters.models import image_processor_at
from vold.base.errors import ModelError

INDEX = "model.safetensors.index.json"


def refuse_damaged(folder: Path) -> None:
    """Raise ModelError for a folder whose weights are missing, cut off or too few for its config, or that sees and has no image processor.

    Only headers are read. Weights under wrong names are found when they are loaded.
    """
    if not any([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        raise ModelError(f"{folder} holds no weights (*.safetensors). Point to the folder that save_pretrained wrote.")
    config = config_at(folder)
    if hasattr(config, "vision_config"):
        image_processor_at(folder)
    files = weight_files(folder)
    if files:
        held = sum(prod(shape) for file in files for shape in shapes_in(file))
        needed = parameters_of(config)
        if held < needed:
            raise ModelError(
                f"{folder} holds {held:,} parameters, but its config.json asks for {needed:,}. A shard or tensors are missing, or the config is "
                "another model's. Download or copy the folder again."
            )


def config_at(folder: Path) -> Any:
    """The configuration of a checkpoint. Raises ModelError."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} holds no config.json, so it is not a checkpoint in Hugging Face layout. Point to what save_pretrained wrote.")
    try:
        return AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder / 'config.json'} cannot be used: {error} Copy the model again, or choose one that transformers knows.") from error


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that loading would read; none for a folder of older formats. Raises ModelError where the index names one that is gone."""
    index = folder / INDEX
    if not index.is_file():
        return sorted(folder.glob("*.safetensors"))
    try:
        named = sorted({str(name) for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
    except (ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{index} cannot be read ({error!r}). Download or copy the folder again.") from error
    missing = [name for name in named if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{index} names {missing[0]}, which is not there ({len(missing)} of {len(named)} shards). Download or copy it again.")
    return [folder / name for name in named]


def shapes_in(file: Path) -> Iterator[tuple[int, ...]]:
    """The shape of every tensor in a file, from its header. Raises ModelError for a file that is cut off or no safetensors."""
    try:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is no mapping)
                yield tuple(tensors.get_slice(name).get_shape())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} is cut off or damaged ({error}). Download or copy it again.") from error


def parameters_of(config: Any) -> int:
    """How many parameters a model of this config has, shared ones once."""
    family = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
    try:
        with torch.device("meta"):
            model: Any = family.from_config(config)
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"no model can be built from this config: {error} Choose a causal language model or a VLM of transformers.") from error
    return sum(parameter.numel() for parameter in model.parameters())
