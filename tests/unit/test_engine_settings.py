"""What is refused of engines and servers before anything is spent, and what makes a stage another one."""

import importlib.util
from pathlib import Path

import pytest

from vold.base.errors import ObjectiveError, SettingsError
from vold.config.explain import refuse_contradictions
from vold.config.load import load
from vold.wiring.parts import generating, scoring
from vold.wiring.vllm import refuse_unserved

SERVER = ("engine.kind='vllm-server'", "engine.url='http://127.0.0.1:9'")
TEACHER = ("teacher.kind='vllm-server'", "teacher.url='http://127.0.0.1:9'")
REFUSED = {
    ("engine.kind='vlm'",): "engine.kind = 'vlm'",
    ("engine.kind='vllm-server'",): "needs engine.url",
    ("teacher.kind='vllm-server'",): "needs teacher.url",
    (*SERVER, *TEACHER): "a server has one model",
    ("engine.kind='vllm'", "student.dtype='float64'", "student.attention='sdpa'"): "has no float64",
    ("engine.url='http://127.0.0.1:9'",): 'engine.url is set, but engine.kind = "transformers" does not read it',
    ("engine.sleep=true",): "engine.sleep is set",
    ("engine.kind='vllm'", "engine.sleep=true"): 'student.device = "cpu" has no use for it',
    ("engine.kind='vllm'", "student.device='cuda'", "engine.cache_gb=3"): 'student.device = "cuda" has no use for it',
    (*SERVER, "engine.gpus=2"): 'engine.gpus is set, but engine.kind = "vllm-server" does not read it',
    ("teacher.workers=3",): 'teacher.workers is set, but teacher.kind = "local" has no server',
}


@pytest.mark.parametrize("given", REFUSED)
def test_settings_that_cannot_be_are_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError) as refused:
        refuse_contradictions(load("tiny", assignments=list(given)))
    assert REFUSED[given] in str(refused.value)


@pytest.mark.parametrize("given", [("engine.kind='vllm'",), SERVER, TEACHER])
def test_the_tiny_recipe_takes_each_of_them(given: tuple[str, ...]) -> None:
    refuse_contradictions(load("tiny", assignments=list(given)))


def test_a_teacher_behind_a_server_cannot_serve_sums_over_the_vocabulary() -> None:
    with pytest.raises(ObjectiveError, match=r"arms\.vold"):
        refuse_contradictions(load("tiny", assignments=[*TEACHER, "arms.vold.objective={base='GKD'}", "joint.arms=['vold']"]))


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is here")
def test_without_vllm_a_run_is_refused_with_what_to_install() -> None:
    with pytest.raises(SettingsError, match=r"needs vLLM.*pip install vllm.*docs/engines.md.*engine.kind = \"transformers\""):
        refuse_unserved(load("tiny", assignments=["engine.kind='vllm'"]).settings)


@pytest.mark.parametrize("given", [SERVER, TEACHER])
def test_a_server_that_does_not_answer_is_refused_at_start_up(given: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="no vLLM server answers there"):
        refuse_unserved(load("tiny", assignments=list(given)).settings)


def test_how_a_server_is_reached_does_not_make_another_stage() -> None:
    """Nor does how often an engine is looked at; who runs the model does."""
    plain, served = load("tiny").settings, load("tiny", assignments=[*SERVER, "engine.workers=3"]).settings
    assert generating(plain.engine) == {"kind": "transformers", "rows": 512, "decoder": "auto", "scripted": "none"}
    assert generating(served.engine) == {"kind": "vllm-server", "rows": 512, "decoder": "auto", "scripted": "none"}
    assert "kind" not in scoring(plain.teacher)
    told = scoring(load("tiny", assignments=[*TEACHER, "teacher.timeout=3.0"]).settings.teacher)
    assert told["kind"] == "vllm-server"
    assert not {"url", "timeout", "workers"} & told.keys()


def test_the_page_names_every_setting() -> None:
    page = (Path(__file__).parents[2] / "docs" / "engines.md").read_text(encoding="utf-8")
    settings = load("tiny").settings
    assert settings.teacher is not None
    names = {*type(settings.engine).model_fields} - {"rows", "scripted", "decoder"}
    assert [name for name in sorted(names) if name not in page] == []
