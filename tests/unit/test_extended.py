"""A student's tokenizer that learns the words only its teacher has, and the report on two token tables."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from support import pairs
from tokenizers import AddedToken
from transformers import AutoTokenizer

from vold.adapters.checkpoints import save_model
from vold.adapters.models import load, table_of
from vold.adapters.vocabulary import banned_ids, extended, learnable, table_with
from vold.base.errors import ModelError
from vold.core.vocabulary import compared, speakable

STUDENT, TEACHER = pairs.tokenizer(), pairs.tokenizer(teacher=True)
NEW = {pairs.id_of(word): word for word in pairs.TEACHERS}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> pairs.Pair:
    return pairs.saved(tmp_path_factory.mktemp("pair"))


def test_the_teachers_further_words_get_the_teachers_ids_and_its_flags() -> None:
    words, new = extended(STUDENT, TEACHER, rows=pairs.ROWS)
    assert {i: token.content for i, token in new.items()} == NEW
    text = "so <think>\nx</think> <tool_response>"
    assert words(text).input_ids == TEACHER(text).input_ids
    assert {i: words.added_tokens_decoder[i].special for i in NEW} == dict.fromkeys(NEW, False)
    assert words.decode([*NEW], skip_special_tokens=True) == TEACHER.decode([*NEW], skip_special_tokens=True) != ""


def test_the_given_tokenizer_is_left_as_it_was() -> None:
    before = len(STUDENT)
    extended(STUDENT, TEACHER, rows=pairs.ROWS)
    assert len(STUDENT) == before
    assert len(STUDENT("<think>").input_ids) == len("<think>")


def test_a_pair_that_shares_everything_is_left_alone() -> None:
    words, new = extended(TEACHER, TEACHER, rows=pairs.ROWS)
    assert (words, new) == (TEACHER, {})
    assert learnable(TEACHER, STUDENT) == {}


@pytest.mark.parametrize("rows", [pairs.STUDENT_WORDS, pairs.TEACHER_WORDS - 1])
def test_words_without_a_row_are_refused(rows: int) -> None:
    with pytest.raises(ModelError, match=rf'embedding has {rows} rows.*student.think_marks = "spell-out"'):
        extended(STUDENT, TEACHER, rows=rows)
    extended(STUDENT, TEACHER, rows=pairs.TEACHER_WORDS)


def test_words_that_cannot_stand_at_the_teachers_ids_are_refused() -> None:
    """The teacher's word lies behind a gap: the student's tokenizer would give it the next free id."""

    class Gapped:
        added_tokens_decoder: ClassVar = {pairs.STUDENT_WORDS + 1: AddedToken("<think>", special=False, normalized=False)}

    teacher: Any = Gapped()
    with pytest.raises(
        ModelError, match=rf"'<think>' the id {pairs.STUDENT_WORDS}, but the teacher knows it as {pairs.STUDENT_WORDS + 1}.*spell-out"
    ):
        extended(STUDENT, teacher, rows=pairs.ROWS)


def test_a_saved_student_keeps_its_words(pair: pairs.Pair, tmp_path: Path) -> None:
    model = load(pair.student)
    model.tokenizer, new = extended(model.tokenizer, AutoTokenizer.from_pretrained(pair.teacher), rows=pairs.ROWS)
    model.learned = bool(new)
    save_model(model, tmp_path)
    again = load(tmp_path)
    assert again.tokenizer("<think>").input_ids == [pairs.id_of("<think>")]
    assert again.image_processor is not None
    assert learnable(again.tokenizer, TEACHER) == {}
    banned_V = banned_ids(again, load(pair.teacher))
    assert not banned_V[sorted(NEW)].any()
    assert banned_V[pairs.TEACHER_WORDS :].all()
    assert banned_V[[pairs.id_of(word) for word in pairs.SPECIAL[3:]]].all()  # placeholders


def test_a_student_that_learned_nothing_is_saved_with_its_own_files(pair: pairs.Pair, tmp_path: Path) -> None:
    save_model(load(pair.student), tmp_path)
    assert (tmp_path / "tokenizer.json").read_bytes() == (pair.student / "tokenizer.json").read_bytes()


def test_the_report_on_an_extended_pair(pair: pairs.Pair) -> None:
    student, new = table_with(pair.student, pair.teacher)
    found = compared(student, table_with(pair.teacher, None)[0], added=new)
    assert (found.shared, found.clashes, found.student_padded, found.teacher_padded) == (pairs.STUDENT_WORDS, (), 288 - 270, 288 - 270)
    assert [(one.id, one.word, one.of) for one in found.one_sided] == [(i, word, "teacher") for i, word in NEW.items()]
    assert {one.decision for one in found.one_sided} == {"given to the student's tokenizer"}
    assert found.said == pairs.TEACHER_WORDS - len(found.placeholders) == pairs.TEACHER_WORDS - 5


def test_the_report_on_a_pair_that_spells(pair: pairs.Pair) -> None:
    found = compared(table_with(pair.student, None)[0], table_with(pair.teacher, None)[0], spelled=True)
    assert {one.decision for one in found.one_sided} == {"spelled out by the student's own tokens"}
    assert found.said == pairs.STUDENT_WORDS - 5


def test_the_report_names_clashes_and_both_widths() -> None:
    swapped = table_of(pairs.tokenizer(teacher=True, swapped=True), 300)
    found = compared(table_of(STUDENT, 288), swapped)
    assert [i for i, _, _ in found.clashes] == [0, 1]
    assert (found.student_rows, found.teacher_rows, found.shared) == (288, 300, pairs.STUDENT_WORDS - 2)


def test_ids_only_the_student_has_are_told() -> None:
    found = compared(table_of(TEACHER, 288), table_of(STUDENT, 288))
    assert {(one.of, one.decision) for one in found.one_sided} == {("student", "banned while the teacher listens: it cannot decode it")}
    assert speakable([table_of(TEACHER, 288), table_of(STUDENT, 288)]).isdisjoint(NEW)
