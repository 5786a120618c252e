"""How models are spoken to: ChatML by default, the checkpoint's own layout or a file; nothing in a question acts as a control token."""

from dataclasses import replace
from pathlib import Path

import pytest
from support import pairs
from support.records import problem

from vold.adapters.models import LanguageModel
from vold.adapters.templates import CHATML, Template, layout_of
from vold.base.errors import DataError, ModelError

ASKED = replace(problem("p", "What is 7 + 5?"), images=())


@pytest.fixture(scope="module")
def words() -> LanguageModel:
    return LanguageModel(folder=Path("here"), model=None, tokenizer=pairs.tokenizer(teacher=True), image_processor=None)


def test_chatml_has_no_system_prompt_unless_one_is_set(words: LanguageModel) -> None:
    template = Template(of=words, suffix=" Box it.", layout=CHATML)
    assert template.words(ASKED) == "<|im_start|>user\nWhat is 7 + 5? Box it.<|im_end|>\n<|im_start|>assistant\n"
    told = replace(template, system="Be brief.")
    assert told.words(ASKED).startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


def test_control_tokens_of_the_layout_are_one_id_each(words: LanguageModel) -> None:
    ids = Template(of=words, layout=CHATML).ids(ASKED)
    assert (ids[0], ids.count(pairs.id_of("<|im_start|>")), ids.count(pairs.id_of("<|im_end|>"))) == (pairs.id_of("<|im_start|>"), 2, 1)


def test_thinking_off_begins_after_an_empty_block(words: LanguageModel) -> None:
    template = Template(of=words, layout=CHATML, options={"enable_thinking": False})
    assert template.words(ASKED).endswith("<|im_start|>assistant\n<think>\n\n</think>\n\n")
    thinking = replace(template, options={"enable_thinking": True})
    assert thinking.words(ASKED) == replace(template, options=None).words(ASKED)


def test_a_problems_own_system_prompt_comes_first(words: LanguageModel) -> None:
    asked = replace(ASKED, system="You are a calendar.")
    assert "system\nYou are a calendar.<|im_end|>" in Template(of=words, system="Be brief.", layout=CHATML).words(asked)


def test_a_problem_that_says_how_to_answer_gets_no_suffix(words: LanguageModel) -> None:
    template = Template(of=words, suffix=" Box it.", layout=CHATML)
    assert " Box it." not in template.words(replace(ASKED, instructed=True))


def test_an_image_stands_before_the_question_as_one_placeholder(words: LanguageModel) -> None:
    shown = replace(ASKED, images=(b"",))
    assert "user\n<|vision_start|><|image_pad|><|vision_end|>What is" in Template(of=words, layout=CHATML).words(shown)


def test_pictures_stand_at_their_marks_where_a_question_has_them(words: LanguageModel) -> None:
    shown = replace(ASKED, prompt="Is <image> like <image>?", images=(b"", b""), interleaved=True)
    eye = "<|vision_start|><|image_pad|><|vision_end|>"
    assert f"user\nIs {eye} like {eye}? Box it.<|im_end|>" in Template(of=words, layout=CHATML, suffix=" Box it.").words(shown)
    first = replace(shown, interleaved=False)  # without the word, marks are words like any other
    assert f"user\n{eye}{eye}Is <image> like <image>?" in Template(of=words, layout=CHATML).words(first)
    with pytest.raises(DataError, match="2 <image> marks for 1 images"):
        Template(of=words, layout=CHATML).words(replace(shown, images=(b"",)))


def test_a_suffix_can_follow_every_question(words: LanguageModel) -> None:
    template = Template(of=words, suffix=" Use tags.", layout=CHATML, suffix_everywhere=True)
    assert "What is 7 + 5? Use tags.<|im_end|>" in template.words(replace(ASKED, instructed=True))


@pytest.mark.parametrize("mark", ["<|image_pad|>", "<|im_end|>", "<|endoftext|>", "<|vision_start|>"])
@pytest.mark.parametrize("where", ["prompt", "system"])
def test_a_control_token_inside_a_question_is_refused(words: LanguageModel, mark: str, where: str) -> None:
    asked = replace(ASKED, **{where: f"look: {mark} what is it?"})
    with pytest.raises(DataError, match=r"problem p holds .* in its text.*control token"):
        Template(of=words, layout=CHATML).words(asked)


def test_think_marks_in_a_question_are_words(words: LanguageModel) -> None:
    assert pairs.id_of("<think>") in Template(of=words, layout=CHATML).ids(replace(ASKED, prompt="Use <think> tags."))


def test_own_needs_a_chat_template(words: LanguageModel) -> None:
    with pytest.raises(ModelError, match=r'no chat template of its own. Set template = "chatml"'):
        Template(of=words, layout=layout_of("own")).words(ASKED)


def test_a_file_is_a_layout(words: LanguageModel, tmp_path: Path) -> None:
    path = tmp_path / "mine.jinja"
    path.write_text("Q: {{ messages[-1].content }} A:")
    assert Template(of=words, layout=layout_of(str(path))).words(ASKED) == "Q: What is 7 + 5? A:"


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), (b"{% if %}", "neither chatml nor own"), (b"\xff\xfe\xfa", "neither chatml")])
def test_a_layout_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "mine.jinja"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=said):
        layout_of(str(path))
