"""Engine and teacher behind a server: what is retried, what is left out and counted, and what is never believed."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from support import models as m
from support import stage as st
from support.checks import TEXT
from support.vllm_like import ANSWER, FakeVllm, Spoil, logprob_of

from vold.adapters.engines.served import Probe, ServedEngine
from vold.adapters.engines.vllm_server import VllmServerSampler, WithPictures
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.served import Server
from vold.adapters.teachers.vllm import VllmServerTeacher
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import SettingsError, StaleEngine, Unserved
from vold.base.types import Finish, View
from vold.core.zoo import OPD, VOLD
from vold.stages.joint import joint

PLACE = ("joint", 0)
Made = Callable[..., FakeVllm]


@pytest.fixture
def served() -> Iterator[Made]:
    made: list[FakeVllm] = []

    def start(spoil: Spoil | None = None) -> FakeVllm:
        made.append(FakeVllm(spoil))
        return made[-1]

    yield start
    for server in made:
        server.close()


def line_to(fake: FakeVllm, **more: Any) -> Server:
    return Server(**{"url": fake.url, "setting": "engine.url", "timeout": 5.0, "retries": 2, "pause": 0.01, "workers": 4} | more)


def engine_to(world: m.World, fake: FakeVllm, *, tolerated: float = 0.05, probe: Probe | None = None, **more: Any) -> ServedEngine:
    speaker = world.student32
    sampler = VllmServerSampler(server=line_to(fake, **more), banned_V=banned_ids(speaker), tolerated=tolerated)
    return ServedEngine(sampler=sampler, speaker=speaker, template=Template(of=speaker), seed=5, probe=probe)


def adopted(engine: ServedEngine) -> ServedEngine:
    engine.adopt(dict(engine.speaker.model.named_parameters()), version=3)
    return engine


def teacher_to(world: m.World, fake: FakeVllm, *, tolerated: float = 0.05, temperature: float = 1.0, **more: Any) -> VllmServerTeacher:
    template = Template(of=world.fresh("teacher", dtype="float32"))
    banned_V = banned_ids(world.student32)
    return VllmServerTeacher(
        server=line_to(fake, **more), template=template, banned_V=banned_V, rows=len(banned_V), temperature=temperature, tolerated=tolerated
    )


def drawn(engine: ServedEngine, copies: int = 2, **sampling: Any) -> list[Any]:
    return engine.sample(TEXT, per_problem=copies, sampling=replace(m.sampling(8), **sampling), place=PLACE)


def changed(key: str, value: Any) -> Spoil:
    def spoil(body: dict[str, Any], honest: dict[str, Any], before: int) -> Any:
        del body, before
        out = copy.deepcopy(honest)
        out["choices"][0][key] = value
        return out

    return spoil


# -- the engine ------------------------------------------------------------------------------------------------------------------------


def test_ids_go_in_and_come_out(world: m.World, served: Made) -> None:
    fake = served()
    rollouts = drawn(adopted(engine_to(world, fake)))
    assert [(x.problem.id, x.sample) for x in rollouts] == [(p.id, n) for p in TEXT for n in range(2)]
    for x in rollouts:
        assert (x.response_ids, x.logprobs, x.finish, x.policy_version) == (ANSWER, (-1.0, -2.0, -3.0), Finish.STOP, 3)
        assert x.prompt_ids == Template(of=world.student32).render(x.problem).ids
        assert x.text == world.student32.tokenizer.decode(list(ANSWER[:-1]))
    assert len({body["seed"] for body in fake.bodies}) == len(rollouts)
    assert {tuple(body["stop_token_ids"]) for body in fake.bodies} == {world.student32.end_ids}
    assert fake.calls[0] == ("vold_read_as", [banned_ids(world.student32).nonzero().flatten().tolist(), 1.0])


def test_weights_go_under_their_names_on_disk_and_what_is_frozen_goes_once(world: m.World, served: Made) -> None:
    fake, student = served(), world.fresh(dtype="float32")
    m.learner_of(student)  # freezes the tower
    engine = engine_to(world, fake)
    engine.speaker = student
    adopted(engine)
    assert {"model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "visual.blocks.0.norm1.weight"} <= fake.weights.keys()
    assert not any(name.startswith(("model.language_model", "model.visual", "lm_head")) for name in fake.weights)
    torch.testing.assert_close(fake.weights["model.norm.weight"], student.model.model.language_model.norm.weight.detach())
    engine.adopt(dict(student.model.named_parameters()), version=4)
    assert fake.state["version"] == 4
    assert "model.norm.weight" in fake.weights
    assert not any(name.startswith("visual") for name in fake.weights)


def test_thinking_is_ended_in_a_second_request(world: m.World, served: Made) -> None:
    fake = served(lambda body, honest, _: honest if body["max_tokens"] != 2 else changed("token_ids", [23, 9])(body, honest, 0))
    tokenizer = world.student32.tokenizer
    engine = adopted(engine_to(world, fake))
    engine.template = Template(of=world.student32, layout=f"{tokenizer.chat_template}{{{{- '<think>' -}}}}")
    [x, *_] = drawn(engine, think_budget=2, closing=" </think> ")
    closing = tokenizer(" </think> ", add_special_tokens=False).input_ids
    assert x.response_ids == (23, 9, *closing, *ANSWER)
    assert x.sampled == (True, True, *[False] * len(closing), True, True, True)
    assert x.logprobs[2 : 2 + len(closing)] == tuple(logprob_of(i) for i in closing)
    assert x.finish is Finish.STOP
    assert fake.bodies[-1]["max_tokens"] == 6 - len(closing)


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (changed("prompt_token_ids", [1, 2, 3]), "about another prompt"),
        (changed("token_ids", [9, 10]), "do not match"),
        (changed("token_ids", None), "do not match"),
        (changed("finish_reason", "abort"), "broken off"),
        (changed("logprobs", None), "without token ids or log-probabilities"),
        (changed("logprobs", {"token_logprobs": [-1.0, None, -1.0]}), "None in the place"),
        (changed("logprobs", {"token_logprobs": [-1.0, math.nan, -1.0]}), "nan in the place"),
        (changed("logprobs", {"token_logprobs": [-1.0, 0.5, -1.0]}), "0.5 in the place"),
        (changed("logprobs", {"token_logprobs": [-1.0, -9999.0, -1.0]}), "probability 0"),
        (lambda *_: {"choices": []}, "without token ids"),
        (lambda *_: "not JSON", "not JSON"),
        (lambda *_: 503, "status 503"),
        (lambda *_: 400, "status 400"),
        (lambda *_: 1.0, "no reply within"),
    ],
)
def test_a_reply_that_cannot_be_used_is_asked_for_again_and_then_left_out(world: m.World, served: Made, spoil: Spoil, why: str) -> None:
    """For one problem; the other rollouts are as they would have been."""
    bad = Template(of=world.student32).render(TEXT[0]).ids
    fake = served(lambda body, honest, before: spoil(body, honest, before) if tuple(body["prompt"]) == bad else honest)
    rollouts = drawn(adopted(engine_to(world, fake, tolerated=0.3, timeout=0.3)), copies=1)
    failed, *others = rollouts
    assert failed.finish is Finish.FAILED
    assert (failed.response_ids, failed.logprobs, failed.sampled) == ((), (), ())
    assert why in failed.note
    assert {x.response_ids for x in others} == {ANSWER}
    assert sum(tuple(body["prompt"]) == bad for body in fake.bodies) == (1 if why == "status 400" else 3)


def test_what_passes_is_passed_over(world: m.World, served: Made) -> None:
    fake = served(lambda _, honest, before: 503 if before < 2 else honest)
    assert {x.finish for x in drawn(adopted(engine_to(world, fake)))} == {Finish.STOP}


def test_too_many_missing_end_the_run_with_the_cause(world: m.World, served: Made) -> None:
    engine = adopted(engine_to(world, served(lambda *_: 503)))
    with pytest.raises(Unserved, match=r"left 8 of 8 requests without a usable reply: status 503.*engine\.tolerated"):
        drawn(engine)


def test_a_server_that_goes_away_is_not_waited_for(world: m.World) -> None:
    fake = FakeVllm()
    engine = adopted(engine_to(world, fake))
    fake.close()
    began = time.monotonic()
    with pytest.raises(Unserved, match="no connection"):
        drawn(engine, copies=500)
    assert time.monotonic() - began < 5


def test_prompts_with_pictures_are_answered_in_this_process(world: m.World, served: Made) -> None:
    """In the order they were asked, by engines that both take the weights."""
    shown = [tiny_problem(0, "check", place, 2, image=True) for place in range(2)]
    engine = WithPictures(text=engine_to(world, served()), pictures=m.engine_of(world.student32))
    engine.adopt(dict(world.student32.model.named_parameters()), version=6)
    asked = [shown[0], TEXT[0], TEXT[1], shown[1]]
    rollouts = engine.sample(asked, per_problem=2, sampling=m.sampling(8), place=PLACE)
    assert [(x.problem.id, x.sample) for x in rollouts] == [(p.id, n) for p in asked for n in range(2)]
    assert {x.policy_version for x in rollouts} == {6}
    own = m.engine_of(world.student32).sample(shown, per_problem=2, sampling=m.sampling(8), place=PLACE)
    assert [x.response_ids for x in rollouts] == [*(x.response_ids for x in own[:2]), *[ANSWER] * 4, *(x.response_ids for x in own[2:])]


def test_weights_that_are_not_there_any_more_are_noticed(world: m.World, served: Made) -> None:
    """After a restart a server samples from its first weights."""
    fake = served()
    engine = adopted(engine_to(world, fake))
    fake.state["version"] = -1
    with pytest.raises(StaleEngine, match="version -1, and version 3 was pushed last"):
        drawn(engine)


def test_a_gap_after_a_push_stops_the_run(world: m.World, served: Made) -> None:
    """The fake answers from no model at all, so the trainer cannot agree with it."""
    reader = m.teacher_of(world.student32, template=None)
    engine = engine_to(world, served(), probe=Probe(problems=TEXT[:2], sampling=m.sampling(8), reader=reader, tolerance=1e-4))
    with pytest.raises(StaleEngine, match=r"weights of version 3 .* 6 tokens differ from the trainer's by up to \d.*allowed is 0.0001"):
        adopted(engine)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9", "no vLLM server answers there"),
        ("http://10.0.0.1:8000", "another machine's"),
        ("127.0.0.1:8000", "no bare address"),
        ("http://127.0.0.1:8000/v1", "no bare address"),
        ("http://127.0.0.1:x", "no bare address"),
        ("file:///etc/passwd", "no bare address"),
    ],
)
def test_addresses(url: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        Server(url=url, setting="engine.url", timeout=1.0, retries=0).model()


def test_a_server_without_the_extension_is_refused(world: m.World, served: Made) -> None:
    fake = served()
    fake.called = lambda *_: None  # type: ignore[assignment, return-value, misc]
    with pytest.raises(Unserved, match="worker-extension-cls"):
        engine_to(world, fake)


# -- the teacher -----------------------------------------------------------------------------------------------------------------------


def test_the_teacher_reads_under_its_own_template_and_temperature(world: m.World, served: Made) -> None:
    fake = served()
    rollouts = drawn(adopted(engine_to(world, fake)))
    reader = served()
    teacher = teacher_to(world, reader, temperature=0.7)
    assert reader.calls[0][1][1] == 0.7
    assert teacher.score(rollouts) == [View(logprobs=tuple(logprob_of(i, 0.7) for i in x.response_ids)) for x in rollouts]
    for body, x in zip(sorted(reader.bodies, key=str), sorted(rollouts, key=lambda x: str(x.prompt_ids)), strict=True):
        assert body["max_tokens"] == 1
        assert tuple(body["prompt"][-3:]) == x.response_ids


@pytest.mark.parametrize("value", [None, math.nan, 0.25, -math.inf, "x", -9999.0])
def test_a_number_that_is_none_gives_no_view(world: m.World, served: Made, value: Any) -> None:
    rollouts = drawn(adopted(engine_to(world, served())), copies=1)
    bad = (*teacher_to(world, served()).template.render(TEXT[1]).ids, *ANSWER)

    def spoil(body: dict[str, Any], honest: dict[str, Any], _: int) -> Any:
        if tuple(body["prompt"]) == bad:
            honest["choices"][0]["prompt_logprobs"][-2][str(ANSWER[-2])]["logprob"] = value
        return honest

    teacher = teacher_to(world, served(spoil), tolerated=0.3)
    assert [view is None for view in teacher.score(rollouts)] == [False, True, False, False]


def test_a_teacher_that_reads_otherwise_than_it_was_told_is_stopped(world: m.World, served: Made) -> None:
    rollouts = drawn(adopted(engine_to(world, served())), copies=1)
    fake = served()
    teacher = teacher_to(world, fake)
    fake.state["reading"] = None
    with pytest.raises(StaleEngine, match="was told to read as"):
        teacher.score(rollouts)


# -- the stage -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [VOLD, OPD], ids=["VOLD", "OPD"])
def test_what_is_left_out_is_counted_and_in_no_sum(world: m.World, served: Made, objective: Any) -> None:
    """One rollout got no answer, one no log-probabilities: the step is that of a batch without them."""
    template = Template(of=world.student32)
    lost = template.render(TEXT[0]).ids

    def no_answer(body: dict[str, Any], honest: dict[str, Any], _: int) -> Any:
        return 400 if tuple(body["prompt"]) == lost and body["seed"] % 2 else honest

    def no_view(body: dict[str, Any], honest: dict[str, Any], _: int) -> Any:
        return 400 if tuple(body["prompt"][:-3]) == teacher.template.render(TEXT[2]).ids else honest

    teacher = teacher_to(world, served(no_view), tolerated=0.9)
    engine = engine_to(world, served(no_answer), tolerated=0.9)
    recorder = st.Recorder(asked=TEXT, sums={"pulled_tokens/0": 1.0})
    recorder.weights = lambda: dict(world.student32.model.named_parameters())  # type: ignore[method-assign]
    at = st.ports_of(world, recorder, None, engine=engine)
    at = replace(at, teacher=teacher)
    joint(st.run_of(objective, steps=1, group_size=3), at)
    [(_, _, values, groups)] = recorder.of("write")
    kept = [sum(not member.left_out for member in group.members) for group in groups]
    assert values["engine/excluded"] == 3 - kept[0]
    assert kept[1:] == [3, 0, 3]
    assert values["teacher/excluded"] == 3
    assert recorder.of("apply")[0][1] == 3 * sum(kept), "Z has the tokens of those that are there"
    assert all(member.teacher_logprobs is not None for group in groups for member in group.members if not member.left_out)
