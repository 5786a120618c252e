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
    "μ": r"\mu ", "φ": r"\phi ", "\u2009": r"\,", "\u202f": r"\,", "\u00a0": " ", "’": "'", "ℝ": r"\mathbb{R}", "，": ",", "：": ":", "％": "%",
}  # fmt: skip
_UNICODE = str.maketrans(_SIGNS)

_SAME_COMMAND = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "le": "leq", "leqslant": "leq", "ge": "geq", "geqslant": "geq", "ne": "neq",
    "lbrace": "{", "rbrace": "}", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "vert": "|", "lvert": "|", "rvert": "|", "mid": "|",
    "varnothing": "emptyset", "infin": "infty", "lt": "<", "gt": ">", "ast": "*", "dbinom": "binom", "tbinom": "binom", "varphi": "phi",
    "mathrm": "text", "mathbf": "text", "mathit": "text", "mathsf": "text", "textbf": "text", "textit": "text", "textrm": "text", "textsf": "text",
    "textnormal": "text", "texttt": "text", "mbox": "text", "hbox": "text", "emph": "text", "boldsymbol": "text", "bm": "text", "arcctg": "arccot",
    "tg": "tan", "ctg": "cot", "lg": "log_{10}", "R": "mathbb{R}", "land": "text{and}", "lor": "text{or}", "wedge": "text{and}", "vee": "text{or}",
    "bigcup": "cup", "colon": ":", "dots": "ldots", "cdots": "ldots", "operatorname": "text", "operatorname*": "text", "epsilon": "varepsilon",
}  # fmt: skip
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


def tidy(answer: str) -> str:
    r"""The same answer in plain LaTeX: `\dfrac12` as `\frac{1}{2}`, no `\left`, no dollar signs of maths mode, no full stop at its end."""
    text = re.sub(r"√\s*(\d+)", r"\\sqrt{\1}", " ".join(answer.split()))
    text = _undelimited(text.translate(_UNICODE).replace("~", " ").strip())
    text = re.sub(r"\{\s*\\rm\s+([^{}]*)\}", r"\\text{\1}", text).replace(r"\degree", r"^\circ")
    text = re.sub(r"\{\s*([,:])\s*\}", r"\1", text)  # 1{,}000
    text = re.sub(r"\{([^{}]*)\\over(?![a-zA-Z])([^{}]*)\}", r"\\frac{\1}{\2}", text)
    text = re.sub(r"(?<=\d)\\[,;: !]\s*(?=\d{3}(?!\d))", ",", text) if re.search(r"\d\\[,;: !]\s*\d{3}", text) else text
    text = re.sub(r"(?<=\d),\\!\s*(?=\d{3})", ",", text)
    text = _COMMAND.sub(_command, text)
    text = re.sub(r"(?<!\\)%", r"\\%", text)
    text = re.sub(r"\s*(?:\\text\{\s*(?:percent|per cent|percentage)\s*\}|(?<![a-zA-Z])(?:percent|per cent)(?![a-zA-Z]))", r"\\%", text)
    text = _BARE_FUNCTION.sub(lambda found: "\\" + {"infinity": "infty"}.get(found[1], found[1]), text)
    text = re.sub(r"\\sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}", text)
    text = re.sub(rf"\\frac\s*({_ONE})\s*({_ONE})", r"\\frac{\1}{\2}", text)
    text = re.sub(rf"\\frac\s*({_ONE})\s*\{{", r"\\frac{\1}{", text)
    text = re.sub(rf"(\\frac\s*\{{[^{{}}]*\}})\s*({_ONE})", r"\1{\2}", text)
    text = re.sub(rf"\\sqrt\s*({_ONE})", r"\\sqrt{\1}", text)
    text = re.sub(r"\^\s*\{\s*(\\circ|[a-zA-Z0-9])\s*\}", r"^\1", text)
    text = re.sub(r"_\s*\{\s*([a-zA-Z0-9])\s*\}", r"_\1", text)
    text = re.sub(r"\\text\s*\{([^{}a-zA-Z]*)\}", r"\1", text)  # \text{5}
    text = re.sub(r"\\text\s*\{([^{}]*)\}\s*/\s*\\text\s*\{([^{}]*)\}", r"\\text{\1/\2}", text)
    text = re.sub(r"_\s*\{\s*\\text\s*\{\s*([a-z]+)\s*\}\s*\}", lambda found: "_" + _BASES.get(found[1], found[0][1:]), text)
    return " ".join(_unbraced(text.strip().removesuffix(".").strip()).split())


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
