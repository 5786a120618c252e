"""The strict rule: a declared final answer that is the reference, and nothing that merely looks like it.

Where the answer stands is said in `finding`; here it is told which option, value, words or yes and no it is. What cannot be found is wrong.
Everything is linear in the length of a response and evaluates nothing; algebra happens in processes of the judge's own.
"""

import re
import string
import threading
from collections.abc import Sequence

from vold.adapters.benchmarks import finding
from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.base.types import Item, Ruling, Verdict
from vold.core.answers import same_answer
from vold.core.choices import letters_in
from vold.core.latex import tidy
from vold.core.readings import Relation, Value, read

_CALLED = re.compile(
    r"(?:正确)?(?:答案|[選选]项|故?[選选]择?)[是为:]{0,2} ?"
    r"|(?:the )?(?:correct |final )?(?:(?:answer|option|choice|letter)s? )?(?:(?:is|are) )?(?:(?:option|choice|letter)s? )?:? ?",
    re.IGNORECASE,
)
_ALONE = re.compile(r"[(\[{]?\s?([A-Za-z])\s?[)\]}]?\s?[.:,。]?")
_LED = re.compile(r"[(\[{]?\s?([A-Z])\s?(?:[)\]}]\s?[.:,]?|[.:,;)=]|\s[-–—](?=\s))\s?(\S.*)")
_LED_SMALL = re.compile(r"[(\[]?\s?([a-z])\s?(?:[)\]]\s?[.:,]?|[.:])\s?(\S.*)")
_BARELY_LED = re.compile(r"([A-Z]) (\S.*)")
_TRAILED = re.compile(r"(.*\S) ?[(\[]([A-Z])[)\]]\.?")
_FOLLOWED = re.compile(r"[(\[]?([A-Z])[)\]]? ?\((.*\S)\)\.?")
_REASONED = re.compile(r"because\b|since\b|as\b|is (?:the )?(?:correct|right)\b", re.IGNORECASE)
_NEITHER = re.compile(r"(?:is )?(?:not|either|neither)\b", re.IGNORECASE)
_DENIED = re.compile(r"^(?:or|nor)\b|\bor \(?[A-Z]\b|\b(?:wrong|incorrect|not (?:correct|right|true|the answer))\b", re.IGNORECASE)
_REFUSED = re.compile(
    r"\b(?:not|neither|nor|either|or|none|except|but|(?:rule|rules|ruled|ruling) out|(?:eliminat|exclud|reject)\w*|rather than|instead of"
    r"|other than|between|cannot|unless|without|wrong|incorrect|unsure)\b|n['’]t\b|不",
    re.IGNORECASE,
)
_SEVERAL = re.compile(r"(?:both )?(.*?)(?: (?:are|is) (?:both )?(?:correct|right))?", re.IGNORECASE)
_NO_TEXT = re.compile(
    r"([(\[]?[A-J][)\].:]) ?(?:none of (?:the|these)\b|cannot be (?:determined|inferred|known|said|concluded)\b|not enough\b|neither\b)",
    re.IGNORECASE,
)
"""The option after whose letter these words are its text."""
_DIGIT = re.compile(r"\d")
_NAME = re.compile(r"(?:m ?)?(?:\\angle|∠)? ?[A-Za-z]{1,3}(?:_\{?\w{1,3}\}?)?|\\(?:alpha|beta|gamma|delta|theta|phi|lambda)")
_CAPITAL = re.compile(r"(?<![A-Za-z0-9\\])[A-J](?![A-Za-z0-9'’])")
_ARTICLE = re.compile(r"([(\[]?[A-J][)\].:]{1,2} ?)A(?= [a-z])")
_YES_NO = re.compile(r"(yes|no)(?:\s?[.,;:!–—-](?!\w)\s?(.*)|\s((?:there|it|this|that|the|they|he|she|you|i|because)\b.*))?", re.IGNORECASE)
_DOUBT = {
    word: re.compile(rf"\b(?:{other}|but|however|wait|maybe|perhaps|unsure|not sure|cannot|unclear|or|actually)\b|can't", re.IGNORECASE)
    for word, other in (("yes", "no"), ("no", "yes"))
}
_AGAINST = {
    "yes": re.compile(r"\b(?:not|wrong|incorrect|false|untrue|doubt|uncertain|probably|if)\b|n['’]t\b", re.IGNORECASE),
    "no": re.compile(r"(?:\bis|\bwas|['’]s) (?:true|correct)\b|\b(?:doubt|uncertain|probably|if)\b", re.IGNORECASE),
}
"""What the sentence of a yes or no may not say; later sentences may, of other things."""


def option(item: Item, response: str, *, letters: Sequence[str] | None = None) -> Verdict:
    """Right where the answer names the reference's option and no other: by its letter, its exact text, or both in agreement.

    `letters` are the options there are, by default as many as the item has texts, or all where the texts are part of the question.
    """
    found, is_declared = finding.given(response)
    if found is None:
        return _none()
    known = tuple(letters) if letters is not None else tuple(string.ascii_uppercase[: len(item.options) or 26])
    texts = dict(zip(known, item.options, strict=False))
    gold = _letters_of(item.answer, known, texts)
    named = chosen(found, known, texts)
    if not gold:
        return Verdict(ruling=Ruling.UNJUDGED, extracted=named or found, note=f"the reference names no option: {item.answer[:60]!r}")
    if named is None:
        told = found if is_declared or not finding.is_prose(found) else None
        return Verdict(ruling=Ruling.WRONG, extracted=told, note="names no option, or more than one", exact=False)
    return Verdict(ruling=_ruling(named in gold), extracted=named, exact=found.strip() == item.answer.strip())


def options(item: Item, response: str, *, gold: frozenset[str]) -> Verdict:
    """Right where the answer names exactly the letters of `gold`, in any order."""
    found, is_declared = finding.given(response)
    if found is None:
        return _none()
    named = _all_chosen(found)
    if named is None:
        told = found if is_declared or not finding.is_prose(found) else None
        return Verdict(ruling=Ruling.WRONG, extracted=told, note="names no options", exact=False)
    return Verdict(ruling=_ruling(named == gold), extracted=", ".join(sorted(named)), exact=found.strip() == item.answer.strip())


def _all_chosen(answer: str) -> frozenset[str] | None:
    """The letters an answer names; None where any other stands beside them, or a word that refuses."""
    plain = finding.plain(answer).rstrip(" .。")
    if len(plain) > finding.ENOUGH or _REFUSED.search(_NO_TEXT.sub(r"\1", plain)):
        return None
    several = _SEVERAL.fullmatch(plain)
    plain = several[1] if several is not None else plain
    called = _CALLED.match(plain)
    listed = plain[called.end() :] if called is not None else plain
    followed = _FOLLOWED.fullmatch(listed)
    if followed is not None and not _CAPITAL.search(followed[2]):
        return frozenset(followed[1])
    named = letters_in(listed.removeprefix("both "), several=True)
    return named if named is not None and named.issuperset(_CAPITAL.findall(_ARTICLE.sub(r"\1", plain))) else None


def value(item: Item, response: str, *, gold: str | None = None) -> Verdict:
    """Right where the answer is the same number, expression, set or interval as the reference. Unjudged only where the judge failed."""
    return unless_a_sentence(compared(finding.said(response), item.answer if gold is None else gold), response)


def unless_a_sentence(verdict: Verdict, response: str) -> Verdict:
    """A verdict on what was said; where it is wrong and that is a sentence that declares nothing, no answer was given."""
    found, is_declared = finding.given(response)
    return _none() if found is not None and verdict.ruling is Ruling.WRONG and not is_declared and finding.is_prose(found) else verdict


def compared(found: str | None, gold: str) -> Verdict:
    """The same for an answer that was found already, or not."""
    return _none() if found is None else _judge().compare([(found, gold)])[0]


def words(item: Item, response: str, *, gold: str | None = None) -> Verdict:
    """Right where the answer is the reference word by word: case, blanks and a final full stop do not matter."""
    found, reference = finding.said(response), item.answer if gold is None else gold
    if found is None:
        return _none()
    return Verdict(ruling=_ruling(finding.folded(found) == finding.folded(reference)), extracted=found, exact=found.strip() == reference.strip())


def yes_no(item: Item, response: str, *, gold: str | None = None) -> Verdict:
    """Right where the answer is the reference's yes or no, alone or followed by words among which its opposite and doubts are not."""
    declared = finding.answer_in(response)
    found = finding.narrow(finding.final(response)).strip() if declared is None else declared
    reference = finding.folded(item.answer if gold is None else gold)
    opening, _, rest = found.partition("\n")
    word = _yes_or_no(opening, rest) if len(found) <= finding.ENOUGH and "<think>" not in found else None
    if word is None:
        told = finding.said(response)
        told = told if declared is not None or told is None or not finding.is_prose(told) else None
        return Verdict(ruling=Ruling.WRONG, extracted=told, note="neither yes nor no", exact=False)
    return Verdict(ruling=_ruling(word == reference), extracted=word, exact=found.strip() == reference)


def _yes_or_no(opening: str, rest: str) -> str | None:
    """The word that a line begins with; None where what follows it, on that line or below, is its opposite, a doubt or a retraction."""
    given = _YES_NO.fullmatch(finding.plain(opening).strip("'{}"))
    if given is None:
        return None
    word, after = given[1].lower(), f"{given[2] or given[3] or ''}\n{rest.strip()}".strip()
    first = finding.SENTENCE_END.split(after, maxsplit=1)[0]
    doubted = (
        after.endswith("?")
        or _DOUBT[word].search(after)
        or _AGAINST[word].search(first)
        or finding.TAKEN_BACK.search(after)
        or finding.WITHDRAWN.search(after)
    )
    return None if doubted else word


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


def _same_text(left: str, right: str) -> bool:
    """The same words, or the same notation of one value."""
    if max(len(left), len(right)) > finding.ENOUGH:
        return left.strip() == right.strip()
    return finding.folded(left) == finding.folded(right) or same_answer(tidy(left), tidy(right))


def _letters_of(reference: str, known: Sequence[str], texts: dict[str, str]) -> frozenset[str]:
    """The letters of the reference, given as a letter or as an option's text: several where several options have that text."""
    plain = reference.strip().strip("().").strip()
    text = texts.get(plain, "") if plain in known else reference
    same = _of_text(text, texts) if text else []
    return frozenset({*same} | ({plain} & set(known)))


def _of_text(text: str, texts: dict[str, str]) -> list[str]:
    """The options of this text: to the letter where there are such, since options may differ in case alone, else as words or as a value."""
    exact = [letter for letter, other in texts.items() if finding.plain(other) == finding.plain(text) != ""]
    return exact or [letter for letter, other in texts.items() if finding.folded(text) and _same_text(other, text)] or _of_number(text, texts)


def _of_number(text: str, texts: dict[str, str]) -> list[str]:
    """The options of this number, as in `16 cm` or `x = 16`. Its unit is that of the option; a unit that no other option contradicts may be left out
    on either side. None of `c = 16` where that is not option C."""
    named, said = _named_value(text) if len(text) <= finding.ENOUGH and _DIGIT.search(text) else ("", None)
    if said is None:
        return []
    values = {letter: value for letter, other in texts.items() if (value := _number_of(other)) is not None}
    same = [letter for letter, value in values.items() if (value.number, value.percent) == (said.number, said.percent)]
    units = {value.unit for value in values.values()}
    if len(units) > 1 or ("" not in (said.unit, *units)):
        same = [letter for letter in same if values[letter].unit == said.unit]
    return [] if named in texts and [named] != same else same


def _number_of(text: str) -> Value | None:
    """The number that is all there is of a text, but for a unit and a percent sign."""
    found = read(text) if len(text) <= finding.ENOUGH and _DIGIT.search(text) else None
    return found if isinstance(found, Value) and found.number is not None and not found.ratio else None


def _named_value(text: str) -> tuple[str, Value | None]:
    """The number of `16` or `x = 16`, and `X`."""
    found = read(text)
    if isinstance(found, Relation) and found.signs == ("=",) and _NAME.fullmatch(found.texts[0].strip()):
        return found.texts[0].strip().upper(), _number_of(found.texts[1])
    return "", _number_of(text)


def chosen(answer: str, known: Sequence[str], texts: dict[str, str]) -> str | None:
    """The one option an answer names; None where it names none, several, or a letter beside the text of another option."""
    plain = finding.plain(answer)
    if not plain or len(plain) > finding.ENOUGH:
        return None
    alone = _ALONE.fullmatch(plain)
    if alone is not None and alone[1].upper() in known:
        letter = alone[1].upper()
        texted = [other for other, text in texts.items() if finding.plain(text) == alone[1]] if alone[1].islower() else []
        if not texted or letter in texted:
            return letter
        return texted[0] if len(texted) == 1 and plain.rstrip(".") == alone[1] else None  # (a): the letter or the text?
    by_text = _of_text(answer, texts) if len(answer) <= 2 * finding.ENOUGH else []
    if by_text:
        return by_text[0] if len({finding.plain(texts[letter]) for letter in by_text}) == 1 else None
    called = _CALLED.match(plain)
    bare = plain[called.end() :] if called is not None else plain
    alone = _ALONE.fullmatch(bare)
    if alone is not None and bare != plain and alone[1].isupper():
        return alone[1] if alone[1] in known else None
    return _beside_text(bare, known, texts)


def _beside_text(plain: str, known: Sequence[str], texts: dict[str, str]) -> str | None:
    """The letter of `B. 12`, `(B) because …`, `12 (B)`, `B (12)`: where the rest is an option's text, only of the same option, otherwise where
    nothing in it names another one or denies. A small letter counts only beside its text; so does one in front of brackets, where texts are known."""
    small, followed = _LED_SMALL.fullmatch(plain), _FOLLOWED.fullmatch(plain)
    if small is not None:
        letter = small[1].upper()
        return letter if letter in known and letter in _of_text(small[2], texts) else None
    if followed is not None and followed[1] in known:
        agreeing = _of_text(followed[2], texts)
        told = followed[1] in agreeing if agreeing else not texts and not _CAPITAL.search(followed[2]) and not _REFUSED.search(followed[2])
        if told or not plain.startswith("("):
            return followed[1] if told else None
    led = _LED.fullmatch(plain)
    trailed = _TRAILED.fullmatch(plain)
    bare = _BARELY_LED.fullmatch(plain)  # `A car`: an article, unless the rest is the option
    letter, rest = (led[1], led[2]) if led else (trailed[2], trailed[1]) if trailed else (bare[1], bare[2]) if bare else ("", "")
    if letter not in known or _NEITHER.match(plain):
        return None
    agreeing = _of_text(rest, texts)
    if agreeing:
        return letter if letter in agreeing else None
    is_reason = _REASONED.match(rest) is not None
    loose = bare is not None and not led and not trailed and not is_reason
    others = {*_CAPITAL.findall(rest)} & set(known) - {letter} if texts and not is_reason else set()
    if loose or others or (trailed and not led and texts) or _DENIED.search(rest):
        return None
    return letter if letters_in(plain) == frozenset(letter) else None
