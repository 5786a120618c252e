"""The judge mode against a server of this machine that answers as it is told, errors and all."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.served import MODEL, Reply, Server

from vold.adapters.benchmarks import endpoint
from vold.adapters.benchmarks.aime import SPEC as AIME
from vold.adapters.benchmarks.dynamath import SPEC as DYNAMATH
from vold.adapters.benchmarks.endpoint import GENERIC, EndpointJudge
from vold.adapters.benchmarks.logicvista import SPEC as LOGICVISTA
from vold.adapters.benchmarks.mathvista import SPEC as MATHVISTA
from vold.adapters.benchmarks.mme import SPEC as MME
from vold.adapters.benchmarks.spec import Extraction, Spec
from vold.base.errors import DataError, SettingsError
from vold.base.types import Item, Ruling

SECRET = "sk-very-secret-0123456789"
SUM = Item(id="sum", question="What is 2 + 3?", answer="5")
CHOICE = Item(id="choice", question="Which is even?", answer="B", options=("3", "4", "5"))


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def judge(server: Server, tmp_path: Path, **given: Any) -> EndpointJudge:
    return EndpointJudge(**{"url": server.url, "model": MODEL, "cache": tmp_path / "judge.jsonl", "pause": 0.001, "timeout": 5.0, **given})


def spec(**given: Any) -> Spec:
    """Letters and numbers, compared as strings."""
    base: dict[str, Any] = {name: getattr(AIME, name) for name in Spec.__dataclass_fields__}
    return Spec(**{**base, "accepts": lambda item, text: text == item.answer, "extraction": None, **given})


ASKS = Extraction(prompt=lambda item, response: f"find {item.id}: {response}", read=lambda _, reply: None if reply == "none" else reply)
RULES = Extraction(
    prompt=ASKS.prompt,
    read=ASKS.read,
    ruling=lambda item, text: f"rule {item.id}: {text}",
    decide=lambda reply: {"1": True, "0": False}.get(reply),
)


# -- verdicts -------------------------------------------------------------------------------------------------------------------------------


def test_the_benchmarks_own_prompt_and_comparison(server: Server, tmp_path: Path) -> None:
    server.script = lambda prompt, _: Reply({"find sum: a": "5", "find sum: b": "6", "find sum: c": "none"}[prompt])
    found = judge(server, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a"), (SUM, "b"), (SUM, "c"), (SUM, "a")])
    assert [one.ruling for one in found] == [Ruling.RIGHT, Ruling.WRONG, Ruling.WRONG, Ruling.RIGHT]
    assert [one.extracted for one in found] == ["5", "6", None, "5"]
    assert sorted(server.prompts) == ["find sum: a", "find sum: b", "find sum: c"]  # the same question is asked once


def test_what_is_sent(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLD_TEST_KEY", SECRET)
    judge(server, tmp_path, key_env="VOLD_TEST_KEY").judge(spec(extraction=ASKS), [(SUM, "π")])
    assert server.bodies == [{"model": MODEL, "messages": [{"role": "user", "content": "find sum: π"}], "temperature": 0}]
    assert server.paths == ["/v1/chat/completions"]
    assert server.keys == [f"Bearer {SECRET}"]


def test_the_benchmarks_own_ruling(server: Server, tmp_path: Path) -> None:
    replies = {"find sum: a": "five", "find sum: b": "six", "rule sum: five": "1", "rule sum: six": "0"}
    server.script = lambda prompt, _: Reply(replies[prompt])
    found = judge(server, tmp_path).judge(spec(extraction=RULES), [(SUM, "b"), (SUM, "a")])
    assert [(one.ruling, one.extracted) for one in found] == [(Ruling.WRONG, "six"), (Ruling.RIGHT, "five")]


def test_a_ruling_that_cannot_be_read_is_asked_for_again_and_then_left_open(server: Server, tmp_path: Path) -> None:
    def script(prompt: str, before: int) -> Reply:
        if prompt.startswith("find"):
            return Reply(prompt[-1])
        return Reply("1" if before == 1 and prompt.endswith("a") else "well")

    server.script = script
    found = judge(server, tmp_path).judge(spec(extraction=RULES), [(SUM, "a"), (SUM, "b")])
    assert [one.ruling for one in found] == [Ruling.RIGHT, Ruling.UNJUDGED]
    assert found[1].extracted == "b"
    assert server.prompts.count("rule sum: a") == 2
    assert server.prompts.count("rule sum: b") == 1 + endpoint.AGAIN


def test_options_in_our_words(server: Server, tmp_path: Path) -> None:
    for reply, extracted, ruling in [
        ("B", "B", Ruling.RIGHT),
        ("(B)", "B", Ruling.RIGHT),
        ("**B**", "B", Ruling.RIGHT),
        ("A", "A", Ruling.WRONG),
        ("NONE", None, Ruling.WRONG),
        ("none.", None, Ruling.WRONG),
        ("D", None, Ruling.WRONG),  # there are three options
        ("B or C", None, Ruling.WRONG),
        ("", None, Ruling.WRONG),
        ("Because", None, Ruling.WRONG),
    ]:
        server.script = Reply(reply)
        (found,) = judge(server, tmp_path).judge(spec(), [(CHOICE, f"<think>hidden</think>I say {reply!r}")])
        assert (found.extracted, found.ruling) == (extracted, ruling), reply
    assert all("<question>\nWhich is even?\n(A) 3\n(B) 4\n(C) 5\n</question>" in prompt for prompt in server.prompts)
    assert not any("hidden" in prompt for prompt in server.prompts)
    assert len(server.prompts) == 10  # a letter needs no second question


def test_free_answers_in_our_words(server: Server, tmp_path: Path) -> None:
    def script(prompt: str, _: int) -> Reply:
        if "<reference>" in prompt:
            return Reply("YES." if "<answer>five</answer>" in prompt else "**No**")
        return Reply(prompt.rpartition("<response>\n")[2].removesuffix("\n</response>"))

    server.script = script
    found = judge(server, tmp_path).judge(spec(), [(SUM, "5"), (SUM, "five"), (SUM, "six"), (SUM, r"\boxed{5}"), (SUM, "NONE")])
    assert [one.ruling for one in found] == [Ruling.RIGHT, Ruling.RIGHT, Ruling.WRONG, Ruling.RIGHT, Ruling.WRONG]
    assert [one.extracted for one in found] == ["5", "five", "six", "5", None]
    assert sum("<reference>5</reference>" in prompt for prompt in server.prompts) == 2  # equal answers are not asked about


@pytest.mark.parametrize("nothing", ["", " \n", "<think>It may be 5.</think>\n"])
def test_an_empty_response_is_wrong_and_not_asked_about(server: Server, tmp_path: Path, nothing: str) -> None:
    server.script = Reply("5")
    for one in (spec(), spec(extraction=ASKS), MATHVISTA, LOGICVISTA):
        (found,) = judge(server, tmp_path).judge(one, [(SUM, nothing)])
        assert (found.ruling, found.extracted) == (Ruling.WRONG, None)
    assert server.prompts == []


def test_a_declared_reply_is_read(server: Server, tmp_path: Path) -> None:
    for reply in ("Answer: 5", "5 cm", "The final answer is 5.", "**5**", "$5$", "<think>4?</think>5", "5.0", "5."):
        server.script = Reply(reply)
        (found,) = judge(server, tmp_path).judge(spec(), [(SUM, f"I say {reply}")])
        assert found.ruling is Ruling.RIGHT, reply
    for reply in ("**B**", "Answer: B", "The answer is (B)."):
        server.script = Reply(reply)
        (found,) = judge(server, tmp_path).judge(spec(), [(CHOICE, f"I say {reply}")])
        assert (found.extracted, found.ruling) == ("B", Ruling.RIGHT), reply
    assert not any("<reference>" in prompt for prompt in server.prompts)


@pytest.mark.parametrize(("gold", "near"), [("2", "12"), ("x = 0", "x = 0.5"), ("Mar", "Not Mar"), ("3", "3%"), ("3 cm", "3 m"), ("12", "12.004")])
def test_an_answer_that_only_holds_the_reference_is_ruled_on(server: Server, tmp_path: Path, gold: str, near: str) -> None:
    server.script = lambda prompt, _: Reply("NO" if "<reference>" in prompt else near if "near" in prompt else gold)
    asked = Item(id="d", question="Which?", answer=gold, facts={"answer_type": "text"})
    found = judge(server, tmp_path).judge(DYNAMATH, [(asked, "near"), (asked, "so")])
    assert [one.ruling for one in found] == [Ruling.WRONG, Ruling.RIGHT]
    assert sum("<reference>" in prompt for prompt in server.prompts) == 1


def test_mathvista_asks_only_where_its_quick_steps_find_nothing(server: Server, tmp_path: Path) -> None:
    server.script = Reply("Extracted answer: 5")
    facts = {"answer_type": "integer", "precision": 0, "query": "How many?"}
    free = Item(id="v", question="How many?", answer="5", facts=facts)
    choice = Item(id="w", question="Which?", answer="4 ", options=("3", "4 "), facts={**facts, "answer_type": "text"})
    responses = [(free, "5"), (free, "<think>6</think> 5\n"), (choice, "3"), (free, "6"), (free, "<think>hidden</think>There are five.")]
    found = judge(server, tmp_path).judge(MATHVISTA, responses)
    assert [one.extracted for one in found] == ["5", "5", "3", "6", "5"]
    assert [one.ruling for one in found] == [Ruling.RIGHT, Ruling.RIGHT, Ruling.WRONG, Ruling.WRONG, Ruling.RIGHT]
    (prompt,) = server.prompts
    assert prompt.endswith("How many?\n\nModel response: There are five.\n\nExtracted answer: ")


def test_a_reply_of_logicvista_that_cannot_be_read_is_asked_for_again(server: Server, tmp_path: Path) -> None:
    def script(prompt: str, before: int) -> Reply:
        response = prompt.rpartition("Answer: ")[2].removesuffix("\nChosen:")
        return Reply({"first": "B", "nothing": "ZZZZZ", "second": "Answer: B" if before else "Well, that is hard", "never": "Hm, hm"}[response])

    server.script = script
    asked = Item(id="l", question="Which?", answer="B")
    found = judge(server, tmp_path).judge(LOGICVISTA, [(asked, text) for text in ("never", "second", "nothing", "first")])
    assert [(one.ruling, one.extracted) for one in found] == [
        (Ruling.UNJUDGED, None),
        (Ruling.RIGHT, "B"),
        (Ruling.WRONG, None),
        (Ruling.RIGHT, "B"),
    ]
    assert len(server.prompts) == 2 + 2 + (1 + endpoint.AGAIN)


def test_yes_and_no_need_no_ruling(server: Server, tmp_path: Path) -> None:
    server.script = Reply("No")
    (found,) = judge(server, tmp_path).judge(MME, [(Item(id="m", question="Is it red? Please answer yes or no.", answer="Yes"), "It is blue.")])
    assert (found.ruling, found.extracted) == (Ruling.WRONG, "No")
    assert len(server.prompts) == 1


def test_only_the_end_of_a_long_response_is_shown() -> None:
    prompt = GENERIC.prompt(SUM, "<think>" + "x" * 50_000 + "</think>" + "y" * 50_000 + " 5")
    assert "x" * 100 not in prompt
    assert len(prompt) < 6000
    assert prompt.endswith("y 5\n</response>")


# -- failures -------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(status=429),
        Reply(status=429, headers={"Retry-After": "0"}),
        Reply(status=500),
        Reply(status=503),
        Reply(body=b"not json"),
        Reply(body=b""),
        Reply(body=b"[]"),
        Reply(body=b"\xff\xfe"),
        Reply(body=b'{"choices": []}'),
        Reply(body=b'{"model": "judge-1", "choices": [{"message": {"content": null}}]}'),
        Reply(body=b"[" * 100_000),
        Reply(dropped=True),
    ],
    ids=lambda reply: f"{reply.status} {reply.body[:20] if reply.body is not None else reply.dropped}",
)
def test_trouble_that_passes_is_tried_again(server: Server, tmp_path: Path, trouble: Reply) -> None:
    server.script = lambda _, before: trouble if before < 2 else Reply("5")
    asked = judge(server, tmp_path, retries=2)
    (found,) = asked.judge(spec(extraction=ASKS), [(SUM, "a")])
    assert found.ruling is Ruling.RIGHT
    assert len(server.prompts) == 3
    assert not asked.failures


@pytest.mark.parametrize(("trouble", "requests"), [(Reply(status=500), 3), (Reply(body=b"{"), 3), (Reply(status=400), 1), (Reply(status=302), 1)])
def test_trouble_that_stays_is_unjudged_and_counted(server: Server, tmp_path: Path, trouble: Reply, requests: int) -> None:
    server.script = lambda prompt, _: trouble if prompt.endswith("bad") else Reply("5")
    asked = judge(server, tmp_path, retries=2)
    found = asked.judge(spec(extraction=ASKS), [(SUM, "bad"), (SUM, "good")])
    assert [one.ruling for one in found] == [Ruling.UNJUDGED, Ruling.RIGHT]
    assert found[0].extracted is None
    assert server.prompts.count("find sum: bad") == requests
    assert sum(asked.failures.values()) == 1
    assert asked.unreached == (trouble.status == 500), "a server that is not there may be there later; one that refuses will refuse again"
    assert len((tmp_path / "judge.jsonl").read_text().splitlines()) == 1


def test_a_ruling_without_a_reply_keeps_what_was_extracted(server: Server, tmp_path: Path) -> None:
    server.script = lambda prompt, _: Reply("five") if prompt.startswith("find") else Reply(status=500)
    asked = judge(server, tmp_path, retries=1)
    (found,) = asked.judge(spec(extraction=RULES), [(SUM, "a")])
    assert (found.ruling, found.extracted) == (Ruling.UNJUDGED, "five")
    assert asked.failures == {"status 500": 1}
    assert server.prompts.count("rule sum: five") == 2


def test_a_server_that_is_too_slow(server: Server, tmp_path: Path) -> None:
    server.script = Reply("5", late=0.4)
    asked = judge(server, tmp_path, timeout=0.1, retries=1)
    (found,) = asked.judge(spec(extraction=ASKS), [(SUM, "a")])
    assert found.ruling is Ruling.UNJUDGED
    assert asked.failures == {"no reply in time": 1}
    assert len(server.prompts) == 2


def test_a_reply_without_end_is_not_read_to_the_end(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "LARGEST_REPLY", 1000)
    server.script = Reply("5" * 200_000)
    asked = judge(server, tmp_path)
    (found,) = asked.judge(spec(extraction=ASKS), [(SUM, "a")])
    assert found.ruling is Ruling.UNJUDGED
    assert asked.failures == {"a reply that is too long": 1}


def test_nobody_there(tmp_path: Path) -> None:
    gone = Server()
    gone.close()
    asked = judge(gone, tmp_path, retries=1, workers=2)
    found = asked.judge(spec(extraction=ASKS), [(SUM, str(number)) for number in range(60)])
    assert {one.ruling for one in found} == {Ruling.UNJUDGED}
    assert sum(asked.failures.values()) == 60
    assert asked.failures[f"not sent after {endpoint.GIVE_UP} failures in a row"] >= 35  # the rest is given up


def test_retry_after_is_heeded_but_not_for_ever(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    server.script = lambda _, before: (Reply(status=429, headers={"Retry-After": "3600"}), Reply(status=429), Reply("5"))[min(before, 2)]
    asked = judge(server, tmp_path, pause=0.5)
    monkeypatch.setattr(asked._stop, "wait", waits.append)
    (found,) = asked.judge(spec(extraction=ASKS), [(SUM, "a")])
    assert found.ruling is Ruling.RIGHT
    assert waits == [endpoint.LONGEST_WAIT, 1.0]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_is_wrong_for_every_question_ends_it(server: Server, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLD_TEST_KEY", SECRET)
    server.script = Reply(status=status, body=f"your key {SECRET} is bad".encode())
    with pytest.raises(SettingsError, match=str(status)) as error:
        judge(server, tmp_path, key_env="VOLD_TEST_KEY", workers=1).judge(spec(extraction=ASKS), [(SUM, str(n)) for n in range(30)])
    assert SECRET not in str(error.value)
    assert len(server.prompts) == 1


def test_another_model_is_refused(server: Server, tmp_path: Path) -> None:
    server.script = Reply("5", model="judge-1-2026-01-01")
    with pytest.raises(SettingsError, match="'judge-1' and answered as 'judge-1-2026-01-01'"):
        judge(server, tmp_path, workers=1).judge(spec(extraction=ASKS), [(SUM, "a"), (SUM, "b")])
    assert not (tmp_path / "judge.jsonl").exists()
    assert len(server.prompts) == 1


def test_a_reply_without_its_models_name_is_refused(server: Server, tmp_path: Path) -> None:
    server.script = Reply(body=b'{"choices": [{"message": {"content": "5"}}]}')
    with pytest.raises(SettingsError, match="answered as 'None'"):
        judge(server, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a")])


# -- the file -------------------------------------------------------------------------------------------------------------------------------


def test_what_is_on_file_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    pairs = [(SUM, "a"), (SUM, "b")]
    server.script = lambda prompt, _: Reply("1" if prompt.startswith("rule") else prompt[-1])
    first = judge(server, tmp_path).judge(spec(extraction=RULES), pairs)
    written = (tmp_path / "judge.jsonl").read_text()
    server.close()
    again = judge(server, tmp_path, retries=0)
    assert again.judge(spec(extraction=RULES), pairs) == first
    assert not again.failures
    assert (tmp_path / "judge.jsonl").read_text() == written
    rows = [json.loads(line) for line in written.splitlines()]
    assert len(rows) == 4
    assert {row["model"] for row in rows} == {MODEL}
    server.__init__()  # type: ignore[misc]  # something for the fixture to close


def test_failures_are_not_on_file(server: Server, tmp_path: Path) -> None:
    server.script = lambda _, before: Reply(status=500) if before == 0 else Reply("5")
    assert judge(server, tmp_path, retries=0).judge(spec(extraction=ASKS), [(SUM, "a")])[0].ruling is Ruling.UNJUDGED
    assert judge(server, tmp_path, retries=0).judge(spec(extraction=ASKS), [(SUM, "a")])[0].ruling is Ruling.RIGHT


def test_replies_of_another_model_on_file_are_not_taken(server: Server, tmp_path: Path) -> None:
    judge(server, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a")])
    server.script = Reply("6", model="judge-2")
    other = judge(server, tmp_path, model="judge-2")
    assert other.judge(spec(extraction=ASKS), [(SUM, "a")])[0].extracted == "6"
    assert judge(server, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a")])[0].extracted == "5"
    assert len(server.prompts) == 2


def test_a_line_that_was_cut_off_is_asked_again(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "judge.jsonl"
    judge(server, tmp_path, workers=1).judge(spec(extraction=ASKS), [(SUM, "a"), (SUM, "b")])
    file.write_bytes(file.read_bytes()[:-10])
    judge(server, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a"), (SUM, "b")])
    assert sorted(server.prompts) == ["find sum: a", "find sum: b", "find sum: b"]
    assert [json.loads(line)["reply"] for line in file.read_text().splitlines()] == ["5", "5"]


def test_what_came_before_the_end_is_kept(server: Server, tmp_path: Path) -> None:
    """An evaluation that is refused half-way goes on from there."""
    server.script = lambda prompt, _: Reply("5") if prompt.endswith("a") else Reply(status=401)
    with pytest.raises(SettingsError):
        judge(server, tmp_path, workers=1).judge(spec(extraction=ASKS), [(SUM, "a"), (SUM, "b")])
    assert len((tmp_path / "judge.jsonl").read_text().splitlines()) == 1


def test_many_at_once_come_back_in_order(server: Server, tmp_path: Path) -> None:
    server.script = lambda prompt, _: Reply(prompt.rpartition(" ")[2], late=0.002)
    found = judge(server, tmp_path, workers=8).judge(spec(extraction=ASKS), [(SUM, str(number)) for number in range(100)])
    assert [one.extracted for one in found] == [str(number) for number in range(100)]
    rows = [json.loads(line) for line in (tmp_path / "judge.jsonl").read_text().splitlines()]
    assert sorted(int(row["reply"]) for row in rows) == list(range(100))


# -- address and key ------------------------------------------------------------------------------------------------------------------------


def test_the_key_is_nowhere_but_in_its_header(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLD_TEST_KEY", SECRET + "\n")
    server.script = lambda _, __: Reply(f"{server.keys[-1]} said 5")
    asked = judge(server, tmp_path, key_env="VOLD_TEST_KEY")
    (found,) = asked.judge(spec(extraction=ASKS), [(SUM, "a")])
    assert server.keys == [f"Bearer {SECRET}"]
    assert SECRET not in (tmp_path / "judge.jsonl").read_text() + repr(asked) + repr(found) + repr(asked.failures)


@pytest.mark.parametrize("value", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_cannot_be_one(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("VOLD_TEST_KEY", value)
    with pytest.raises(SettingsError, match="VOLD_TEST_KEY holds no key") as error:
        judge(server, tmp_path, key_env="VOLD_TEST_KEY")
    assert not value.strip() or value not in str(error.value)


def test_a_key_that_is_not_set(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOLD_TEST_KEY", raising=False)
    with pytest.raises(SettingsError, match="VOLD_TEST_KEY holds no key"):
        judge(server, tmp_path, key_env="VOLD_TEST_KEY")


def test_a_redirect_is_not_followed(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOLD_TEST_KEY", SECRET)
    other = Server()
    server.script = Reply(status=307, headers={"Location": other.url + "/chat/completions"})
    (found,) = judge(server, tmp_path, key_env="VOLD_TEST_KEY").judge(spec(extraction=ASKS), [(SUM, "a")])
    other.close()
    assert found.ruling is Ruling.UNJUDGED
    assert other.keys == []


@pytest.mark.parametrize(
    "url", ["https://api.example.org/v1", "http://localhost:8000/v1", "http://127.0.0.1/v1", "http://127.9.9.9/v1", "http://[::1]:80/v1"]
)
def test_addresses_that_may_be_asked(url: str, tmp_path: Path) -> None:
    """The same addresses without the machine's name being this one, or without https, are refused below."""
    asked = EndpointJudge(url=url, model=MODEL, cache=tmp_path / "judge.jsonl")
    assert asked.failures == {}
    assert not (tmp_path / "judge.jsonl").exists()


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.org/v1", "http://10.0.0.1/v1", "http://localhost.example.org/v1", "http://127.0.0.1.example.org/v1", "ftp://127.0.0.1/v1",
        "file:///etc/passwd", "127.0.0.1:8000", "", "https://", "https://user:word@example.org/v1", "https://example.org/v1?key=word",
        "https://example.org/v1#x", "http://[::1", "http://127.0.0.1:port/v1",
    ],
)  # fmt: skip
def test_addresses_that_must_not_be(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"eval\.endpoint\.url") as error:
        EndpointJudge(url=url, model=MODEL, cache=tmp_path / "judge.jsonl")
    assert "word" not in str(error.value)


def test_plain_http_elsewhere_where_it_is_allowed(tmp_path: Path) -> None:
    given = {"url": "http://10.0.0.1/v1", "model": MODEL, "cache": tmp_path / "judge.jsonl"}
    with pytest.raises(SettingsError, match=r"eval\.endpoint\.url"):
        EndpointJudge(**given)  # type: ignore[arg-type]
    assert EndpointJudge(**given, allow_http=True).failures == {}  # type: ignore[arg-type]


def test_a_proxy_is_not_used_on_this_machine(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    assert judge(server, tmp_path, retries=0).judge(spec(extraction=ASKS), [(SUM, "a")])[0].ruling is Ruling.RIGHT


def test_another_address_is_asked_itself_whatever_is_on_file(server: Server, tmp_path: Path) -> None:
    server.script = lambda *_: Reply("5")
    assert judge(server, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a")])[0].ruling is Ruling.RIGHT
    assert judge(server, tmp_path, url=f"{server.url}/").judge(spec(extraction=ASKS), [(SUM, "a")])[0].ruling is Ruling.RIGHT
    assert len(server.prompts) == 1
    other = Server()
    try:
        other.script = lambda *_: Reply("6")
        assert judge(other, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a")])[0].ruling is Ruling.WRONG
    finally:
        other.close()
    assert judge(server, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a")])[0].ruling is Ruling.RIGHT
    assert len(server.prompts) == 1  # both are kept side by side


def test_a_kept_reply_without_its_words_is_refused_and_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "judge.jsonl").write_text('{"key": "k"}\n')
    with pytest.raises(DataError, match=r"judge.jsonl, line 1 is damaged"):
        judge(server, tmp_path).judge(spec(extraction=ASKS), [(SUM, "a")])
