"""Benchmarks by name."""

import pytest

from vold.adapters.benchmarks.registry import SPECS, named, names
from vold.adapters.benchmarks.spec import Spec
from vold.base.errors import SettingsError

NAMES = "mathvision mathvista mathverse dynamath wemath logicvista mmmu-pro mmmu mmstar mme hallusionbench geometry3k math500 gsm8k aime".split()


def test_every_benchmark_is_there_under_its_name() -> None:
    assert list(names()) == list(SPECS) == NAMES
    assert len(SPECS) == 15
    assert "mathvision" in SPECS
    assert "mathvison" not in SPECS


@pytest.mark.parametrize("name", NAMES)
def test_its_file_ends_in_a_spec_of_that_name(name: str) -> None:
    spec = named(name)
    assert isinstance(spec, Spec)
    assert spec is SPECS[name]
    assert spec.name == name
    assert spec.title
    assert spec.hub
    assert spec.columns


def test_titles_are_told_apart() -> None:
    assert len({named(name).title for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("mathvison", "mathvision"), ("MathVista", "mathvista"), ("MMMU_Pro", "mmmu-pro"), ("mmmupro", "mmmu-pro"), ("We-Math", "wemath"),
     ("aime2024", "aime"), ("MATH-500", "math500"), ("gsm-8k", "gsm8k"), ("hallusion-bench", "hallusionbench")],
)  # fmt: skip
def test_a_name_that_is_none(wrong: str, meant: str) -> None:
    with pytest.raises(SettingsError, match=f'no benchmark "{wrong}"; did you mean "{meant}"') as error:
        named(wrong)
    assert ", ".join(NAMES) in str(error.value)


def test_a_name_like_none_of_them() -> None:
    with pytest.raises(SettingsError, match='no benchmark "xyz"\\. Benchmarks: ') as error:
        named("xyz")
    assert "did you mean" not in str(error.value)
