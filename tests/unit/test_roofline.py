"""The accountant against a counter of operations on real models, against sums by hand, and against the figures of the performance plan."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch
from support import records as r
from support.plans import plan_for
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration, Qwen3Config, Qwen3ForCausalLM

from vold.adapters.learners.single import Adam, SingleLearner
from vold.adapters.models import LanguageModel
from vold.adapters.teachers.local import LocalTeacher
from vold.base.types import Group
from vold.core import roofline
from vold.core.roofline import Cost, Machine, Shape, Span, shape_of
from vold.core.zoo import DAPO, OPD, VOLD
from vold.ports import Example

WORDS = ("RWWR", "RRRR", "WWW", "RUW")
STUDENT = Shape(layers=36, hidden=2048, intermediate=11_008, heads=16, kv_heads=2, head_dim=128, vocabulary=151_936, tied=True)
TEACHER = Shape(layers=36, hidden=4096, intermediate=12_288, heads=32, kv_heads=8, head_dim=128, vocabulary=151_936, tied=False)
H200 = Machine(flops=790e12, bandwidth=4.3e12)

TEXT = {"vocab_size": 3000, "hidden_size": 128, "intermediate_size": 320, "num_hidden_layers": 3, "num_attention_heads": 8, "num_key_value_heads": 2}
ROPE = {"rope_type": "default", "rope_theta": 1e4}


def reader(model: Any) -> LanguageModel:
    model.config._attn_implementation = "eager"
    nothing: Any = None
    return LanguageModel(folder=Path(), model=model.eval(), tokenizer=nothing, image_processor=None)


def student() -> LanguageModel:
    text = {**TEXT, "rope_parameters": {**ROPE, "mrope_section": [2, 3, 3]}, "tie_word_embeddings": True}
    seen = {"depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 128, "fullatt_block_indexes": [0]}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=seen, tie_word_embeddings=True)
    config._attn_implementation = "eager"
    return reader(Qwen2_5_VLForConditionalGeneration(config))


def teacher() -> LanguageModel:
    """Wider than its hidden size inside attention, and with a head of its own."""
    config = Qwen3Config(**{**TEXT, "num_key_value_heads": 4}, head_dim=24, rope_parameters=ROPE, tie_word_embeddings=False)
    config._attn_implementation = "eager"
    return reader(Qwen3ForCausalLM(config))


def counted(act: Callable[[], object]) -> int:
    """Operations of every matrix product that ran."""

    def added(_: Any, a: Sequence[int], b: Sequence[int], **__: Any) -> int:
        return 2 * a[0] * a[1] * b[1]

    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: added}) as counter:
        act()
    return counter.get_total_flops()


def groups() -> list[Group]:
    return r.groups_of(*WORDS, longest=40)


def near(found: float, expected: float, within: float) -> None:
    assert found == pytest.approx(expected, rel=within)


# -- against a counter ----------------------------------------------------------------------------------------------------------------


def test_what_training_takes_is_what_a_counter_sees() -> None:
    model = student()
    learner = SingleLearner(student=model, adam=Adam(), banned_V=torch.zeros(3000, dtype=torch.bool), token_budget=64)
    plan = plan_for(VOLD)
    found = counted(lambda: learner.accumulate(groups(), plan, plan.counts(groups())))
    shape = Shape(**{**vars_of(shape_of(model.model.config)), "square": True})
    near(found, shape.training(roofline.trained_in(groups(), plan)).flops, 5e-3)
    without = [group for group in groups() if any(plan.touches(group))]
    assert len(without) < len(groups())
    assert counted(lambda: learner.accumulate(without, plan, plan.counts(without))) == found  # skipped rows cost nothing at all


def test_and_so_it_is_for_sft_and_for_reading_before() -> None:
    model = student()
    learner = SingleLearner(student=model, adam=Adam(), banned_V=torch.zeros(3000, dtype=torch.bool), token_budget=64)
    shape = Shape(**{**vars_of(shape_of(model.model.config)), "square": True})
    spans = roofline.spans_in(groups())
    examples = [Example(prompt_ids=m.rollout.prompt_ids, response_ids=m.rollout.response_ids) for group in groups() for m in group.members]
    near(counted(lambda: learner.accumulate_examples(examples)), shape.training(spans).flops, 5e-3)
    near(counted(lambda: learner.freeze_behaviour(groups())), shape.reading(spans).flops, 5e-3)


def test_what_scoring_takes_is_what_a_counter_sees() -> None:
    model = teacher()
    scorer = LocalTeacher(reader=model, template=None, banned_V=torch.zeros(3000, dtype=torch.bool), token_budget=100)
    plan = plan_for(VOLD)
    asked = [m.rollout for group in groups() for m in group.members if plan.wants_teacher(m, group)]
    shape = Shape(**{**vars_of(shape_of(model.model.config)), "square": True})
    assert (shape.head_dim, shape.tied) == (24, False)
    assert [roofline.span_of(rollout) for rollout in asked] == roofline.scored_in(groups(), plan)
    near(counted(lambda: scorer.score(asked)), shape.reading(roofline.scored_in(groups(), plan)).flops, 5e-3)


def test_the_models_have_as_many_numbers_as_it_says() -> None:
    for model in (student(), teacher()):
        named = model.trainable_parameters()
        near(shape_of(model.model.config).parameters, sum(p.numel() for _, p in named if p.ndim > 1), 1e-12)


def vars_of(shape: Shape) -> dict[str, Any]:
    return {name: getattr(shape, name) for name in Shape.__slots__}


# -- by hand --------------------------------------------------------------------------------------------------------------------------


def test_decoding_is_the_sum_over_its_steps() -> None:
    spans = [[Span(5, 4), Span(5, 1)], [Span(3, 2), Span(3, 4)]]
    found = STUDENT.decoding(spans)
    flops, moved = 0.0, 0.0
    for prompt in (5, 3):
        flops += 2.0 * STUDENT.body * prompt + STUDENT.per_pair * prompt * (prompt + 1) / 2 + 2.0 * STUDENT.head
    for step in (1, 2, 3):
        active = [span for group in spans for span in group if span.response > step]
        context = sum(span.prompt + step for span in active)
        flops += 2.0 * (STUDENT.body + STUDENT.head) * len(active) + STUDENT.per_pair * context
        moved += 2 * (STUDENT.body + STUDENT.head) + 6 * STUDENT.vocabulary * len(active) + STUDENT.kv_bytes * context
    near(found.flops, flops, 1e-12)
    near(found.bytes, moved + 2 * (STUDENT.body + STUDENT.head) + STUDENT.kv_bytes * 8, 1e-12)


def test_seconds_with_and_without_overlap() -> None:
    cost = Cost(((10.0, 1.0), (1.0, 10.0)))
    slow = Machine(flops=1.0, bandwidth=1.0)
    assert (cost.seconds(slow), cost.seconds(slow, overlap=True)) == (20.0, 11.0)
    assert cost.seconds(Machine(flops=2.0, bandwidth=1.0)) == 15.0


def test_a_bound_compares_work() -> None:
    step = roofline.Step(student=STUDENT, teacher=TEACHER, groups=groups(), plan=plan_for(VOLD))
    ideal = {name: cost for name, cost in step.ideal().items() if name != "rollouts"}
    every = roofline.spans_in(groups())
    plain = TEACHER.reading(every).flops + STUDENT.reading(every).flops + STUDENT.training(every, products=4).flops
    own = TEACHER.reading(roofline.scored_in(groups(), step.plan)).flops + STUDENT.training(roofline.trained_in(groups(), step.plan)).flops
    near(roofline.flop_bound(step.plain(), ideal), plain / own, 1e-12)
    twice = roofline.Step(student=STUDENT, teacher=TEACHER, groups=groups(), plan=plan_for(VOLD), updates=2)
    near(twice.ideal()["old log-probs"].flops, STUDENT.reading(every).flops, 1e-12)


def test_fractions_are_of_tokens_and_of_rows() -> None:
    made = r.groups_of("RRRR", "RWWR", "WWWW")
    found = roofline.fractions(made, plan_for(VOLD))
    tokens = [[len(m.rollout.response_ids) for m in group.members] for group in made]
    every = sum(map(sum, tokens))
    near(found["work/never_trained"], sum(tokens[0]) / every, 1e-12)
    near(found["work/never_trained_rows"], 4 / 12, 1e-12)
    near(found["work/never_scored"], 1 - (tokens[1][1] + tokens[1][2] + sum(tokens[2])) / every, 1e-12)
    near(found["work/never_scored_rows"], 6 / 12, 1e-12)
    prompts = [len(group.members[0].rollout.prompt_ids) for group in made]
    said = sum(tokens[1]) + sum(tokens[2])
    near(found["work/token_efficiency"], (sum(prompts[1:]) + said) / (4 * sum(prompts[1:]) + said), 1e-12)
    assert roofline.fractions(made, plan_for(OPD))["work/never_scored"] == 0.0
    near(roofline.fractions(made, plan_for(DAPO))["work/never_trained_rows"], 8 / 12, 1e-12)  # no pull: an all-wrong group has nothing to say
    assert roofline.fractions([], plan_for(VOLD)) == {name: 0.0 if "never" in name else 1.0 for name in found}


def test_padding_goes_through_the_layers_only() -> None:
    rows = roofline.padded([Span(2, 3), Span(4, 6)])
    assert rows == [Span(7, 3), Span(4, 6)]
    assert roofline.token_efficiency(15, rows) == 0.75


def test_a_config_may_be_a_mapping_and_may_leave_things_out() -> None:
    flat = {**TEXT, "tie_word_embeddings": True}
    assert shape_of(flat) == shape_of({"text_config": TEXT, "tie_word_embeddings": True})
    assert (shape_of(flat).head_dim, shape_of(TEXT).tied) == (16, False)


# -- the performance plan -------------------------------------------------------------------------------------------------------------


def test_the_papers_models_are_as_their_configs_say() -> None:
    assert [STUDENT.body, STUDENT.head, STUDENT.kv_bytes, STUDENT.per_pair] == [2_774_532_096, 311_164_928, 36_864, 294_912]
    assert [TEACHER.body, TEACHER.head, TEACHER.kv_bytes, TEACHER.per_pair] == [6_945_767_424, 622_329_856, 147_456, 589_824]
    near(STUDENT.parameters, 3.086e9, 1e-3)
    near(TEACHER.parameters, 8.190e9, 1e-3)
    near(STUDENT.stepping().seconds(H200), 21.5e-3, 5e-3)
    near(STUDENT.syncing().seconds(H200), 2.9e-3, 2e-2)


def paper_lengths(mean: int) -> list[int]:
    """Log-normal, CV 0.75, cut at 8,192, its 1,280 quantiles: no luck in it. The mean is that after the cut."""
    sigma, places = math.sqrt(math.log(1 + 0.75**2)), [NormalDist().inv_cdf((place + 0.5) / 1280) for place in range(1280)]
    scale = float(mean)
    for _ in range(50):
        found = [min(8192, max(1, round(scale * math.exp(sigma * place - sigma**2 / 2)))) for place in places]
        scale *= mean * 1280 / sum(found)
    return found


@pytest.mark.parametrize(
    ("mean", "decode", "teach", "train", "naive", "before"), [(1000, 28.9, 26.1, 32.4, 47.4, 11.8), (2000, 61.3, 52.8, 66.2, 92.4, 22.9)]
)
def test_a_step_of_the_paper(mean: int, decode: float, teach: float, train: float, naive: float, before: float) -> None:
    lengths = paper_lengths(mean)
    mixed = [lengths[place % 256 :: 256] for place in range(256)]
    near(STUDENT.decoding([[Span(150, length) for length in group] for group in mixed]).seconds(H200), decode, 0.05)
    own = [Span(150, length) for length in lengths]
    near(STUDENT.training(own, products=4, recompute=True).seconds(H200), naive, 0.01)
    near(STUDENT.reading(own).seconds(H200), before, 0.01)
    shared = [Span(30, length) for length in lengths]  # a prompt's layers once for its five rollouts
    near(TEACHER.reading(shared).seconds(H200), teach, 0.02)
    near(STUDENT.training(shared).seconds(H200), train, 0.02)


def test_a_pair_of_tokens_costs_what_the_paper_s_student_pays() -> None:
    """Attention is as dear as everything else at 36 thousand tokens: what the model costs twice at a length of so many."""
    assert STUDENT.quadratic * 36_000 == pytest.approx(1.0, rel=0.02)
