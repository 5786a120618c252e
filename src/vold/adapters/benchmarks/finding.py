r"""Where a response says what its final answer is.

An answer counts only where a response says that it is one: in the last \boxed{…}, the last <answer> tag, the last `Answer:` line or heading, the last
sentence with "answer is" (or 答案是), in a last line `I choose C`, or in a response that is nothing but one short line; and only where nothing after
it takes it back. Everything here is linear in the length of a response.
"""

import re
import unicodedata
from collections import deque
from collections.abc import Iterable

from vold.core.answers import last_boxed, last_tagged
from vold.core.latex import UPRIGHT

ENOUGH = 500
"""An option, a word or a whole response of more characters than these is none."""
_SENTENCE = 4
"""A whole response of so many words is a sentence: where it is not the answer, none was given."""
_LINE = re.compile(
    r"^(?P<mark>[ \t>#*_-]*+(?:\\\[|\\\(|\$\$?)?[ \t]*+(?:\\text(?:bf|rm|it)?\{)*+[ \t]*+[*_]*+)"
    r"(?:(?:the|my) )?(?:(?:final|correct) )?answer[ \t]*+[*_]*+[ \t]*+"
    r"(?:[:：](?P<here>.*)|$)",
    re.IGNORECASE | re.MULTILINE,
)
_DECLARING = re.compile(
    r"\b(?:answer|(?:correct|right|best) (?:option|choice|one|statement))\s++(?:is|would be|should be|must be)(?![a-z])"
    r"[:： \t]*+(?:(?:therefore|thus|then|clearly|indeed|simply|hence)\b[,: \t]*+)?"
    r"|答案(?:应该|应|就)?[是为選选:：][: \t]*+|(?<![不能可])[選选]择?[: \t]*+(?=[(\[]?[A-Z](?![A-Za-z]))",
    re.IGNORECASE,
)
_PICKING = re.compile(
    r"[ \t>*_]*+(?:(?:so|therefore|thus|hence)\b,? )?I(?: (?:would|will|must)|['’](?:d|ll))? (?:choose|pick|select) "
    r"(?:(?:the )?(?:option|answer|choice|letter) )?(?=[(\[*]*+(?-i:[A-J])[*]*(?:[)\].,:;]|\s*$|\s[(-]|\s(?:because|since|or|and)\b))",
    re.IGNORECASE,
)
"""The beginning of a last line that says which letter is chosen: not `I choose A as the centre`."""
_SUPPOSED = re.compile(
    r"(?:\b(?:if|whether|unless|suppose|assume|assuming|maybe|perhaps|possibly|not|says?|said|claim(?:s|ed)?)|n't) (?:that )?(?:[a-z']+ ){0,4}$"
    r"|(?:如果|假如|假设|是否|也许|可能)\S{0,2} $",
    re.IGNORECASE,
)
TAKEN_BACK = re.compile(
    r"\b(?:wait\s*[,.!:–—-]|hmm+\b|correction\b|on second thought|sorry\b|apologi[sz]e|my mistake|made an? (?:mistake|error)|let me re-?\w+)"
    r"|(?:\bactually\b[^.?!\n]{0,15}|(?:^[ \t*_]{0,4}|[.!?;] )(?:actually|however|but|no)\b[^.?!\n]{0,120})"
    r"\b(?:(?-i:[A-J])|\d+|wrong|incorrect|mistake|should|must|correct|answer)\b",
    re.IGNORECASE | re.MULTILINE,
)
WITHDRAWN = re.compile(
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
SENTENCE_END = re.compile(r"\.(?=\s|[*_\"')]|$)|(?<![\d)}])!(?=\s|$)|\n|\?|。")
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


def final(response: str) -> str:
    """What comes after the thinking: the text after the last </think> where there is one, otherwise the whole response."""
    return response.rpartition("</think>")[2]


def answer_in(response: str) -> str | None:
    r"""The last \boxed{…} whose braces balance, otherwise the last <answer> tag, otherwise the last `Answer:` line, otherwise what the last sentence
    with "answer is" declares, otherwise the option that the last line chooses; None where there is none of these, or it is taken back. Looked for
    after the thinking only, and not while it lasts."""
    text = narrow(final(response))
    if "<think>" in text:
        return None
    for look in (_boxed, _tagged, _last_line, _declared, _picked):
        found = look(text)
        if found is not None:
            return found
    return None


def said(response: str) -> str | None:
    """The same, or a whole response of one short line: to a question that asks for nothing but an answer, it is the answer. Never empty."""
    return given(response)[0]


def given(response: str) -> tuple[str | None, bool]:
    """What is said, and whether it is declared, rather than all there is."""
    found = answer_in(response)
    if found is not None:
        return (found if plain(found) else None), True
    bare = narrow(final(response)).strip()
    short = bare and "\n" not in bare and len(bare) <= ENOUGH and not bare.endswith("?") and not bare.startswith(("<think>", r"\boxed"))
    other = short and (_DECLARING.search(bare) or TAKEN_BACK.search(bare) or WITHDRAWN.search(bare) or _REFUSAL.match(bare))
    return (bare if short and not other else None), False


def is_prose(text: str) -> bool:
    return len(_WORD.findall(text)) >= _SENTENCE


def _boxed(text: str) -> str | None:
    found = last_boxed(text)
    return None if found is None or WITHDRAWN.search(text, text.rfind(r"\boxed")) else found


def _tagged(text: str) -> str | None:
    found = last_tagged(text)
    return None if found is None or WITHDRAWN.search(text, text.lower().rfind("</answer>")) else found


def _last_line(text: str) -> str | None:
    """What follows the last `Answer:` that begins a line, or the last heading `Answer`, on that line or else on the next one with words."""
    last = _last(
        found for found in _LINE.finditer(text) if found["here"] is not None or "#" in found["mark"] or found["mark"].strip(" \t>-")[:2] in _BOLD
    )
    if last is None or TAKEN_BACK.search(text, last.end("mark")):
        return None
    here = _undressed(_closed(last["here"] or "", last["mark"]))
    line = here or _next_line(text, last.end())
    if line and last["here"] is None and is_prose(line) and not _declared(line):
        return None
    return line and (_declared(line) or line)


def _declared(text: str) -> str | None:
    """What the last "answer is" says up to the end of its sentence; None where it is a question, a supposition, or taken back afterwards."""
    last = _last(_DECLARING.finditer(text))
    if (
        last is None
        or _SUPPOSED.search(" ".join(text[max(0, last.start() - 100) : last.start()].split()) + " ")
        or TAKEN_BACK.search(text, last.end())
    ):
        return None
    end = SENTENCE_END.search(text, last.end())
    if end is not None and end[0] == "?":
        return None
    stop = len(text) if end is None else end.start()
    return _undressed(text[last.end() : stop]) or (_next_line(text, stop) if end is None or end[0] == "\n" else None)


def _picked(text: str) -> str | None:
    """The option of a last line `I choose C.`, up to the end of its sentence."""
    line = text.rstrip().rpartition("\n")[2]
    opening = _PICKING.match(line)
    if opening is None or TAKEN_BACK.search(line, opening.end()) or WITHDRAWN.search(line):
        return None
    end = SENTENCE_END.search(line, opening.end())
    return None if end is not None and end[0] == "?" else _undressed(line[opening.end() : len(line) if end is None else end.start()])


def _closed(text: str, mark: str) -> str:
    r"""The rest of a line without what ends the mathematics and the text that its beginning opened: ` D} \]` after `\[ \text{`."""
    for end in (r"\]", r"\)", "$$", "$") if mark.strip(" \t>#*_-")[:1] in ("\\", "$") else ():
        text = text.rstrip().removesuffix(end)
    for _ in range(mark.count("{")):
        text = text.lstrip().removeprefix("}") if text.lstrip().startswith("}") else text.rstrip().removesuffix("}")
    return text


def _next_line(text: str, start: int) -> str | None:
    """The next line that is more than the opening of displayed mathematics; None where it begins more than 200 characters further on."""
    for line in text[start : start + 200 + ENOUGH].splitlines():
        if line.strip() not in _DISPLAY:
            return _undressed(line)
    return None


def _undressed(text: str) -> str:
    return text.strip().strip("*_`").strip()


def _last(found: Iterable[re.Match[str]]) -> re.Match[str] | None:
    last = deque(found, maxlen=1)
    return last[0] if last else None


def narrow(text: str) -> str:
    """Full-width letters, digits, brackets and colons as others write them."""
    return text if text.isascii() else text.translate(_FULL_WIDTH)


def plain(answer: str) -> str:
    """One line without marks of emphasis, typesetting, quotation and mathematics around and inside it."""
    text = " ".join(answer.split())
    if not text.isascii():  # not all of NFKC, to which x² is x2
        text = _LETTER_SHAPES.sub(lambda found: unicodedata.normalize("NFKC", found[0]), narrow(text))
    if "\\" in text:
        for _ in range(3):
            text = _WRAPPED.sub(r"\1", text)
        text = _SIZES.sub("", _COLOUR.sub(lambda found: found[1] or "", text))
    text = " ".join(_NO_SIGNS.sub("", _TEX_QUOTED.sub(r"\1", _BLANKS.sub(" ", text))).split())
    quoted = _QUOTED.fullmatch(text)
    return text if quoted is None else next((part.strip() for part in quoted.groups() if part is not None), "")


def folded(text: str) -> str:
    return plain(text).strip("'{}").rstrip(".").strip().casefold() if len(text) <= 10 * ENOUGH else text
