"""Our own decoding loop against transformers' `generate`: the same ids, the same log-probabilities, and nothing lost when it is gone."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from support import models as m
from support import seeing
from support.checks import TEXT

from vold.adapters.engines import decoding, graphed
from vold.adapters.engines.draws import PlacedSampling
from vold.adapters.engines.transformers import TransformersEngine
from vold.adapters.models import LanguageModel
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.templates import Prompt, Template
from vold.adapters.vocabulary import banned_ids
from vold.base.errors import Diverged, ModelError
from vold.base.types import Problem, Rollout
from vold.ports import Sampling

IMAGES = [tiny_problem(0, "check", place, k, image=True) for place, k in enumerate((1, 6, 3))]
BOTH = [TEXT[0], IMAGES[0], TEXT[1], IMAGES[1], TEXT[3]]
PLACE = ("joint", 3)


@pytest.fixture(params=["columns", "slots"])
def loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of a CPU, and that of a GPU without its captures."""
    if request.param == "slots":
        in_slots = SimpleNamespace(serves=decoding.serves, decode=partial(graphed.decode, capture=False))
        monkeypatch.setattr("vold.adapters.engines.transformers.import_module", lambda _: in_slots)
        for name, few in (("COLUMNS", 4), ("TURNS", 3), ("FEWEST_SLOTS", 2)):  # so that columns grow and slots go, even at these sizes
            monkeypatch.setattr(graphed, name, few)


def both_ways(speaker: LanguageModel, problems: Sequence[Problem], sampling: Sampling, copies: int, rows: int) -> list[list[Rollout]]:
    return [
        m.engine_of(speaker, decoder=decoder, rows=rows).sample(problems, per_problem=copies, sampling=sampling, place=PLACE)
        for decoder in ("own", "generate")
    ]


@pytest.mark.parametrize("problems", [TEXT, IMAGES, BOTH], ids=["text", "images", "both"])
@pytest.mark.parametrize(("copies", "rows"), [(1, 256), (3, 256), (3, 4), (2, 5), (5, 1)])
@pytest.mark.usefixtures("loop")
def test_the_same_answers_in_double_precision(world: m.World, problems: list[Problem], copies: int, rows: int) -> None:
    own, generated = both_ways(world.student64, problems, m.sampling(40), copies, rows)
    assert len({len(x.response_ids) for x in own}) > 1, "answers of one length would end together"
    for one, other in zip(own, generated, strict=True):
        assert one == replace(other, logprobs=one.logprobs)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("problems", [TEXT, BOTH], ids=["text", "both"])
@pytest.mark.usefixtures("loop")
def test_the_same_log_probabilities_in_single_precision(world: m.World, problems: list[Problem], temperature: float) -> None:
    own, generated = both_ways(world.student32, problems, m.sampling(30, temperature), 3, 7)
    for one, other in zip(own, generated, strict=True):
        assert one.response_ids == other.response_ids
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-5)


@pytest.mark.parametrize("sampling", [replace(m.sampling(20), top_k=3), replace(m.sampling(20, 0.6), top_p=0.8), m.sampling(1)])
@pytest.mark.usefixtures("loop")
def test_the_same_cuts_and_the_same_shortest_answer(world: m.World, sampling: Sampling) -> None:
    own, generated = both_ways(world.student64, TEXT, sampling, 3, 5)
    assert [x.response_ids for x in own] == [x.response_ids for x in generated]


@pytest.mark.parametrize("rows", [3, 256])
@pytest.mark.parametrize("budget", [1, 3, 8])
@pytest.mark.usefixtures("loop")
def test_the_same_end_of_thinking(world: m.World, budget: int, rows: int) -> None:
    sampling = replace(m.sampling(24), think_budget=budget, closing="</think> \\boxed{")
    own, generated = (
        m.thinking_engine_of(world.student64, decoder=decoder, rows=rows).sample(TEXT, per_problem=3, sampling=sampling, place=PLACE)
        for decoder in ("own", "generate")
    )
    assert any(not all(x.sampled) for x in own)
    for one, other in zip(own, generated, strict=True):
        assert (one.response_ids, one.sampled, one.text) == (other.response_ids, other.sampled, other.text)
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-6)


@pytest.mark.parametrize("decode", [decoding.decode, partial(graphed.decode, capture=False)], ids=["columns", "slots"])
@pytest.mark.parametrize("family", seeing.FAMILIES)
def test_students_of_both_families_with_pictures(family: str, decode: Callable[..., decoding.Decoded]) -> None:
    """Prompts with no, one and two pictures of different sizes, side by side, against a fresh forward pass of everything."""
    speaker = seeing.student(family)
    shown = [(), (seeing.picture(1),), (seeing.picture(2, 28, 56), seeing.picture(3)), (seeing.picture(4, 84, 28),)]
    prompts = []
    for place, images in enumerate(shown):
        words = list(range(60, 63 + 2 * place))
        patches, grids = seeing.patched(speaker.image_processor, images, of="a test") if images else (None, None)
        ids = seeing.prompt(speaker, words, images)
        prompts.append(Prompt(ids=ids, patches=None if patches is None else patches.double(), grids=grids))
    banned_V = banned_ids(speaker)
    picker = PlacedSampling(list(range(12)), m.sampling(20), banned_V)
    found = decode(speaker, prompts, 3, picker, cap=20, slots=5)
    for row, (ids, logprobs) in enumerate(zip(found.ids, found.logprobs, strict=True)):
        prompt = prompts[row // 3]
        whole = torch.tensor([[*prompt.ids, *ids]])
        seen = {}
        if prompt.patches is not None:
            kinds = (whole == speaker.model.config.image_token_id).int()
            seen = {"pixel_values": prompt.patches, "image_grid_thw": prompt.grids, "mm_token_type_ids": kinds}
        speaker.model.model.rope_deltas = None
        with torch.no_grad():
            logits_TV = speaker.model(input_ids=whole, **seen).logits[0].masked_fill(banned_V, float("-inf"))
        truth = logits_TV[len(prompt.ids) - 1 : -1].log_softmax(-1).gather(1, torch.tensor(ids)[:, None])[:, 0]
        assert torch.tensor(logprobs, dtype=torch.float64).sub(truth).abs().max() < 1e-5


@pytest.mark.usefixtures("loop")
def test_half_precision_is_as_near_as_its_rounding(world: m.World) -> None:
    """Weights rounded to half precision on both sides: our loop in it, and a forward pass in single precision."""
    half, single = world.fresh(dtype="bfloat16"), world.fresh(dtype="float32")
    with torch.no_grad():
        for one, other in zip(single.model.parameters(), half.model.parameters(), strict=True):
            one.copy_(other)
    reader = m.teacher_of(single, template=None)
    for decoder in ("own", "generate"):
        rollouts = m.engine_of(half, decoder=decoder, rows=7).sample(TEXT, per_problem=3, sampling=m.sampling(20), place=PLACE)
        gaps = [abs(a - b) for x, view in zip(rollouts, reader.score(rollouts), strict=True) for a, b in zip(x.logprobs, view.logprobs, strict=True)]
        assert sum(gaps) / len(gaps) < 0.03
        assert max(gaps) < 0.3


def test_what_has_ended_is_not_computed_any_longer(world: m.World) -> None:
    """Far fewer positions go through the layers than answers times the longest, and hardly more than there are tokens."""
    speaker = world.student32
    prompts = [Template(of=speaker).render(problem) for problem in TEXT]
    picker = PlacedSampling(list(range(200)), m.sampling(60), banned_ids(speaker))
    found = decoding.decode(speaker, prompts, 50, picker, cap=60, slots=200)
    tokens = sum(map(len, found.ids))
    assert max(map(len, found.ids)) == 60
    assert found.pushed < 1.2 * tokens
    assert found.pushed < 0.7 * 60 * 200
    few = decoding.decode(speaker, prompts, 50, PlacedSampling(list(range(200)), m.sampling(60), banned_ids(speaker)), cap=60, slots=64)
    assert few.ids == found.ids
    assert few.steps > found.steps


def test_without_the_module_everything_goes_through_generate(world: m.World, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = m.engine_of(world.student64, decoder="generate").sample(TEXT, per_problem=2, sampling=m.sampling(9), place=PLACE)
    monkeypatch.setattr("vold.adapters.engines.transformers.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "vold.adapters.engines.decoding", None)
    assert m.engine_of(world.student64).sample(TEXT, per_problem=2, sampling=m.sampling(9), place=PLACE) == expected
    with pytest.raises(ModelError, match=r'engine\.decoder = "own", but .* is gone\. Set engine\.decoder = "auto"'):
        m.engine_of(world.student64, decoder="own").sample(TEXT, per_problem=2, sampling=m.sampling(9), place=PLACE)


def test_a_model_that_forgets_goes_through_generate(world: m.World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers with a sliding window keep less than everything: our loop leaves them to `generate`, or says that it cannot."""
    assert decoding.serves(world.student64)
    config = world.student64.body.config
    monkeypatch.setattr(config, "layer_types", ["sliding_attention", *config.layer_types[1:]])
    assert not decoding.serves(world.student64)
    with pytest.raises(ModelError, match="keeps something else"):
        m.engine_of(world.student64, decoder="own").sample(TEXT, per_problem=1, sampling=m.sampling(3), place=PLACE)


@pytest.mark.parametrize("decoder", ["own", "generate"])
def test_logits_that_are_no_numbers_are_refused(world: m.World, decoder: str) -> None:
    speaker = world.fresh(dtype="float32")
    with torch.no_grad():
        speaker.model.model.language_model.norm.weight.fill_(float("nan"))
    engine: TransformersEngine = m.engine_of(speaker, decoder=decoder)
    with pytest.raises(Diverged, match="are not numbers"):
        engine.sample(TEXT, per_problem=2, sampling=m.sampling(5), place=PLACE)
