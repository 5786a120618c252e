"""A vLLM server as the engine and another as the teacher, as processes on this machine."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from support import models as m
from support.checks import TEXT
from support.runs import journal_of, run_here
from support.short import SHORT
from support.vllm_servers import Process

from vold.adapters.engines.served import Probe, ServedEngine
from vold.adapters.engines.vllm_server import VllmServerSampler
from vold.adapters.models import load
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.served import Server
from vold.adapters.teachers.vllm import VllmServerTeacher
from vold.adapters.templates import Template
from vold.adapters.tiny_models.shipped import folder_of
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import StaleEngine, Unserved
from vold.ports import Sampling

pytestmark = pytest.mark.vllm

MANY = [tiny_problem(0, "many", place, 1 + place % 8) for place in range(24)]
PLACE = ("joint", 3)


def engine_to(server: Process, speaker: Any, *, temperature: float = 1.0, **more: Any) -> ServedEngine:
    line = Server(**{"url": server.url, "setting": "engine.url", "timeout": 60.0, "pause": 0.1} | more)
    reader = m.teacher_of(speaker, template=None, temperature=temperature)
    probe = Probe(problems=TEXT, sampling=m.sampling(8, temperature), reader=reader, tolerance=1e-4)
    sampler = VllmServerSampler(server=line, banned_V=banned_ids(speaker))
    return ServedEngine(sampler=sampler, speaker=speaker, template=Template(of=speaker), seed=5, probe=probe)


def moved(speaker: Any, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, parameter in speaker.trainable_parameters():
            parameter.add_(torch.randn(parameter.shape, generator=draw) * 0.01)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_weights_pushed_to_a_server_are_verified(world: m.World, servers: dict[str, Process], temperature: float) -> None:
    student = world.fresh(dtype="float32")
    engine, learner = engine_to(servers["student"], student, temperature=temperature), m.learner_of(student, temperature=temperature)
    reader = m.teacher_of(student, template=None, temperature=temperature)
    for version in range(3):
        engine.adopt(learner.weights(), version=version)
        assert engine.gap < 1e-5
        rollouts = engine.sample(MANY, per_problem=2, sampling=m.sampling(10, temperature), place=PLACE)
        assert {x.policy_version for x in rollouts} == {version}
        for x, view in zip(rollouts, reader.score(rollouts), strict=True):
            torch.testing.assert_close(torch.tensor(x.logprobs), torch.tensor(view.logprobs), rtol=0, atol=1e-5)
        moved(student, version)
    alone = engine.sample(MANY[5:6], per_problem=2, sampling=m.sampling(10, temperature), place=PLACE)
    assert [x.response_ids for x in alone] == [x.response_ids for x in rollouts[10:12]]


def test_thinking_is_ended_by_a_server_too(world: m.World, servers: dict[str, Process]) -> None:
    speaker = world.student32
    engine = engine_to(servers["student"], speaker)
    engine.template = Template(of=speaker, layout=f"{speaker.tokenizer.chat_template}{{{{- '<think>' -}}}}")
    engine.adopt(dict(speaker.model.named_parameters()), version=0)
    sampling = Sampling(max_new_tokens=12, think_budget=4, closing=" </think> ")
    rollouts = engine.sample(MANY, per_problem=1, sampling=sampling, place=PLACE)
    assert any(not all(x.sampled) for x in rollouts)
    for x, view in zip(rollouts, m.teacher_of(speaker, template=None).score(rollouts), strict=True):
        torch.testing.assert_close(torch.tensor(x.logprobs), torch.tensor(view.logprobs), rtol=0, atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_teacher_behind_a_server_says_what_the_local_one_says(world: m.World, servers: dict[str, Process], temperature: float) -> None:
    """At the student's temperature, over the ids that both may say."""
    reader = load(folder_of("teacher-a"), dtype="float32")
    banned_V = banned_ids(world.student32, reader)
    template = Template(of=reader)
    line = Server(url=servers["teacher"].url, setting="teacher.url", timeout=60.0)
    served = VllmServerTeacher(server=line, template=template, banned_V=banned_V, rows=reader.head.shape[0], temperature=temperature)
    rollouts = m.engine_of(world.student32).sample(MANY, per_problem=2, sampling=m.sampling(10), place=PLACE)
    local = m.teacher_of(reader, banned_V=banned_V, temperature=temperature).score(rollouts)
    for ours, theirs in zip(local, served.score(rollouts), strict=True):
        assert theirs is not None
        torch.testing.assert_close(torch.tensor(theirs.logprobs), torch.tensor(ours.logprobs), rtol=3e-6, atol=1e-5)  # down to -15


def test_two_runs_on_one_server_notice_each_other(world: m.World, servers: dict[str, Process]) -> None:
    one, other = (engine_to(servers["student"], world.student32) for _ in range(2))
    weights = dict(world.student32.model.named_parameters())
    one.adopt(weights, version=5)
    other.adopt(weights, version=6)
    with pytest.raises(StaleEngine, match="another run pushes to it"):
        one.sample(TEXT, per_problem=1, sampling=m.sampling(2), place=PLACE)


def test_stage_two_of_the_tiny_world(servers: dict[str, Process], tmp_path: Path) -> None:
    """Weights are pushed before each step; what the server began with does not matter. The teacher says what it says in this process."""
    engine = ("engine.kind='vllm-server'", f"engine.url={servers['student'].url!r}")
    teacher = ("teacher.kind='vllm-server'", f"teacher.url={servers['teacher'].url!r}")
    journals = []
    for name, asked in (("served", teacher), ("local", ())):
        run_here("tiny", tmp_path / name, *SHORT, *engine, *asked)
        journals.append([line["values"] for line in journal_of(tmp_path / name / "joint-vold")])
    served, local = journals
    assert len(served) == 3
    assert all("engine/excluded" not in values and "teacher/excluded" not in values for values in served)
    assert served[0]["pull/scored"] > 0
    for name in ("reward/mean", "length/mean", "pull/scored", "teacher/nll_start", "teacher/log_ratio_start", "pull/log_ratio", "grad_norm"):
        assert served[0][name] == pytest.approx(local[0][name], abs=1e-4), name


def test_a_server_killed_in_the_middle_of_a_step_ends_it_soon(world: m.World, servers: dict[str, Process]) -> None:
    """The last test of this file: the student's server does not come back."""
    server = servers["student"]
    engine = engine_to(server, world.student32, workers=8)
    engine.adopt(dict(world.student32.model.named_parameters()), version=0)
    killer = threading.Timer(0.5, server.kill)
    killer.start()
    began = time.monotonic()
    with pytest.raises(Unserved, match=r"left \d+ of 2400 requests without a usable reply: .*no connection"):
        engine.sample(MANY, per_problem=100, sampling=m.sampling(64), place=PLACE)
    assert time.monotonic() - began < 30
    killer.join()
