"""Generation side by side: our engine, plain `generate`, continuous batching.

    python bench/rollout.py --quick
    python bench/rollout.py --json out.json

All sample answers of the same lengths to the same prompts from the same weights: the end token is banned until a row's length is reached, then
forced. Lengths are log-normal with a coefficient of variation of 0.75. Everything runs in turn and in one process, on a CPU in one thread; a first
turn over a few prompts does not count. Ours also says how likely each token was; the others are not asked. Waste is the part of the positions
pushed through the layers while decoding that holds no token of an answer; the last row is the machine's limit. Prints a table; --json writes
{"hardware", "versions", "rows", "figures"}.
"""

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from parts import steps
from parts.rollouts import Bench, Case, Found, lengths_of
from parts.worlds import PAPER, TINY, speaker_of

from vold.adapters.metering import measured, shape_in
from vold.adapters.templates import Template
from vold.base.types import Problem
from vold.core.roofline import Span

OURS, OVER_GENERATE, GENERATE, STATIC, CONTINUOUS, VLLM = (
    "ours", "ours, through generate", "generate", "generate, static cache", "continuous batching", "vLLM (information)",
)  # fmt: skip

Way = Callable[[Bench], Found]
FEW, SHORT = 4, 64
"""Prompts of the turn that does not count, and how long its answers are at most."""


def case_of(*, quick: bool, cuda: bool) -> Case:
    if cuda:
        paper = Case(size=PAPER, prompts=51, copies=5, mean=128, cap=512, prompt=150, passes=2)
        return replace(paper, prompts=12, mean=64, cap=256, passes=1) if quick else paper
    return Case(size=TINY, prompts=64, copies=5, mean=64, cap=256, prompt=16, passes=2 if quick else 7)


# -- measuring ------------------------------------------------------------------------------------------------------------------------


def main() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)  # as the recipes of the laptop world have it: at this size threads mostly wait for each other
    given = steps.asked(__doc__)
    case = case_of(quick=given.quick, cuda=device.type == "cuda")
    bench = made(case, device)
    ways: dict[str, Way] = {OURS: lambda of: of.ours("auto"), GENERATE: Bench.generate, CONTINUOUS: Bench.continuous}
    if not given.quick:
        ways[STATIC] = lambda of: of.generate(cache_implementation="static")
        if device.type == "cpu":
            ways[OVER_GENERATE] = lambda of: of.ours("generate")
    if find_spec("vllm") is not None:
        ways[VLLM] = Bench.vllm
    print(f"{case.name}: {bench.tokens} tokens, the longest {max(map(max, bench.lengths))}")
    found = in_turn(ways, bench)
    if VLLM not in found:
        print("  vLLM is not installed here: not measured")
    rows = [row_of(way, times) for way, times in found.items() if times]
    seconds = {row["row"]: row["seconds"] for row in rows}
    peers = [seconds[way] for way in (GENERATE, STATIC, CONTINUOUS) if way in seconds]
    figures = {"rollout.vs_best": min(peers) / seconds[OURS]}
    figures |= {f"rollout.vs_{way.split()[0]}": seconds[way] / seconds[OURS] for way in (GENERATE, CONTINUOUS) if way in seconds}
    ideal = limit(bench)
    rows.append({"row": "the machine's limit", "seconds": ideal, "spread": 0.0, "tokens_per_second": bench.tokens / ideal, "waste": 0.0})
    figures["rollout.of_roofline"] = ideal / seconds[OURS]
    table(rows, seconds[OURS])
    steps.record(given.json, [{"case": case.name, **row} for row in rows], figures)


def made(case: Case, device: torch.device) -> Bench:
    speaker = speaker_of(case.size, device)
    draw = random.Random(1)
    words = [word for word, i in speaker.tokenizer.get_vocab().items() if i >= 20 and not word.startswith("<")]
    problems = [
        Problem(
            id=f"p{place}", prompt=" ".join(draw.choices(words, k=max(2, round(case.prompt * draw.uniform(0.5, 1.5))))), answer=None, source="bench"
        )
        for place in range(case.prompts)
    ]
    return Bench(case=case, speaker=speaker, problems=problems, lengths=lengths_of(case))


def in_turn(ways: dict[str, Way], bench: Bench) -> dict[str, list[Found]]:
    """Each way once a pass, one after the other, after a turn over a few prompts; a way that fails is said and left out."""
    short = [[min(length, SHORT) for length in own] for own in bench.lengths[:FEW]]
    few = replace(bench, case=replace(bench.case, prompts=FEW), problems=bench.problems[:FEW], lengths=short)
    found: dict[str, list[Found]] = {way: [] for way in ways}
    failed: set[str] = set()
    for turn in range(bench.case.passes + 1):
        for way, act in ways.items():
            if way in failed:
                continue
            try:
                one = act(bench if turn or way == STATIC else few)  # a static cache is compiled, on a GPU for every size anew
            except Exception as error:  # a peer's failure is a result too
                if way == OURS:
                    raise
                print(f"  {way} failed: {type(error).__name__}: {error}")
                failed.add(way)
                found[way] = []
                continue
            if turn:
                found[way].append(one)
                print(f"  {way}: {one.seconds:.3f} s", flush=True)
    return found


def row_of(way: str, times: Sequence[Found]) -> dict[str, Any]:
    seconds = [one.seconds for one in times]
    middle = statistics.median(seconds)
    spread = (max(seconds) - min(seconds)) / 2
    return {
        "row": way,
        "seconds": middle,
        "spread": spread,
        "tokens_per_second": times[0].tokens / middle,
        "waste": 1 - times[0].tokens / times[0].pushed,
    }


def limit(bench: Bench) -> float:
    """Seconds that the machine would take at its two measured speeds, one operator after the other."""
    template = Template(of=bench.speaker)
    groups = [[Span(len(template.ids(problem)), length) for length in own] for problem, own in zip(bench.problems, bench.lengths, strict=True)]
    return shape_in(bench.speaker).decoding(groups).seconds(measured(bench.device, bench.speaker.head.dtype))


def table(rows: Sequence[dict[str, Any]], ours: float) -> None:
    print(f"  {'way':24}{'s':>9}{'± s':>8}{'tokens/s':>11}{'waste':>8}{'over ours':>11}")
    for row in rows:
        pace = f"{row['tokens_per_second']:11.0f}{row['waste']:8.0%}{row['seconds'] / ours:11.2f}"
        print(f"  {row['row']:24}{row['seconds']:9.3f}{row['spread']:8.3f}{pace}")


if __name__ == "__main__":
    main()
