r"""Answers as models and data sets write them, put into one notation: what is only typesetting goes, what has a meaning stays.

Nothing here evaluates anything: text becomes text, in time linear in its length.
"""

import re
from collections.abc import Sequence

LONGEST = 2000
"""Answers of more characters are compared as strings only."""

_SIGNS = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ",
    "≤": r"\leq ", "≥": r"\geq ", "≠": r"\neq ", "≈": r"\approx ", "±": r"\pm ", "∓": r"\mp ", "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ",
    "∈": r"\in ", "°": r"^\circ ", "º": r"^\circ ", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "⅓": r"\frac{1}{3}",
    "⅔": r"\frac{2}{3}", "²": "^2", "³": "^3", "⟨": r"\langle ", "⟩": r"\rangle ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "λ": r"\lambda ",
    "μ": r"\mu ", "φ": r"\phi ", "\u2009": r"\,", "\u202f": r"\,", "\u00a0": " ", "’": "'", "ℝ": r"\mathbb{R}", "…": r"\ldots ",
}  # fmt: skip
_FULL_WIDTH = {sign + 0xFEE0: chr(sign) for sign in range(0x21, 0x7F) if chr(sign) not in "\\{}$"}
_UNICODE = str.maketrans(_SIGNS) | _FULL_WIDTH

_SAME_COMMAND = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "le": "leq", "leqslant": "leq", "ge": "geq", "geqslant": "geq", "ne": "neq",
    "lbrace": "{", "rbrace": "}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "vert": "|", "lvert": "|", "rvert": "|", "mid": "|",
    "varnothing": "emptyset", "infin": "infty", "lt": "<", "gt": ">", "ast": "*", "dbinom": "binom", "tbinom": "binom", "varphi": "phi",
    "mathrm": "text", "mathbf": "text", "mathit": "text", "mathsf": "text", "textbf": "text", "textit": "text", "textrm": "text", "textsf": "text",
    "textnormal": "text", "texttt": "text", "mbox": "text", "hbox": "text", "emph": "text", "boldsymbol": "text", "bm": "text", "arcctg": "arccot",
    "tg": "tan", "ctg": "cot", "lg": "log_{10}", "R": "mathbb{R}", "land": "text{and}", "lor": "text{or}", "wedge": "text{and}", "vee": "text{or}",
    "bigcup": "cup", "colon": ":", "dots": "ldots", "cdots": "ldots", "dotsc": "ldots", "dotsb": "ldots", "operatorname": "text",
    "operatorname*": "text", "epsilon": "varepsilon", "thickapprox": "approx", "approxeq": "approx", "textup": "text", "mathtt": "text",
}  # fmt: skip
UPRIGHT = frozenset(["text", *(name for name, other in _SAME_COMMAND.items() if other == "text")])
"""Commands that only choose a typeface."""
_GONE = frozenset(
    """
    left right bigl bigr big Big Bigl Bigr bigg Bigg biggl biggr displaystyle textstyle limits rm bf mathstrut strut nonumber it middle boxed fbox
    """.split()
)
_BLANK = frozenset(["quad", "qquad", "enspace", "thinspace", "space", "hspace"])
_SIGN_COMMANDS = {"{": r"\{", "}": r"\}", "[": "[", "]": "]", "(": "(", ")": ")", "|": "|", "<": "<", ">": ">", "*": "*", ":": ":"}
_COMMAND = re.compile(r"\\([a-zA-Z]+\*?|[^a-zA-Z])")
_FUNCTIONS = "arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|ln|log|sqrt|infinity|pi"
_BARE_FUNCTION = re.compile(rf"(?<![\\a-zA-Z])({_FUNCTIONS})(?![a-zA-Z])")
_BASES = dict(zip("two three four five six seven eight nine".split(), "23456789", strict=True))
_ONE = r"(?:\d|[a-zA-Z]|\\pi)"
_UPRIGHT = rf"\\(?:{'|'.join(sorted(map(re.escape, UPRIGHT)))}|rm)(?![a-zA-Z])"
_TIED = re.compile(rf"(?:\\[,;: ]|~)\s*({_UPRIGHT}\s*\{{)\s*")
_DECORATED = re.compile(r"\\(?:underline|uline|(?:text)?color(?:box)?\s*(?:\[[^\]]*\])?\s*\{[^{}]*\})\s*")
_THOUSANDS = re.compile(r"(?<![\d.])(?<!\d,)([1-9]\d{0,2})((?:(?:\{\s*,\s*\}|\\[,;: !]\s*|,\\!\s*)\d{3})+)(?!\d)")
_BRACED_SIGN = re.compile(rf"({_UPRIGHT}\s*)?\{{\s*([,:])\s*\}}")
_LETTER = re.compile(r"(\\[a-zA-Z]+|\d)?(\s*)\\text\s*\{\s*([a-zA-Z]|[A-Z]{2,3})\s*\}(?=(\s*[\d+-])?)")
_LOG = re.compile(r"\\log\s*_([2-9])(\d+(?:\.\d+)?)(?=\s*(?:$|[-+*/=<>,;:)\]}&|]|\\(?:cdot|times|div|leq|geq|neq|approx|text|\\)))")
UNIT_LETTERS = "mgshlLNJWVA"
"""Upright letters that may be a unit: metres to amperes. All others are letters."""


def tidy(answer: str) -> str:
    r"""The same answer in plain LaTeX: `\dfrac12` as `\frac{1}{2}`, no `\left`, no dollar signs of maths mode, no full stop at its end."""
    text = re.sub(r"√\s*(\d+)", r"\\sqrt{\1}", " ".join(answer.split()))
    text = re.sub(r"\.\.\.+", r"\\ldots ", text.translate(_UNICODE))
    text = _undelimited(_TIED.sub(r"\1 ", text).replace("~", " ").strip())
    text = re.sub(r"\{\s*\\rm\s+([^{}]*)\}", r"\\text{\1}", text).replace(r"\degree", r"^\circ")
    text = _undecorated(text)
    text = _THOUSANDS.sub(lambda found: found[1] + re.sub(r"\D", "", found[2]), text)
    text = _BRACED_SIGN.sub(lambda found: found[2] + " " * bool(found[1]), text)  # 1{,}5 and \text{, }
    text = re.sub(r"\{([^{}]*)\\over(?![a-zA-Z])([^{}]*)\}", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\{([^{}]*)\\choose(?![a-zA-Z])([^{}]*)\}|^([^{}]*)\\choose(?![a-zA-Z])([^{}]*)$", r"\\binom{\1\3}{\2\4}", text)
    text = re.sub(r"(?<=\d)\\[,;: !]\s*(?=\d{3}(?!\d))", ",", text) if re.search(r"\d\\[,;: !]\s*\d{3}", text) else text
    text = re.sub(r"(?<=\d),\\!\s*(?=\d{3})", ",", text)
    text = lettered(_COMMAND.sub(_command, text), UNIT_LETTERS)
    text = re.sub(r"(?<!\\)%", r"\\%", text)
    text = re.sub(r"\s*(?:\\text\{\s*(?:percent|per cent|percentage)\s*\}|(?<![a-zA-Z])(?:percent|per cent)(?![a-zA-Z]))", r"\\%", text)
    text = _BARE_FUNCTION.sub(lambda found: "\\" + {"infinity": "infty"}.get(found[1], found[1]), text)
    text = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(rf"\\(frac|binom)\s*({_ONE})\s*({_ONE})", r"\\\1{\2}{\3}", text)
    text = re.sub(rf"\\(frac|binom)\s*({_ONE})\s*\{{", r"\\\1{\2}{", text)
    text = re.sub(rf"(\\(?:frac|binom)\s*\{{[^{{}}]*\}})\s*({_ONE})", r"\1{\2}", text)
    text = re.sub(rf"\\sqrt\s*({_ONE})", r"\\sqrt{\1}", text)
    text = re.sub(r"([_^])\s*\{\s*(\d)\s*\}\s*(?=\d)", r"\1\2 ", text)  # x^{2}3 is not x^{23}
    text = re.sub(r"\^\s*\{\s*(\\circ|[a-zA-Z0-9])\s*\}", r"^\1", text)
    text = re.sub(r"_\s*\{\s*([a-zA-Z0-9])\s*\}", r"_\1", text)
    text = _LOG.sub(r"\\log_\1 \2", text)
    text = re.sub(r"\\text\s*\{([^{}a-zA-Z]*)\}", r"\1", text)  # \text{5}
    text = re.sub(r"\\text\s*\{([^{}]*)\}\s*/\s*\\text\s*\{([^{}]*)\}", r"\\text{\1/\2}", text)
    text = re.sub(r"_\s*\{\s*\\text\s*\{\s*([a-z]+)\s*\}\s*\}", lambda found: "_" + _BASES.get(found[1], found[0][1:]), text)
    text = _unbraced(text.strip().removesuffix(".").strip())
    text = re.sub(r"^(?:=|\\approx)\s*(?=\S)", "", text)
    return " ".join(re.sub(r"(?<=[^\s,;\\])\s*[,;]$", "", text).split())


def lettered(text: str, kept: str = "") -> str:
    r"""With `\text{x}` as x and `\text{AB}` as AB, except letters that are `kept`."""
    return _LETTER.sub(lambda found: found[0] if kept and _stays(found, kept) else _joined(found), text)


def _stays(found: re.Match[str], kept: str) -> bool:
    return len(found[3]) > 1 or (found[3] in kept and not found.string[max(0, found.start() - 1) : found.start()].isalpha())


def _joined(found: re.Match[str]) -> str:
    """A letter behind a command needs a blank (`\\pi i`), and so does an e between digits, which is no power of ten."""
    before, blank, letter = found[1] or "", found[2], found[3]
    apart = before.startswith("\\") or (before and letter in "eE" and found[4])
    return before + (blank or (" " if apart else "")) + letter


def _undecorated(text: str) -> str:
    """Without underlines and colours; braces stay where something would run together."""
    while (found := _DECORATED.search(text)) is not None:
        start, end = found.start(), found.end()
        close = closes_at(text, end) if text[end : end + 1] == "{" else -1
        inner = text[end + 1 : close] if close > 0 else ""
        if re.fullmatch(r"[\w.]+", inner) and not text[start - 1 : start].isalnum():
            text = text[:start] + inner + text[close + 1 :]
        else:
            text = text[:start] + (" " if text[start - 1 : start].isalpha() else "") + text[end:]
    return text


def _undelimited(text: str) -> str:
    """Without the signs that only say `this is mathematics` or `this is bold`, and without a full stop after them."""
    pairs = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"))
    for _ in range(4):
        bare = text.strip()
        bare = bare[:-1] if bare.endswith(".") and not bare.endswith("..") else bare
        for left, right in pairs:
            inner = bare[len(left) : len(bare) - len(right)]
            if (
                len(bare) > len(left) + len(right)
                and bare.startswith(left)
                and bare.endswith(right)
                and left not in inner.replace(r"\$", "")
                and not inner.endswith("\\")
            ):
                bare = inner
                break
        if bare == text:
            break
        text = bare
    return text.strip()


def _command(found: re.Match[str]) -> str:
    name = found[1]
    if name in _GONE:
        return ""
    if name in _BLANK or name in (",", ";", ":", " ", "~", "!", "\n"):
        return "" if name == "!" else " "
    name = _SAME_COMMAND.get(name, name)
    if name in _SIGN_COMMANDS and found[1] not in ("(", ")", "[", "]"):
        return _SIGN_COMMANDS[name]
    return "\\" + name


def _unbraced(text: str) -> str:
    """Without one pair of braces around everything."""
    while text.startswith("{") and text.endswith("}") and closes_at(text, 0) == len(text) - 1:
        text = text[1:-1].strip()
    return text


TOKENS = re.compile(r"\\begin\{\w+\*?\}|\\end\{\w+\*?\}|\\[a-zA-Z]+|\\.|\d+(?:\.\d+)?|\.\d+|.", re.DOTALL)
OPENS = frozenset(["(", "[", "{", r"\{", r"\langle", r"\lfloor", r"\lceil"])
CLOSES = frozenset([")", "]", "}", r"\}", r"\rangle", r"\rfloor", r"\rceil"])


def closes_at(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes, any kind by any kind, as in [0, 1); -1 when it does not."""
    depth = 0
    for match in TOKENS.finditer(text, start):
        depth += _depth(match[0])
        if depth == 0:
            return match.end() - 1
    return -1


def _depth(token: str) -> int:
    if token in OPENS or token.startswith(r"\begin{"):
        return 1
    return -1 if token in CLOSES or token.startswith(r"\end{") else 0


def balanced(text: str) -> bool:
    """Whether braces and environments close in order. Round and square brackets need not: ]0, 1[ and [0, 1) are intervals."""
    opened: list[str] = []
    for match in TOKENS.finditer(text):
        token = match[0]
        if token == "{" or token.startswith(r"\begin{"):
            opened.append(token)
        elif token == "}":
            if not opened or opened.pop() != "{":
                return False
        elif token.startswith(r"\end{") and (not opened or opened.pop() != token.replace(r"\end", r"\begin")):
            return False
    return not opened


def split(text: str, separators: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """The parts between separators that stand outside all brackets, and the separators; None where brackets do not balance."""
    parts, found, depth, start = [], [], 0, 0
    for match in TOKENS.finditer(text):
        depth += _depth(match[0])
        if depth < 0:
            return None
        if depth == 0 and match[0] in separators:
            parts.append(text[start : match.start()].strip())
            found.append(match[0])
            start = match.end()
    if depth:
        return None
    return [*parts, text[start:].strip()], found


def enclosed(text: str) -> tuple[str, str, str] | None:
    """(opening bracket, content, closing bracket) where one pair encloses everything."""
    first = TOKENS.match(text)
    if first is None or first[0] not in OPENS or first[0] == "{":
        return None
    depth, last = 0, None
    for match in TOKENS.finditer(text):
        depth += _depth(match[0])
        if depth == 0:
            last = match
            break
    if last is None or last.end() != len(text) or last[0] not in CLOSES:
        return None
    return first[0], text[first.end() : last.start()].strip(), last[0]
