"""`vold score` on files of rows as they lie about, without pictures: the published verdicts come out."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.real import DATA, lines, needs

from vold.wiring.scoring import scored

pytestmark = needs("bench")
Row = Mapping[str, Any]
CASES: dict[str, tuple[str, str, str, Callable[[Row], dict[str, Any] | None], str, set[str]]] = {
    "mathvista": (
        "mathvista/testmini_text.jsonl.gz",
        "",
        "pid",
        lambda r: {"id": r["pid"], "extraction": r["extraction"]},
        "true_false",
        {"799", "189"},
    ),
    "logicvista": ("logicvista/dataset_text.jsonl.gz", "", "id", lambda r: {"id": r["id"], "extraction": r["extracted"]}, "match", set()),
    "mmmu-pro": (
        "mmmu_pro/standard_10_options_text.jsonl.gz",
        "standard (10 options)",
        "id",
        lambda r: {"id": f"standard-10/{r['id']}", "response": r["response"]} if r["setting"].startswith("standard(10") else None,
        "if_right",
        set(),
    ),
}
"""Rows, subset, the rows' own id, what is given of a published row, its verdict, and rows whose verdict an older script gave."""


@pytest.mark.parametrize("kind", CASES)
def test_published_verdicts(kind: str, tmp_path: Path) -> None:
    rows, subset, own, given_of, verdict, older = CASES[kind]
    there = {row[own] for row in lines(f"bench/{rows}")}
    oracle = lines(f"bench/{kind.replace('-', '_')}/oracle_official_verdicts.jsonl.gz")
    published = [row for row in oracle if row[own] in there and not row.get("random_fallback")]
    given = [(row, line) for row in published if (line := given_of(row)) is not None]
    path = tmp_path / "given.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for _, line in given))
    subsets = (subset,) if subset else ()
    found, said = scored(kind, str(DATA / "bench" / rows), path, modes=("official-rule",), reads="whole", label="published", subsets=subsets)
    assert found.benchmarks[0].answers == len(given) > 400
    differ = {row[own] for (row, _), line in zip(given, said, strict=True) if (line["official-rule"]["ruling"] == "right") != bool(row[verdict])}
    assert differ == older
