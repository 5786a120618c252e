"""Lets torchvision from PyPI, whose compiled part is for CUDA, be imported beside a torch for CPUs. `make test-vllm` copies it into its environment.

vLLM's Qwen2.5-VL imports torchvision for its pictures' transforms, which are plain torch. Importing torchvision fails on two operators that only its
compiled part would define; defined without a body they let it pass, and nothing here calls them.
"""

import importlib.abc
import sys
from types import ModuleType


class _Before(importlib.abc.MetaPathFinder):
    """Finds nothing: it only acts before torchvision is found."""

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> None:
        del path, target
        if name == "torchvision":
            sys.meta_path.remove(self)
            import torch

            library = torch.library.Library("torchvision", "DEF")
            for operator in ("nms", "qnms"):
                library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            sys.vold_torchvision = library  # type: ignore[attr-defined]  # definitions end with the object


sys.meta_path.insert(0, _Before())
