"""Settings that are there and cannot act: refused where the user set them, told where they were inherited."""

from vold.base.errors import SettingsError
from vold.config.inert_rules import Inert, inert
from vold.config.load import COMMAND_LINE, Resolved


def refuse_inert(resolved: Resolved) -> None:
    """Raise SettingsError for every inert setting that the user set, all at once."""
    s = resolved.settings
    lines = [
        f"{source}: {one.name} is set, but {one.why}, so it cannot act. {one.remedy}, or remove it."
        for one in inert(resolved)
        if (source := _at_fault(one, resolved)) is not None
    ]
    lines += [
        f"{source}: {key} is set, but joint.arms names {', '.join(s.joint.arms)} only, so it cannot act. Add {name} to joint.arms, or remove it."
        for name in s.arms
        for key, source in resolved.sources.items()
        if source == COMMAND_LINE and key.startswith(f"arms.{name}.") and name not in s.active_arms()
    ]
    if lines:
        raise SettingsError("\n".join(lines))


def _at_fault(one: Inert, resolved: Resolved) -> str | None:
    """The user's source that set it; None when it was inherited, or switched off by a later layer."""
    if one.name == "teacher":  # a file may name one for many runs; the command line names it for this run
        named = any(source == COMMAND_LINE and key.split(".")[0] == "teacher" for key, source in resolved.sources.items())
        return COMMAND_LINE if named else None
    source = resolved.user_of(one.name) if one.stated else None
    if source is not None and one.because_of and resolved.is_later(resolved.source_of(one.because_of), source):
        return None
    return source


def inert_notes(resolved: Resolved) -> list[str]:
    """A sentence for everything inert that was inherited; arms of which the same is true share one."""
    arms: dict[Inert, list[str]] = {}
    for one in inert(resolved):
        if _at_fault(one, resolved) is None:
            same = Inert(name="", label=one.label, why=one.why, remedy=one.remedy)
            arms.setdefault(same, []).append(one.arm)
    notes: list[str] = []
    for one, found in arms.items():
        whose = f" ({', '.join(dict.fromkeys(found))})" if any(found) else ""
        notes.append(f"{one.label}{whose}: inert. {one.why[0].upper()}{one.why[1:]}. {one.remedy} to make it act.")
    return notes
