"""A language model behind an address of this machine, which answers as it is told."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODEL = "judge-1"


@dataclass
class Reply:
    """What the server sends: a status, words as a model's message, or a body as it is."""

    words: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    model: str = MODEL
    late: float = 0.0
    dropped: bool = False

    def bytes(self) -> bytes:
        if self.body is not None:
            return self.body
        return json.dumps({"model": self.model, "choices": [{"message": {"role": "assistant", "content": self.words}}]}).encode()


Script = Reply | Callable[[str, int], Reply]
"""Always the same, or by the prompt and how often it came before."""


class Server:
    """Listens on a free port from when it is made until `close`; `prompts`, `bodies`, `keys` and `paths` are what it was sent."""

    def __init__(self) -> None:
        self.script: Script = Reply("5")
        self.prompts: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][0]["content"]
                with lock:
                    before = outer.prompts.count(prompt)
                    outer.prompts.append(prompt)
                    outer.bodies.append(body)
                    outer.keys.append(self.headers["Authorization"])
                    outer.paths.append(self.path)
                reply = outer.script if isinstance(outer.script, Reply) else outer.script(prompt, before)
                time.sleep(reply.late)
                if reply.dropped:
                    self.connection.close()
                    return
                data = reply.bytes()
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
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
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1"

    def close(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()
