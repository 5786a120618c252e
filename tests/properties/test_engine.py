"""The engine's log-probabilities against the trainer's and the model's own, for text and pictures, groups and single answers."""

from dataclasses import replace

import pytest
import torch
from support import dense
from support import models as m
from support.checks import TEXT, check_engine_equals_trainer
from torch import Tensor

from vold.adapters.models import LanguageModel
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.templates import Template
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import StaleEngine
from vold.base.types import Finish, Problem, Rollout

IMAGES = [tiny_problem(0, "check", place, k, image=True) for place, k in enumerate((1, 6, 3))]
BOTH = [TEXT[0], IMAGES[0], TEXT[1]]
PLACE = ("joint", 3)


def table(speaker: LanguageModel, rollout: Rollout, temperature: float = 1.0) -> Tensor:
    """log π of every id at every response token, by one forward of everything, the picture included."""
    prompt = Template(of=speaker).render(rollout.problem)
    seen = {}
    if speaker.tower is not None:
        speaker.model.model.rope_deltas = None
    if prompt.patches is not None and prompt.grids is not None:
        pictured = torch.tensor([rollout.prompt_ids + rollout.response_ids]) == speaker.model.config.image_token_id
        seen = {"pixel_values": prompt.patches, "image_grid_thw": prompt.grids, "mm_token_type_ids": pictured.int()}
    with torch.no_grad():
        return dense.table_of(speaker.model, rollout, banned_ids(speaker), temperature, **seen)


def assert_recorded(speaker: LanguageModel, rollouts: list[Rollout], temperature: float = 1.0) -> None:
    for x in rollouts:
        truth = table(speaker, x, temperature).gather(1, torch.tensor(x.response_ids)[:, None]).squeeze(1)
        torch.testing.assert_close(torch.tensor(x.logprobs), truth, rtol=0, atol=2e-5)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("copies", [1, 3])
def test_log_probabilities_are_the_trainers(world: m.World, temperature: float, copies: int) -> None:
    check_engine_equals_trainer(world, temperature=temperature, copies=copies)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("problems", [TEXT, IMAGES, BOTH], ids=["text", "images", "both"])
def test_log_probabilities_are_those_of_a_full_forward(world: m.World, problems: list[Problem], temperature: float, copies: int) -> None:
    rollouts = m.engine_of(world.student32).sample(problems, per_problem=copies, sampling=m.sampling(10, temperature), place=PLACE)
    assert [(x.problem.id, x.sample) for x in rollouts] == [(p.id, i) for p in problems for i in range(copies)]
    assert_recorded(world.student32, rollouts, temperature)


def test_a_text_only_model_speaks_too(world: m.World) -> None:
    speaker = world.fresh("teacher", dtype="float32")
    for copies in (1, 3):
        assert_recorded(speaker, m.engine_of(speaker).sample(TEXT, per_problem=copies, sampling=m.sampling(10), place=PLACE))


def test_a_picture_is_read(world: m.World) -> None:
    """Pictures of one size under one question: were they not read, the distributions would agree."""
    engine = m.engine_of(world.student32)
    asked = [replace(tiny_problem(0, "pictures", place, 2, image=True), prompt="find a + b ?") for place in range(20)]
    lengths = [len(engine.template.render(p).ids) for p in asked]
    alike = [p for p, length in zip(asked, lengths, strict=True) if length == lengths[0]]
    rollouts = engine.sample(alike, per_problem=1, sampling=m.sampling(1, 0.0), place=PLACE)
    assert len({x.prompt_ids for x in rollouts}) == 1
    assert max(x.logprobs[0] for x in rollouts) - min(x.logprobs[0] for x in rollouts) > 0.01


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("problems", [TEXT, IMAGES], ids=["text", "images"])
def test_greedy_is_argmax(world: m.World, problems: list[Problem], copies: int) -> None:
    rollouts = m.engine_of(world.student32).sample(problems, per_problem=copies, sampling=m.sampling(6, 0.0), place=PLACE)
    for x in rollouts:
        assert table(world.student32, x).argmax(1).tolist() == list(x.response_ids)
    assert_recorded(world.student32, rollouts)


def test_pictures_do_not_shift_the_next_text(world: m.World) -> None:
    """Position offsets of a picture batch must not reach a text batch that follows, nor the other way round."""
    engine = m.engine_of(world.student32)
    for problems, copies in ((IMAGES, 2), (TEXT, 1), (IMAGES, 1), (TEXT, 2)):
        assert_recorded(world.student32, engine.sample(problems, per_problem=copies, sampling=m.sampling(5), place=PLACE))


def test_the_checkpoints_own_generation_settings_do_not_bend_the_distribution(world: m.World) -> None:
    """Real checkpoints ship a repetition penalty and cuts; ids would be drawn, and recorded, from something that is not the policy."""
    speaker = world.fresh(dtype="float32")
    speaker.model.generation_config.update(
        repetition_penalty=1.5, no_repeat_ngram_size=2, min_new_tokens=5, suppress_tokens=[9], temperature=1e-6, top_k=1, do_sample=True
    )
    kept = speaker.model.generation_config.to_dict()
    plain, bent = (m.engine_of(s).sample(TEXT, per_problem=3, sampling=m.sampling(10), place=PLACE) for s in (world.student32, speaker))
    assert plain == bent
    assert_recorded(world.student32, bent)
    assert speaker.model.generation_config.to_dict() == kept, "what the checkpoint came with must be saved with it again"


def test_where_answers_end(world: m.World) -> None:
    """At the first end token, which is part of the answer, or at the cap."""
    rollouts = m.engine_of(world.student32).sample(TEXT, per_problem=30, sampling=m.sampling(20), place=PLACE)
    stopped = [x for x in rollouts if x.finish is Finish.STOP]
    assert stopped
    assert len(stopped) < len(rollouts)
    for x in rollouts:
        assert len(x.logprobs) == len(x.sampled) == len(x.response_ids)
        assert x.response_ids.count(2) == (x.response_ids[-1] == 2) == (x.finish is Finish.STOP)
        assert x.finish is Finish.STOP or len(x.response_ids) == 20
        assert "<|im_end|>" not in x.text
        assert len(x.text.split()) == len(x.response_ids) - (x.finish is Finish.STOP)


def test_it_samples_from_the_weights_it_was_given(world: m.World) -> None:
    """After an update in place answers follow the new weights; tensors of another model are refused."""
    student = world.fresh(dtype="float32")
    engine, learner = m.engine_of(student), m.learner_of(student)
    for version in (4, 5):
        engine.adopt(learner.weights(), version=version)
        rollouts = engine.sample(TEXT[:1], per_problem=2, sampling=m.sampling(8), place=PLACE)
        assert {x.policy_version for x in rollouts} == {version}
        assert_recorded(student, rollouts)
        with torch.no_grad():
            student.model.model.language_model.norm.weight.mul_(1.5)
    with pytest.raises(StaleEngine, match="not the ones it samples from"):
        engine.adopt(m.learner_of(world.fresh(dtype="float32")).weights(), version=6)
