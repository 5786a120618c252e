"""An evaluation on disk: every answer with its verdicts, and some answers in full beside their problems."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vold.base.files import write_text
from vold.base.types import Answer


def write_answers(folder: Path, row: str, answers: Sequence[Answer], *, examples: int) -> None:
    """`answers.jsonl` (all, without pictures) and `examples.jsonl` (some of every benchmark, spread over it, in full)."""
    write_text(folder / "answers.jsonl", "".join(_line(_brief(answer)) for answer in answers))
    write_text(folder / "examples.jsonl", "".join(_line(_full(row, answer)) for answer in _chosen(answers, examples)))


def _chosen(answers: Sequence[Answer], count: int) -> list[Answer]:
    """`count` answers of each benchmark and way, evenly spread over its problems: the same problems for every model."""
    chosen: list[Answer] = []
    for key in dict.fromkeys((answer.benchmark, answer.way) for answer in answers):
        own = [answer for answer in answers if (answer.benchmark, answer.way) == key and answer.rollout.sample == 0]
        places = sorted({(2 * n + 1) * len(own) // (2 * count) for n in range(count)}) if count else []
        chosen += [own[place] for place in places]
    return chosen


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False) + "\n"


def _brief(answer: Answer) -> dict[str, Any]:
    rollout = answer.rollout
    first = next(iter(answer.verdicts.values()))
    put_in = sum(not sampled for sampled in rollout.sampled)
    return {
        "benchmark": answer.benchmark,
        "way": answer.way,
        "problem": rollout.problem.id,
        "sample": rollout.sample,
        "answer": rollout.problem.answer,
        "text": rollout.text,
        "finish": rollout.finish.value,
        "tokens": len(rollout.response_ids),
        **({"inserted": put_in} if put_in else {}),
        "ruling": first.ruling.value,
        "extracted": first.extracted,
        "verdicts": {mode: {"ruling": v.ruling.value, "extracted": v.extracted, "note": v.note} for mode, v in answer.verdicts.items()},
    }


def _full(row: str, answer: Answer) -> dict[str, Any]:
    problem = answer.rollout.problem
    image = base64.b64encode(problem.images[0]).decode() if problem.images else None
    shown = {"id": problem.id, "prompt": problem.prompt, "answer": problem.answer, "difficulty": problem.difficulty, "image": image}
    return {**_brief(answer), "row": row, "problem": shown}
