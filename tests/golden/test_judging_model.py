"""The judge mode in a whole evaluation: nobody there, somebody there again, and nothing asked twice."""

from pathlib import Path

import pytest
from support import own, pairs
from support.runs import run_here
from support.served import MODEL, Reply, Server

from vold.base.errors import SettingsError, Unanswered
from vold.config.load import load
from vold.report import benchmarks
from vold.wiring.evaluation import tuning_of

ASKED = "How much is {n} + 3?"


@pytest.mark.parametrize(
    ("assignments", "tuned"),
    [
        ((), "–"),
        (("student.path='Qwen/Qwen2.5-VL-3B-Instruct'",), "–"),
        (("student.path='omlab/VLM-R1-Qwen2.5VL-3B-Math-0305'",), "unknown"),
        (("student.path='runs/mine'", "student.images_in_tuning='yes'"), "yes"),
    ],
)
def test_only_published_bases_are_called_untuned(assignments: tuple[str, ...], tuned: str) -> None:
    assert tuning_of(load("tiny", assignments=list(assignments)).settings.student) == tuned


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    own.put_data(tmp_path)
    own.put_recipe(tmp_path, pairs.saved(tmp_path / "models"))
    own.write(tmp_path / "tested.jsonl", [{"question": ASKED.format(n=n), "answer": f"#### {n + 3}"} for n in (4, 5)])
    return tmp_path


def run(folder: Path, *more: str) -> None:
    tested = ("eval.trained=false", "eval.benchmarks=[{name='g', kind='gsm8k', path='tested.jsonl', style='direct'}]")
    run_here("own.toml", folder / "run", *tested, *more, only="eval")


@pytest.mark.long
def test_without_replies_nothing_is_called_done(folder: Path) -> None:
    server = Server()
    server.script = Reply(status=503)
    judged = ("eval.modes=['judge','strict']", f"eval.endpoint={{url='{server.url}', model='{MODEL}', retries=0}}")
    with pytest.raises(Unanswered, match=r"questions to the judging model judge-1 at http.*status 503.*run the same again"):
        run(folder, *judged)
    assert not list((folder / "run").glob("eval/*/scores.json"))
    kept = {path: path.read_bytes() for path in (folder / "run" / "generations").glob("*.jsonl")}
    assert kept

    in_vain = len(server.prompts)
    server.script = lambda prompt, _: Reply("NO" if "YES or NO" in prompt else "7")
    run(folder, *judged)
    server.close()
    assert all(path.read_bytes() == before for path, before in kept.items()), "answers are not made again"
    found = benchmarks.published_in(folder / "run")
    assert {one.mode for scores in found for one in scores.benchmarks} == {"judge", "strict"}
    assert all(one.unjudged == 0 for scores in found for one in scores.benchmarks)
    assert len(server.prompts) == in_vain + len(set(server.prompts)), "what had a reply is not asked again"


@pytest.mark.long
def test_a_benchmark_that_is_none_cannot_be_contaminated(folder: Path) -> None:
    model = "eval.models={other={label='other', path='models/student', contaminated=['MathVistta']}}"
    with pytest.raises(SettingsError, match=r"eval\.models\.other\.contaminated names 'MathVistta', and there is no such benchmark\. Known are: "):
        run(folder, model)
