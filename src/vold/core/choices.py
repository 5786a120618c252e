"""Option letters in answers to multiple-choice questions."""

import re

from vold.core.answers import last_boxed

_LETTER = r"[A-Za-z]"
_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|boldsymbol|mathit|mathsf|mbox|bf|rm)\s*\{([^{}]*)\}")
_SEVERAL = re.compile(r"[({\[]?\s*[A-Z]\s*[)}\]]?(?:\s*(?:,|;|/|&|,?\s*and\s|\s)\s*[({\[]?\s*[A-Z]\s*[)}\]]?)+", re.IGNORECASE)
_MARKED = re.compile(
    r"(?<![A-Za-z0-9\\])(?:\(([A-Za-z])\)|\[([A-Z])\])(?![A-Za-z])|(?<![A-Za-z0-9\\(\[])([A-Z])(?=[.:)]|\\\)|\s*[-–—]\s)(?!\.[A-Za-z]|\)?'|\([a-z])"
)
_DECLARED = re.compile(
    r"(?:(?:answer|option|choice|correct (?:one|answer|option|choice))\s*(?:(?:is|would be|should be|must be)|:|=)\s*(?:therefore |thus |clearly )?"
    r"(?:the )?(?:option |choice |letter )?|(?:option|choice|letter)\s+|(?:i (?:choose|pick|select)|my choice is)\s+(?:option |choice )?)"
    r"[:\s]*[*_`\"'$]*\s*[\[({]?\s*([A-Z])(?![A-Za-z0-9'’]|\s+(?!(?:or|and)\b)[a-z]|\s*[-+*/=^_<>]\s*\w)",
    re.IGNORECASE,
)


def letters_in(answer: str, *, several: bool = False) -> frozenset[str] | None:
    """The option an answer names, as capitals; None where it names none, or more than the one that is wanted.

    Taken, in this order: an answer that is nothing but a letter, in brackets or before a full stop or not; the letter that a phrase declares
    (`the answer is B`); the only letter marked as an option (`(B)`, `B.`, `B) 12`). A letter inside a word, or the article in `A car`, is none.
    """
    text = _plain(answer)
    alone = re.fullmatch(rf"[(\[{{]?\s*({_LETTER})\s*[)\]}}]?\s*[.:,]?", text)
    if alone is not None:
        return frozenset(alone[1].upper())
    listed = _listed(text.rstrip("."))
    if listed is not None:
        return listed if several else None
    declared = _declared(text)
    if declared:
        return frozenset(declared) if len(declared) == 1 else None
    marked = {next(filter(None, found.groups())).upper() for found in _MARKED.finditer(text)}
    if len(marked) == 1:
        return frozenset(marked)
    led = re.match(r"([B-HJ-Z])\s+\S", text) if not marked else None
    return frozenset(led[1]) if led is not None and not re.match(r"[A-Z]\s*[-+*/=^_<>]", text) else None


def letter_in(answer: str) -> str | None:
    """The one option an answer names; None where it names none or several."""
    found = letters_in(answer)
    return None if found is None else next(iter(found))


def declared_in(response: str) -> str | None:
    """The option that a response without any answer format declares in its last lines, or is; None where it does neither."""
    text = _plain(response)
    if re.fullmatch(r"[(\[]?\s*[A-Za-z]\s*[)\]]?\s*[.:]?", text):
        return letter_in(text)
    lines = [line for line in text.splitlines() if line.strip()]
    for line in reversed(lines[-3:]):
        declared = _declared(line)
        if declared:
            return declared.pop() if len(declared) == 1 else None
    return None


def gold_letters(gold: str) -> frozenset[str] | None:
    """The letters of a reference: `B`, `(B)`, `A, C` or `AC`; None where it has none."""
    return letters_in(gold, several=True)


def _declared(text: str) -> set[str]:
    """Letters that phrases declare; `B or C` declares more than one."""
    found = [one for one in _DECLARED.finditer(text) if _is_letter(one)]
    doubtful = any(re.match(r"\W{0,4}(?:or|and)\b", text[one.end() :]) for one in found)
    return {one[1].upper() for one in found} | ({""} if doubtful else set())


def _is_letter(found: re.Match[str]) -> bool:
    """Not `the answer is a`, with a small letter that begins or is a word."""
    return found[1].isupper() or not re.match(r"\s*(?!(?:or|and)\b)\w", found.string[found.end() :])


def _listed(text: str) -> frozenset[str] | None:
    """`A, C`, `A and C`, `(A)(C)` or `AC`."""
    run = re.fullmatch(r"[A-Z]{2,8}", text)
    if run is not None and len(set(text)) == len(text):
        return frozenset(text)
    if _SEVERAL.fullmatch(text + " ") or _SEVERAL.fullmatch(text) or re.fullmatch(r"(?:\(\s*[A-Z]\s*\)\s*)+", text):
        without = re.sub(r"\band\b", " ", text, flags=re.IGNORECASE)
        return frozenset(letter.upper() for letter in re.findall(_LETTER, without))
    return None


def _plain(answer: str) -> str:
    text = answer
    for _ in range(3):
        text = _WRAPPED.sub(r"\1", text)
    text = text.replace("**", "").replace("\\ ", " ").replace("$", "").replace("~", " ").replace("\\(", "").replace("\\)", "")
    boxed = last_boxed(text)
    text = text if boxed is None else boxed
    return text.strip().removeprefix("{").removesuffix("}").strip() if text.strip().startswith("{") else text.strip()
