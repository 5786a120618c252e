"""From an objective to the settings that say it, as plain values and as TOML."""

from dataclasses import fields, is_dataclass
from enum import StrEnum
from typing import Any

from vold.core.objective import Baseline, Objective, Overlong

OPTIONAL = ("mix", "top")
"""Fields that are left out where they are not used; everything else that is absent is the word "none"."""


def settings_of(objective: Objective) -> dict[str, Any]:
    """Everything that can act in the objective, complete: over whatever base they are laid, these settings give this objective.

    What could not act is left out, because `vold` refuses it: an epsilon without a deviation, pull_truncated without pulls or with an
    overlong mask.
    """
    tree: dict[str, Any] = plain(objective)
    if not objective.credit.present:
        tree["credit"] = "none"
    elif objective.credit.by is not Baseline.Z_SCORE:
        del tree["credit"]["unbiased"], tree["credit"]["epsilon"]
    if not objective.pulls or objective.overlong is Overlong.MASK:
        del tree["pull_truncated"]
    if objective.overlong is not Overlong.SOFT:
        del tree["soft_buffer"]
    return tree


def plain(value: Any) -> Any:
    """A value of the core as a recipe writes it."""
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, tuple):
        return [plain(inner) for inner in value]
    if is_dataclass(value):
        found = {field.name: getattr(value, field.name) for field in fields(value)}
        return {name: plain(inner) for name, inner in found.items() if inner is not None or name not in OPTIONAL}
    return "none" if value is None else value


def toml_of(settings: dict[str, Any], *, table: str) -> str:
    """A table of settings as TOML, one setting a line; an array of tables has one of them a line."""
    lines = [f"[{table}]"]
    for name, value in settings.items():
        if isinstance(value, list) and value:
            lines += [f"{name} = [", *(f"    {_toml(inner)}," for inner in value), "]"]
        else:
            lines.append(f"{name} = {_toml(value)}")
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{name} = {_toml(inner)}' for name, inner in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else repr(value).replace("e-0", "e-")
