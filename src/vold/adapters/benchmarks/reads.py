"""Which part of a response a benchmark's own rule reads: these rules were written for answers without a chain of thought before them."""

from typing import Literal

from vold.core.answers import last_boxed

Reads = Literal["auto", "whole", "after-think", "boxed", "answer-tag"]


def read_part(response: str, reads: Reads, *, asked_for_box: bool = False) -> str:
    """The part of a response: all of it, what follows the last </think>, the last box in that, or the last <answer> tag in it.

    Where there is no box or no tag, what follows the thinking is read. `auto` is `boxed` where the prompt asked for one, else `after-think`.
    """
    if reads == "whole":
        return response
    said = response.rpartition("</think>")[2]
    if reads == "answer-tag":
        end = said.rfind("</answer>")
        start = said.rfind("<answer>", 0, max(end, 0))
        return said[start + len("<answer>") : end] if start >= 0 else said
    if reads == "boxed" or (reads == "auto" and asked_for_box):
        boxed = last_boxed(said)
        return said if boxed is None else boxed
    return said
