r"""What of a question is compared with others: text in, facts out, in time linear in its length.

Case and typesetting do not count: `\dfrac 12` is `\frac{1}{2}`, `\left(` is a bracket, `90°` is `90^\circ`. Neither do sentences that only say how
to answer, such as `Please reason step by step`, or how to write the answer, such as those by which DAPO turned answers into whole numbers.
"""

import re
import unicodedata
from dataclasses import dataclass

TELLING = 40
"""Letters and digits that a question must have before a resemblance, or its standing inside a longer prompt, says that it is the same."""
ENOUGH = 20
"""Letters and digits that must be left before sentences about the form of the answer are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """A question reduced to what makes it the same question elsewhere."""

    letters: str
    """Its letters and digits, one after another."""
    starts: tuple[int, ...]
    """Where in `letters` a word or a number begins."""
    figures: tuple[str, ...]
    """Its numbers in order, written in digits or in words."""
    signs: str
    """Its + - < > = / and !, hyphens between words aside."""
    shape: str
    """`letters` with every number as one 0."""
    drawing: str
    """The letters and digits of its Asymptote code; "" for none."""
    labels: tuple[str, ...]
    """What is written into the drawing, sorted: the same drawing is often coded anew."""

    @property
    def telling(self) -> bool:
        """Long enough for more than a comparison to the letter: `Find x.` is not."""
        return len(self.letters) >= TELLING


_UNITS = dict(zip("two three four five six seven eight nine".split(), range(2, 10), strict=True))
_TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
_TEENS = dict(zip("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split(), range(10, 20), strict=True))
_OTHERS = {"hundred": 100, "thousand": 1000, "million": 10**6, "dozen": 12, "half": 0.5, "twice": 2, "double": 2, "thrice": 3, "triple": 3}
_IN_WORDS = {word: str(value) for word, value in (_UNITS | _TENS | _TEENS | _OTHERS).items()}
"""Numbers in words. `one` is missing: it is more often a pronoun."""

_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma sigma tau upsilon phi chi psi omega".split()
_SIGNS = {chr(0x3B1 + place): f" {name} " for place, name in enumerate(_GREEK)} | {
    "−": "-", "–": "-", "—": "--", "⁄": "/", "°": r" \circ ", "×": r" \times ", "·": r" \cdot ", "⋅": r" \cdot ", "÷": r" \div ", "≤": r" \le ",
    "≥": r" \ge ", "≠": r" \ne ", "√": r" \sqrt ", "∞": r" \infty ", "∠": r" \angle ", "△": r" \triangle ", "…": " ",
}  # fmt: skip
_UNICODE = str.maketrans(_SIGNS)
_GONE = """
    left right middle big bigl bigr bigm bigg biggl biggr displaystyle textstyle scriptstyle limits nolimits quad qquad text mathrm mathbf mathit
    mathsf textbf textit textrm texttt textnormal mbox hbox emph operatorname rm bf it dots ldots cdots dotsc dotsb dotsm dotsi lbrace rbrace vert
    lvert rvert mid colon nonumber newline hline noindent boldsymbol bm mathop hfill allowbreak
""".split()
_SAME = {"dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom", "leq": "le", "leqslant": "le", "geq": "ge"}
_SAME |= {"geqslant": "ge", "neq": "ne", "varphi": "phi", "varepsilon": "epsilon"} | dict.fromkeys(_GONE, "")
_COMMAND = re.compile(r"\\([a-z]+)\*?")
_LAYOUT = re.compile(
    r"\\(?:begin|end)\s{0,3}\{(?:align|aligned|equation|eqnarray|gather|gathered|split|multline|center)\*?\}"
    r"|\\\\\[-?[\d.]{1,9}\s{0,3}[a-z]{2}\]|!\[[^\]]{0,200}\]\([^)]{0,400}\)|<image ?\d{0,9}>"
)
"""Environments that only break lines, the height of a line, and where a picture goes."""
_THOUSANDS = re.compile(r"(?<=\d)(?:,\\!|\\[,! ]|\{,\})\s?(?=\d{3}(?!\d))")
_TIGHT_FRACTION = re.compile(r"(\\(?:[dtc]?frac|[dt]?binom)\s{0,3}\d)(?=\d)")
_PIECE = re.compile(r"(\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)|[^\W\d_]+")
_NO_OPERATOR = re.compile(r"--+|(?<=[a-z]{3})\s{0,2}-\s{0,2}(?=[a-z]{3})|\\begin\s{0,3}\{[^}]{0,40}\}(?:\{[-|a-z]{0,40}\})?")
_NO_SIGN = re.compile(r"[^-+<>=/!]+")
_ON = r"[^.?!]{0,200}[.?!]{0,3}"
_BY_STEPS = re.compile(
    r"solve the following (?:math )?problem(?: step by step)?[.:]?"
    r"|the last line of your response should be of the form answer: \$answer \(without quotes\) where \$answer is the answer to the problem\.?"
    r'|remember to put your answer on its own line after "answer:"\.?'
    r"|hint: please answer the question[^\n]{0,120}? at the end\.?"
    rf"|(?:please )?(?:let's )?(?:reason|think) step by step\b{_ON}|(?:please )?put your (?:final )?answer (?:with)?in \\boxed{_ON}"
    r"|让我们一步一步地思考。请以“answer: \\boxed\{<final_answer>\}”的格式输出最终答案。"
    r"(?:如果是选择题,请按顺序输出正确的选项,不带任何标点或空格。对于其他类型的问题,请只输出最终答案的数值。)?"
)
"""How to answer, whatever is asked."""
_LABEL = re.compile(r"\A\s*(?:solve|question|problem):|\banswer:\s{0,9}\Z")
"""What a prompt may put before and behind a question."""
_ABOUT_THE_ANSWER = re.compile(
    rf"(?:the|your) (?:original |final )?answer (?:is|should be) (?:given |expressed )?(?:in|of|an integer)\b{_ON}"
    rf"|(?:please )?(?:express|write|provide|give|enter|report|submit|present|state) (?:your|the) (?:final )?answer\b{_ON}"
    rf"|(?:and )?please (?:directly )?(?:provide|give|find|calculate|determine|submit) (?:the )?(?:value|sum) of\b{_ON}"
)
"""The form of one answer. In a short question such a sentence may be what is asked."""
_SAYS_SO = re.compile(r"answer|please|step by step|following|solve|question:|problem:")


def wording(text: str) -> Wording:
    """What of a question is compared: without how to answer it, and without sentences about the form of the answer where enough remains."""
    words, code = _apart(unicodedata.normalize("NFKC", text).casefold())
    if _SAYS_SO.search(words):
        words = _without(_LABEL, _without(_BY_STEPS, words))
        rest = _read(_ABOUT_THE_ANSWER.sub(" ", words), code)
        if len(rest.letters) >= ENOUGH:
            return rest
    return _read(words, code)


def _without(parts: re.Pattern[str], words: str) -> str:
    """The words without these parts, unless nothing would remain."""
    rest = parts.sub(" ", words)
    return rest if any(map(str.isalnum, rest)) else words


def _apart(text: str) -> tuple[str, str]:
    """The words, and the code of the drawings between [asy] and [/asy]."""
    before, *pieces = text.split("[asy]")
    words, drawings = [before], []
    for piece in pieces:
        code, _, after = piece.partition("[/asy]")
        drawings.append(code)
        words.append(after)
    return " ".join(words), "\n".join(drawings)


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _read(words: str, code: str) -> Wording:
    plain = _TIGHT_FRACTION.sub(r"\1 ", _THOUSANDS.sub("", _LAYOUT.sub(" ", words.translate(_UNICODE))))
    signs = _NO_SIGN.sub("", _NO_OPERATOR.sub("", plain))
    plain = _COMMAND.sub(lambda found: f" {_SAME.get(found[1], found[1])} ", plain)
    letters: list[str] = []
    figures: list[str] = []
    shape: list[str] = []
    starts: list[int] = []
    length, after_tens = 0, -9
    for piece in _PIECE.finditer(plain):
        word = piece[0]
        starts.append(length)
        if piece[1]:
            figures.append(_number(word))
            word = word.replace(",", "").replace(".", "")
            shape.append("0")
        elif word in _UNITS and piece.start() - after_tens in (0, 1):
            figures[-1] = str(int(figures[-1]) + _UNITS[word])  # twenty-five is one number
        elif word in _IN_WORDS:
            figures.append(_IN_WORDS[word])
            shape.append("0")
            after_tens = piece.end() if word in _TENS else -9
        else:
            shape.append(word)
        letters.append(word)
        length += len(word)
    return Wording(
        letters="".join(letters),
        starts=tuple(starts),
        figures=tuple(figures),
        signs=signs,
        shape="".join(shape),
        drawing=_bare(code),
        labels=tuple(sorted(filter(None, map(_bare, code.split('"')[1::2])))),
    )


def _number(written: str) -> str:
    """One spelling of a number: no commas, no zeros that say nothing."""
    whole, _, decimals = written.replace(",", "").partition(".")
    whole, decimals = whole.lstrip("0") or "0", decimals.rstrip("0")
    return f"{whole}.{decimals}" if decimals else whole
