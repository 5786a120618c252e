"""Which ids a loaded model, or a loaded pair, may say; and a student's tokenizer that learns the words only its teacher has."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import torch
from tokenizers import AddedToken
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from vold.adapters.models import LanguageModel, table_of, tokenizer_at
from vold.base.errors import ModelError
from vold.core.vocabulary import TokenTable, refuse_disagreement, speakable

Words = Mapping[int, AddedToken]
"""Added tokens by their ids."""


def banned_ids(student: LanguageModel, teacher: LanguageModel | TokenTable | None = None) -> Tensor:
    """A mask over the student's rows, True for ids that leave the sampler and every softmax."""
    other = teacher.table if isinstance(teacher, LanguageModel) else teacher
    tables = [student.table] if other is None else [student.table, other]
    if other is not None:
        refuse_disagreement(student.table, other)
    banned_V = torch.ones(student.head.shape[0], dtype=torch.bool, device=student.device)
    banned_V[sorted(speakable(tables))] = False
    return banned_V


def learnable(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase) -> Words:
    """The added tokens that the teacher has under ids unknown to the student, by id and as the teacher's table holds them (`special` included)."""
    known, words = set(student.get_vocab().values()), student.get_vocab()
    return {i: token for i, token in sorted(teacher.added_tokens_decoder.items()) if i not in known and token.content not in words}


def extended(student: PreTrainedTokenizerBase, teacher: PreTrainedTokenizerBase, *, rows: int) -> tuple[PreTrainedTokenizerBase, Words]:
    """A copy of the student's tokenizer with the teacher's further added tokens under the teacher's ids, and what was added.

    The real pair: Qwen3 has <tool_response>, </tool_response>, <think> and </think> at 151665 to 151668, where Qwen2.5-VL has rows and no words.
    Raises ModelError where the student's embedding (`rows`) lacks a row, or its tokenizer cannot put a word at that id.
    """
    new = learnable(student, teacher)
    if not new:
        return student, {}
    late = [i for i in new if i >= rows]
    if late:
        raise ModelError(
            f"the teacher says {new[late[0]].content!r} with id {late[0]}, but the student's embedding has {rows} rows, so it cannot learn "
            f'{len(late)} such ids. Set student.think_marks = "spell-out", or resize the student\'s embedding.'
        )
    copy = deepcopy(student)
    for token in new.values():
        copy.add_tokens([deepcopy(token)], special_tokens=token.special)
    wrong = [i for i, token in new.items() if copy.convert_tokens_to_ids(token.content) != i]
    if wrong:
        raise ModelError(
            f"the student's tokenizer would give {new[wrong[0]].content!r} the id {copy.convert_tokens_to_ids(new[wrong[0]].content)}, but the "
            f'teacher knows it as {wrong[0]}. Set student.think_marks = "spell-out", or add the {len(new)} tokens to the student by hand.'
        )
    return copy, new


def table_with(student: Path, teacher: Path | None) -> tuple[TokenTable, Words]:
    """The student's token table once it has learned the teacher's further words, and these words; without a teacher its own."""
    tokenizer, rows = tokenizer_at(student)
    if teacher is None:
        return table_of(tokenizer, rows), {}
    other, new = extended(tokenizer, tokenizer_at(teacher)[0], rows=rows)
    return table_of(other, rows), new
