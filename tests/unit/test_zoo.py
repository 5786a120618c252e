"""The zoo: every method says what it is, is said again by its own settings, and what differs between two is seen."""

import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from vold.base.errors import SettingsError
from vold.cli import app
from vold.config.explain import refuse_contradictions, rendering_of
from vold.config.load import load
from vold.config.objectives import phases_of
from vold.config.written import settings_of, toml_of
from vold.core.objective import (
    K1_ADVANTAGE,
    K2,
    NO_CREDIT,
    RAW,
    REFERENCE,
    Adaptive,
    Baseline,
    Beyond,
    Clamp,
    Clip,
    Correction,
    Credit,
    Estimator,
    How,
    Mask,
    Objective,
    Over,
    Overlong,
    Partner,
    Pull,
    Schedule,
    Share,
    TeacherRatio,
    Want,
    Weigh,
)
from vold.core.zoo import METHODS, RECIPES, VOLD, ZOO
from vold.report import method as pages
from vold.report import zoo as table

PULL = VOLD.pulls[0]


def read_back(text: str, folder: Path) -> Objective:
    """The objective of a recipe's arm whose table this is."""
    (folder / "mine.toml").write_text(f'extends = "tiny"\nname = "mine"\n[joint]\nupdates_per_batch = 2\narms = ["a"]\n{text}\n')
    resolved = load(str(folder / "mine.toml"))
    refuse_contradictions(resolved)
    return phases_of("a", resolved.settings.arms["a"], resolved.settings.joint)[0][0]


def zoo(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["zoo", *arguments])
    assert done.exit_code == 0, done
    return done.output


# -- every entry ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_says_what_it_is_and_where_it_is_from(name: str) -> None:
    method = METHODS[name]
    assert method.objective == ZOO[name]
    assert method.equation
    assert re.search(r"arXiv \d{4}\.\d{5}|github\.com/|thinkingmachines\.ai", method.source)
    signs = {"A": method.objective.has_advantage and method.objective.credit.by is not Baseline.RAW, "φ": method.objective.needs_teacher}
    signs["π₀"] = method.objective.wants(Partner.REFERENCE) is not None
    wrong = [sign for sign, there in signs.items() if there and sign not in method.equation and not method.equation.startswith("-ρ·sg")]
    assert wrong == [], method.equation


@pytest.mark.parametrize("name", RECIPES)
def test_every_sequence_names_methods_that_there_are(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.source
    assert recipe.note
    assert all(objective in ZOO or objective.startswith("SFT") for objective, _ in recipe.phases)


@pytest.mark.parametrize("base", ["itself", "VOLD", "DAPO", "GSPO", "RLSD", "SCOPE", "GKD"])
@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_said_by_its_own_settings_whatever_they_are_laid_over(name: str, base: str, tmp_path: Path) -> None:
    settings = {"base": name if base == "itself" else base, **settings_of(ZOO[name])}
    assert read_back(toml_of(settings, table="arms.a.objective"), tmp_path) == ZOO[name]


ODD = {
    "credit": replace(VOLD, credit=Credit(Baseline.Z_SCORE, unbiased=False, epsilon=1e-4)),
    "weights": replace(VOLD, credit=Credit(Baseline.CENTRED, weight=Schedule(1.0, 0.25, until=7, begin=2)), entropy=Schedule(0.1, 0.0, until=3)),
    "clip": replace(VOLD, clip=Clip(0.2, 0.3, dual=3.0), correction=Correction(How.MASKED, cap=1.5, floor=0.1)),
    "pull": replace(
        VOLD, pulls=(replace(PULL, beta=Adaptive(0.1, 0.01), clamp=Clamp(2.5, Beyond.SATURATE), over=Over.PULLED),), pull_truncated=False
    ),
    "long": replace(VOLD, overlong=Overlong.SOFT, soft_buffer=0.25, dynamic=True),
}


@pytest.mark.parametrize("name", ODD)
def test_so_is_what_no_method_uses(name: str, tmp_path: Path) -> None:
    text = toml_of({"base": "OPD", **settings_of(ODD[name])}, table="arms.a.objective")
    assert read_back(text, tmp_path) == ODD[name]


# -- side by side ---------------------------------------------------------------------------------------------------------------------

NEXT_TO_VOLD = {
    "baseline": replace(VOLD, credit=RAW),
    "no credit": replace(VOLD, credit=NO_CREDIT, clip=None),
    "biased": replace(VOLD, credit=Credit(Baseline.Z_SCORE, unbiased=False)),
    "epsilon": replace(VOLD, credit=Credit(Baseline.Z_SCORE, epsilon=1e-4)),
    "credit weight": replace(VOLD, credit=Credit(Baseline.Z_SCORE, weight=0.5)),
    "credit mask": replace(VOLD, credit=Credit(Baseline.Z_SCORE, on=Mask.RIGHT)),
    "credit weigh": replace(VOLD, credit=Credit(Baseline.Z_SCORE, weigh=Weigh.FAIL_RATE)),
    "teacher ratio": replace(VOLD, credit=Credit(Baseline.Z_SCORE, by_teacher=TeacherRatio(0.5))),
    "clip": replace(VOLD, clip=Clip(0.2, 0.2)),
    "dual": replace(VOLD, clip=Clip(0.2, 0.3, dual=3.0)),
    "toward": replace(VOLD, pulls=(replace(PULL, toward=REFERENCE),)),
    "beta": replace(VOLD, pulls=(replace(PULL, beta=0.2),)),
    "schedule": replace(VOLD, pulls=(replace(PULL, beta=Schedule(0.1, 0.0, until=5)),)),
    "later schedule": replace(VOLD, pulls=(replace(PULL, beta=Schedule(0.1, 0.0, until=6)),)),
    "adaptive": replace(VOLD, pulls=(replace(PULL, beta=Adaptive(0.1, 0.01)),)),
    "other target": replace(VOLD, pulls=(replace(PULL, beta=Adaptive(0.1, 0.02)),)),
    "by": replace(VOLD, pulls=(replace(PULL, by=K1_ADVANTAGE),)),
    "over": replace(VOLD, pulls=(replace(PULL, over=Over.PULLED),)),
    "pull weigh": replace(VOLD, pulls=(replace(PULL, weigh=Weigh.PASS_RATE),)),
    "clamp": replace(VOLD, pulls=(replace(PULL, clamp=Clamp(2.0, Beyond.STOP)),)),
    "two pulls": replace(VOLD, pulls=(PULL, replace(PULL, toward=REFERENCE, by=K2))),
    "share": replace(VOLD, share=Share.PER_GROUP),
    "truncated": replace(VOLD, pull_truncated=False),
    "correction": replace(VOLD, correction=Correction(How.TRUNCATED)),
    "overlong": replace(VOLD, overlong=Overlong.MASK),
    "entropy": replace(VOLD, entropy=0.1),
    "dynamic": replace(VOLD, dynamic=True),
}


def test_whatever_differs_is_seen() -> None:
    known = {**ZOO, **NEXT_TO_VOLD, **ODD}
    seen = {name: table.cells(objective) for name, objective in known.items()}
    blind = [(one, other) for one in known for other in known if known[one] != known[other] and seen[one] == seen[other]]
    assert blind == []


def test_methods_stand_with_their_kind() -> None:
    text = zoo()
    titles = [text.index(title) for title in table.GROUPS]
    assert titles == sorted(titles)
    assert titles[0] < text.index("\nDAPO ") < titles[1] < text.index("\nVOLD ") < text.index("\nRLSD ") < titles[2] < text.index("\nGKD ")


def test_a_pipe_gets_plain_lines_one_a_method() -> None:
    lines = zoo().splitlines()
    assert "\x1b" not in "".join(lines)
    assert [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in METHODS] == [
        name for group in table.GROUPS for name in METHODS if table.group_of(ZOO[name]) == group
    ]
    [vold] = [line for line in lines if line.startswith("VOLD ")]
    assert re.split(r"  +", vold) == ["VOLD", "z-score", "0.2/0.3", "0.1 k2 → teacher", "wrong", "per-token", "–"]
    assert all(any(line.startswith(name) for line in lines) for name in RECIPES)


def drawn(width: int, *, color: bool = False) -> str:
    file = io.StringIO()
    table.show(Console(file=file, width=width, force_terminal=True, color_system="truecolor" if color else None, legacy_windows=False))
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
def test_the_table_fits_the_terminal_and_loses_nothing(width: int) -> None:
    text = drawn(width)
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert "…" not in text.replace("0.005…0.001", "")  # rich cuts what does not fit
    for name, objective in ZOO.items():
        assert re.search(rf"^{name}\b", text, re.MULTILINE)
        for cell in (str(objective.share), *(str(pull.on) for pull in objective.pulls)):
            assert cell in text
    for whole in ("0.002 k1-advantage", "3e-4/4e-4", "leave-one-out", "dynamic sampling", "low-teacher-perplexity"):
        assert whole in text


def test_a_wide_terminal_gets_one_line_a_method() -> None:
    assert sum(bool(line.strip()) for line in drawn(220).split(table.SEQUENCES)[0].splitlines()) == len(METHODS) + 2 * len(table.GROUPS)


def test_what_is_as_in_vold_is_dim_and_what_is_not_is_bright() -> None:
    lines = {line.split()[0]: line for line in drawn(200, color=True).splitlines() if line.split()}
    dim, bright = "\x1b[2m{}".format, "\x1b[1m{}".format
    assert dim("z-score") in lines["GRPO"]
    assert bright("0.2/0.2") in lines["GRPO"]
    assert bright("0.04 k3 → reference") in lines["GRPO"]
    assert dim("per-token") in lines["VOLD_UNMASKED"]
    assert bright("every") in lines["VOLD_UNMASKED"]
    assert "\x1b" not in lines["VOLD"]


# -- one of them ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_a_page_shows_equation_source_note_and_settings_that_can_be_copied(name: str, tmp_path: Path) -> None:
    method = METHODS[name]
    text = zoo(name.lower().replace("_", "-"))
    assert text.startswith(name)
    for said in (method.equation, method.source, method.note, str(method.objective)):
        assert said in text
    [copied] = re.findall(r"^\[arms\.[a-z0-9-]+\.objective\]\n(.*)\Z", text, re.MULTILINE | re.DOTALL)
    assert f'base = "{name}"' in copied
    assert read_back(f"[arms.a.objective]\n{copied}", tmp_path) == method.objective


def test_a_page_says_what_the_method_needs() -> None:
    assert pages.needs_of(ZOO["DAPO"]) == ["answers that can be judged"]
    assert pages.needs_of(ZOO["OPD"]) == ["a teacher for the log-probability of each sampled token"]
    assert pages.needs_of(ZOO["GKD"]) == ["a teacher for the whole distribution at each token"]
    likeliest = replace(ZOO["GKD"], pulls=(Pull(Partner.TEACHER, 1.0, Estimator.PARTNER_TOP_K, top=8),))
    assert pages.needs_of(likeliest) == ["a teacher for its likeliest ids at each token"]
    assert pages.needs_of(ZOO["GRPO"]) == ["a reference for the log-probability of each sampled token", "answers that can be judged"]
    assert "rendered  as a loss: " in zoo("gkd")
    assert "rendered  as a coefficient: " in zoo("vold")


def test_lines_to_be_copied_are_not_broken_on_a_narrow_terminal(tmp_path: Path) -> None:
    file = io.StringIO()
    settings = {"base": "SCOPE", **settings_of(ZOO["SCOPE"])}
    page = pages.Page(
        name="SCOPE", method=METHODS["SCOPE"], settings=settings, toml=toml_of(settings, table="arms.a.objective"), rendering="loss", why=""
    )
    pages.show_method(page, Console(file=file, width=60, force_terminal=True, color_system=None))
    assert read_back(file.getvalue()[file.getvalue().index("[arms.a.objective]") :], tmp_path) == ZOO["SCOPE"]


def test_a_sequence_has_a_page_too() -> None:
    text = zoo("opd_then_rl")
    assert "OPD_ADVANTAGE: first 60 steps" in text
    assert RECIPES["OPD_THEN_RL"].source in text
    found = json.loads(zoo("GKD_MIXED", "--json"))
    assert [phase["objective"] for phase in found["phases"]] == ["GKD", "GKD"]


def test_json_holds_all_of_it() -> None:
    found = json.loads(zoo("--json"))
    assert [method["name"] for method in found["methods"]] == list(METHODS)
    assert [recipe["name"] for recipe in found["recipes"]] == list(RECIPES)
    for entry in found["methods"]:
        objective = ZOO[entry["name"]]
        assert entry == json.loads(zoo(entry["name"].lower(), "--json"))
        assert entry["line"] == str(objective)
        assert entry["equation"] == METHODS[entry["name"]].equation
        assert entry["settings"] == {"base": entry["name"], **settings_of(objective)}
        assert entry["needs_teacher"] == objective.needs_teacher
        assert entry["needs_reference"] == any(pull.toward is REFERENCE for pull in objective.pulls)
        assert entry["needs_distribution"] == (objective.wants(Partner.TEACHER) is Want.HIDDEN)
        assert entry["reads_verdict"] == objective.reads_verdict
        assert entry["rendering"] == rendering_of(objective).kind
    assert {entry["name"] for entry in found["methods"] if entry["rendering"] == "loss"} == {"VOLD_FULL", "QWEN3_OPD", "GKD"}


def test_several_updates_are_rendered_as_a_loss() -> None:
    assert rendering_of(VOLD).kind == "coefficient"
    assert rendering_of(VOLD, updates_per_batch=4).kind == "loss"
    assert rendering_of(ZOO["GKD"], updates_per_batch=4).why == ZOO["GKD"].no_coefficient


@pytest.mark.parametrize(("name", "said"), [("volt", 'did you mean "VOLD"?'), ("dr.grpo", 'did you mean "DR_GRPO"?'), ("xxxxx", "it knows: VOLD, ")])
def test_an_unknown_name_is_refused(name: str, said: str) -> None:
    done = CliRunner().invoke(app, ["zoo", name])
    assert isinstance(done.exception, SettingsError)
    assert done.exception.exit_code == 2
    assert f"the zoo has no method '{name}'" in str(done.exception)
    assert said in str(done.exception)


@pytest.mark.parametrize("arguments", [["zoo"], ["zoo", "VOLD"], ["zoo", "--json"]], ids=" ".join)
def test_torch_is_not_even_imported(arguments: list[str], tmp_path: Path) -> None:
    after = "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    program = f"import sys; from vold.cli import app; app({arguments}, standalone_mode=False); {after}"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "VOLD" in done.stdout
