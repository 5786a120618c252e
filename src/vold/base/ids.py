"""Digests: one name for one content."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def digest_of(value: Any) -> str:
    """Sixteen hex digits of any JSON-able value, independent of key order."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def digest_of_file(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of_files(paths: Sequence[Path]) -> list[str]:
    """The same of several, some at a time: the shards of a model have gigabytes each."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(digest_of_file, paths))


def digest_of_folder(folder: Path, *, names: Iterable[str] | None = None) -> str:
    """One digest over the files of a folder (or the named ones), by relative path and content."""
    files = sorted(p for p in folder.rglob("*") if p.is_file()) if names is None else sorted(folder / name for name in names)
    return digest_of([[str(p.relative_to(folder)), digest] for p, digest in zip(files, digests_of_files(files), strict=True)])
