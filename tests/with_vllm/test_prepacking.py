"""vLLM on a CPU without vold's repair of it."""

import pytest
from support import models as m

from vold.adapters.engines.served import ServedEngine
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import StaleEngine

pytestmark = pytest.mark.vllm


def test_weights_that_go_nowhere_are_stopped(world: m.World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As vLLM is by itself on a CPU: linear weights are packed away when it starts, and those pushed later find no parameter."""
    import vllm.model_executor.layers.utils as layers

    from vold.adapters.engines import vllm_on_cpu
    from vold.adapters.engines.vllm import VllmSampler

    monkeypatch.setattr(layers, "dispatch_cpu_unquantized_gemm", vllm_on_cpu.PREPACKING)
    speaker = world.fresh("teacher", dtype="float32")
    packed = VllmSampler(folder=world.teacher_folder, banned_V=banned_ids(world.student32), context=512, memory=1)
    engine = ServedEngine(sampler=packed, speaker=speaker, template=Template(of=speaker), seed=5)
    try:
        with pytest.raises(StaleEngine, match="could not take weights of version 0"):
            engine.adopt(dict(speaker.model.named_parameters()), version=0)
    finally:
        packed.close()
