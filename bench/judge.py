"""How often the judge is wrong, how fast it is, and whether anything a model may write holds it up.

    python bench/judge.py                        # 10,000 generated answers and the hostile set
    python bench/judge.py --full                 # 100,000
    python bench/judge.py --quick                # 900; two CPU cores, under two minutes
    python bench/judge.py --oracles DATA         # real answers against published verdicts: counts, and every disagreement; some minutes
    python bench/judge.py --json out.json

Generated answers are rewritings of a drawn reference, or near misses of it; their truth is known by how they were made, never by asking a judge.
The last row, `choice`, has sentences about options and the judge of options; it is not in the row of all.
Prints tables and, with --json, writes {"hardware", "versions", "rows", "figures"}. Shares come with their 95 % Wilson intervals.
"""

import argparse
import gzip
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vold.adapters.facts import hardware, versions
from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.adapters.judges.hostile import hostile
from vold.adapters.judges.trials import KINDS, Trial, choices, trials
from vold.base.types import Ruling, Verdict
from vold.core.answers import find_answer, last_boxed
from vold.core.choices import gold_letters, letter_in, letters_in
from vold.core.latex import tidy
from vold.core.readings import Value, read
from vold.core.stats import wilson

Row = dict[str, Any]
BATCH = 1280
"""Answers of a step of the paper: 256 prompts, five rollouts each."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--full", action="store_true")
    arguments.add_argument("--oracles", type=Path, metavar="DATA")
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--workers", type=int, default=0)
    arguments.add_argument("--deadline", type=float, default=0.0, help="seconds for one answer (0: 5, or 1 with --quick)")
    arguments.add_argument("--json", type=Path)
    given = arguments.parse_args()
    with EquivalenceJudge(deadline=given.deadline or (1.0 if given.quick else 5.0), workers=given.workers) as judge:
        print(f"{hardware(1)['processor']}, {judge.pool.limits.crew} processes")
        if given.oracles:
            record = of_oracles(judge, given.oracles)
        else:
            record = of_trials(judge, 900 if given.quick else 100_000 if given.full else 10_000, given.seed)
    if given.json:
        facts = {"hardware": {**hardware(1), "workers": judge.pool.limits.crew}, "versions": versions()}
        given.json.write_text(json.dumps({**facts, **record}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def of_trials(judge: EquivalenceJudge, count: int, seed: int) -> Row:
    """Verdicts on generated answers, by kind and together, and the hostile set."""
    drawn = list(trials(count, seed))
    judge.compare([(r"\sqrt{8}", r"2\sqrt{2}")])  # the start of the processes is not the speed of the judge
    verdicts: list[Verdict] = []
    spent: list[float] = []
    for start in range(0, count, BATCH):
        begun = time.perf_counter()
        verdicts += judge.compare([(trial.answer, trial.gold) for trial in drawn[start : start + BATCH]])
        spent.append(time.perf_counter() - begun)
    seconds = sum(spent)
    rows = [_tally(kind, [(t, v) for t, v in zip(drawn, verdicts, strict=True) if t.kind == kind], seconds / count) for kind in KINDS]
    total = _tally("all", list(zip(drawn, verdicts, strict=True)), seconds / count)
    fast = sum(v.note == "" for v in verdicts)
    survived, options = of_hostile(judge), of_choices(max(300, count // 10), seed)
    _show([*rows, total, options])
    print(f"{count / seconds:.0f} verdicts a second, {fast / count:.0%} of them without algebra; hostile: {survived}")
    figures = {f"judge.{name}": total[name] for name in ("false_right", "false_wrong", "unjudged")}
    figures |= {f"judge.{name}_at_most": total[f"{name}_interval"][1] for name in ("false_right", "false_wrong")}
    figures |= {"judge.verdicts_per_second": count / seconds, "judge.fast_share": fast / count, "judge.hostile_right": survived["right"]}
    figures |= {f"judge.{name}": survived[name] for name in ("hung", "executed", "left_behind", "answers_afterwards")}
    missed = [
        {"kind": t.kind, "answer": t.answer, "gold": t.gold, "same": t.same, "ruling": str(v.ruling), "note": v.note}
        for t, v in zip(drawn, verdicts, strict=True)
        if bad(t, v)
    ]
    figures |= {f"judge.choice_{name}": options[name] for name in ("false_right", "false_wrong")}
    rows = [*rows, total, options, {"row": "hostile", **survived}]
    return {"answers": count, "seed": seed, "rows": rows, "mistakes": missed[:200], "figures": figures}


def of_choices(count: int, seed: int) -> Row:
    """Verdicts of the judge of options on generated sentences."""
    drawn, begun = list(choices(count, seed)), time.perf_counter()
    same = [letters_in(trial.answer) == gold_letters(trial.gold) for trial in drawn]
    verdicts = [Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=t.answer) for t, right in zip(drawn, same, strict=True)]
    return _tally("choice", list(zip(drawn, verdicts, strict=True)), (time.perf_counter() - begun) / count)


def bad(trial: Trial, verdict: Verdict) -> bool:
    """Whether a verdict is not the truth."""
    return verdict.ruling is not (Ruling.RIGHT if trial.same else Ruling.WRONG)


def _tally(kind: str, judged: list[tuple[Trial, Verdict]], seconds_each: float) -> Row:
    missed = [v.ruling for t, v in judged if not t.same]
    same = [v.ruling for t, v in judged if t.same]
    false_right, false_wrong = missed.count(Ruling.RIGHT), same.count(Ruling.WRONG)
    unjudged = sum(v.ruling is Ruling.UNJUDGED for _, v in judged)
    return {
        "row": kind, "near_misses": len(missed), "rewritings": len(same), "seconds": seconds_each * len(judged),
        "false_right": false_right, "false_right_interval": wilson(false_right / max(1, len(missed)), len(missed)),
        "false_wrong": false_wrong, "false_wrong_interval": wilson(false_wrong / max(1, len(same)), len(same)), "unjudged": unjudged,
    }  # fmt: skip


def _show(rows: Iterable[Row]) -> None:
    print(f"{'kind':14}{'near misses':>12}{'called right':>14}{'95 %':>18}{'rewritings':>12}{'called wrong':>14}{'95 %':>18}{'unjudged':>10}")
    for row in rows:
        spans = ["{:.2%} … {:.2%}".format(*row[f"{name}_interval"]) for name in ("false_right", "false_wrong")]
        left = f"{row['row']:14}{row['near_misses']:>12}{row['false_right']:>14}{spans[0]:>18}"
        print(f"{left}{row['rewritings']:>12}{row['false_wrong']:>14}{spans[1]:>18}{row['unjudged']:>10}")


def of_hostile(judge: EquivalenceJudge) -> Row:
    """Each hostile answer by itself against three references: how long it took, whether it did anything, and whether the judge still works."""
    limit = judge.pool.limits.deadline + 1.5  # the time to start a fresh process and to be heard
    with tempfile.TemporaryDirectory() as folder:
        canary = Path(folder) / "canary"
        answers = hostile(str(canary))
        longest, hung, right, unjudged, begun = 0.0, 0, 0, 0, time.perf_counter()
        for answer in answers.values():
            start = time.perf_counter()
            (verdict,) = judge.compare([(answer, r"3\pi+\frac{1}{7}")])
            took = time.perf_counter() - start
            longest, hung = max(longest, took), hung + (took > limit)
            right, unjudged = right + (verdict.ruling is Ruling.RIGHT), unjudged + (verdict.ruling is Ruling.UNJUDGED)
        seconds, executed = time.perf_counter() - begun, int(any(Path(folder).iterdir()))
    afterwards = [v.ruling for v in judge.compare([(r"\sqrt{8}", r"2\sqrt{2}"), (r"\sqrt{8}", r"3\sqrt{2}")])] == [Ruling.RIGHT, Ruling.WRONG]
    keeper = judge.pool.keeper_pid
    judge.close()
    return {
        "answers": len(answers), "seconds": seconds, "longest": longest, "hung": hung, "right": right, "unjudged": unjudged, "executed": executed,
        "answers_afterwards": int(afterwards), "left_behind": 0 if keeper is None else _in_session(keeper),
    }  # fmt: skip


def _in_session(session: int) -> int:
    """Processes of the keeper's session that still live."""
    found = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        found += int(its_session) == session and state not in "ZX" and int(stat.parent.name) != os.getpid()
    return found


@dataclass
class Agreement:
    """Our verdicts beside somebody else's."""

    source: str
    compared: int = 0
    agree: int = 0
    seconds: float = 0.0
    disagreements: list[Row] = field(default_factory=list)

    def note(self, ours: object, theirs: object, **what: object) -> None:
        self.compared += 1
        if type(ours) is type(theirs) and ours == theirs:
            self.agree += 1
        else:
            self.disagreements.append({"ours": ours, "theirs": theirs, **what})


def of_oracles(judge: EquivalenceJudge, data: Path) -> Row:
    """Agreement with every oracle under a folder of real data."""
    found: list[Agreement] = []
    for compare in ORACLES:
        begun = time.perf_counter()
        pages = compare(judge, data)
        for page in pages:
            page.seconds = (time.perf_counter() - begun) / len(pages)
        found += pages
    print(f"{'source':58}{'compared':>10}{'agree':>8}{'disagree':>10}")
    for page in found:
        print(f"{page.source:58}{page.compared:>10}{page.agree:>8}{len(page.disagreements):>10}")
        for one in page.disagreements:
            print("   ", json.dumps(one, ensure_ascii=False)[:240])
    rows = [{"row": p.source, "compared": p.compared, "agree": p.agree, "seconds": p.seconds, "disagreements": p.disagreements} for p in found]
    return {"rows": rows, "figures": {f"judge.oracle_agreement {p.source}": p.agree / max(1, p.compared) for p in found}}


def lines(data: Path, name: str) -> list[Row]:
    return [json.loads(line) for line in gzip.open(data / name, "rt", encoding="utf-8")]


def right(judge: EquivalenceJudge, pairs: list[tuple[str | None, str]]) -> list[Any]:
    """True, False or `unjudged` for each; an answer that was not found is wrong."""
    verdicts = iter(judge.compare([(answer, gold) for answer, gold in pairs if answer is not None]))
    rulings = [Ruling.WRONG if answer is None else next(verdicts).ruling for answer, _ in pairs]
    return ["unjudged" if ruling is Ruling.UNJUDGED else ruling is Ruling.RIGHT for ruling in rulings]


def gsm8k(judge: EquivalenceJudge, data: Path) -> list[Agreement]:
    """Published solutions with the verdicts of their publishers."""
    rows = lines(data, "gsm8k/oracle_model_solutions.jsonl.gz")
    pages = [Agreement("gsm8k solutions: equal numbers"), Agreement("gsm8k solutions: the repository's verdict")]
    answers = [find_answer(row["response"], ("answer-line",)) for row in rows]
    for row, answer, ours in zip(rows, answers, right(judge, [(a, row["gold"]) for a, row in zip(answers, rows, strict=True)]), strict=True):
        for page, name in zip(pages, ("number_equal", "is_correct_in_repo"), strict=True):
            page.note(ours, row[name], answer=answer, gold=row["gold"])
    return pages


def traces(judge: EquivalenceJudge, data: Path) -> list[Agreement]:
    """Responses of a model trained on GSM8K, with the verdict of its trainer."""
    rows, page = lines(data, "mot_sample/qwen25_3b_rl_think_gsm8k.jsonl.gz"), Agreement("responses of a trained 3B model: their verdict")
    answers = [find_answer(row["response"], ("answer-tag", "boxed")) for row in rows]
    for row, answer, ours in zip(rows, answers, right(judge, [(a, row["gold"]) for a, row in zip(answers, rows, strict=True)]), strict=True):
        page.note(ours, bool(row["verdict"]), answer=answer, gold=row["gold"], extracted=row["extracted"])
    return [page]


def graders(judge: EquivalenceJudge, data: Path) -> list[Agreement]:
    """1,526 pairs with the verdicts of three published graders."""
    rows = lines(data, "scorer_vectors/answer_equality.jsonl.gz")
    names = ("verl_is_equiv", "prm800k_grade_answer", "mathruler_grade_answer")
    pages = {name: Agreement(f"answer pairs: {name}") for name in names}
    unanimous = Agreement("answer pairs: where all three agree")
    for row, ours in zip(rows, right(judge, [(row["given"], row["gold"]) for row in rows]), strict=True):
        for name in names:
            pages[name].note(ours, bool(row[name]), given=row["given"], gold=row["gold"])
        if len({bool(row[name]) for name in names}) == 1:
            unanimous.note(ours, bool(row[names[0]]), given=row["given"], gold=row["gold"])
    return [*pages.values(), unanimous]


GOLDS = ("orz57k/orz57k_prefix", "orz57k/orz72k_extended_prefix", "math500/test", "math_train/math_train")


def references(judge: EquivalenceJudge, data: Path, names: Sequence[str] = GOLDS) -> list[Agreement]:
    """Real references: can they be read, are they themselves, are they what they are rewritten to, and not what they are bent to."""
    pages = []
    for name in names:
        golds = [row["answer"] for row in lines(data, f"{name}.jsonl.gz") if row["answer"]]
        readable = Agreement(f"{name}: readable")
        for gold, reason in zip(golds, judge.unreadable(golds), strict=True):
            readable.note(reason is None, True, gold=gold, reason=reason)
        good = [gold for gold, reason in zip(golds, judge.unreadable(golds), strict=True) if reason is None]
        pages += [readable, _against(judge, f"{name}: itself", good, lambda gold: [gold], True)]
        pages += [_against(judge, f"{name}: rewritten", good, rewritten, True), _against(judge, f"{name}: near misses", good, missed, False)]
    return pages


def _against(judge: EquivalenceJudge, source: str, golds: list[str], make: Callable[[str], list[str]], same: bool) -> Agreement:
    page = Agreement(source)
    pairs: list[tuple[str | None, str]] = [(answer, gold) for gold in golds for answer in make(gold)]
    for (answer, gold), ours in zip(pairs, right(judge, pairs), strict=True):
        page.note(ours, same, answer=answer, gold=gold)
    return page


def rewritten(gold: str) -> list[str]:
    """The same reference in other dress: typesetting that means nothing."""
    found = [f"  {gold} ", gold + "."] if not gold.rstrip().endswith((".", "\\")) else [f"  {gold} "]
    if "$" not in gold and r"\(" not in gold:
        found += [f"${gold.strip()}$", rf"\({gold.strip()}\)"]
    if r"\frac" in gold:
        found += [gold.replace(r"\frac", r"\dfrac"), gold.replace(r"\frac", r"\tfrac")]
    if r"\left" not in gold and gold.strip()[:1] in "([" and gold.strip()[-1:] in ")]" and gold.count("(") + gold.count("[") == 1:
        found.append(rf"\left{gold.strip()[:-1]}\right{gold.strip()[-1]}")
    reading = read(gold)
    if isinstance(reading, Value) and reading.number is not None and not reading.unit and not reading.percent and not reading.ratio:
        number = reading.number
        found += [
            rf"\frac{{{3 * number.numerator}}}{{{3 * number.denominator}}}",
            f"x = {tidy(gold)}",
            rf"{tidy(gold)} \text{{ units}}",
            f"+{tidy(gold)}".replace("+-", "-"),
        ]
    return found


def missed(gold: str) -> list[str]:
    """References that are not this one: one more, the other sign, other brackets, another exponent."""
    reading, plain = read(gold), tidy(gold)
    if isinstance(reading, Value) and reading.number is not None:
        number = reading.number
        one_more = rf"\frac{{{number.numerator + number.denominator}}}{{{number.denominator}}}"
        return [one_more, rf"-\left({plain}\right)" if number else "1", f"{plain}, {plain}", f"{float(number) + 0.0001:.6f}"]
    if isinstance(reading, Value) and not re.fullmatch(r"[A-Za-z]", plain) and r"\infty" not in plain and not reading.unit and not reading.percent:
        return [f"{plain}+1", f"2({plain})", f"({plain})({plain}+1)"]
    if re.fullmatch(r"\([^()]*,[^()]*\)", plain):
        return [f"[{plain[1:-1]}]", rf"\{{{plain[1:-1]}\}}", f"({plain[1:-1]}, 0)"]
    return [f"{plain} , 1"] if "," in plain else []


def boxes(judge: EquivalenceJudge, data: Path) -> list[Agreement]:  # noqa: ARG001
    """What other libraries take out of the box."""
    rows = lines(data, "scorer_vectors/boxed_extraction.jsonl.gz")
    pages = []
    for name, none in (("verl_boxed", None), ("mathruler_boxed", "None"), ("lmms_boxed", "")):
        page = Agreement(f"boxes: {name}")
        for row in rows:
            theirs = None if row[name] == none else row[name].strip()
            page.note(last_boxed(row["text"]), theirs, text=row["text"][-80:])
        pages.append(page)
    return pages


def letters(judge: EquivalenceJudge, data: Path) -> list[Agreement]:  # noqa: ARG001
    """The option that VLMEvalKit's rule finds in real responses: Z where none."""
    pages = [Agreement("option letters: can_infer"), Agreement("option letters: where both name one")]
    for row in lines(data, "scorer_vectors/option_letter.jsonl.gz"):
        ours, theirs = letter_in(row["response"]) or "Z", row["can_infer"] or "Z"
        pages[0].note(ours, theirs, response=row["response"][:120], gold=row["gold"])
        if "Z" not in (ours, theirs):
            pages[1].note(ours, theirs, response=row["response"][:120], gold=row["gold"])
    return pages


ORACLES = (gsm8k, traces, graders, references, boxes, letters)

if __name__ == "__main__":
    main()
