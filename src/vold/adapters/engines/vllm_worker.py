"""What runs inside vLLM's worker: weights that can be replaced, and a softmax over the ids that may be said. vLLM imports it by name.

Name it to a server as `--worker-extension-cls vold.adapters.engines.vllm_worker.Worker`.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import vold.adapters.engines.vllm_on_cpu  # noqa: F401  # acts by being imported


class Worker:
    """Mixed into vLLM's worker; each method can be called from outside by `collective_rpc`. What is returned has to be JSON."""

    model_runner: Any

    def vold_read_as(self, banned: Sequence[int], temperature: float) -> dict[str, Any]:
        """From now on `banned` ids have no probability and every softmax runs over the others, its logits divided by `temperature`: samples and
        log-probabilities of prompts and answers alike. (A sampler's own temperature comes on top.)"""
        model = self.model_runner.get_model()
        if not hasattr(model, "vold_own_logits"):
            model.vold_own_logits = model.compute_logits
        reading = {"banned": len(banned), "ids": sum((place + 1) * i for place, i in enumerate(sorted(banned))), "temperature": temperature}
        model.compute_logits = _over_the_others(model.vold_own_logits, list(banned), temperature)
        model.vold_reading = reading
        return self.vold_state()

    def vold_load(self, weights: Iterable[tuple[str, Tensor]], version: int) -> dict[str, Any]:
        """Replace these weights, named as in a checkpoint."""
        model = self.model_runner.get_model()
        loaded = model.load_weights(weights)
        model.vold_version = version
        return self.vold_state() | {"loaded": sorted(loaded or ()), "parameters": sorted(name for name, _ in model.named_parameters())}

    def vold_load_file(self, path: str, version: int) -> dict[str, Any]:
        """The same from a safetensors file."""
        return self.vold_load(load_file(path).items(), version)

    def vold_state(self) -> dict[str, Any]:
        """The version of the weights (-1: those the engine was started with), and how they are read."""
        model = self.model_runner.get_model()
        return {"version": getattr(model, "vold_version", -1), "reading": getattr(model, "vold_reading", None)}


def _over_the_others(own: Callable[..., Tensor | None], banned: list[int], temperature: float) -> Callable[..., Tensor | None]:
    made: dict[tuple[torch.device, int], Tensor] = {}

    def places(device: torch.device, rows: int) -> Tensor:
        """The banned ids that have a row, sent to the device once."""
        if (device, rows) not in made:
            made[device, rows] = torch.tensor([i for i in banned if i < rows], dtype=torch.long, device=device)
        return made[device, rows]

    def compute_logits(*given: Any, **named: Any) -> Tensor | None:
        logits_TV = own(*given, **named)
        if logits_TV is None:  # another rank holds them
            return None
        if temperature != 1.0:
            logits_TV = logits_TV.float() / temperature
        return logits_TV.index_fill(-1, places(logits_TV.device, logits_TV.shape[-1]), float("-inf"))

    return compute_logits
