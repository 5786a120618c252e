"""Predicted memory against measured: every allocation counted on a CPU, over shapes, packs, number formats, attention and recompute levels."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from support.shapes import NUMBERS, Shape, examples_of, learner_of, model_of

from vold.adapters.allocations import peak_of
from vold.adapters.learners.single import SingleLearner
from vold.adapters.teachers.local import LocalTeacher
from vold.base.types import Problem, Rollout
from vold.core import memory
from vold.core.head import HALF_ROWS, chunk_of
from vold.core.objective import Want

Attention = Literal["eager", "sdpa"]
Level = Literal["none", "light", "full"]

SHAPES = {
    "small": Shape(),
    "deep": Shape(num_hidden_layers=7, vocab_size=120),
    "wide mlp": Shape(num_hidden_layers=2, hidden_size=128, intermediate_size=512, num_key_value_heads=1, head_dim=32, vocab_size=300),
    "head": Shape(num_hidden_layers=2, intermediate_size=128, num_key_value_heads=4, vocab_size=9000),
}
PACKS = {"equal": (100, 100, 100, 100), "mixed": (160, 128, 100, 100, 60), "few": (14, 12, 9), "long": (300, 150)}

CASES: list[tuple[str, str, str, Attention, Level, str, bool]] = [
    ("small", "mixed", "float32", "sdpa", "none", "qwen2", False),
    ("small", "equal", "bfloat16", "sdpa", "light", "qwen3", True),
    ("small", "long", "float32", "eager", "full", "qwen3", False),
    ("small", "few", "bfloat16", "eager", "none", "qwen2", True),
    ("deep", "mixed", "bfloat16", "sdpa", "none", "qwen3", False),
    ("deep", "mixed", "float32", "sdpa", "full", "qwen2", True),
    ("deep", "equal", "float64", "sdpa", "light", "qwen2", False),
    ("deep", "long", "float32", "eager", "light", "qwen2", True),
    ("deep", "long", "bfloat16", "eager", "full", "qwen3", False),
    ("wide mlp", "mixed", "float32", "sdpa", "light", "qwen3", True),
    ("wide mlp", "few", "bfloat16", "sdpa", "full", "qwen2", False),
    ("wide mlp", "equal", "bfloat16", "eager", "none", "qwen3", True),
    ("head", "mixed", "float32", "sdpa", "none", "qwen3", False),
    ("head", "equal", "bfloat16", "sdpa", "full", "qwen2", True),
    ("head", "few", "float64", "sdpa", "none", "qwen3", False),
]


def measured(work: Callable[[], Any]) -> tuple[int, Any]:
    with peak_of(torch.device("cpu")) as peak:
        kept = work()
    return peak.extra, kept


def agree(found: int, moment: memory.Moment, what: str) -> None:
    if not moment.bytes:
        assert found < 4096, f"{what}: predicted nothing but a few single numbers, measured {found:,}"
        return
    ratio = moment.bytes / found
    told = f"{what}: predicted {moment.bytes:,} bytes ({moment.when}), measured {found:,}: {ratio:.3f} of it. Terms: {dict(moment.terms)}"
    assert 0.85 <= ratio <= 1.15, told


BRIEF = CASES[::4]
"""Those that `make test` runs: a shape each. `make test-long` runs them all."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case in BRIEF else pytest.mark.long, id=", ".join(map(str, case))) for case in CASES]
)
def test_within_15_percent(case: tuple[str, str, str, Attention, Level, str, bool]) -> None:
    name, pack, dtype, attention, level, family, tied = case
    shape, lengths = replace(SHAPES[name], tie_word_embeddings=tied), PACKS[pack]
    model = model_of(shape, family=family, dtype=dtype, attention=attention)
    learner = learner_of(model, recompute=level)
    chunk = chunk_of(model.head)
    way = memory.Way(number=NUMBERS[dtype], attention=attention, recompute=level, chunk=chunk, head_norms=family == "qwen3")
    examples = examples_of(*lengths)
    trained = sum(len(example.response_ids) for example in examples)

    found, _ = measured(lambda: learner.accumulate_examples(examples))
    agree(found, memory.accumulate(shape, way, lengths, trained), "a first pack")
    found, _ = measured(lambda: learner.accumulate_examples(examples))
    agree(found, memory.accumulate(shape, way, lengths, trained, fresh=False), "a further pack")
    found, _ = measured(lambda: learner.apply(10.0, lr=1e-4))
    agree(found, memory.apply(shape, way), "the first update")
    learner.accumulate_examples(examples_of(8))
    agree(held(learner), memory.persistent(shape, way), "between packs")
    found, _ = measured(lambda: learner.apply(10.0, lr=1e-4))
    agree(found, memory.apply(shape, way, first=False), "a further update")

    teacher = LocalTeacher(reader=model, template=None, banned_V=learner.banned_V, token_budget=10**9)
    rollouts = [rollout_of(example.prompt_ids, example.response_ids) for example in examples]
    for want in (Want.SAMPLED, Want.HIDDEN):
        found, _ = measured(lambda want=want: teacher.score(rollouts, want=want))  # type: ignore[misc]
        agree(found, memory.score(shape, way, lengths, trained, hidden=want is Want.HIDDEN), f"scoring, {want}")


def held(learner: SingleLearner) -> int:
    """Every tensor that stays, each once."""
    tensors: list[torch.Tensor | None] = [*learner.student.model.parameters(), *learner.masters.state().values()]
    tensors += [p.grad for group in learner.optimizer.param_groups for p in group["params"]]
    tensors += [value for state in learner.optimizer.state.values() for name, value in state.items() if name != "step"]
    return sum({t.data_ptr(): t.nbytes for t in tensors if t is not None}.values())


def rollout_of(prompt_ids: tuple[int, ...], response_ids: tuple[int, ...]) -> Rollout:
    from support import records as r

    return replace(
        r.groups_of("R")[0].members[0].rollout,
        problem=Problem(id="p", prompt="?", answer="1", source="shapes"),
        prompt_ids=prompt_ids,
        response_ids=response_ids,
        logprobs=(0.0,) * len(response_ids),
        sampled=(True,) * len(response_ids),
    )


# -- what it says of models nobody loads here -----------------------------------------------------------------------------------------

STUDENT = Shape(
    num_hidden_layers=36, hidden_size=2048, intermediate_size=11008, num_attention_heads=16, num_key_value_heads=2, head_dim=128,
    vocab_size=151936, tie_word_embeddings=True,
)  # fmt: skip
"""The language part of Qwen2.5-VL-3B."""


def on_gpu(level: Level = "none", **settings: Any) -> memory.Way:
    return memory.Way(**{"number": 2, "attention": "varlen", "recompute": level, "widens": False} | settings)


def test_the_papers_student() -> None:
    """55.5 GB held with its gradients. Activations of 4.94, 2.21 and 0.147 MB a token at the three levels: transformers' layers keep norms' inputs
    in single precision, and both the activation and its product (with either fused it would be 3.47)."""
    persistent = memory.persistent(STUDENT, on_gpu()).terms
    assert sum(persistent.values()) / 1e9 == pytest.approx(55.5, rel=0.01)
    assert persistent["gradients"] / 1e9 == pytest.approx(12.34, rel=0.01)
    tokens = [2048] * 8
    kept = {}
    for level in ("none", "light", "full"):
        way = on_gpu(level)
        layer = memory._layer(STUDENT, way, tokens)
        kept[level] = 36 * {"none": layer.saved, "light": layer.light, "full": layer.input}[level] / sum(tokens) / 1e6
    assert kept["none"] == pytest.approx(4.94, rel=0.01)
    assert kept["light"] == pytest.approx(2.21, rel=0.01)
    assert kept["full"] == pytest.approx(0.147, rel=0.01)


def test_pure_half_precision_needs_less_and_a_frozen_tower_its_weights() -> None:
    bare = memory.persistent(STUDENT, on_gpu(master_weights=False))
    assert bare.terms["master weights"] == 0
    assert bare.bytes == 4 * bare.terms["weights"]
    seen = memory.persistent(STUDENT, on_gpu(), frozen=10**9)
    assert seen.bytes - memory.persistent(STUDENT, on_gpu()).bytes == 2 * 10**9


def test_the_rows_that_are_widened_are_the_heads() -> None:
    assert memory.WIDENED_ROWS == HALF_ROWS
