"""Records to JSON and back."""

import base64
from typing import Any

from vold.base.types import Problem, Ruling, Trace, Verdict


def problem_to_json(problem: Problem) -> dict[str, Any]:
    out: dict[str, Any] = {"id": problem.id, "prompt": problem.prompt, "answer": problem.answer, "source": problem.source}
    if problem.difficulty is not None:
        out["difficulty"] = problem.difficulty
    if problem.images:
        out["images"] = [base64.b64encode(image).decode() for image in problem.images]
    if problem.system:
        out["system"] = problem.system
    if problem.instructed:
        out["instructed"] = True
    if problem.origin:
        out["origin"] = problem.origin
    if problem.interleaved:
        out["interleaved"] = True
    return out


def problem_from_json(row: dict[str, Any]) -> Problem:
    return Problem(
        id=row["id"],
        prompt=row["prompt"],
        answer=row["answer"],
        source=row["source"],
        difficulty=row.get("difficulty"),
        images=tuple(base64.b64decode(image) for image in row.get("images", ())),
        system=row.get("system", ""),
        instructed=row.get("instructed", False),
        origin=row.get("origin", ""),
        interleaved=row.get("interleaved", False),
    )


def verdict_to_json(verdict: Verdict | None) -> dict[str, Any] | None:
    """What is not said of every answer (a reward of the judge's own, the letter-for-letter comparison) stands there only where it is known."""
    if verdict is None:
        return None
    row: dict[str, Any] = {"ruling": verdict.ruling.value, "extracted": verdict.extracted, "note": verdict.note}
    return row | {name: value for name, value in (("reward", verdict.reward), ("exact", verdict.exact)) if value is not None}


def verdict_from_json(row: dict[str, Any]) -> Verdict:
    return Verdict(ruling=Ruling(row["ruling"]), extracted=row["extracted"], note=row["note"], reward=row.get("reward"), exact=row.get("exact"))


def trace_to_json(trace: Trace) -> dict[str, Any]:
    out: dict[str, Any] = {
        "problem": problem_to_json(trace.problem),
        "response": trace.response,
        "response_ids": None if trace.response_ids is None else list(trace.response_ids),
        "verdict": verdict_to_json(trace.verdict),
    }
    return out if trace.num_tokens is None else out | {"num_tokens": trace.num_tokens}


def trace_from_json(row: dict[str, Any]) -> Trace:
    verdict = row["verdict"]
    return Trace(
        problem=problem_from_json(row["problem"]),
        response=row["response"],
        response_ids=None if row["response_ids"] is None else tuple(row["response_ids"]),
        verdict=None if verdict is None else verdict_from_json(verdict),
        num_tokens=row.get("num_tokens"),
    )
