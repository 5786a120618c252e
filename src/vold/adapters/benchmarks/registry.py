"""All benchmarks by name."""

import difflib
from collections.abc import Iterator, Mapping
from importlib import import_module

from vold.adapters.benchmarks.spec import Spec
from vold.base.errors import SettingsError

_NAMES = (
    "mathvision", "mathvista", "mathverse", "dynamath", "wemath", "logicvista", "mmmu-pro", "mmmu", "mmstar", "mme", "hallusionbench", "geometry3k",
    "math500", "gsm8k", "aime",
)  # fmt: skip


class _Specs(Mapping[str, Spec]):
    """The file of a benchmark is imported when it is first asked for."""

    def __getitem__(self, name: str) -> Spec:
        if name not in _NAMES:
            raise KeyError(name)
        spec = import_module(f"vold.adapters.benchmarks.{name.replace('-', '_')}").SPEC
        assert isinstance(spec, Spec)
        return spec

    def __contains__(self, name: object) -> bool:
        return name in _NAMES

    def __iter__(self) -> Iterator[str]:
        return iter(_NAMES)

    def __len__(self) -> int:
        return len(_NAMES)


SPECS: Mapping[str, Spec] = _Specs()
"""By the name that settings use, in the order in which the paper and then the text benchmarks come."""


def names() -> tuple[str, ...]:
    """What settings may name."""
    return _NAMES


def named(name: str) -> Spec:
    """The benchmark of this name; SettingsError with the nearest one where there is none."""
    if name in _NAMES:
        return SPECS[name]
    plain = {known.replace("-", ""): known for known in _NAMES}
    near = difflib.get_close_matches(name.lower().replace("-", "").replace("_", "").replace(" ", ""), plain, n=1)
    meant = f'; did you mean "{plain[near[0]]}"?' if near else "."
    raise SettingsError(f'there is no benchmark "{name}"{meant} Benchmarks: {", ".join(_NAMES)}.')
