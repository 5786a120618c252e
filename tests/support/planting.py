"""Mistakes planted by rewriting a function's source: what is written differently, and nothing else."""

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest


@dataclass(frozen=True)
class Edit:
    """In one function or method, `old` becomes `new`. `old` must be there exactly once, so that no mistake quietly stops being one."""

    owner: Any
    """The module or class it is in."""
    name: str
    old: str
    new: str

    def plant(self, patch: pytest.MonkeyPatch) -> None:
        original = getattr(self.owner, self.name)
        changed = rewritten(original, self.old, self.new)
        patch.setattr(self.owner, self.name, changed)
        for module in [module for name, module in sys.modules.items() if name.startswith("vold.")]:
            for bound in [name for name, value in vars(module).items() if value is original]:
                patch.setattr(module, bound, changed)  # whoever imported it by name has it too


def rewritten(original: Callable[..., Any], old: str, new: str) -> Callable[..., Any]:
    """The same function, in the same module, from its source with one change."""
    source = getattr(original, "planted", None) or textwrap.dedent(inspect.getsource(original))
    assert source.count(old) == 1, f"{original.__qualname__} holds {old!r} {source.count(old)} times, expected once"
    made: dict[str, Any] = {}
    exec(compile(source.replace(old, new), f"<{original.__qualname__}, with a mistake>", "exec"), vars(sys.modules[original.__module__]), made)
    changed = made[original.__name__]
    changed.planted = source.replace(old, new)
    return changed
