"""The pages on the mathematics: their blocks run as printed, and what they name exists."""

import importlib
import re
import tomllib
from enum import StrEnum
from pathlib import Path

import pytest

from vold.config.explain import refuse_contradictions
from vold.config.load import load
from vold.core.objective import Baseline, Beyond, Estimator, How, Mask, Over, Overlong, Share, Weigh

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("equations.md", "new-method.md", "verl.md")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_run_in_order(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One session a page, in a folder that holds nothing but the recipes the page shows."""
    monkeypatch.chdir(tmp_path)
    for recipe in blocks(page, "toml"):
        (tmp_path / f"{tomllib.loads(recipe)['name']}.toml").write_text(recipe, encoding="utf-8")
    session: dict[str, object] = {}
    for number, block in enumerate(blocks(page, "python"), start=1):
        exec(compile(block, f"docs/{page}, block {number}", "exec"), session)


@pytest.mark.parametrize("page", PAGES)
def test_every_function_named_exists(page: str) -> None:
    for name in set(re.findall(r"`(vold\.[\w.]+)`", (DOCS / page).read_text(encoding="utf-8"))):
        assert found(name), f"docs/{page} names {name}"


@pytest.mark.parametrize("page", PAGES)
def test_every_file_named_exists(page: str) -> None:
    for path in set(re.findall(r"`((?:src|docs|tests)/[\w./-]+)`", (DOCS / page).read_text(encoding="utf-8"))):
        assert (DOCS.parent / path).exists(), f"docs/{page} names {path}"


def found(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            here: object = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(here, part):
                return False
            here = getattr(here, part)
        return True
    return False


def test_a_name_that_does_not_exist_is_found_out() -> None:
    assert found("vold.core.plan.Plan.share_of")
    assert not found("vold.core.plan.Plan.shares_of")
    assert not found("vold.core.plans")


@pytest.mark.parametrize("page", PAGES)
def test_recipes_shown_are_accepted_whole(page: str, tmp_path: Path) -> None:
    """Every arm, and without a contradiction."""
    for number, recipe in enumerate(blocks(page, "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(recipe, encoding="utf-8")
        refuse_contradictions(load(str(path)))


@pytest.mark.parametrize("kind", [Baseline, Estimator, Mask, Weigh, Over, Beyond, Share, How, Overlong])
def test_everything_that_can_be_chosen_has_its_equation(kind: type[StrEnum]) -> None:
    page = (DOCS / "equations.md").read_text(encoding="utf-8")
    assert [word for word in map(str, kind) if f"`{word}`" not in page and f'"{word}"' not in page and f"({word})" not in page] == []


def test_every_equation_stands_alone() -> None:
    """`$$` on lines of their own, in pairs: else the page shows backslashes."""
    for page in PAGES:
        marks = [line for line in (DOCS / page).read_text(encoding="utf-8").splitlines() if "$$" in line]
        assert len(marks) % 2 == 0, page
        assert all(line == "$$" for line in marks), page
