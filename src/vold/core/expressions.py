r"""Expressions spelled out: the only texts that ever reach computer algebra.

A parser for LaTeX has to guess where people leave signs out, and guesses badly: `2(3)` becomes the mixed number 5, `5 6` becomes 11, 0.1 a rounded
float. So every sign must be a known one, products beside brackets get their sign, mixed numbers their plus, decimals become fractions, and what
could be read in two ways (`1/2x`, `x2`, `2^3^2`) is not read at all.
"""

from vold.core.latex import TOKENS

FUNCTIONS = frozenset(r"\sin \cos \tan \cot \sec \csc \arcsin \arccos \arctan \sinh \cosh \tanh \ln \log \exp".split())
_LETTERS = frozenset(
    r"""\pi \infty \alpha \beta \gamma \delta \varepsilon \zeta \eta \theta \iota \kappa \lambda \mu \nu \xi \rho \sigma \tau \phi \chi \psi \omega
    \Delta \Theta \Lambda \Sigma \Phi \Psi \Omega""".split()
)
_SIGNS = {"+": "+", "-": "-", "*": r"\cdot", "/": "/", r"\cdot": r"\cdot", r"\times": r"\cdot", r"\div": "/"}
_PAIRS = {"(": ")", "[": "]", "{": "}", r"\lfloor": r"\rfloor", r"\lceil": r"\rceil"}
_APPLIED = frozenset("fgFG")
_DEEPEST = 40


class _NotRead(Exception):
    """The text has a sign that expressions do not have, or two readings."""


def spelled_out(text: str) -> str | None:
    """The expression with nothing left out; None where a sign is unknown or a reading ambiguous."""
    try:
        return _Speller([token for token in (match[0] for match in TOKENS.finditer(text)) if not token.isspace()]).all()
    except _NotRead:
        return None


class _Speller:
    """One pass over the tokens. `last` is what stands before the next sign: nothing or an operator, a function without its argument, or a value."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens, self.at, self.depth = tokens, 0, 0

    def all(self) -> str:
        out = self.run("")
        if self.at != len(self.tokens) or not out:
            raise _NotRead
        return " ".join(out)

    def run(self, closing: str) -> list[str]:
        """Everything up to a closing bracket, which is taken too, or up to the end."""
        self.depth += 1
        if self.depth > _DEEPEST:
            raise _NotRead
        out: list[str] = []
        last, over = "", False
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if token == closing and not (token == "|" and last != "value"):
                break
            self.at += 1
            if token in _SIGNS:
                if last == "function" or (last == "" and (token not in "+-" or (out and self.tokens[self.at - 2] in "+-"))):
                    raise _NotRead
                out.append(_SIGNS[token])
                last, over = "", token in ("/", r"\div")
                continue
            if token == "!":
                if last != "value" or out[-1] == "!":
                    raise _NotRead
                out.append(token)
                continue
            if over and last == "value":  # 1/2x is read in two ways
                raise _NotRead
            if token in FUNCTIONS:
                if last == "function":
                    raise _NotRead
                out += [r"\cdot"] if last == "value" and closing == "|" else []
                out += [token, *self.scripts()]
                last = "function"
                continue
            out += self.value(token, last)
            last = "value"
        if last != "value" or (closing and self.at >= len(self.tokens)):
            raise _NotRead
        self.at += bool(closing)
        self.depth -= 1
        return out

    def value(self, token: str, last: str) -> list[str]:
        """A number, letter, bracket, root or fraction with its indices and powers, with the sign of its product before it."""
        times = [r"\cdot"] if last == "value" else []
        if token[0].isdigit() or token[0] == ".":
            if last == "value" or not token.isascii() or token == ".":
                raise _NotRead
            return self.powers(self.number(token))
        if token in _LETTERS or (len(token) == 1 and token.isascii() and token.isalpha()):
            return [*self.letter(token)]
        if token == r"\frac" or token == r"\binom":
            above, below = self.braced(), self.braced()
            return self.powers([*times, token, "{", *above, "}", "{", *below, "}"])
        if token == r"\sqrt":
            return self.powers([*times, token, *self.root()])
        if token == "|":
            return self.powers([*times, "|", *self.run("|"), "|"])
        if token not in _PAIRS:
            raise _NotRead
        inner = self.run(_PAIRS[token])
        kept = (token, _PAIRS[token]) if token.startswith("\\") else ("(", ")")
        return self.powers([*times, kept[0], *inner, kept[1]])

    def number(self, token: str) -> list[str]:
        """Exactly: a decimal as a fraction, and 7\\frac{3}{4} as a sum."""
        mixed = self.tokens[self.at : self.at + 7]
        if len(mixed) == 7 and mixed[0] == r"\frac" and mixed[1] == mixed[4] == "{" and mixed[3] == mixed[6] == "}":
            above, below = mixed[2], mixed[5]
            if token.isdigit() and above.isdigit() and below.isdigit():
                if int(above) >= int(below):  # neither a mixed number nor written as a product
                    raise _NotRead
                self.at += 7
                return ["(", token, "+", *mixed, ")"]
        whole, point, rest = token.partition(".")
        if not point:
            return [token.lstrip("0") or "0"]
        return ["(", r"\frac", "{", (whole + rest).lstrip("0") or "0", "}", "{", "1" + "0" * len(rest), "}", ")"]

    def letter(self, token: str) -> list[str]:
        name = {"I": "I_{v}", "d": "d_{v}"}.get(token, token)  # the parser takes I for the imaginary unit and dy over dx for a derivative
        if self.peek() == "_":
            name = token + self.index()
        out = self.powers([name])
        if self.peek() == "(" and len(out) > 1 and token in _APPLIED:
            raise _NotRead
        if self.peek() == "(" and token in _APPLIED:
            self.at += 1
            return [*out, "(", *self.run(")"), ")"]
        return out

    def index(self) -> str:
        """An index is a name: letters and digits only."""
        self.at += 1
        if self.peek() != "{":
            found = [self.take()]
        else:
            self.at += 1
            found = []
            while self.peek() not in ("}", ""):
                found.append(self.take())
            self.take()
        text = "".join(found)
        if not (text.isascii() and text.isalnum()):
            raise _NotRead
        return "_{" + text + "}"

    def powers(self, out: list[str]) -> list[str]:
        """What was read, with its power; a power of a power needs brackets, an index of a bracket or number is a base and not read."""
        if self.tokens[self.at : self.at + 2] == ["^", r"\circ"]:
            self.at += 2
            return ["(", *out, r"\cdot", r"\frac", "{", r"\pi", "}", "{", "180", "}", ")"]
        if self.peek() == "^":
            out = [*out, *self.power()]
        if self.peek() in ("^", "_"):
            raise _NotRead
        return out

    def power(self) -> list[str]:
        self.at += 1
        token = self.take()
        if token == "{":
            return ["^", "{", *self.run("}"), "}"]
        if token == "-" and self.peek().isdigit():
            return ["^", "{", "-", *self.number(self.take()), "}"]
        if token == "(":
            return ["^", "{", *self.run(")"), "}"]
        if token[0].isdigit():
            return ["^", "{", *self.number(token), "}"]
        if token in _LETTERS or (len(token) == 1 and token.isascii() and token.isalpha()):
            return ["^", "{", token, "}"]
        raise _NotRead

    def scripts(self) -> list[str]:
        """Base and power of a function: \\log_2, \\sin^2."""
        out: list[str] = []
        while self.peek() in ("_", "^"):
            if self.peek() in out:
                raise _NotRead
            mark = self.take()
            token = self.take()
            inner = self.run("}") if token == "{" else [token]
            if token != "{" and not (token[0].isdigit() or (token.isascii() and token.isalpha())):
                raise _NotRead
            out += [mark, "{", *inner, "}"]
        return out

    def root(self) -> list[str]:
        out: list[str] = []
        if self.peek() == "[":
            self.at += 1
            out = ["[", *self.run("]"), "]"]
        return [*out, "{", *self.braced(), "}"]

    def braced(self) -> list[str]:
        if self.take() != "{":
            raise _NotRead
        return self.run("}")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        if self.at >= len(self.tokens):
            raise _NotRead
        self.at += 1
        return self.tokens[self.at - 1]
