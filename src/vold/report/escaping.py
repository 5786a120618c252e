"""Words that come from models, data or folders, made harmless for the place they are shown in: always one line, never markup."""

import re

MARKDOWN = re.compile(r"([\\`*_{}\[\]|#~$])")
FORMULA = ("=", "+", "-", "@")
"""What a spreadsheet would run."""


def one_line(text: str) -> str:
    """Blanks as single spaces, and every other character that cannot be printed (terminal codes, marks that reverse the direction of writing)
    as its code."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in re.sub(r"\s+", " ", text).strip())


def markdown(text: str) -> str:
    """As it reads on a Markdown page, also inside a table."""
    return MARKDOWN.sub(r"\\\1", one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def csv(text: str) -> str:
    """As a spreadsheet takes for words."""
    plain = one_line(text)
    return f"'{plain}" if plain.startswith(FORMULA) else plain


def shortened(text: str, limit: int = 80) -> str:
    """One line of at most `limit` characters."""
    plain = one_line(text)
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"
