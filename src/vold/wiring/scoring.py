"""Somebody's responses to a published benchmark, scored without any model: from a file of them, or of the answers somebody found in them."""

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from vold.adapters.benchmarks.asked import PublishedBenchmark, RuleJudge
from vold.adapters.benchmarks.reads import Reads
from vold.adapters.benchmarks.spec import Mode, Spec, Style
from vold.adapters.containers import Row
from vold.adapters.rows import DataSet
from vold.base.errors import DataError
from vold.base.types import Finish, Problem, Rollout, Ruling, Verdict
from vold.config import schema
from vold.ports import Judge, Sampling
from vold.report.benchmarks import Benchmark, Broken, Model, Scores
from vold.stages.evaluate import Result, Way, result
from vold.wiring.benchmarks import rows_of

NAMED = 5
PICTURE = re.compile(r"image|images|decoded_image|image_path|image_\d")
"""Columns that hold pictures in the hubs' schemas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One response, or the answer that somebody extracted from it."""

    id: str
    sample: int
    response: str
    extracted: str | None
    has_extraction: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """The benchmark's own verdict on answers that somebody else extracted."""

    of: PublishedBenchmark
    given: dict[tuple[str, int], str | None]

    def judge(self, rollouts: Sequence[Rollout]) -> list[Verdict]:
        return [self._verdict(rollout) for rollout in rollouts]

    def _verdict(self, rollout: Rollout) -> Verdict:
        item, found = self.of.items[rollout.problem.id], self.given[rollout.problem.id, rollout.sample]
        right = self.of.spec.accepts(item, found)
        return Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=found)


def scored(
    kind: str, rows: str, responses: Path, *, modes: Sequence[str], reads: Reads, label: str, subsets: tuple[str, ...] = (), split: str = ""
) -> tuple[Scores, list[dict[str, Any]]]:
    """The scores of a file of responses under each mode, and one line a response with its verdicts.

    The file holds JSON lines of `id` and `response`, or `id` and `extraction`; several lines of one id are several samples. Raises DataError for
    ids that the benchmark does not have, where two lines differ in what they give, and for the strict mode on extractions, which it does not read.
    """
    settings = schema.BenchmarkSettings(name=kind, kind=kind, path=rows, subsets=subsets, split=split)  # type: ignore[arg-type]
    found_rows = rows_of(settings, fits=lambda _: None)
    benchmark = PublishedBenchmark(name=kind, rows=replace(found_rows, spec=_blind(found_rows.spec)), style=Style.OFFICIAL)
    given = _given(responses, benchmark)
    rollouts = [_rollout(benchmark.items[one.id].id, one, benchmark) for one in given]
    extracted = any(one.has_extraction for one in given)
    if extracted and list(modes) == [Mode.STRICT.value]:
        raise DataError(f"{responses} gives extractions, and the strict mode reads whole responses. Give responses, or score by official-rule.")
    rules: dict[str, Judge] = (
        {Mode.OFFICIAL.value: Extracted(of=benchmark, given={(one.id, one.sample): one.extracted for one in given})}
        if extracted
        else {mode: RuleJudge(of=benchmark, mode=Mode(mode), reads=reads) for mode in modes}
    )
    samples = max(one.sample for one in given) + 1
    way = Way(name="given", sampling=Sampling(max_new_tokens=1), samples=samples)
    verdicts = {mode: judge.judge(rollouts) for mode, judge in rules.items()}
    found = [result(benchmark, way, mode, list(zip(rollouts, own, strict=True))) for mode, own in verdicts.items()]
    model = Model(label=label, path=str(responses), digest="", style="unknown", images_in_tuning="unknown")
    lines = [
        {"id": one.id, "sample": one.sample}
        | {mode: {"ruling": own[place].ruling.value, "extracted": own[place].extracted, "note": own[place].note} for mode, own in verdicts.items()}
        for place, one in enumerate(given)
    ]
    return Scores(model=model, benchmarks=tuple(_kept(one, benchmark) for one in found), settings={"reads": reads}), lines


def _blind(spec: Spec) -> Spec:
    """The same benchmark with a stand-in for every picture: no rule looks at one, and files of rows often leave them out."""
    stored = io.BytesIO()
    Image.new("L", (1, 1)).save(stored, "PNG")
    picture = {"bytes": stored.getvalue(), "path": None}
    shown = {name: [picture] if name == "images" else picture for name in spec.columns if PICTURE.fullmatch(name)}
    return replace(spec, item=lambda row, subset, folder: spec.item({**row, **shown}, subset, folder))


def _given(path: Path, benchmark: PublishedBenchmark) -> list[Given]:
    found: list[Given] = []
    counts: dict[str, int] = {}
    strange: list[str] = []
    for row in DataSet(path=str(path), noun="response").rows(("id", "response", "extraction"), otherwise=".jsonl"):
        name = _id_of(path, row, benchmark)
        if name not in benchmark.items:
            strange.append(name)
            continue
        sample = counts[name] = counts.get(name, -1) + 1
        found.append(_one(path, row, name, sample))
    if strange:
        raise DataError(
            f"{path}: {len(strange)} responses are to no row of {benchmark.title} as read from {benchmark.rows.data.path}, such as "
            f"{', '.join(strange[:NAMED])}. Ids are those of its rows, such as {next(iter(benchmark.items))}."
        )
    if not found:
        raise DataError(f"{path} holds no response. Give lines of `id` and `response`, or `id` and `extraction`.")
    if len({one.has_extraction for one in found}) > 1:
        raise DataError(f"{path} gives responses in some rows and extractions in others. Give one or the other.")
    return found


def _one(path: Path, row: Row, name: str, sample: int) -> Given:
    text, extraction = row.value.get("response"), row.value.get("extraction")
    if text is None and "response" not in row.value and "extraction" not in row.value:
        raise DataError(
            f"{path}, row {row.number}: neither a `response` nor an `extraction`, found {', '.join(sorted(map(str, row.value)))}. "
            "Give lines of `id` and `response`, or `id` and `extraction`."
        )
    if text is not None and not isinstance(text, str):
        raise DataError(f"{path}, row {row.number}: its response is {text!r:.60}, expected text. Give the model's words.")
    return Given(
        id=name, sample=sample, response=text or "", extracted=_as_text(extraction), has_extraction="extraction" in row.value and text is None
    )


def _id_of(path: Path, row: Row, benchmark: PublishedBenchmark) -> str:
    if row.why or not isinstance(row.value, dict) or row.value.get("id") is None:
        raise DataError(f"{path}, row {row.number}: {row.why or 'no id'}. Give lines of `id` and `response`, or `id` and `extraction`.")
    own = str(row.value["id"])
    return own if own in benchmark.items else f"{benchmark.spec.name}/{own}"


def _as_text(extraction: Any) -> str | None:
    if extraction is None or isinstance(extraction, str):
        return extraction
    return ", ".join(map(str, extraction)) if isinstance(extraction, list) else json.dumps(extraction)


def _rollout(name: str, one: Given, benchmark: PublishedBenchmark) -> Rollout:
    problem = Problem(id=name, prompt="", answer=benchmark.items[name].answer, source=benchmark.name)
    return Rollout(
        problem=problem,
        sample=one.sample,
        prompt_ids=(),
        response_ids=(),
        logprobs=(),
        sampled=(),
        policy_version=0,
        finish=Finish.STOP,
        text=one.response,
    )


def _kept(found: Result, benchmark: PublishedBenchmark) -> Benchmark:
    return Benchmark(
        name=found.benchmark,
        kind=benchmark.kind,
        title=found.title,
        modality=found.modality,
        mode=found.mode,
        way=found.way,
        rows=benchmark.seen,
        broken=tuple(Broken(id=name, why=why) for name, why in found.broken),
        items=found.items,
        answers=found.answers,
        truncated=None,
        unextracted=found.unextracted,
        unjudged=found.unjudged,
        overlaps=None,
        measures=found.measures,
        samples=found.samples,
    )
