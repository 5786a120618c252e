"""vLLM in this process keeps the promises of a rollout engine."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from support import models as m
from support.checks import TEXT

from vold.adapters.engines.served import Probe, ServedEngine, published
from vold.adapters.models import LanguageModel
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import SettingsError, StaleEngine
from vold.base.types import Finish, Problem, Rollout
from vold.ports import Sampling

if TYPE_CHECKING:
    from vold.adapters.engines.vllm import VllmSampler

pytestmark = pytest.mark.vllm

IMAGES = [tiny_problem(0, "check", place, k, image=True) for place, k in enumerate((1, 6, 3))]
MANY = [tiny_problem(0, "many", place, 1 + place % 8) for place in range(24)]
"""Prompts of many lengths."""
PLACE = ("joint", 3)
END = 2


def engine_over(sampler: "VllmSampler", speaker: LanguageModel, *, temperature: float = 1.0, **more: Any) -> ServedEngine:
    probe = Probe(
        problems=TEXT,
        sampling=m.sampling(8, temperature),
        reader=m.teacher_of(speaker, template=None, temperature=temperature),
        tolerance=1e-4,
    )
    return ServedEngine(**{"sampler": sampler, "speaker": speaker, "template": Template(of=speaker), "seed": 5, "probe": probe} | more)


def push(engine: ServedEngine, version: int = 0) -> None:
    engine.adopt(dict(engine.speaker.model.named_parameters()), version=version)


@pytest.fixture
def engine(sampler: "VllmSampler", world: m.World) -> Iterator[ServedEngine]:
    made = engine_over(sampler, world.student32)
    push(made)
    yield made
    sampler.ban(banned_ids(world.student32))


def assert_recorded(speaker: LanguageModel, rollouts: Sequence[Rollout], temperature: float = 1.0, within: float = 1e-5) -> None:
    views = m.teacher_of(speaker, template=None, temperature=temperature).score(rollouts)
    for x, view in zip(rollouts, views, strict=True):
        assert max(x.logprobs) <= 0
        torch.testing.assert_close(torch.tensor(x.logprobs), torch.tensor(view.logprobs), rtol=0, atol=within)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("problems", [TEXT, MANY, IMAGES, [TEXT[0], IMAGES[0], TEXT[1]]], ids=["text", "many", "images", "both"])
def test_log_probabilities_are_those_of_a_fresh_forward(engine: ServedEngine, problems: list[Problem], temperature: float) -> None:
    rollouts = engine.sample(problems, per_problem=2, sampling=m.sampling(10, temperature), place=PLACE)
    assert [(x.problem.id, x.sample) for x in rollouts] == [(p.id, n) for p in problems for n in range(2)]
    for x in rollouts:
        assert x.prompt_ids == engine.template.render(x.problem).ids
        assert len(x.logprobs) == len(x.sampled) == len(x.response_ids)
        assert all(x.sampled)
    assert_recorded(engine.speaker, rollouts, temperature)


def test_a_picture_is_read(engine: ServedEngine) -> None:
    asked = [replace(tiny_problem(0, "pictures", place, 2, image=True), prompt="find a + b ?") for place in range(20)]
    lengths = [len(engine.template.render(p).ids) for p in asked]
    alike = [p for p, length in zip(asked, lengths, strict=True) if length == lengths[0]]
    rollouts = engine.sample(alike, per_problem=1, sampling=m.sampling(1, 0.0), place=PLACE)
    assert max(x.logprobs[0] for x in rollouts) - min(x.logprobs[0] for x in rollouts) > 0.01


def test_greedy_is_what_transformers_says(engine: ServedEngine) -> None:
    ours = engine.sample(TEXT, per_problem=1, sampling=m.sampling(12, 0.0), place=PLACE)
    theirs = m.engine_of(engine.speaker).sample(TEXT, per_problem=1, sampling=m.sampling(12, 0.0), place=PLACE)
    assert [(x.response_ids, x.finish, x.text) for x in ours] == [(x.response_ids, x.finish, x.text) for x in theirs]
    assert_recorded(engine.speaker, ours)


@pytest.mark.parametrize("sampling", [Sampling(max_new_tokens=6, top_k=3), Sampling(max_new_tokens=6, temperature=0.8, top_p=0.5)])
def test_cuts_are_in_the_log_probabilities(engine: ServedEngine, sampling: Sampling) -> None:
    """What is left after a cut has a mass of 1: the ids drawn at one place are at most so probable together, and each more than in the whole."""
    rollouts = engine.sample(TEXT[:1], per_problem=40, sampling=replace(sampling, max_new_tokens=1), place=PLACE)
    found = {x.response_ids[0]: x.logprobs[0] for x in rollouts}
    whole = m.teacher_of(engine.speaker, template=None, temperature=sampling.temperature).score(rollouts)
    assert all(x.logprobs[0] > view.logprobs[0] for x, view in zip(rollouts, whole, strict=True))
    assert sum(torch.tensor(list(found.values())).exp()) <= 1 + 1e-5
    assert len(found) <= (sampling.top_k or 64)


def test_banned_ids_are_never_said_and_have_no_mass(engine: ServedEngine, world: m.World, sampler: "VllmSampler") -> None:
    few_V = torch.ones_like(banned_ids(world.student32))
    few_V[[9, 10, END]] = False
    sampler.ban(few_V)
    rollouts = engine.sample(TEXT, per_problem=10, sampling=m.sampling(6, 0.7), place=PLACE)
    assert {i for x in rollouts for i in x.response_ids} == {9, 10, END}
    views = m.teacher_of(engine.speaker, template=None, banned_V=few_V, temperature=0.7).score(rollouts)
    for x, view in zip(rollouts, views, strict=True):
        torch.testing.assert_close(torch.tensor(x.logprobs), torch.tensor(view.logprobs), rtol=0, atol=1e-5)


def test_where_answers_end(engine: ServedEngine) -> None:
    rollouts = engine.sample(TEXT, per_problem=30, sampling=m.sampling(20), place=PLACE)
    stopped = [x for x in rollouts if x.finish is Finish.STOP]
    assert 0 < len(stopped) < len(rollouts)
    for x in rollouts:
        assert x.response_ids.count(END) == (x.response_ids[-1] == END) == (x.finish is Finish.STOP)
        assert x.finish is Finish.STOP or len(x.response_ids) == 20
        assert "<|im_end|>" not in x.text


def test_a_rollout_depends_on_its_place_alone(engine: ServedEngine) -> None:
    together = engine.sample(MANY, per_problem=3, sampling=m.sampling(10), place=PLACE)
    alone = engine.sample(MANY[7:8], per_problem=3, sampling=m.sampling(10), place=PLACE)
    elsewhere = engine.sample(MANY[7:8], per_problem=3, sampling=m.sampling(10), place=("joint", 4))
    ids = [x.response_ids for x in alone]
    assert ids == [x.response_ids for x in together[21:24]]
    assert len(set(ids)) > 1
    assert ids != [x.response_ids for x in elsewhere]


def test_thinking_is_ended(engine: ServedEngine) -> None:
    speaker = engine.speaker
    engine.template = Template(of=speaker, layout=f"{speaker.tokenizer.chat_template}{{{{- '<think>' -}}}}")
    closing = tuple(speaker.tokenizer(" </think> ", add_special_tokens=False).input_ids)
    sampling = replace(m.sampling(14), think_budget=4, closing=" </think> ")
    rollouts = engine.sample(MANY, per_problem=2, sampling=sampling, place=PLACE)
    closed = [x for x in rollouts if not all(x.sampled)]
    assert closed
    for x in closed:
        assert x.response_ids[4 : 4 + len(closing)] == closing
        assert [place for place, sampled in enumerate(x.sampled) if not sampled] == list(range(4, 4 + len(closing)))
    assert all(len(x.response_ids) <= 14 for x in rollouts)
    assert all(len(x.response_ids) <= 4 or "</think>" in x.text for x in rollouts)
    assert_recorded(speaker, rollouts)


# -- weights ---------------------------------------------------------------------------------------------------------------------------


def moved(speaker: LanguageModel, seed: int) -> None:
    """A small random update of everything but the tower."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in speaker.trainable_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.01)


def test_weights_are_pushed_and_verified(sampler: "VllmSampler", world: m.World) -> None:
    student = world.fresh(dtype="float32")
    engine, learner = engine_over(sampler, student), m.learner_of(student)
    before: list[tuple[int, ...]] = []
    for version in range(4):
        engine.adopt(learner.weights(), version=version)
        assert engine.gap < 1e-5
        rollouts = engine.sample([*TEXT, *IMAGES], per_problem=3, sampling=m.sampling(10), place=PLACE)
        assert {x.policy_version for x in rollouts} == {version}
        assert_recorded(student, rollouts)
        assert [x.response_ids for x in rollouts] != before
        before = [x.response_ids for x in rollouts]
        moved(student, version)


def test_a_stale_engine_is_stopped(sampler: "VllmSampler", world: m.World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that does not arrive: vLLM goes on from the weights before."""
    student = world.fresh(dtype="float32")
    engine = engine_over(sampler, student)
    push(engine)
    old, real = {name: tensor.detach().clone() for name, tensor in student.model.named_parameters()}, type(sampler).push
    monkeypatch.setattr(type(sampler), "push", lambda self, _, *, version: real(self, published(student, old), version=version))
    moved(student, 1)
    with pytest.raises(StaleEngine, match=r"differ from the trainer's by up to \d\.\d+ nats"):
        push(engine, 1)


def test_an_answer_that_the_context_would_cut_is_refused(engine: ServedEngine) -> None:
    with pytest.raises(SettingsError, match=r"may take \d+ tokens, and engine.context = 512"):
        engine.sample(TEXT, per_problem=1, sampling=m.sampling(510), place=PLACE)


def test_a_push_of_nothing_is_stopped(sampler: "VllmSampler") -> None:
    with pytest.raises(StaleEngine, match=r"the engine took 0, and \d+ of its own are as they were"):
        sampler.push({}, version=7)


def test_another_push_in_between_is_noticed(engine: ServedEngine, sampler: "VllmSampler") -> None:
    sampler.push(published(engine.speaker, dict(engine.speaker.model.named_parameters())), version=99)
    with pytest.raises(StaleEngine, match="version 99, and version 0 was pushed last"):
        engine.sample(TEXT, per_problem=1, sampling=m.sampling(2), place=PLACE)


def test_a_wrong_temperature_is_stopped(sampler: "VllmSampler", world: m.World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = type(sampler).say
    monkeypatch.setattr(type(sampler), "say", lambda self, asks, s, ends: real(self, asks, replace(s, temperature=1.0), ends))
    with pytest.raises(StaleEngine, match="not from the same distribution"):
        push(engine_over(sampler, world.student32, temperature=0.7))


def test_raw_log_probabilities_are_stopped(sampler: "VllmSampler", world: m.World) -> None:
    """vLLM's default: before temperature."""
    [mode] = sampler.llm.collective_rpc(_logprobs_mode, args=("raw_logprobs",))
    try:
        with pytest.raises(StaleEngine, match="not from the same distribution"):
            push(engine_over(sampler, world.student32, temperature=0.7))
    finally:
        sampler.llm.collective_rpc(_logprobs_mode, args=(mode,))
    push(engine_over(sampler, world.student32, temperature=0.7))


def _logprobs_mode(worker: Any, mode: str) -> str:
    sampler = worker.model_runner.sampler
    before = str(sampler.logprobs_mode)
    sampler.logprobs_mode = sampler.topk_topp_sampler.logprobs_mode = mode
    return before
