"""Option letters in answers to multiple-choice questions."""

import re
import unicodedata

from vold.core.answers import last_boxed
from vold.core.latex import UPRIGHT

_WRAPPED = re.compile(rf"\\(?:{'|'.join(sorted(map(re.escape, UPRIGHT)))}|underline|uline|fbox|rm|bf)\s*\{{([^{{}}]*)\}}")
_COLOUR = re.compile(r"\\(?:text)?color\s*\{[^{}]*\}\s*(?:\{([^{}]*)\})?")
_SIZES = re.compile(r"\\(?:left|right|[bB]ig{1,2}[lr]?|displaystyle|bf|rm)(?![a-zA-Z])")
_BLANKS = re.compile(r"\\(?:[ ,;:!]|q?quad(?![a-zA-Z]))|~")
_EMPHASIS = re.compile(r"(?<![A-Za-z0-9])\*(?=\S)|(?<=\S)\*(?![A-Za-z0-9])|(?<![A-Za-z0-9}])_(?=[A-Za-z(])|(?<=[A-Za-z).])_(?![A-Za-z0-9{\\])")
_NO_SIGNS = re.compile(r"\*\*|[`\"“”„$]|\\[()\[\]]")
_ALONE = re.compile(r"[(\[{]?\s?([A-Za-z])\s?[)\]}]?\s?[.:,;!]?")
_PIECES = re.compile(r" ?(?:[,;/&]|\band\b) ?| ", re.IGNORECASE)
_PIECE = re.compile(r"([(\[{]?) ?([A-Z]) ?[)\]}]?", re.IGNORECASE)
_MARKED = re.compile(
    r"(?<![A-Za-z0-9\\])(?:\(([A-Za-z])\)|\[([A-Z])\])(?![A-Za-z])|(?<![A-Za-z0-9\\(\[])([A-Z])(?=[.:;)]|\s?[-–—]\s)(?!\.[A-Za-z]|\)?'|\([a-z])"
)
_REASON = r"or|and|because|since|as|is|which|given|due|based|rather|not|instead|so|but|by|from|therefore|thus|hence|with|where|for|if|when|while"
_DECLARED = re.compile(
    r"(?:(?P<answer>(?:answer|option|choice|correct (?:one|answer|option|choice))\s?(?:(?:is|would be|should be|must be)|:|=)\s?"
    r"(?:therefore |thus |clearly )?(?:the )?(?:option |choice |letter )?)|(?:option|choice|letter)\s|(?:i (?:choose|pick|select)|my choice is)\s"
    rf"(?:option |choice )?):?\s?[*_'’]*\s?[\[({{]?\s?([A-Z])(?![A-Za-z0-9'’]|[^\S\n](?!(?:{_REASON})\b)[a-z]|\s?[-+*/=^_<>]\s?[\w{{\\(])",
    re.IGNORECASE,
)
_AFFIRMED = re.compile(
    r"(?<![\w\\'’(\[{])[\[({]?\s?([A-J])\s?[\])}]?\s"
    r"(?i:(?:is|was|must be|would be|should be|has to be)\s(?:therefore |thus |hence |clearly |indeed )?(?:(?:the|our|my) )?"
    r"(?:only |single |best |most |final )*(?:correct|right|best|answer|option|choice)\b)(?!-|\s(?:if|only|when|for|triangle|angle)\b)"
)
_DENIED = re.compile(
    r"\W{0,4}(?:(?:is|was|are|seems|would be|must be)\s(?:\w+\s)?"
    r"(?:not|wrong|incorrect|false|invalid|impossible|out|eliminated|excluded|ruled|unlikely)"
    r"|(?:is|was|does|would|could|did)n['’]t|cannot|can['’]t|can not|does not|did not|fails|contradicts)\b",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"\b(?:(?:if|whether|suppose|assume|assuming|not|neither|nor)[ '(\[]{1,3}(?:the |that |an? )*|(?:wrong|incorrect|false) )$", re.IGNORECASE
)
_ASIDE = re.compile(
    r"\b(?:for|in|from|of|than|with|without|unlike|except|instead of|consider|check|checking|try|trying|compare|test|testing"
    r"|(?:eliminat|exclud|reject|discard)(?:e|es|ed|ing|s)?|rul(?:e|es|ed|ing) out)\W{1,3}(?:the )?$",
    re.IGNORECASE,
)
_SECOND = re.compile(r"\W{0,4}(?:or\b|and\s(?:also |maybe |perhaps |possibly )?(?:option |choice |letter )?\W?(?-i:[A-J])\b)", re.IGNORECASE)
_LED = re.compile(r"([A-J])(?:\s?=\s?(?![A-Z]\b)\S|,?\s(?:because|since|as|given|due|so|therefore)\b|\sis\s-?[\d.\\]|\n|\s[\d.\\√π])")
_LED_SMALL = re.compile(r"([a-j])(?:[.):]\s|\))\S")
_LONGEST_LIST = 100


def letters_in(answer: str, *, several: bool = False) -> frozenset[str] | None:
    """The option an answer names, as capitals; None where it names none, or more than the one that is wanted.

    Taken, in this order: an answer that is nothing but a letter, in brackets or before a full stop or not; the letter that a phrase declares
    (`the answer is B`, `B is correct`); the only letter marked as an option (`(B)`, `B.`, `B) 12`); a letter before its value or a reason (`B = 5`,
    `B because …`). A letter inside a word, or what may be the article in `A car`, is none, and what holds for A holds for B.
    """
    text = _plain(answer)
    alone = _ALONE.fullmatch(text)
    if alone is not None:
        return frozenset(alone[1].upper())
    listed = _listed(text.rstrip(".").replace("\n", " "))
    if listed is not None:
        return listed if several else None
    declared, refused = _declared(text)
    if declared:
        return frozenset(declared) if len(declared) == 1 else None
    marked = {next(filter(None, found.groups())).upper() for found in _MARKED.finditer(text)} - refused
    if marked:
        return frozenset(marked) if len(marked) == 1 else None
    led = _LED.match(text) or _LED_SMALL.match(text)
    return None if led is None else frozenset(led[1].upper())


def letter_in(answer: str) -> str | None:
    """The one option an answer names; None where it names none or several."""
    found = letters_in(answer)
    return None if found is None else next(iter(found))


def declared_in(response: str) -> str | None:
    """The option that a response without any answer format declares in its last lines, or is; None where it does neither."""
    text = _plain(response)
    if _ALONE.fullmatch(text):
        return letter_in(text)
    for line in reversed([line for line in text.splitlines() if line.strip()][-3:]):
        declared, _ = _declared(line)
        if declared:
            return declared.pop() if len(declared) == 1 else None
    return None


def gold_letters(gold: str) -> frozenset[str] | None:
    """The letters of a reference: `B`, `(B)`, `A, C` or `AC`; None where it has none."""
    return letters_in(gold, several=True)


def _declared(text: str) -> tuple[set[str], set[str]]:
    """Letters that phrases declare, and those they refuse. `B or C` declares more than one; `option A is wrong` and `if the answer is A` refuse A."""
    found, refused = set[str](), set[str]()
    for one in _DECLARED.finditer(text):
        before, after = text[max(0, one.start() - 24) : one.start()], text[one.end() : one.end() + 60]
        if not _is_letter(one):
            continue
        if _DENIED.match(after) or _SUPPOSED.search(before) or (one["answer"] is None and _ASIDE.search(before)):
            refused.add(one[2].upper())
        else:
            found |= {one[2].upper()} | ({""} if _SECOND.match(after) else set())
    for one in _AFFIRMED.finditer(text):
        before = text[max(0, one.start() - 24) : one.start()]
        if _SUPPOSED.search(before):
            refused.add(one[1])
        else:
            found |= {one[1]} | ({""} if re.search(r"\b[A-J]\W{0,3}(?:(?:and|or)\W{1,3}|,\W{0,3})$", before) else set())
    return found, refused


def _is_letter(found: re.Match[str]) -> bool:
    """Not `the answer is a`, with a small letter that begins or is a word."""
    return found[2].isupper() or not re.match(r"\s?(?!(?:or|and)\b)\w", found.string[found.end() : found.end() + 20])


def _listed(text: str) -> frozenset[str] | None:
    """`A, C`, `A and C`, `(A)(C)` or `AC`; in a run without anything between them, letters are in alphabetical order: TRUE is a word."""
    if len(text) > _LONGEST_LIST:
        return None
    if re.fullmatch(r"[A-J]{2,10}", text):
        return frozenset(text) if "".join(sorted(set(text))) == text else None
    pieces = [_PIECE.fullmatch(piece) for piece in _PIECES.split(text.replace(")(", ") (")) if piece]
    letters = [piece for piece in pieces if piece is not None]
    if len(letters) < 2 or len(letters) < len(pieces):
        return None
    mixed = len({piece[1] for piece in letters}) > 1 and not re.search(r"[,;/&]|\band\b", text, re.IGNORECASE)  # (C) B: option C, which is B
    return None if mixed else frozenset(piece[2].upper() for piece in letters)


def _plain(answer: str) -> str:
    """Without typesetting, emphasis and quotation marks; one blank where there are several."""
    text = unicodedata.normalize("NFKC", answer)
    for _ in range(3):
        text = _WRAPPED.sub(r"\1", text)
    text = _BLANKS.sub(" ", _SIZES.sub("", _COLOUR.sub(lambda found: found[1] or "", text)))
    boxed = last_boxed(text)
    text = _EMPHASIS.sub("", _NO_SIGNS.sub("", text if boxed is None else boxed))
    text = re.sub(r" ?\n[ \n]*", "\n", re.sub(r"[^\S\n]+", " ", text)).strip()
    quoted = re.fullmatch(r"'(.*)'|‘(.*)’", text)
    text = text if quoted is None else (quoted[1] or quoted[2] or "").strip()
    return text.removeprefix("{").removesuffix("}").strip() if text.startswith("{") else text
