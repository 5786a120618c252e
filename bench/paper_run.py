"""GPU-hours of the paper's whole run: the teacher's corpus, alignment and sixty joint steps of Qwen2.5-VL-3B under Qwen3-8B.

    python bench/paper_run.py                                  # at an H200's measured ceilings: what nobody can go below
    python bench/paper_run.py --flops 400e12 --bandwidth 3e12  # at other machine constants
    python bench/paper_run.py --rates step.json sft.json       # at the rates that the benches' JSON holds for these models, where it does
    python bench/paper_run.py --quick --json out.json

Ideal seconds are the accountant's: each operator's slower side, computing or moving bytes, one after the other. A measured rate (tokens a second
of a phase, from a bench that ran these very shapes) takes the place of the ideal one. Decoding has no bench of its own here and stays ideal unless
--decode gives the part of the ideal rate that an engine reaches. Every formula is printed with its numbers.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parts.traces import Trace

from vold.adapters.facts import hardware, versions
from vold.core import roofline
from vold.core.plan import plan_of
from vold.core.roofline import Cost, Machine, Shape, Span
from vold.core.zoo import VOLD

STUDENT = Shape(layers=36, hidden=2048, intermediate=11_008, heads=16, kv_heads=2, head_dim=128, vocabulary=151_936, tied=True)
TEACHER = Shape(layers=36, hidden=4096, intermediate=12_288, heads=32, kv_heads=8, head_dim=128, vocabulary=151_936, tied=False)
PAPER = "Qwen2.5-VL-3B and Qwen3-8B"
"""What the benches call these shapes."""
PROMPT, TRACE, TRACES = 150, 3500, 205_000
"""Tokens of a prompt and of a prompt with its trace, assumed; traces the paper aligns to."""
SFT_STEPS, SFT_BATCH, RL_STEPS, PROMPTS, RESPONSE, CAP = 4000, 256, 60, 256, 2000, 8192


def main() -> None:
    given = asked()
    machine = Machine(flops=given.flops, bandwidth=given.bandwidth)
    rates = rates_in(given.rates)
    print(f"machine: {machine.flops / 1e12:.0f} TFLOP/s, {machine.bandwidth / 1e12:.1f} TB/s; decoding at {given.decode:.0%} of its ideal")
    corpus_tokens = TRACES * (TRACE - PROMPT)
    batch = [[Span(PROMPT, TRACE - PROMPT)] for _ in range(256)]  # enough in flight for the matrices to be bound by arithmetic
    corpus = TEACHER.decoding(batch).seconds(machine) * TRACES / len(batch) / given.decode
    rows = [told("corpus, decoding", corpus, corpus_tokens, f"{TRACES} traces x decode({TRACE - PROMPT} tokens, Qwen3-8B)", "ideal")]

    sft_tokens = SFT_STEPS * SFT_BATCH * TRACE
    one = STUDENT.training([Span(PROMPT, TRACE - PROMPT)] * SFT_BATCH) + STUDENT.stepping()
    rows.append(phase("sft", "SFT", one, SFT_STEPS, sft_tokens, machine, rates, f"{SFT_STEPS} steps x train({SFT_BATCH} x {TRACE} tokens)"))

    trace = Trace(accuracy=0.45, equal=False, prompts=16 if given.quick else PROMPTS, mean=RESPONSE, cap=CAP, prompt=PROMPT)
    groups, scale = trace.groups(range(2, 100), 1), PROMPTS // trace.prompts
    plan = plan_of(VOLD, step=0, length_cap=CAP)
    step = roofline.Step(student=STUDENT, teacher=TEACHER, groups=groups * scale, plan=plan).ideal()
    said = roofline.fractions(groups, plan)
    scored, trained = roofline.scored_in(groups, plan), roofline.trained_in(groups, plan)
    print(f"a joint step: never scored {said['work/never_scored']:.0%}, never trained {said['work/never_trained']:.0%} of its tokens")
    tokens = scale * sum(span.response for span in roofline.spans_in(groups))
    decode = RL_STEPS * step["rollouts"].seconds(machine) / given.decode
    rows.append(told("joint, rollouts", decode, RL_STEPS * tokens, f"{RL_STEPS} steps x decode({tokens} tokens)", "ideal"))
    for name, key, cost, spans in (("teacher", "teacher", step["teacher"], scored), ("train", "update", step["update"], trained)):
        pushed = scale * sum(span.length for span in spans)
        what = f"{RL_STEPS} steps x {key}({pushed} tokens)"
        rows.append(phase(name, f"joint, {key}", cost, RL_STEPS, RL_STEPS * pushed, machine, rates, what))
    optimizer = RL_STEPS * (step["optimizer"].seconds(machine) + step["sync"].seconds(machine))
    rows.append(told("joint, optimizer", optimizer, 0, f"{RL_STEPS} steps x 30 bytes x {STUDENT.parameters / 1e9:.2f} B numbers", "ideal"))

    total = sum(row["seconds"] for row in rows) / 3600
    print(f"{'all':22}{total:10.2f} GPU-h")
    if given.json:
        figures = {"paper_run.gpu_hours": total}
        record = {"hardware": hardware(1), "versions": versions(), "rows": rows, "figures": figures}
        given.json.write_text(json.dumps(record, indent=1) + "\n")


def asked() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true", help="a joint step of 16 prompts, counted sixteen times")
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--flops", type=float, default=790e12)
    arguments.add_argument("--bandwidth", type=float, default=4.3e12)
    arguments.add_argument("--decode", type=float, default=1.0)
    arguments.add_argument("--rates", type=Path, nargs="*", default=[])
    return arguments.parse_args()


def rates_in(files: Sequence[Path]) -> dict[str, float]:
    """Tokens a second of each phase our rows measured with the paper's shapes, the best of several."""
    found: dict[str, float] = {}
    for file in files:
        ours = [row for row in json.loads(file.read_text())["rows"] if row["row"] == "ours" and row.get("size") == PAPER]
        if not ours:
            print(f"{file.name}: no row of ours with {PAPER}; its phases stay ideal")
        for row in ours:
            told = row["rates"] if "rates" in row else {"sft": row["tokens_per_second"]}
            found |= {name: max(rate, found.get(name, 0.0)) for name, rate in told.items()}
    return found


def phase(key: str, name: str, cost: Cost, times: int, tokens: int, machine: Machine, rates: dict[str, float], formula: str) -> dict[str, Any]:
    """A phase at its measured rate where there is one."""
    if key in rates:
        return told(name, tokens / rates[key], tokens, f"{formula} at {rates[key]:.0f} tokens/s", "measured")
    return told(name, times * cost.seconds(machine), tokens, f"{formula} = {times * cost.flops / 1e18:.1f} EFLOP", "ideal")


def told(name: str, seconds: float, tokens: int, formula: str, source: str) -> dict[str, Any]:
    print(f"{name:22}{seconds / 3600:10.2f} GPU-h  {source:9} {formula}")
    return {"row": name, "seconds": seconds, "gpu_hours": seconds / 3600, "tokens": tokens, "formula": formula, "from": source}


if __name__ == "__main__":
    main()
