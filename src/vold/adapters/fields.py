"""What single fields of a row say. Each gives a plain value, or raises BadRow with the reason in words."""

import io
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

ROLES = {"human": "user", "gpt": "assistant"}
"""Other names of the two speakers."""


class BadRow(Exception):
    """A row that cannot be used, and why."""


def text_of(value: Any, name: str) -> str:
    """Words that can be written down."""
    if value is None:
        raise BadRow(f"no {name}")
    if not isinstance(value, str):
        raise BadRow(f"{name} is no text but {shown(value)}")
    if not value.strip():
        raise BadRow(f"{name} is empty")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadRow(f"{name} holds half a character (a lone surrogate)") from error
    return value


def answer_of(value: Any) -> str | None:
    """A reference answer as text without blanks around it: numbers as Python writes them (3.0 stays 3.0), one of a list of one; None for none."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, float) and math.isinf(value):
        raise BadRow("answer is no finite number")
    if not isinstance(value, str | int | float | Decimal):
        raise BadRow(f"answer is neither text nor number but {shown(value)}")
    said = str(value).strip()
    return text_of(said, "answer") if said else None


def difficulty_of(value: Any) -> int | None:
    """A whole number, also as `Level 5` or 5.0; None for none."""
    if value is None or (isinstance(value, str) and value.strip() in ("", "Level ?")):
        return None
    said = value.strip().removeprefix("Level ") if isinstance(value, str) else value
    if not isinstance(said, bool) and isinstance(said, str | int | float):
        try:
            if float(said) == int(float(said)):
                return int(said) if isinstance(said, int) else int(float(said))
        except (ValueError, OverflowError):
            pass
    raise BadRow(f"difficulty must be a whole number, not {shown(value)}")


def turns_of(value: Any, name: str) -> list[tuple[str, Any]]:
    """(role, words as found) of every turn, whether they are called role and content or from and value."""
    if not isinstance(value, list) or not value:
        raise BadRow(f"{name} is no list of turns but {shown(value)}")
    turns = []
    for turn in value:
        if not isinstance(turn, Mapping):
            raise BadRow(f"a turn of {name} is no object but {shown(turn)}")
        role = turn.get("role") or turn.get("from")
        words = turn.get("content") if turn.get("content") is not None else turn.get("value")
        if not isinstance(role, str):
            raise BadRow(f"a turn of {name} has no role")
        turns.append((ROLES.get(role, role), words))
    return turns


def asked_in(value: Any, name: str) -> tuple[str, str]:
    """(system prompt or "", question) of a prompt: plain text, or turns of which one is the user's; an answer after it is left unread."""
    if isinstance(value, str):
        return "", text_of(value, name)
    if value is None:
        raise BadRow(f"no {name}")
    turns = turns_of(value, name)
    roles = [role for role, _ in turns]
    system, said = (turns[0][1], turns[1:]) if roles[0] == "system" else ("", turns)
    if [role for role, _ in said] not in (["user"], ["user", "assistant"]):
        raise BadRow(f"{name} has turns of {', '.join(roles[:6])}{', …' if len(roles) > 6 else ''}: expected one question")
    return system_of(system), text_of(said[0][1], f"the user turn of {name}")


def system_of(value: Any) -> str:
    return "" if value is None or value == "" or (isinstance(value, str) and not value.strip()) else text_of(value, "the system turn")


def picture_of(value: Any, folder: Path | None) -> bytes:
    """An encoded picture, by its path beside the file or as stored in parquet, decoded once to see that it can be."""
    stored = value if isinstance(value, Mapping) else {"path": value}
    data, path = stored.get("bytes"), stored.get("path")
    try:
        if data is None:
            if not isinstance(path, str) or not path:
                raise BadRow(f"image is no path but {shown(value)}")
            if folder is None and not Path(path).is_absolute():
                raise BadRow(f"image {path} is not stored in the row")
            data = ((folder or Path()) / path).read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
    except BadRow:
        raise
    except UnidentifiedImageError as error:  # whose words hold an address in memory, and scores are the same bytes each time
        raise BadRow(f"image {path or 'of the row'} cannot be read: its {len(data or b'')} bytes are no picture of a known kind") from error
    except Exception as error:  # Pillow raises what its decoders raise: SyntaxError, struct.error, DecompressionBombError …
        raise BadRow(f"image {path or 'of the row'} cannot be read: {type(error).__name__}: {error}") from error
    return bytes(data)


def shown(value: Any) -> str:
    """A value as an error shows it."""
    return repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:60]}…"
