"""Option letters: which of them an answer in multiple choice names."""

import re

_PLAIN = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textrm|mathit|textit|boldsymbol|bf|rm)\s*(?=\{)|\\(?:left|right|,|;|!|quad)|[{}$*_`]")
_LETTER = r"(?<![A-Za-z0-9\\'’])([A-J])(?![A-Za-z0-9'’])"
_ALONE = re.compile(rf"^\W*{_LETTER}\W*$")
_SEVERAL = re.compile(r"^\W*[A-J](?:\s*(?:,|;|/|&|and|,\s*and|or)?\s*[A-J])*\W*$")
_BRACKETED = re.compile(r"[(\[]\s*([A-J])\s*[)\]]")
_LEADING = re.compile(r"^\W*([A-J])\s*[.):：](?:\s|$|\\)")
_NAMED = re.compile(
    r"(?:answers?|options?|choices?)\s*(?:is|are|:|：|=)*\s*(?:(?:option|choice|answer|letter)s?\s*)?[(\[]?\s*([A-J])(?![A-Za-z0-9'’])", re.IGNORECASE
)


def letters_in(answer: str) -> frozenset[str] | None:
    """The option letters an answer names, A to J: one for `B`, `(B)`, `B) 12`, `\\text{B}`, `the answer is B`; several for `A, C` or `AC`.

    None where it names none, or where it could mean one or another: a capital inside a word or the article A is no option.
    """
    plain = " ".join(_PLAIN.sub("", answer).split())
    if not plain:
        return None
    alone = _ALONE.match(plain) or _ALONE.match(plain.upper() if len(plain) <= 3 else "")
    if alone is not None:
        return frozenset(alone[1])
    if _SEVERAL.match(plain) and " or " not in plain:
        found = [letter for letter in plain if letter in "ABCDEFGHIJ"]
        return frozenset(found) if len(set(found)) == len(found) else None
    if len(set(_BRACKETED.findall(plain))) > 1 and " or " in plain:
        return None
    for pattern in (_NAMED, _LEADING, _BRACKETED):
        letters = [found.upper() for found in pattern.findall(plain)]
        if pattern is _NAMED:
            letters = [match[1] for match in pattern.finditer(plain) if match[1].isupper()]
            letters = [] if any(_is_article(plain, match) for match in pattern.finditer(plain)) else letters
        if letters:
            return frozenset(letters[-1:]) if pattern is _NAMED or len(set(letters)) == 1 else None
    return None


def _is_article(text: str, match: re.Match[str]) -> bool:
    """`the answer is A good one`: an A before a word."""
    return match[1] in "Aa" and re.match(r"\s+[a-z]", text[match.end(1) :]) is not None
