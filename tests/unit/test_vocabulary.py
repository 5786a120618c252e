"""Which ids a pair of models may say."""

import pytest
from support import models as m

from vold.adapters.vocabulary import banned_ids
from vold.base.errors import ModelError
from vold.core.vocabulary import TokenTable, refuse_disagreement, speakable


def table(words: dict[int, str], rows: int = 8, placeholders: tuple[int, ...] = ()) -> TokenTable:
    return TokenTable(words=words, rows=rows, placeholders=frozenset(placeholders))


def test_padded_rows_and_placeholders_are_out() -> None:
    assert speakable([table({0: "a", 1: "b", 3: "<image>"}, placeholders=(3,))]) == {0, 1}


def test_words_without_a_row_are_out() -> None:
    """A tokenizer may know added words its model has no row for."""
    assert speakable([table({0: "a", 1: "b", 9: "late"}, rows=2)]) == {0, 1}


def test_a_pair_says_what_both_can_say() -> None:
    student = table({0: "a", 1: "b", 2: "c"}, placeholders=(1,))
    teacher = table({0: "a", 1: "b", 3: "d"})
    assert speakable([student, teacher]) == speakable([teacher, student]) == {0}
    assert speakable([]) == frozenset()


def test_one_id_with_two_meanings_is_refused() -> None:
    with pytest.raises(ModelError, match=r"disagree on 2 token ids, the first is 1: 'b' against 'B'"):
        refuse_disagreement(table({0: "a", 1: "b", 2: "c"}), table({0: "a", 1: "B", 2: "C"}))


def test_ids_only_one_of_them_knows_are_no_disagreement() -> None:
    refuse_disagreement(table({0: "a", 1: "b"}), table({0: "a", 2: "c"}))


def test_the_laptop_worlds_pair(world: m.World) -> None:
    """Four placeholders and the rows without a word leave; end of turn, padding and think marks stay."""
    student, teacher = world.student32, world.fresh("teacher", dtype="float32")
    banned_V = banned_ids(student, teacher)
    words = student.tokenizer.get_vocab()
    assert banned_V.shape == (64,)
    assert {word for word, i in words.items() if banned_V[i]} == {"<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"}
    assert banned_V[len(words) :].all()
    assert banned_V.tolist() == banned_ids(student).tolist()


def test_a_pair_with_other_tokenizers_is_refused(world: m.World) -> None:
    student, teacher = world.student32, world.fresh("teacher", dtype="float32")
    swapped = {i: word for word, i in teacher.tokenizer.get_vocab().items()} | {9: "1", 10: "0"}
    with pytest.raises(ModelError, match="share"):
        refuse_disagreement(student.table, table(swapped, rows=64))
