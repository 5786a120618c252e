r"""The strict rule: a declared final answer that is the reference, and nothing that merely looks like it.

An answer counts only where a response says that it is one: in the last \boxed{…}, the last <answer> tag, the last `Answer:` line or heading, the last
sentence with "answer is" (or 答案是), or in a response that is nothing but one short line; and only where nothing after it takes it back. What cannot
be found that way is wrong. Everything here is linear in the length of a response and evaluates nothing; algebra happens in processes of the judge's
own.
"""

import re
import string
import threading
import unicodedata
from collections import deque
from collections.abc import Iterable, Sequence

from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.base.types import Item, Ruling, Verdict
from vold.core.answers import last_boxed, last_tagged, same_answer
from vold.core.choices import letters_in
from vold.core.latex import UPRIGHT, tidy

_ENOUGH = 500
"""An option, a word or a whole response of more characters than these is none."""
_SENTENCE = 4
"""A whole response of so many words is a sentence: where it is not the answer, none was given."""
_LINE = re.compile(
    r"^(?P<mark>[ \t>#*_-]*+(?:\\\[|\\\(|\$\$?)?[ \t]*+(?:\\text(?:bf|rm|it)?\{)*+[ \t]*+[*_]*+)"
    r"(?:the )?(?:(?:final|correct) )?answer[ \t]*+[*_]*+[ \t]*+"
    r"(?:[:：](?P<here>.*)|$)",
    re.IGNORECASE | re.MULTILINE,
)
_DECLARING = re.compile(
    r"\b(?:answer|(?:correct|right|best) (?:option|choice|one|statement))\s++(?:is|would be|should be|must be)(?![a-z])"
    r"[:： \t]*+(?:(?:therefore|thus|then|clearly|indeed|simply|hence)\b[,: \t]*+)?"
    r"|答案(?:应该|应|就)?[是为選选:：][: \t]*+|(?<![不能可])[選选]择?[: \t]*+(?=[(\[]?[A-Z](?![A-Za-z]))",
    re.IGNORECASE,
)
_SUPPOSED = re.compile(
    r"(?:\b(?:if|whether|unless|suppose|assume|assuming|maybe|perhaps|possibly|not|says?|said|claim(?:s|ed)?)|n't) (?:that )?(?:[a-z']+ ){0,4}$"
    r"|(?:如果|假如|假设|是否|也许|可能)\S{0,2} $",
    re.IGNORECASE,
)
_TAKEN_BACK = re.compile(
    r"\b(?:wait\s*[,.!:–—-]|hmm+\b|correction\b|on second thought|sorry\b|apologi[sz]e|my mistake|made an? (?:mistake|error)|let me re-?\w+)"
    r"|(?:\bactually\b[^.?!\n]{0,15}|(?:^[ \t*_]{0,4}|[.!?;] )(?:actually|however|but|no)\b[^.?!\n]{0,120})"
    r"\b(?:(?-i:[A-J])|\d+|wrong|incorrect|mistake|should|must|correct|answer)\b",
    re.IGNORECASE | re.MULTILINE,
)
_WITHDRAWN = re.compile(
    r"\b(?:(?:that|this|it|which)(?: is| was|['’]s) (?:actually )?(?:wrong|incorrect)|(?:it|answer) should (?:be|have been)|my mistake|correction\s?:"
    r"|i (?:was|am) wrong|i made an? (?:mistake|error))",
    re.IGNORECASE,
)
"""What takes back even a boxed answer, after which long explanations with `however` are common."""
_REFUSAL = re.compile(
    r"(?:(?:i['’]?m|i am|we are)?\s?(?:very |really |so )?(?:sorry|unable|not able|not sure)|unfortunately"
    r"|i (?:can|do|could|ca|am|wo)\s?(?:not|n['’]t)|cannot|unknown\b|as an ai|抱歉|对不起|我?无法|我不)",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\u4e00-\u9fff]|(?<![\\\w])[^\W\d_]{2,}")
_SENTENCE_END = re.compile(r"\.(?=\s|[*_\"')]|$)|(?<![\d)}])!(?=\s|$)|\n|\?|。")
_DISPLAY = frozenset(["", r"\[", "$$", "```", "**"])
_BOLD = frozenset(["**", "__"])
_FULL_WIDTH = {sign + 0xFEE0: chr(sign) for sign in range(0x21, 0x7F)} | {ord("\u3000"): " ", ord("、"): ","}
_LETTER_SHAPES = re.compile("[\U0001d400-\U0001d7ff]")
_WRAPPED = re.compile(rf"\\(?:{'|'.join(sorted(map(re.escape, UPRIGHT)))}|mathcal|mathbb|mathfrak|underline|uline|fbox)\s*\{{([^{{}}]*)\}}")
_COLOUR = re.compile(r"\\(?:text)?color\s*\{[^{}]*\}\s*(?:\{([^{}]*)\})?")
_SIZES = re.compile(
    r"\\(?:left|right|[bB]ig{1,2}[lr]?|displaystyle|textstyle|tiny|small|normalsize|large|Large|LARGE|huge|Huge|bf|rm|it|bfseries)(?![a-zA-Z])\s?"
)
_BLANKS = re.compile(r"\\(?:[ ,;:]|q?quad(?![a-zA-Z]))|~")
_NO_SIGNS = re.compile(r"\*\*|\\\$|\\[()]|[$`\"“”„]")
_TEX_QUOTED = re.compile(r"``([^`']*)''")
_QUOTED = re.compile(r"'([^']*)'{1,2}|‘([^’]*)’|[*_]{1,2}([^*_]+)[*_]{1,2}|\{([^{}]*)\}")
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


def final(response: str) -> str:
    """What comes after the thinking: the text after the last </think> where there is one, otherwise the whole response."""
    return response.rpartition("</think>")[2]


def answer_in(response: str) -> str | None:
    r"""The last \boxed{…} whose braces balance, otherwise the last <answer> tag, otherwise the last `Answer:` line, otherwise what the last sentence
    with "answer is" declares; None where there is none of these, or it is taken back. Looked for after the thinking only, and not while it lasts."""
    text = _narrow(final(response))
    if "<think>" in text:
        return None
    for look in (_boxed, _tagged, _last_line, _declared):
        found = look(text)
        if found is not None:
            return found
    return None


def said(response: str) -> str | None:
    """The same, or a whole response of one short line: to a question that asks for nothing but an answer, it is the answer. Never empty."""
    return _given(response)[0]


def _given(response: str) -> tuple[str | None, bool]:
    """What is said, and whether it is declared, rather than all there is."""
    found = answer_in(response)
    if found is not None:
        return (found if _plain(found) else None), True
    bare = _narrow(final(response)).strip()
    plain = bare and "\n" not in bare and len(bare) <= _ENOUGH and not bare.endswith("?") and not bare.startswith(("<think>", r"\boxed"))
    other = plain and (_DECLARING.search(bare) or _TAKEN_BACK.search(bare) or _WITHDRAWN.search(bare) or _REFUSAL.match(bare))
    return (bare if plain and not other else None), False


def _is_prose(text: str) -> bool:
    return len(_WORD.findall(text)) >= _SENTENCE


def option(item: Item, response: str, *, letters: Sequence[str] | None = None) -> Verdict:
    """Right where the answer names the reference's option and no other: by its letter, its exact text, or both in agreement.

    `letters` are the options there are, by default as many as the item has texts, or all where the texts are part of the question.
    """
    found, is_declared = _given(response)
    if found is None:
        return _none()
    known = tuple(letters) if letters is not None else tuple(string.ascii_uppercase[: len(item.options) or 26])
    texts = dict(zip(known, item.options, strict=False))
    gold = _letters_of(item.answer, known, texts)
    named = chosen(found, known, texts)
    if not gold:
        return Verdict(ruling=Ruling.UNJUDGED, extracted=named or found, note=f"the reference names no option: {item.answer[:60]!r}")
    if named is None:
        told = found if is_declared or not _is_prose(found) else None
        return Verdict(ruling=Ruling.WRONG, extracted=told, note="names no option, or more than one", exact=False)
    return Verdict(ruling=_ruling(named in gold), extracted=named, exact=found.strip() == item.answer.strip())


def options(item: Item, response: str, *, gold: frozenset[str]) -> Verdict:
    """Right where the answer names exactly the letters of `gold`, in any order."""
    found, is_declared = _given(response)
    if found is None:
        return _none()
    named = _all_chosen(found)
    if named is None:
        told = found if is_declared or not _is_prose(found) else None
        return Verdict(ruling=Ruling.WRONG, extracted=told, note="names no options", exact=False)
    return Verdict(ruling=_ruling(named == gold), extracted=", ".join(sorted(named)), exact=found.strip() == item.answer.strip())


def _all_chosen(answer: str) -> frozenset[str] | None:
    """The letters an answer names; None where any other stands beside them, or a word that refuses."""
    plain = _plain(answer).rstrip(" .。")
    if len(plain) > _ENOUGH or _REFUSED.search(_NO_TEXT.sub(r"\1", plain)):
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
    found, is_declared = _given(response)
    verdict = compared(found, item.answer if gold is None else gold)
    return _none() if found is not None and verdict.ruling is Ruling.WRONG and not is_declared and _is_prose(found) else verdict


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
    declared = answer_in(response)
    found = _narrow(final(response)).strip() if declared is None else declared
    reference = _folded(item.answer if gold is None else gold)
    opening, _, rest = found.partition("\n")
    word = _yes_or_no(opening, rest) if len(found) <= _ENOUGH and "<think>" not in found else None
    if word is None:
        told = said(response)
        told = told if declared is not None or told is None or not _is_prose(told) else None
        return Verdict(ruling=Ruling.WRONG, extracted=told, note="neither yes nor no", exact=False)
    return Verdict(ruling=_ruling(word == reference), extracted=word, exact=found.strip() == reference)


def _yes_or_no(opening: str, rest: str) -> str | None:
    """The word that a line begins with; None where what follows it, on that line or below, is its opposite, a doubt or a retraction."""
    given = _YES_NO.fullmatch(_plain(opening).strip("'{}"))
    if given is None:
        return None
    word, after = given[1].lower(), f"{given[2] or given[3] or ''}\n{rest.strip()}".strip()
    first = _SENTENCE_END.split(after, maxsplit=1)[0]
    doubted = (
        after.endswith("?") or _DOUBT[word].search(after) or _AGAINST[word].search(first) or _TAKEN_BACK.search(after) or _WITHDRAWN.search(after)
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


def _last(found: Iterable[re.Match[str]]) -> re.Match[str] | None:
    last = deque(found, maxlen=1)
    return last[0] if last else None


def _boxed(text: str) -> str | None:
    found = last_boxed(text)
    return None if found is None or _WITHDRAWN.search(text, text.rfind(r"\boxed")) else found


def _tagged(text: str) -> str | None:
    found = last_tagged(text)
    return None if found is None or _WITHDRAWN.search(text, text.lower().rfind("</answer>")) else found


def _last_line(text: str) -> str | None:
    """What follows the last `Answer:` that begins a line, or the last heading `Answer`, on that line or else on the next one with words."""
    last = _last(
        found for found in _LINE.finditer(text) if found["here"] is not None or "#" in found["mark"] or found["mark"].strip(" \t>-")[:2] in _BOLD
    )
    if last is None or _TAKEN_BACK.search(text, last.end("mark")):
        return None
    here = _undressed(_closed(last["here"] or "", last["mark"]))
    line = here or _next_line(text, last.end())
    if line and last["here"] is None and _is_prose(line) and not _declared(line):
        return None
    return line and (_declared(line) or line)


def _closed(text: str, mark: str) -> str:
    r"""The rest of a line without what ends the mathematics and the text that its beginning opened: ` D} \]` after `\[ \text{`."""
    for end in (r"\]", r"\)", "$$", "$") if mark.strip(" \t>#*_-")[:1] in ("\\", "$") else ():
        text = text.rstrip().removesuffix(end)
    for _ in range(mark.count("{")):
        text = text.lstrip().removeprefix("}") if text.lstrip().startswith("}") else text.rstrip().removesuffix("}")
    return text


def _declared(text: str) -> str | None:
    """What the last "answer is" says up to the end of its sentence; None where it is a question, a supposition, or taken back afterwards."""
    last = _last(_DECLARING.finditer(text))
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


def _narrow(text: str) -> str:
    """Full-width letters, digits, brackets and colons as others write them."""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


def _plain(answer: str) -> str:
    """One line without marks of emphasis, typesetting, quotation and mathematics around and inside it."""
    text = " ".join(answer.split())
    if not text.isascii():  # not all of NFKC, to which x² is x2
        text = _LETTER_SHAPES.sub(lambda found: unicodedata.normalize("NFKC", found[0]), _narrow(text))
    if "\\" in text:
        for _ in range(3):
            text = _WRAPPED.sub(r"\1", text)
        text = _SIZES.sub("", _COLOUR.sub(lambda found: found[1] or "", text))
    text = " ".join(_NO_SIGNS.sub("", _TEX_QUOTED.sub(r"\1", _BLANKS.sub(" ", text))).split())
    quoted = _QUOTED.fullmatch(text)
    return text if quoted is None else next((part.strip() for part in quoted.groups() if part is not None), "")


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
    exact = [letter for letter, other in texts.items() if _plain(other) == _plain(text) != ""]
    return exact or [letter for letter, other in texts.items() if _folded(text) and _same_text(other, text)]


def chosen(answer: str, known: Sequence[str], texts: dict[str, str]) -> str | None:
    """The one option an answer names; None where it names none, several, or a letter beside the text of another option."""
    plain = _plain(answer)
    if not plain or len(plain) > _ENOUGH:
        return None
    alone = _ALONE.fullmatch(plain)
    if alone is not None and alone[1].upper() in known:
        letter = alone[1].upper()
        texted = [other for other, text in texts.items() if _plain(text) == alone[1]] if alone[1].islower() else []
        if not texted or letter in texted:
            return letter
        return texted[0] if len(texted) == 1 and plain.rstrip(".") == alone[1] else None  # (a): the letter or the text?
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
