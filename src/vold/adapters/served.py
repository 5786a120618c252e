"""A vLLM server behind an address: token ids in, token ids and log-probabilities out, and never a number that was not received.

Every request has a deadline and is tried again within bounds; one that gets no usable reply is `Missed`, with the reason. Replies are JSON and are
looked at field by field. The server must be started by hand; `docs/engines.md` says how.
"""

import contextlib
import ipaddress
import json
import math
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from vold.base.errors import SettingsError, Unserved

GIVE_UP = 8
"""After so many requests in a row that nobody answered, the others of a batch are not sent."""
LONGEST_WAIT = 30.0
LARGEST_REPLY = 256_000_000
ABOVE_ONE = 1e-3
"""A log-probability above 0 by more than this is no rounding."""
UNSAID = -9999.0
"""What servers send for minus infinity."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Missed:
    """No usable reply, after every try."""

    why: str


class Failed(Exception):
    """One try without a usable reply. `final`: another would go the same way."""

    def __init__(self, why: str, *, final: bool = False, absent: bool = False) -> None:
        super().__init__(why)
        self.why, self.final, self.absent = why, final, absent


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """A body for one path, and how its reply is read: `read` raises Failed for one that cannot be used."""

    path: str
    body: Mapping[str, Any]
    read: Callable[[Any], T]


@dataclass(kw_only=True)
class Server:
    """`url` is the address before /v1. It has to be on this machine unless `remote`: what it is sent can replace its weights."""

    url: str
    setting: str
    """What messages call the address, such as engine.url."""
    timeout: float = 600.0
    """Seconds for one try of one request."""
    retries: int = 2
    workers: int = 64
    """Requests under way at a time: the server makes batches of them."""
    pause: float = 0.5
    """Seconds before the first new try; they double."""
    remote: bool = False
    _in_a_row: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        local = _checked(self.url, self.setting, remote=self.remote)
        proxies = [urllib.request.ProxyHandler({})] if local else []
        self._opener = urllib.request.build_opener(_NoRedirects, *proxies)

    def model(self) -> str:
        """The name of the model it serves. Raises SettingsError where nobody answers as a vLLM server does."""
        try:
            return str(self._once("/v1/models", None)["data"][0]["id"])
        except (Failed, LookupError, TypeError) as error:
            raise SettingsError(
                f"{self.setting} = {self.url!r}: no vLLM server answers there ({error}). Start one as docs/engines.md says, wait until it is ready, "
                "or correct the address."
            ) from error

    def all(self, requests: Sequence[Request[T]]) -> list[T | Missed]:
        """What each request gave, in order. None of them raises: what could not be had is Missed."""
        if not requests:
            return []
        self._in_a_row = 0
        with ThreadPoolExecutor(max_workers=min(self.workers, len(requests))) as pool:
            return list(pool.map(self._tried, requests))

    def call(self, method: str, *args: Any) -> list[dict[str, Any]]:
        """A method of the worker extension, run by every worker. Raises Unserved where it cannot be."""
        self._in_a_row = 0
        found = self._tried(Request("/collective_rpc", {"method": method, "args": list(args)}, _results))
        if isinstance(found, Missed):
            raise Unserved(
                f"{self.url} did not run {method}: {found.why}. It has to be started with VLLM_SERVER_DEV_MODE=1 and --worker-extension-cls "
                "vold.adapters.engines.vllm_worker.Worker (docs/engines.md). Start it again, then run the same command: the run goes on where it was."
            )
        return found

    def post(self, path: str) -> None:
        """A route without a body, such as /reset_prefix_cache. Raises Unserved."""
        self._in_a_row = 0
        found = self._tried(Request(path, {}, lambda _: True))
        if isinstance(found, Missed):
            raise Unserved(f"{self.url}{path}: {found.why}. Start the server again with VLLM_SERVER_DEV_MODE=1, then run the same command.")

    def _tried(self, request: Request[T]) -> T | Missed:
        why = f"not sent: the {GIVE_UP} requests before it found nobody"
        for attempt in range(1 + self.retries):
            if self._in_a_row >= GIVE_UP:
                break
            try:
                found = request.read(self._once(request.path, request.body))
                self._in_a_row = 0
                return found
            except Failed as failed:
                why = failed.why
                if failed.final:
                    return Missed(why)
                if attempt == self.retries and failed.absent:
                    with self._lock:
                        self._in_a_row += 1
            if attempt < self.retries:
                time.sleep(min(LONGEST_WAIT, self.pause * 2**attempt))
        return Missed(why)

    def _once(self, path: str, body: Mapping[str, Any] | None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url.rstrip("/") + path, data=data, headers={"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=self.timeout) as reply:
                text = _read(reply, time.monotonic() + self.timeout)
        except urllib.error.HTTPError as error:
            with error, contextlib.suppress(OSError, HTTPException):
                said = error.read1(300).decode(errors="replace")
                raise Failed(f"status {error.code}: {said}", final=400 <= error.code < 500 and error.code not in (408, 425, 429)) from None
            raise Failed(f"status {error.code}") from None
        except TimeoutError:
            raise Failed(f"no reply within {self.timeout:g} s", absent=True) from None
        except (OSError, HTTPException) as error:
            late = isinstance(getattr(error, "reason", None), TimeoutError)
            why = f"no reply within {self.timeout:g} s" if late else f"no connection ({type(getattr(error, 'reason', error)).__name__})"
            raise Failed(why, absent=True) from None
        if not text.strip():
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise Failed("a reply that is not JSON") from None


# -- completions -----------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One answer: its ids, the log-probability of each, whether it ended by itself, and those of the prompt's ids where they were asked for."""

    ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    ended: bool
    prompt: tuple[float, ...] = ()
    """One entry a prompt id from the second on."""


def completion(reply: Any, sent: Sequence[int], *, prompt: bool = False) -> Completion:
    """A reply of /v1/completions to one prompt of token ids. Raises Failed where anything is missing, no number, or not about what was sent."""
    try:
        (choice,) = reply["choices"]
        echoed, ids, reason = choice["prompt_token_ids"], choice["token_ids"], choice["finish_reason"]
        logprobs = choice["logprobs"]["token_logprobs"]
        told = choice["prompt_logprobs"] if prompt else None
    except (LookupError, TypeError, ValueError):
        raise Failed("a reply without token ids or log-probabilities") from None
    if echoed != list(sent):
        raise Failed("the reply is about another prompt than was sent: the token ids it repeats differ")
    if reason not in ("stop", "length"):
        raise Failed(f"the answer was broken off ({reason})")
    if not isinstance(ids, list) or not all(isinstance(i, int) for i in ids) or not isinstance(logprobs, list) or len(ids) != len(logprobs):
        raise Failed("a reply whose token ids and log-probabilities do not match")
    read = tuple(map(number, logprobs))
    return Completion(ids=tuple(ids), logprobs=read, ended=reason == "stop", prompt=_of_prompt(told, sent) if prompt else ())


def _of_prompt(told: Any, sent: Sequence[int]) -> tuple[float, ...]:
    """The log-probability of each id of a prompt but the first, which has none."""
    if not isinstance(told, list) or len(told) != len(sent):
        raise Failed(f"log-probabilities of {len(told) if isinstance(told, list) else 'no'} tokens for a prompt of {len(sent)}")
    found = []
    for i, entry in zip(sent[1:], told[1:], strict=True):
        if not isinstance(entry, dict) or not isinstance(entry.get(str(i)), dict):
            raise Failed(f"no log-probability of the id {i} that was sent")
        found.append(number(entry[str(i)].get("logprob"), floor=True))
    return tuple(found)


def number(value: Any, *, floor: bool = False) -> float:
    """A log-probability. Raises Failed for what is none: nothing, NaN, infinite or above 0. `floor`: one of -9999, which servers send for minus
    infinity, may stand where nobody reads it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > ABOVE_ONE:
        raise Failed(f"{value!r} in the place of a log-probability")
    if value <= UNSAID and not floor:
        raise Failed("a token of probability 0 in an answer")
    return min(0.0, float(value))


def told(missed: Sequence[Missed]) -> str:
    """Why requests failed, the most frequent reason first."""
    counted = Counter(one.why for one in missed)
    return ", ".join(f"{why} ({count} times)" for why, count in counted.most_common(3))


def refuse_too_many(missed: Sequence[Missed], asked: int, *, url: str, tolerated: float, setting: str) -> None:
    """Raise Unserved where more than the tolerated share of a batch is missing: what is left would be another sample than was asked for."""
    if len(missed) > tolerated * asked:
        raise Unserved(
            f"{url} left {len(missed)} of {asked} requests without a usable reply: {told(missed)}. Allowed is a share of {tolerated:g} "
            f"({setting}). Nothing was learned from this step. See that the server is up, then run the same command: the run goes on where it was."
        )


# -- inside ----------------------------------------------------------------------------------------------------------------------------


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirected request would take ids, or weights, elsewhere."""

    def redirect_request(self, *given: Any) -> None:  # noqa: ARG002
        return None


def _results(reply: Any) -> list[dict[str, Any]]:
    found = reply.get("results") if isinstance(reply, dict) else None
    if not isinstance(found, list) or not found or not all(isinstance(one, dict) for one in found):
        raise Failed("a reply without results", final=True)
    return found


def _read(reply: Any, until: float) -> bytes:
    """The body, in time and of a size a reply can have; a server that sends it drop by drop is not waited for."""
    pieces: list[bytes] = []
    size = 0
    while piece := reply.read1(1 << 20):
        pieces.append(piece)
        size += len(piece)
        if time.monotonic() > until:
            raise TimeoutError
        if size > LARGEST_REPLY:
            raise Failed("a reply that is too long", final=True)
    return b"".join(pieces)


def _checked(url: str, setting: str, *, remote: bool) -> bool:
    """Whether it is on this machine. Raises SettingsError for what is no address, or another machine's that nobody allowed."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query or parts.username is not None:
        raise SettingsError(f"{setting} = {url!r} is no bare address. Write it as http://127.0.0.1:8000, without /v1.")
    local = host == "localhost"
    with contextlib.suppress(ValueError):
        local = local or ipaddress.ip_address(host).is_loopback
    if not local and not remote:
        raise SettingsError(
            f"{setting} = {url!r} is another machine's. Prompts, answers and weights would go there unencrypted and to whoever listens. "
            f"Use http://127.0.0.1:PORT, such as through an ssh tunnel, or set {setting.removesuffix('url')}remote = true in a network of your own."
        )
    return local
