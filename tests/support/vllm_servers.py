"""vLLM servers as processes, started as docs/engines.md says."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path


class Process:
    """A server of one model on a free port of this machine."""

    def __init__(self, model: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.log = f"http://127.0.0.1:{self.port}", log
        command = (
            f"{sys.executable} -m vllm.entrypoints.openai.api_server --model {model} --host 127.0.0.1 --port {self.port} --dtype float32 "
            "--enforce-eager --max-model-len 512 --logprobs-mode processed_logprobs --generation-config vllm "
            "--skip-tokenizer-init --worker-extension-cls vold.adapters.engines.vllm_worker.Worker --disable-log-stats"
        )
        if "vision_config" in json.loads((model / "config.json").read_text()):
            command += ' --limit-mm-per-prompt {"image":0,"video":0}'
        environment = {
            **os.environ,
            "VLLM_SERVER_DEV_MODE": "1",
            "VLLM_CPU_KVCACHE_SPACE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "OMP_NUM_THREADS": "1",
        }
        with log.open("wb") as out:
            self.process = subprocess.Popen(command.split(), env=environment, stdout=out, stderr=out, start_new_session=True)

    def wait(self, seconds: float = 240) -> None:
        """Until it answers."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                break
            try:
                urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{self.url}/health", timeout=2).close()
                return
            except OSError:
                time.sleep(0.5)
        raise RuntimeError(f"the server did not start:\n{self.log.read_text(errors='replace')[-3000:]}")

    def kill(self) -> None:
        """At once, with its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.kill()
