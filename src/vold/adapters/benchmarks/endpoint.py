"""The judge mode: a language model behind an OpenAI-compatible address finds the answer in a response, and where the benchmark asks for that, rules.

Every reply is appended to a file under the address, the model's name and the prompt, and is never asked for again. What could not be had stays
unjudged and is counted. The key is read from the environment for each request and goes into its header, nowhere else.
"""

import contextlib
import ipaddress
import json
import os
import string
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vold.adapters.benchmarks import finding, strict
from vold.adapters.benchmarks.numeric import bare_value
from vold.adapters.benchmarks.spec import Extraction, Spec
from vold.base.errors import SettingsError
from vold.base.files import append_lines, kept_lines
from vold.base.ids import digest_of
from vold.base.types import Item, Ruling, Verdict
from vold.core.answers import same_answer
from vold.core.latex import tidy

NO_REPLY = "the judging model gave no reply"
AGAIN = 2
"""How often a ruling that cannot be read is asked for once more."""
GIVE_UP = 20
"""After so many failures in a row no further question of the batch is sent."""
LONGEST_WAIT = 60.0
LARGEST_REPLY = 4_000_000
_FOR_ALL = {401: "the key is not accepted", 403: "the key may not use it", 404: "there is no such address or model"}
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
Found = list[tuple[int, tuple[Item, str], str]]
"""Places among the given responses, what is there, and the answer in it."""


class _Failed(Exception):
    """No reply this time: why, whether to try again, after how many seconds where the server says so, and whether it was for want of a server."""

    def __init__(self, why: str, *, again: bool = True, wait: float | None = None, absent: bool = False) -> None:
        super().__init__(why)
        self.why, self.again, self.wait, self.absent = why, again, wait, absent


@dataclass(kw_only=True)
class EndpointJudge:
    """Judges by the replies of `model`, at temperature 0. `url` is the address before /chat/completions; plain http is for this machine alone, unless
    `allow_http`. `pause` is the first wait in seconds before a question is sent again; it doubles."""

    url: str
    model: str
    cache: Path
    key_env: str = ""
    """The environment variable that holds the key; empty where none is needed."""
    timeout: float = 60.0
    retries: int = 4
    workers: int = 8
    allow_http: bool = False
    pause: float = 1.0
    failures: Counter[str] = field(default_factory=Counter, init=False)
    """Why questions got no reply, and how many."""
    unreached: int = field(default=0, init=False)
    """How many of them may get one another time: nobody was there, or there was too much to do."""
    """Questions that got no reply, by reason."""

    def __post_init__(self) -> None:
        self._local = _checked(self.url, self.allow_http)
        self._key()
        proxies = [urllib.request.ProxyHandler({})] if self._local else []
        self._opener = urllib.request.build_opener(_NoRedirects, *proxies)
        self._lock, self._stop, self._in_a_row = threading.Lock(), threading.Event(), 0

    def judge(self, spec: Spec, pairs: Sequence[tuple[Item, str]]) -> list[Verdict]:
        """One verdict a response, in order. Raises SettingsError where the address, the key or the model's name is wrong for every question."""
        ask = spec.extraction or GENERIC
        verdicts: dict[int, Verdict] = {}
        left: list[tuple[int, Item, str]] = []
        for place, (item, _), text in self._extracted(ask, pairs, verdicts):
            if ask.ruling is None or (ask is GENERIC and _settled(item)):
                verdicts[place] = Verdict(ruling=Ruling.RIGHT if spec.accepts(item, text) else Ruling.WRONG, extracted=text)
            elif ask is GENERIC and _equal(text, item.answer):
                verdicts[place] = Verdict(ruling=Ruling.RIGHT, extracted=text)
            else:
                left.append((place, item, text))
        verdicts |= self._ruled(spec, left)
        return [verdicts[place] for place in range(len(pairs))]

    def _extracted(self, ask: Extraction, pairs: Sequence[tuple[Item, str]], verdicts: dict[int, Verdict]) -> Found:
        """The answers that there are, in order; what has none gets its verdict. A reply that cannot be read is asked for again where the benchmark
        has a word for no answer."""
        found: Found = []
        open_ = []
        for place, (item, response) in enumerate(pairs):
            said = finding.final(response)
            quick = ask.quick(item, said) if ask.quick is not None and said.strip() else None
            if quick is not None:
                found.append((place, (item, response), quick))
            elif said.strip():
                open_.append((place, (item, response)))
            else:
                verdicts[place] = Verdict(ruling=Ruling.WRONG, extracted=None, note="nothing extracted")
        for attempt in range(1 + AGAIN if ask.nothing else 1):
            unread = []
            replies = self._replies([(ask.prompt(item, response), attempt) for _, (item, response) in open_])
            for (place, pair), reply in zip(open_, replies, strict=True):
                text = None if reply is None else ask.read(pair[0], reply)
                if text is not None:
                    found.append((place, pair, text))
                elif reply is None:
                    verdicts[place] = Verdict(ruling=Ruling.UNJUDGED, extracted=None, note=NO_REPLY)
                elif not ask.nothing or ask.nothing in reply:
                    verdicts[place] = Verdict(ruling=Ruling.WRONG, extracted=None, note="nothing extracted")
                else:
                    unread.append((place, pair))
            open_ = unread
        verdicts |= {place: Verdict(ruling=Ruling.UNJUDGED, extracted=None, note="no answer in its replies") for place, _ in open_}
        return sorted(found, key=lambda one: one[0])

    def _ruled(self, spec: Spec, left: Sequence[tuple[int, Item, str]]) -> dict[int, Verdict]:
        """The model's own rulings on extracted answers; one that cannot be read is asked for again."""
        ask = spec.extraction or GENERIC
        if not left or ask.ruling is None or ask.decide is None:
            return {}
        verdicts: dict[int, Verdict] = {}
        for attempt in range(1 + AGAIN):
            open_ = [one for one in left if one[0] not in verdicts]
            replies = self._replies([(ask.ruling(item, text), attempt) for _, item, text in open_])
            for (place, _, text), reply in zip(open_, replies, strict=True):
                right = None if reply is None else ask.decide(reply)
                if right is not None:
                    verdicts[place] = Verdict(ruling=Ruling.RIGHT if right else Ruling.WRONG, extracted=text)
                elif reply is None:
                    verdicts[place] = Verdict(ruling=Ruling.UNJUDGED, extracted=text, note=NO_REPLY)
        unread = Ruling.UNJUDGED
        return {place: verdicts.get(place, Verdict(ruling=unread, extracted=text, note="no ruling in its replies")) for place, _, text in left}

    # -- replies, from the file or the model ----------------------------------------------------------------------------------------------

    def _replies(self, questions: Sequence[tuple[str, int]]) -> list[str | None]:
        """A reply a (prompt, attempt), in order; the same one is asked once. None where there was none."""
        keys = [digest_of([self.model, prompt, *([attempt] if attempt else [])]) for prompt, attempt in questions]
        missing = {key: prompt for key, (prompt, _) in zip(keys, questions, strict=True) if key not in self._known}
        if missing:
            self._stop.clear()
            self._in_a_row = 0
            pool = ThreadPoolExecutor(max_workers=max(1, min(self.workers, len(missing))))
            try:
                list(pool.map(self._answer, missing.keys(), missing.values()))
            finally:
                self._stop.set()  # whoever waits to try again need not, where one of them or a Ctrl-C ended it all
                pool.shutdown(cancel_futures=True)
        return [self._known.get(key) for key in keys]

    def _answer(self, key: str, prompt: str) -> None:
        """Have one question answered and write the reply down."""
        for attempt in range(1 + self.retries):
            if self._stop.is_set() or self._in_a_row >= GIVE_UP:
                failed = _Failed(f"not sent after {GIVE_UP} failures in a row", absent=True)
            else:
                try:
                    self._keep(key, self._send(prompt))
                    return
                except _Failed as error:
                    failed = error
            if not failed.again or attempt == self.retries or self._in_a_row >= GIVE_UP:
                break
            self._stop.wait(min(LONGEST_WAIT, self.pause * 2**attempt if failed.wait is None else failed.wait))
        with self._lock:
            self.failures[failed.why] += 1
            self.unreached += failed.absent
            self._in_a_row += 1

    def _send(self, prompt: str) -> str:
        body = json.dumps({"model": self.model, "messages": [{"role": "user", "content": prompt}], "temperature": 0}).encode()
        headers = {"Content-Type": "application/json"}
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(self._address + "/chat/completions", data=body, headers=headers, method="POST")
        until = time.monotonic() + self.timeout
        try:
            with self._opener.open(request, timeout=self.timeout) as reply:
                text = _read(reply, until)
        except urllib.error.HTTPError as error:
            with error:
                self._refused(error.code, error.headers)
        except TimeoutError:
            raise _Failed("no reply in time", absent=True) from None
        except (OSError, HTTPException) as error:  # a URLError is an OSError; its words may hold anything, so only its kind is told
            slow = isinstance(getattr(error, "reason", None), TimeoutError)
            raise _Failed("no reply in time" if slow else f"no connection ({type(error).__name__})", absent=True) from None
        return self._content(text).replace(key, "[key]") if key else self._content(text)

    def _refused(self, status: int, headers: Message) -> None:
        """What an error status means for this question or for all."""
        if status in _FOR_ALL:
            self._stop.set()
            raise SettingsError(f"{self.url} answers {status}: {_FOR_ALL[status]} (model {self.model!r}). Check url, model and key_env.") from None
        said = headers.get("Retry-After", "") if headers is not None else ""
        passing = status in _TRANSIENT
        raise _Failed(f"status {status}", again=passing, absent=passing, wait=float(said) if said.isdigit() else None) from None

    def _content(self, text: bytes) -> str:
        """The reply's words. A reply by another model than was asked for ends the evaluation: its verdicts would bear the wrong name."""
        try:
            found: Any = json.loads(text)
            content = found["choices"][0]["message"]["content"]
            model = found.get("model")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise _Failed("a reply that cannot be read") from None
        if not isinstance(content, str):
            raise _Failed("a reply without words")
        if model != self.model:
            self._stop.set()
            raise SettingsError(
                f"{self.url} was asked for the model {self.model!r} and answered as {str(model)[:100]!r}. Give the exact name that it answers with, "
                "so that scores name what judged them."
            )
        return content

    def _key(self) -> str:
        """The key; empty where none is needed."""
        if not self.key_env:
            return ""
        key = os.environ.get(self.key_env, "").strip()
        if not key or not key.isascii() or not key.isprintable() or " " in key:
            raise SettingsError(f"the environment variable {self.key_env} holds no key. Set it, or leave key_env out where no key is needed.")
        return key

    # -- the file --------------------------------------------------------------------------------------------------------------------------

    @cached_property
    def _known(self) -> dict[str, str]:
        """Replies of this model at this address on file: what another server calls the same may be another model. A last line that was cut off while
        being written is removed."""
        rows = kept_lines(self.cache, needs=("key", "model", "reply"))
        return {row["key"]: row["reply"] for row in rows if (row["model"], row.get("url")) == (self.model, self._address)}

    @property
    def _address(self) -> str:
        return self.url.rstrip("/")

    def _keep(self, key: str, reply: str) -> None:
        line = json.dumps({"key": key, "model": self.model, "url": self._address, "reply": reply})
        with self._lock:
            self._in_a_row = 0
            append_lines(self.cache, [line])
            self._known[key] = reply


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected question would take the key elsewhere."""

    def redirect_request(self, *given: Any) -> None:  # noqa: ARG002
        return None


def _read(reply: Any, until: float) -> bytes:
    """The body, in time and of a size a reply can have; a server that sends it drop by drop is not waited for."""
    pieces: list[bytes] = []
    while piece := reply.read1(65536):
        pieces.append(piece)
        if time.monotonic() > until:
            raise TimeoutError
        if sum(map(len, pieces)) > LARGEST_REPLY:
            raise _Failed("a reply that is too long", again=False)
    return b"".join(pieces)


def _checked(url: str, allow_http: bool) -> bool:
    """Whether it is on this machine. Raises SettingsError for an address that must not be given a key or a response."""
    try:
        parts = urlsplit(url)
        host, local = parts.hostname or "", False
        _ = parts.port
    except ValueError:
        raise SettingsError("eval.endpoint.url is no address. Write it as https://host/v1 or http://127.0.0.1:8000/v1.") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise SettingsError("eval.endpoint.url holds a user, a query or a fragment. Give the bare address, and name the key's variable in key_env.")
    with contextlib.suppress(ValueError):
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    if not host or parts.scheme not in ("http", "https"):
        raise SettingsError(f"eval.endpoint.url = {url!r} is no address. Write it as https://host/v1 or http://127.0.0.1:8000/v1.")
    if parts.scheme == "http" and not local and not allow_http:
        raise SettingsError(f"eval.endpoint.url = {url!r} would send answers and key in the clear. Use https, or an address of this machine.")
    return local


# -- benchmarks that have no prompt of their own for this --------------------------------------------------------------------------------------

_READ = 4000
"""Characters at the end of a response, after its thinking, that the model is shown."""
_LETTER = """\
Below are a multiple-choice question, its options, and somebody's response. Which option does the response give as its final answer?
Reply with the letter of that option and nothing else; where the response gives the text or the value of an option instead, with that option's letter.
Reply NONE where it gives no final answer, more than one, or one that is no option. Do not solve the question yourself.
"""
_ANSWER = """\
Below are a question and somebody's response. What does the response give as its final answer?
Reply with that answer alone, copied as it stands there: a number, an expression, a word or the letter of an option, and nothing around it.
Reply NONE where it gives no final answer, or more than one. Do not solve the question yourself.
"""
_SAME = """\
Below are a question, its reference answer, and an answer that somebody gave. Do the two answers agree completely?
The same value or meaning in another notation or in another unit agrees. A rounded value, a missing part or a second alternative does not.
Reply with one word, YES or NO.
"""


def _settled(item: Item) -> bool:
    """Whether the benchmark's own comparison says all there is to say: letters, yes and no."""
    return bool(item.options) or item.answer.strip().lower() in ("yes", "no")


def _find(item: Item, response: str) -> str:
    listed = "".join(f"\n({letter}) {text}" for letter, text in zip(string.ascii_uppercase, item.options, strict=False))
    end = finding.final(response).strip()[-_READ:]
    return f"{_LETTER if item.options else _ANSWER}\n<question>\n{item.question}{listed}\n</question>\n<response>\n{end}\n</response>"


def _found(item: Item, reply: str) -> str | None:
    """The answer in a reply that is nothing else, or declares it: `Answer: 12`, `The final answer is 12.`"""
    declared = finding.answer_in(reply)
    said = (finding.final(reply) if declared is None else declared).strip().strip('*`"').strip().removesuffix(".")
    if not said or len(said) > _READ or said.upper() == "NONE":
        return None
    if not item.options:
        return said
    letters = string.ascii_uppercase[: len(item.options)]
    return strict.chosen(said, letters, dict(zip(letters, item.options, strict=False)))


def _equal(found: str, gold: str) -> bool:
    """The same notation, or the same number where the answer adds no more than a unit. All else is for the model to rule on: a reference may be part
    of a wrong answer."""
    left, right = bare_value(found), bare_value(gold)
    if left is None or right is None or "=" in found or "=" in gold:
        return same_answer(tidy(found), tidy(gold)) if max(len(found), len(gold)) <= _READ else False
    return (left.number, left.percent) == (right.number, right.percent) and right.unit in ("", left.unit)


def _compare(item: Item, answer: str) -> str:
    return f"{_SAME}\n<question>\n{item.question}\n</question>\n<reference>{item.answer}</reference>\n<answer>{answer}</answer>"


def _same(reply: str) -> bool | None:
    return {"YES": True, "NO": False}.get(reply.strip().strip('*`".').upper())


GENERIC = Extraction(prompt=_find, read=_found, ruling=_compare, decide=_same)
