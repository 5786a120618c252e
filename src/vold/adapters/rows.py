"""Rows of a data set, wherever it lies: one file, a folder, or the hub. Nothing here knows what a row means.

A file is read by `containers`; a folder and a hub id are read by `datasets`, by the same call. Code that comes with a data set is never run.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vold.adapters.containers import ENDINGS, Row, ending_of, rows_of_file
from vold.base.errors import DataError
from vold.base.ids import digest_of_file, digest_of_folder

if TYPE_CHECKING:
    import datasets

HUB_ID = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
BATCH = 256
"""Rows of a data set that are turned into Python values at once: traces can be long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Where rows are. `subsets` empty means those of `usual` that the data set has, else its only one; `noun` is what a row holds, for errors."""

    path: str
    subsets: tuple[str, ...] = ()
    split: str = "train"
    usual: tuple[str, ...] = ()
    noun: str = "problem"

    @property
    def here(self) -> Path | None:
        """The file or folder; None for a hub id. Raises DataError for what is neither."""
        path = Path(self.path)
        if self.path and (path.is_file() or path.is_dir()):
            return path
        if ending_of(path) in ENDINGS or not HUB_ID.fullmatch(self.path):
            raise DataError(
                f"no {self.noun} file {self.path}. Give the path of a file that ends with {', '.join(ENDINGS)} (also with .gz), the folder of a "
                "data set, or a hub id such as openai/gsm8k."
            )
        return None

    @property
    def folder(self) -> Path | None:
        """Where pictures lie that a row names by path; None on the hub."""
        here = self.here
        return here if here is None or here.is_dir() else here.parent

    @property
    def on_disk(self) -> str | None:
        """A digest of the file, or of all files of the folder; None for a hub id, whose rows must be digested instead."""
        here = self.here
        return None if here is None else digest_of_file(here) if here.is_file() else digest_of_folder(here)

    def rows(self, columns: Collection[str], *, otherwise: str = "") -> Iterator[Row]:
        """Every row of every subset, in order, with no more than `columns` where the container can leave the others unread.

        `otherwise` is how to read a file whose name does not say it. Raises DataError where nothing can be read at all.
        """
        here = self.here
        if here is not None and here.is_file():
            if len(self.subsets) > 1:
                raise DataError(f"{self.path} is one file, so it has no subsets {', '.join(self.subsets)}. Leave subsets out, or give the folder.")
            for row in rows_of_file(here, columns, otherwise=otherwise):
                yield Row(number=row.number, line=row.line, value=row.value, why=row.why, subset="".join(self.subsets))
            return
        for subset in self._subsets():
            yield from self._rows_of_subset(subset, columns)

    def _subsets(self) -> tuple[str, ...]:
        import datasets

        if self.subsets or not self.usual:
            return self.subsets or ("",)
        try:
            names = datasets.get_dataset_config_names(self._address)
        except Exception as error:
            raise self._unreadable("", error) from error
        return tuple(name for name in self.usual if name in names) or ("",)

    def _rows_of_subset(self, subset: str, columns: Collection[str]) -> Iterator[Row]:
        import datasets

        found = self._loaded(subset)
        kept = [name for name in found.column_names if name in columns]
        if not kept:
            raise DataError(
                f"{self.path}: found columns {', '.join(found.column_names)}, expected some of {', '.join(sorted(columns))}. "
                "Choose the kind that this data set has."
            )
        features, number = found.features, 0
        json_columns = {name for name in kept if "Json(" in repr(features[name])}
        for table in found.select_columns(kept).with_format("arrow").iter(BATCH):  # as stored: no picture is decoded
            for value in table.to_pylist():
                for name in json_columns:
                    value[name] = _unpacked(value[name], features[name], datasets.Json)
                yield Row(number=number, line=None, value=value, subset=subset)
                number += 1

    def _loaded(self, subset: str) -> "datasets.Dataset":
        import datasets

        datasets.disable_progress_bars()
        self._refuse_mixed()
        try:
            found = datasets.load_dataset(self._address, name=subset or None, split=self.split)
            if found.info.builder_name != "csv":
                return found
            as_written = datasets.Features({name: datasets.Value("string") for name in found.column_names})
            return datasets.load_dataset(
                self._address, name=subset or None, split=self.split, features=as_written, keep_default_na=False
            )  # guessed types would turn 007 into 7.0, long integers into floats and None into nothing
        except Exception as error:  # whatever it is, the data set cannot be read
            raise self._unreadable(subset, error) from error

    def _refuse_mixed(self) -> None:
        """Of a folder with files of several kinds `datasets` reads the most frequent kind and is silent about the rest."""
        here = self.here
        if here is None or (here / "README.md").is_file():  # which says what belongs to the data set
            return
        kinds = Counter(ending_of(path) for path in here.rglob("*") if path.is_file() and ending_of(path) in (".jsonl", ".csv", ".parquet"))
        if len(kinds) > 1:
            counted = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            raise DataError(f"the folder {self.path} holds files of several kinds ({counted}), of which only one would be read. Give a file of it.")

    @property
    def _address(self) -> str:
        """What `datasets` is asked for: it takes a name that is no absolute path for a hub id where it can."""
        here = self.here
        return self.path if here is None else str(here.resolve())

    def _unreadable(self, subset: str, error: Exception) -> DataError:
        wanted = f"subset {subset!r}, split {self.split!r}" if subset else f"split {self.split!r}"
        found = f"{self.path} is no file here, and as a data set" if self.here is None else f"{self.path}: as a data set"
        away = self.here is None and isinstance(error, ConnectionError | FileNotFoundError)  # asking again would take as long again
        advice = "Check the id and the network, or download the data set and give its folder." if away else self._offered(subset)
        return DataError(f"{found} it cannot be read: {_first_line(error)} Expected {wanted}. {advice}")

    def _offered(self, subset: str) -> str:
        """What there is instead, where that can be had."""
        import datasets

        try:
            names = datasets.get_dataset_config_names(self._address)
            if subset not in names and (subset or len(names) > 1):
                return f"Set subsets to some of {', '.join(names)}." if len(names) > 1 else "Leave subsets out: there is only one."
            splits = datasets.get_dataset_split_names(self._address, subset or names[0])
            if self.split not in splits:
                return f"Set split to one of {', '.join(splits)}."
        except Exception:  # what is wrong has been said
            pass
        return "Look into its files, or give one of them."


def _first_line(error: BaseException) -> str:
    """What went wrong at the bottom, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0] if lines else ''}".strip()[:300]
    return text if text.endswith(".") else f"{text}."


def _unpacked(value: Any, feature: Any, packed: type) -> Any:
    """Columns of mixed types are stored as JSON text: the values that they were."""
    if value is None:
        return None
    if isinstance(feature, packed):
        return json.loads(value)
    if isinstance(feature, dict):
        return {name: _unpacked(value.get(name), inner, packed) for name, inner in feature.items()}
    inner = getattr(feature, "feature", None)
    return [_unpacked(one, inner, packed) for one in value] if isinstance(value, list) and inner is not None else value
