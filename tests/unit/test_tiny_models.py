"""The laptop world's models as shipped: intact, readable by stock transformers, and as skilled as their record says."""

import io
import json
import math
import shutil
from pathlib import Path
from random import Random

import pytest
from PIL import Image
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer

from vold.adapters.models import LanguageModel, load
from vold.adapters.problems.tiny import tiny_problem
from vold.adapters.templates import Template
from vold.adapters.tiny_models import shipped
from vold.adapters.tiny_models.architectures import word_tokenizer
from vold.adapters.tiny_models.shipped import NAMES, folder_of, shipped_folder
from vold.adapters.tiny_models.skills import skills_of
from vold.adapters.tiny_models.workshop import BAND
from vold.base.errors import ModelError
from vold.base.ids import digest_of_file
from vold.base.types import Problem
from vold.tiny.grammar import chain_a, chain_b, draw_question
from vold.tiny.words import IMAGE_PAD, ROWS, TURN_END, WORDS

SAMPLE = 40


@pytest.fixture(scope="module")
def base() -> LanguageModel:
    return load(folder_of("base"))


# -- tokenizer ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["new", *NAMES])
def test_ids_are_places_in_the_vocabulary(name: str) -> None:
    tokenizer = word_tokenizer() if name == "new" else AutoTokenizer.from_pretrained(folder_of(name))
    assert len(set(WORDS)) == len(WORDS) <= ROWS
    assert tokenizer.convert_tokens_to_ids(list(WORDS)) == list(range(len(WORDS)))
    assert len(tokenizer) == len(WORDS)
    assert tokenizer.eos_token == TURN_END
    assert tokenizer.pad_token_id == 0


def test_words_survive_the_tokenizer(base: LanguageModel) -> None:
    for seed in range(20):
        question = draw_question(Random(seed), seed % 6 + 1)
        for style in (chain_a, chain_b):
            text = style(question, question.results)
            ids = base.tokenizer(text, add_special_tokens=False).input_ids
            assert len(ids) == len(text.split())
            assert base.tokenizer.decode(ids, skip_special_tokens=False) == text
    every = " ".join(WORDS)
    assert base.tokenizer.decode(base.tokenizer(every, add_special_tokens=False).input_ids, skip_special_tokens=False) == every


def test_a_prompt_is_chatml_over_words(base: LanguageModel) -> None:
    problem = Problem(id="p", prompt="c 7 find c ?", answer="7", source="s")
    words = [WORDS[i] for i in Template(of=base, suffix=" reason").render(problem).ids]
    assert " ".join(words) == "<|im_start|> user c 7 find c ? reason <|im_end|> <|im_start|> assistant"


# -- pictures -------------------------------------------------------------------------------------------------------------------------


def test_every_cell_of_a_picture_is_one_token(base: LanguageModel) -> None:
    sizes = set()
    for place in range(25):
        problem = tiny_problem(0, "cells", place, 2, image=True)
        width, height = Image.open(io.BytesIO(problem.images[0])).size
        columns, rows = width // 28, height // 28
        sizes.add((columns, rows))
        prompt = Template(of=base).render(problem)
        assert prompt.grids is not None
        assert prompt.patches is not None
        assert prompt.grids.tolist() == [[1, 2 * rows, 2 * columns]]  # patches of 14 pixels, four to a cell
        assert len(prompt.patches) == 4 * rows * columns
        assert prompt.ids.count(WORDS.index(IMAGE_PAD)) == rows * columns
        words = [WORDS[i] for i in prompt.ids]
        assert words[:3] == ["<|im_start|>", "user", "<|vision_start|>"]
        assert words[3 + rows * columns] == "<|vision_end|>"
    assert len(sizes) > 2


# -- as shipped -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_are_those_of_the_record(name: str) -> None:
    record = json.loads((shipped_folder() / "recipe.json").read_text())
    assert set(record["models"]) == set(NAMES)
    assert digest_of_file(shipped_folder() / name / "model.safetensors") == record["models"][name]["sha256"]
    assert folder_of(name) == shipped_folder() / name


def test_a_flipped_byte_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shipped_folder() / "teacher-a", tmp_path / "teacher-a")
    shutil.copy(shipped_folder() / "recipe.json", tmp_path)
    monkeypatch.setattr(shipped, "shipped_folder", lambda: tmp_path)
    assert folder_of("teacher-a") == tmp_path / "teacher-a"

    weights = tmp_path / "teacher-a" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors is not the file that was shipped.*Install the package again"):
        folder_of("teacher-a")
    weights.unlink()
    with pytest.raises(ModelError, match="is missing from the installation"):
        folder_of("teacher-a")


def test_a_model_that_does_not_ship_is_refused_with_those_that_do() -> None:
    with pytest.raises(ModelError, match=r"tiny:teacher-c does not ship.*tiny:base, tiny:teacher-a"):
        folder_of("teacher-c")


@pytest.mark.parametrize("name", NAMES)
def test_stock_transformers_loads_it(name: str) -> None:
    folder = folder_of(name)
    family, kind = (
        (AutoModelForImageTextToText, "Qwen2_5_VLForConditionalGeneration") if name == "base" else (AutoModelForCausalLM, "Qwen3ForCausalLM")
    )
    model, report = family.from_pretrained(folder, output_loading_info=True)
    assert type(model).__name__ == kind
    assert not any(report.values()), report  # nothing missing, nothing left over, nothing of another shape
    assert json.loads((folder / "config.json").read_text())["architectures"] == [kind]
    assert model.get_output_embeddings().weight.shape[0] == ROWS
    assert model.generation_config.eos_token_id == WORDS.index(TURN_END)


@pytest.mark.parametrize("name", NAMES)
def test_the_recorded_skills_are_there(name: str) -> None:
    """Measured again on a small part of the same problems: within the band of a rerun, plus three standard deviations of the sample."""
    recorded = json.loads((shipped_folder() / "recipe.json").read_text())["models"][name]["skills"]
    found = skills_of(load(folder_of(name)), size=SAMPLE)
    assert set(found) == set(recorded)
    off = {
        skill: (found[skill], score)
        for skill, score in recorded.items()
        if abs(found[skill] - score) > BAND + 3 * math.sqrt(score * (1 - score) / SAMPLE)
    }
    assert not off
