r"""The strict rule: a declared final answer that is the reference, and nothing that merely looks like it.

An answer counts only where a response says that it is one: in the last \boxed{…}, the last <answer> tag, the last `Answer:` line, the last sentence
with "answer is", or in a response that is nothing but one short line. What cannot be found that way is wrong. Everything here is linear in the length
of a response and evaluates nothing; algebra happens in processes of the judge's own.
"""

import re
import string
import threading
from collections import deque
from collections.abc import Sequence

from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.base.types import Item, Ruling, Verdict
from vold.core.answers import last_boxed, last_tagged, same_answer
from vold.core.choices import letters_in
from vold.core.latex import tidy

_ENOUGH = 500
"""An option, a word or a whole response of more characters than these is none."""
_LINE = re.compile(r"^[ \t>#*_-]*+(?:the )?(?:(?:final|correct) )?answer[ \t]*+[*_]*+[ \t]*+[:：](.*)$", re.IGNORECASE | re.MULTILINE)
_DECLARING = re.compile(
    r"\b(?:answer|(?:correct|right|best) (?:option|choice|one|statement))\s++(?:is|would be|should be|must be)(?![a-z])"
    r"[:： \t]*+(?:(?:therefore|thus|then|clearly|indeed|simply|hence)\b[,: \t]*+)?",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"(?:\b(?:if|whether|unless|suppose|assume|assuming|maybe|perhaps|possibly|not|says?|said|claim(?:s|ed)?)|n't) (?:that )?(?:[a-z']+ ){0,3}$",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:wait\s*[,.!:–—-]|hmm+\b|correction\b|on second thought|sorry\b|apologi[sz]e|my mistake|made an? (?:mistake|error)|let me re-?\w+)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"\.(?=\s|[*_\"')]|$)|(?<![\d)}])!(?=\s|$)|\n|\?")
_DISPLAY = frozenset(["", r"\[", "$$", "```", "**"])
_WRAPPED = re.compile(r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|boldsymbol|mathit|mathsf|mbox)\s*\{([^{}]*)\}")
_CALLED = re.compile(r"(?:the )?(?:correct )?(?:(?:answer|option|choice|letter) )?(?:is )?(?:(?:option|choice|letter) )?:? ?", re.IGNORECASE)
_ALONE = re.compile(r"[(\[{]?\s?([A-Za-z])\s?[)\]}]?\s?[.:,]?")
_LED = re.compile(r"[(\[{]?\s?([A-Z])\s?(?:[)\]}]\s?[.:,]?|[.:,)=]|\s[-–—](?=\s))\s?(\S.*)")
_BARELY_LED = re.compile(r"([A-Z]) (\S.*)")
_TRAILED = re.compile(r"(.*\S) ?[(\[]([A-Z])[)\]]\.?")
_REASONED = re.compile(r"because\b|since\b|as\b|is (?:the )?(?:correct|right)\b", re.IGNORECASE)
_NEITHER = re.compile(r"(?:is )?(?:not|either|neither)\b", re.IGNORECASE)
_DENIED = re.compile(r"^(?:or|nor)\b|\bor \(?[A-Z]\b|\b(?:wrong|incorrect|not (?:correct|right|true|the answer))\b", re.IGNORECASE)
_YES_NO = re.compile(r"(yes|no)(?:\s?[.,;:!–—-](?!\w)\s?(.*)|\s((?:there|it|this|that|the|they|he|she|you|i|because)\b.*))?", re.IGNORECASE)
_DOUBT = {
    word: re.compile(rf"\b(?:{other}|but|however|wait|maybe|perhaps|unsure|not sure|cannot|unclear|or|actually)\b|can't", re.IGNORECASE)
    for word, other in (("yes", "no"), ("no", "yes"))
}


def final(response: str) -> str:
    """What comes after the thinking: the text after the last </think> where there is one, otherwise the whole response."""
    return response.rpartition("</think>")[2]


def answer_in(response: str) -> str | None:
    r"""The last \boxed{…} whose braces balance, otherwise the last <answer> tag, otherwise the last `Answer:` line, otherwise what the last sentence
    with "answer is" declares; None where there is none of these. Looked for after the thinking only."""
    text = final(response)
    for look in (last_boxed, last_tagged, _last_line, _declared):
        found = look(text)
        if found is not None:
            return found
    return None


def said(response: str) -> str | None:
    """The same, or a whole response of one short line: to a question that asks for nothing but an answer, it is the answer."""
    found = answer_in(response)
    if found is not None:
        return found
    bare = final(response).strip()
    plain = bare and "\n" not in bare and len(bare) <= _ENOUGH and not bare.endswith("?") and not _DECLARING.search(bare)
    return bare if plain else None


def option(item: Item, response: str, *, letters: Sequence[str] | None = None) -> Verdict:
    """Right where the answer names the reference's option and no other: by its letter, its exact text, or both in agreement.

    `letters` are the options there are, by default as many as the item has texts, or all where the texts are part of the question.
    """
    found = said(response)
    if found is None:
        return _none()
    known = tuple(letters) if letters is not None else tuple(string.ascii_uppercase[: len(item.options) or 26])
    texts = dict(zip(known, item.options, strict=False))
    gold = _letters_of(item.answer, known, texts)
    named = chosen(found, known, texts)
    if not gold:
        return Verdict(ruling=Ruling.UNJUDGED, extracted=named or found, note=f"the reference names no option: {item.answer[:60]!r}")
    if named is None:
        return Verdict(ruling=Ruling.WRONG, extracted=found, note="names no option, or more than one", exact=False)
    return Verdict(ruling=_ruling(named in gold), extracted=named, exact=found.strip() == item.answer.strip())


def options(item: Item, response: str, *, gold: frozenset[str]) -> Verdict:
    """Right where the answer names exactly the letters of `gold`, in any order."""
    found = said(response)
    if found is None:
        return _none()
    plain = _plain(found)
    named = letters_in(plain, several=True) if len(plain) <= _ENOUGH and not _NEITHER.match(plain) and not _DENIED.search(plain) else None
    if named is None:
        return Verdict(ruling=Ruling.WRONG, extracted=found, note="names no options", exact=False)
    return Verdict(ruling=_ruling(named == gold), extracted=", ".join(sorted(named)), exact=found.strip() == item.answer.strip())


def value(item: Item, response: str, *, gold: str | None = None) -> Verdict:
    """Right where the answer is the same number, expression, set or interval as the reference. Unjudged only where the judge failed."""
    return compared(said(response), item.answer if gold is None else gold)


def compared(found: str | None, gold: str) -> Verdict:
    """The same for an answer that was found already, or not."""
    return _none() if found is None else _judge().compare([(found, gold)])[0]


def words(item: Item, response: str, *, gold: str | None = None) -> Verdict:
    """Right where the answer is the reference word by word: case, blanks and a final full stop do not matter."""
    found, reference = said(response), item.answer if gold is None else gold
    if found is None:
        return _none()
    return Verdict(ruling=_ruling(_folded(found) == _folded(reference)), extracted=found, exact=found.strip() == reference.strip())


def yes_no(item: Item, response: str, *, gold: str | None = None) -> Verdict:
    """Right where the answer is the reference's yes or no, alone or followed by words among which its opposite and doubts are not."""
    found, reference = said(response), _folded(item.answer if gold is None else gold)
    if found is None:
        return _none()
    given = _YES_NO.fullmatch(_plain(found).strip("'{}")) if len(found) <= _ENOUGH else None
    word = given[1].lower() if given is not None else None
    if given is None or word is None or _DOUBT[word].search(given[2] or given[3] or ""):
        return Verdict(ruling=Ruling.WRONG, extracted=found, note="neither yes nor no", exact=False)
    return Verdict(ruling=_ruling(word == reference), extracted=word, exact=found.strip() == reference)


def same_value(answer: str, gold: str) -> bool | None:
    """Whether two answers are the same value, exactly; None where the judge failed or the reference cannot be read."""
    ruling = _judge().compare([(answer, gold)])[0].ruling
    return None if ruling is Ruling.UNJUDGED else ruling is Ruling.RIGHT


_lock = threading.Lock()
_shared: list[EquivalenceJudge] = []


def _judge() -> EquivalenceJudge:
    """One for all benchmarks: its processes start with the first answer that needs algebra and end with this one."""
    with _lock:
        if not _shared:
            _shared.append(EquivalenceJudge())
        return _shared[0]


def close() -> None:
    """End the judge's processes now; they start again when they are needed."""
    with _lock:
        for judge in _shared:
            judge.close()


def _none() -> Verdict:
    return Verdict(ruling=Ruling.WRONG, extracted=None, note="no final answer", exact=False)


def _ruling(right: bool) -> Ruling:
    return Ruling.RIGHT if right else Ruling.WRONG


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = deque(pattern.finditer(text), maxlen=1)
    return found[0] if found else None


def _last_line(text: str) -> str | None:
    """What follows the last `Answer:` that begins a line, on that line or else on the next one with words."""
    last = _last(_LINE, text)
    if last is None:
        return None
    line = _undressed(last[1]) or _next_line(text, last.end())
    return line and (_declared(line) or line)


def _declared(text: str) -> str | None:
    """What the last "answer is" says up to the end of its sentence; None where it is a question, a supposition, or taken back afterwards."""
    last = _last(_DECLARING, text)
    if (
        last is None
        or _SUPPOSED.search(" ".join(text[max(0, last.start() - 100) : last.start()].split()) + " ")
        or _TAKEN_BACK.search(text, last.end())
    ):
        return None
    end = _SENTENCE_END.search(text, last.end())
    if end is not None and end[0] == "?":
        return None
    stop = len(text) if end is None else end.start()
    return _undressed(text[last.end() : stop]) or (_next_line(text, stop) if end is None or end[0] == "\n" else None)


def _next_line(text: str, start: int) -> str | None:
    """The next line that is more than the opening of displayed mathematics; None where it begins more than 200 characters further on."""
    for line in text[start : start + 200 + _ENOUGH].splitlines():
        if line.strip() not in _DISPLAY:
            return _undressed(line)
    return None


def _undressed(text: str) -> str:
    return text.strip().strip("*_`").strip()


def _plain(answer: str) -> str:
    """One line without marks of emphasis and mathematics around and inside it."""
    text = " ".join(answer.split())
    for _ in range(3):
        text = _WRAPPED.sub(r"\1", text)
    for sign in ("**", r"\$", "$", r"\(", r"\)", "`", '"', "\\ "):
        text = text.replace(sign, " " if sign == "\\ " else "")
    return " ".join(text.split())


def _folded(text: str) -> str:
    return _plain(text).strip("'{}").rstrip(".").strip().casefold() if len(text) <= 10 * _ENOUGH else text


def _same_text(left: str, right: str) -> bool:
    """The same words, or the same notation of one value."""
    if max(len(left), len(right)) > _ENOUGH:
        return left.strip() == right.strip()
    return _folded(left) == _folded(right) or same_answer(tidy(left), tidy(right))


def _letters_of(reference: str, known: Sequence[str], texts: dict[str, str]) -> frozenset[str]:
    """The letters of the reference, given as a letter or as an option's text: several where several options have that text."""
    plain = reference.strip().strip("().").strip()
    text = texts.get(plain, "") if plain in known else reference
    same = _of_text(text, texts) if text else []
    return frozenset({*same} | ({plain} & set(known)))


def _of_text(text: str, texts: dict[str, str]) -> list[str]:
    """The options of this text: to the letter where there are such, since options may differ in case alone, else as words or as a value."""
    exact = [letter for letter, other in texts.items() if _plain(other) == _plain(text)]
    return exact or [letter for letter, other in texts.items() if _same_text(other, text)]


def chosen(answer: str, known: Sequence[str], texts: dict[str, str]) -> str | None:
    """The one option an answer names; None where it names none, several, or a letter beside the text of another option."""
    plain = _plain(answer)
    if len(plain) > _ENOUGH:
        return None
    alone = _ALONE.fullmatch(plain)
    if alone is not None and alone[1].upper() in known:
        return alone[1].upper()
    by_text = _of_text(answer, texts) if len(answer) <= 2 * _ENOUGH else []
    if by_text:
        return by_text[0] if len({_plain(texts[letter]) for letter in by_text}) == 1 else None
    called = _CALLED.match(plain)
    bare = plain[called.end() :] if called is not None else plain
    alone = _ALONE.fullmatch(bare)
    if alone is not None and bare != plain and alone[1].isupper():
        return alone[1] if alone[1] in known else None
    return _beside_text(bare, known, texts)


def _beside_text(plain: str, known: Sequence[str], texts: dict[str, str]) -> str | None:
    """The letter of `B. 12`, `(B) because …`, `12 (B)`: where the rest is an option's text, only of the same option, otherwise where nothing in it
    names another one or denies."""
    led = _LED.fullmatch(plain)
    trailed = _TRAILED.fullmatch(plain)
    bare = _BARELY_LED.fullmatch(plain)  # `A car`: an article, unless the rest is the option
    letter, rest = (led[1], led[2]) if led else (trailed[2], trailed[1]) if trailed else (bare[1], bare[2]) if bare else ("", "")
    if letter not in known or _NEITHER.match(plain):
        return None
    agreeing = _of_text(rest, texts)
    if agreeing:
        return letter if letter in agreeing else None
    loose = bare is not None and not led and not trailed and not _REASONED.match(rest)
    if loose or (trailed and not led and texts) or _DENIED.search(rest):
        return None
    return letter if letters_in(plain) == frozenset(letter) else None
