"""Which ids a loaded model, or a loaded pair, may say."""

import torch
from torch import Tensor

from vold.adapters.models import LanguageModel
from vold.core.vocabulary import refuse_disagreement, speakable


def banned_ids(student: LanguageModel, teacher: LanguageModel | None = None) -> Tensor:
    """A mask over the student's rows, True for ids that leave the sampler and every softmax."""
    tables = [student.table] if teacher is None else [student.table, teacher.table]
    if teacher is not None:
        refuse_disagreement(student.table, teacher.table)
    banned_V = torch.ones(student.head.shape[0], dtype=torch.bool, device=student.device)
    banned_V[sorted(speakable(tables))] = False
    return banned_V
