"""Every published benchmark on real rows with real token tables and an untrained student: load, render, answer, judge, table."""

import json
from pathlib import Path

from vold.adapters.tiny_models import real_tokens
from vold.base.errors import DataError

SAMPLES = (
    ("mathvision", "mathvision", "mathvision/test_sample.parquet", ""),
    ("mathvista", "mathvista", "mathvista/testmini_sample.parquet", ""),
    ("mathverse", "mathverse", "mathverse/testmini_sample.parquet", ""),
    ("dynamath", "dynamath", "dynamath/sample_variants.parquet", ""),
    ("wemath", "wemath", "wemath/testmini_sample.parquet", ""),
    ("logicvista", "logicvista", "logicvista/test_sample.parquet", ""),
    ("mmmu-pro standard-10", "mmmu-pro", "mmmu_pro/standard_10_options_sample.parquet", "standard (10 options)"),
    ("mmmu-pro vision", "mmmu-pro", "mmmu_pro/vision_like_sample.parquet", "vision"),
    ("mmstar", "mmstar", "mmstar/val_sample.parquet", ""),
    ("geometry3k", "geometry3k", "geometry3k/sample.parquet", ""),
)
"""Name in the table, benchmark, file below bench/, and the subset whose rows the file holds."""
TEXT = (("math500", "math500", "math500/test.jsonl.gz"), ("gsm8k", "gsm8k", "gsm8k/test.jsonl.gz"), ("aime", "aime", "math500/aime2024.jsonl"))


def prepared(data: Path, work: Path, *, size: int = 0) -> list[str]:
    """Build the models, and return the settings that test the untrained student on every sample: at most `size` rows of each (0: all of them,
    and 40 of each text benchmark). Raises DataError for what is missing."""
    files = [data / "bench" / file for _, _, file, _ in SAMPLES] + [data / file for _, _, file in TEXT]
    missing = [str(file) for file in files if not file.is_file()]
    if missing:
        raise DataError(f"there is no {missing[0]}. Give a folder that holds bench, math500, gsm8k and tokenizers (docs/benchmarks.md).")
    student, _ = real_tokens.build(work / "models", data / "tokenizers", size=real_tokens.SIZES["small"])
    benchmarks = [
        f"{{ name = {json.dumps(name)}, kind = {json.dumps(kind)}, path = {json.dumps(str(data / 'bench' / file))}, size = {size}"
        + (f", subsets = [{json.dumps(subset)}] }}" if subset else " }")
        for name, kind, file, subset in SAMPLES
    ] + [
        f"{{ name = {json.dumps(name)}, kind = {json.dumps(kind)}, path = {json.dumps(str(data / file))}, size = {size or 40} }}"
        for name, kind, file in TEXT
    ]
    return [
        f"student.path={json.dumps(str(student))}",
        "student.max_pixels=200704",
        "eval.trained=false",
        f"eval.benchmarks=[{', '.join(benchmarks)}]",
        "engine.scripted=none",
    ]
