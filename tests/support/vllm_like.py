"""A server on this machine that answers as vLLM does, without vLLM: every number it says is known, and every reply can be spoiled."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from safetensors.torch import load_file

Spoil = Callable[[dict[str, Any], dict[str, Any], int], Any]
"""From a request, its honest reply and how often that request came before: what is sent instead. A number is a status; a float, seconds of delay."""

ANSWER = (9, 10, 2)


def logprob_of(i: int, temperature: float = 1.0) -> float:
    """What it says of an id of a prompt."""
    return -(i + 1) / 8 / temperature


class FakeVllm:
    """Listens from when it is made until `close`. `bodies` are the completions it was asked for, `weights` what was pushed last."""

    def __init__(self, spoil: Spoil | None = None) -> None:
        self.spoil = spoil
        self.bodies: list[dict[str, Any]] = []
        self.calls: list[tuple[str, list[Any]]] = []
        self.state: dict[str, Any] = {"version": -1, "reading": None}
        self.weights: dict[str, Any] = {}
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send({"data": [{"id": "fake"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path == "/collective_rpc":
                    self.send({"results": [outer.called(body["method"], body["args"])]})
                elif self.path == "/v1/completions":
                    self.send(outer.completed(body))
                else:
                    self.send(None)

            def send(self, reply: Any) -> None:
                if isinstance(reply, float):
                    time.sleep(reply)
                    reply = 500
                data = b"" if reply is None else reply.encode() if isinstance(reply, str) else json.dumps(reply).encode()
                try:
                    self.send_response(reply if isinstance(reply, int) else 200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_address[1]}"

    def called(self, method: str, args: list[Any]) -> dict[str, Any]:
        self.calls.append((method, args))
        if method == "vold_read_as":
            self.state["reading"] = {"banned": args[0], "temperature": args[1]}
        if method == "vold_load_file":
            self.weights, self.state["version"] = load_file(args[0]), args[1]
            return self.state | {"loaded": sorted(self.weights), "parameters": sorted(self.weights)}
        return dict(self.state)

    def completed(self, body: dict[str, Any]) -> Any:
        with self.lock:
            before = self.bodies.count(body)
            self.bodies.append(body)
        ids = list(ANSWER[: body["max_tokens"]])
        prompt, temperature = body["prompt"], (self.state["reading"] or {"temperature": 1.0})["temperature"]
        choice: dict[str, Any] = {
            "prompt_token_ids": prompt,
            "token_ids": ids,
            "logprobs": {"token_logprobs": [-float(place + 1) for place in range(len(ids))]},
            "finish_reason": "stop" if ids[-1] == ANSWER[-1] else "length",
        }
        if "prompt_logprobs" in body:
            choice["prompt_logprobs"] = [None] + [{str(i): {"logprob": logprob_of(i, temperature)}} for i in prompt[1:]]
        honest = {"choices": [choice]}
        return honest if self.spoil is None else self.spoil(body, honest, before)

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()
