"""Units behind a value: which words are one, and when two are the same."""

import re

from vold.core.latex import UNIT_LETTERS

_NAMES = {
    "millimeter": "mm millimetre", "centimeter": "cm centimetre", "meter": "m metre", "kilometer": "km kilometre", "inch": "in inches",
    "foot": "ft feet", "yard": "yd yds", "mile": "mi", "gram": "g gm", "kilogram": "kg kgs kilo", "milligram": "mg", "pound": "lb lbs", "ounce": "oz",
    "second": "s sec secs", "minute": "min mins", "hour": "h hr hrs", "day": "", "week": "wk", "month": "mo", "year": "yr yrs", "liter": "l litre",
    "milliliter": "ml millilitre", "dollar": "usd", "cent": "", "euro": "eur", "degree": "deg", "radian": "rad", "unit": "", "person": "people",
    "child": "children", "man": "men", "woman": "women", "mile per hour": "mph mi/h mi/hr", "kilometer per hour": "km/h kmh kph km/hr",
    "meter per second": "m/s mps", "foot per second": "ft/s fps", "pm": "", "am": "", "newton": "n", "joule": "j", "watt": "w", "volt": "v",
    "ampere": "a amp", "hertz": "hz", "hectare": "ha", "acre": "", "ton": "tonne", "gallon": "gal", "byte": "", "kilobyte": "kb", "megabyte": "mb",
    "gigabyte": "gb", "piece": "pcs", "revolution per minute": "rpm", "square": "sq", "cubic": "cu",
}  # fmt: skip
_SAME = {spelling: name for name, others in _NAMES.items() for spelling in [name, *others.split()]}
_SHORT = frozenset(s for s in _SAME if len(s) > 1) - frozenset("in am pm rad man men unit mo wk sq cu hz kb mb gb amp pcs rpm".split()) | {"units"}
"""Known without \\text{…} around them."""
_PRODUCTS = frozenset("mg mi ml gm ha".split())
"""Close to their number, these are variables: 2mg."""
_CHANGES_MEANING = frozenset(
    """
    half halves squared cubed times plus minus over divided root pi or and not no to more less fewer than least most about
    around approximately roughly nearly almost between below above under negative mod modulo base if when where with for without except but is
    are was be the a an from into of each choose factorial percent percentage point points log ln sin cos tan sqrt exp infinity undefined none
    incorrect wrong false true alpha beta gamma delta theta lambda sigma omega excluded excluding exclusive included including inclusive otherwise
    given even odd unless provided assuming suppose whenever while because since else remainder recurring repeating repeated reciprocal inverse
    opposite impossible invalid unknown does do did has have can cannot may might must should will would doubled halved tripled fold ppm
    """.split()
)
"""Words behind a number that say more than what it counts."""
_MULTIPLIES = frozenset(
    """
    half third quarter fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth seventeenth eighteenth
    nineteenth twentieth thirtieth fortieth fiftieth hundredth thousandth millionth billionth two three four five six seven eight nine ten eleven
    twelve twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion trillion quadrillion dozen score gross lakh crore
    pair mil mln mn bn bln tn k thou grand myriad
    """.split()
)
"""Words that multiply or divide the number before them, in the singular."""
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"
_TEXT_END = re.compile(r"^(.*?[\d})\]!a-zA-Z.|])\s*\\text\s*\{([^{}]*)\}\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*\.?$", re.DOTALL)
_PLAIN_END = re.compile(r"^(.*?[\d})\]!.])(\s*)([a-zA-Z][a-zA-Z./ ]*?)\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*\.?$", re.DOTALL)
_LETTER_END = re.compile(r"^([+-]?[\d.,]+) ([mgshLl])(?:\s*\^\s*\{?\s*(\d)\s*\}?)?$")
_PLAIN = re.compile(r"[-+]?(?:[\d.,/ ]|\\frac\s*\{[-+\d., ]*\}\s*\{[\d., ]*\}|\\(?:times|cdot)(?![a-zA-Z])|\^\s*(?:\d|\{-?\d+\}))+")
_GROUPS = re.compile(r"\{[^{}]*\}|\([^()]*\)")
_COMMANDS = re.compile(r"\\(?:frac|sqrt|pi|cdot|times)(?![a-zA-Z])")
_DEGREES = re.compile(r"^(.*?[^\s^{])\s*(?:\{\s*\}\s*)?\^\s*\{?\s*\\circ\s*\}?\s*(?:\\text\s*\{\s*([CF])\s*\}|([CF]))?$", re.DOTALL)
_FUNCTION = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![a-z])")
_MONEY = re.compile(r"^([+-]?)\s*(?:\\?\$|([€£]))\s*(?=[\d.\\])(.*)$", re.DOTALL)
_SIGNS_OF_MONEY = {"€": "euro", "£": "pound sterling"}


def without_unit(text: str) -> tuple[str, str]:
    """(value, unit) of a tidy answer; the unit is empty where there is none."""
    money = _MONEY.match(text)
    if money is not None:
        inner, unit = without_unit(money[3])
        name = _SIGNS_OF_MONEY.get(money[2] or "", "dollar")
        return money[1] + inner, name if unit in ("", name) else f"{name} {unit}"
    if text.count(r"\circ") > 1 and not _FUNCTION.search(text):
        return re.sub(r"\^\s*\{?\s*\\circ\s*\}?", "", text).strip(), "degree"
    degrees = None if _FUNCTION.search(text) else _DEGREES.match(text)
    if degrees is not None and r"\pi" not in text:  # in \pi/6 degrees the degree is a factor
        return degrees[1].strip(), "degree" + (degrees[2] or degrees[3] or "").upper()
    found = _TEXT_END.match(text)
    if found is not None:
        value = found[1].strip()
        return (value, _unit(found[2], found[3])) if _is_marked_unit(found[2], value) else (text, "")
    found = _LETTER_END.match(text)
    if found is not None:
        return found[1], _unit(found[2], found[3])
    found = _PLAIN_END.match(text)
    if found is not None and _is_plain_unit(found[3], found[2]):
        return found[1].strip(), _unit(found[3], found[4])
    return text, ""


def _words(text: str) -> list[str]:
    return re.sub(r"\b([ap])\.\s?m\b", r"\1m", text.lower()).replace(".", " ").replace("-", " ").split()


def _says_more(words: list[str]) -> bool:
    """Whether words are none, too many, or change the value before them."""
    return (
        not words or len(words) > 4 or any(word in _CHANGES_MEANING or word in _MULTIPLIES or word.removesuffix("s") in _MULTIPLIES for word in words)
    )


def _is_marked_unit(text: str, value: str) -> bool:
    r"""Whether the words of `\text{…}` behind a value are a unit: known ones, or words that are no letters in a row."""
    words = _words(text)
    if not re.fullmatch(r"[a-zA-Z./ -]+(?:\^\d)?[a-zA-Z./ -]*", text) or _says_more(words) or re.search(r"\b[KM]\b", text):
        return False
    apart = text[0].isspace()
    parts = [part.partition("^")[0] for word in words for part in ([word] if word in _SAME else word.split("/"))]
    longest = max(map(len, parts))
    if longest == 1:
        plain = apart or _PLAIN.fullmatch(value) is not None
        return _is_letter_unit(text.strip(" ."), value, apart) if len(parts) == 1 else plain and all(part in _SAME for part in parts)
    capitals = text.strip().isupper()
    return (longest > 3 and not _row(parts)) or all(_is_word(part, apart, capitals) for part in parts)


def _is_letter_unit(letter: str, value: str, apart: bool) -> bool:
    """A letter may be a unit behind a plain number; capitals, and any letter behind roots and the like, only with a visible blank before it."""
    if letter not in UNIT_LETTERS:
        return False
    if _PLAIN.fullmatch(value):
        return apart or letter.islower()
    bare = _COMMANDS.sub(" ", value)
    return apart and letter.islower() and not re.search(r"[a-zA-Z\\]", bare) and not re.search(r"[+-]", _GROUPS.sub("", bare)[1:])


def _is_word(word: str, apart: bool, capitals: bool) -> bool:
    """A known unit or, with a visible blank before it, a word with a vowel. AB, AM, xy and abc are letters."""
    if word in _SAME or word.removesuffix("s") in _SAME or word == "per":
        return apart or not (capitals and len(word) < 3)
    return apart and len(word) > 2 and not capitals and re.search(r"[aeiou]", word) is not None and not _row([word])


def _row(words: list[str]) -> bool:
    """abcd, wxyz: variables."""
    return len(words) == 1 and words[0] in _ALPHABET


def _is_plain_unit(text: str, after: str) -> bool:
    """Without \\text{…}, words must be known, or long and with a blank before them."""
    words = _words(text)
    if not re.fullmatch(r"[a-zA-Z./ -]+(?:\^\d)?[a-zA-Z./ -]*", text) or _says_more(words) or _row(words):
        return False
    apart, small = bool(after), text == text.lower()
    known = (word in _SHORT and (apart or word not in _PRODUCTS) for word in words)
    long = (len(word) > 3 and apart and small and word.isalpha() for word in words)
    return all(one or other or (word == "per" and len(words) > 2) for one, other, word in zip(known, long, words, strict=True))


def _unit(text: str, power: str | None) -> str:
    raised = None if power else re.fullmatch(r"(.*)\^(\d)\s*", text)
    text, power = (raised[1], raised[2]) if raised is not None else (text, power or "")
    text = text if text.strip().lower() in _SAME else text.replace("/", " per ")
    words = [_one(word) for word in _words(text)]
    if words and words[0] == "square" and len(words) > 1:
        words, power = words[1:], "2"
    elif words and words[0] == "cubic" and len(words) > 1:
        words, power = words[1:], "3"
    return " ".join(words) + (f"^{power}" if power and power != "1" else "")


def _one(word: str) -> str:
    for spelling in (word, word.removesuffix("s"), word.removesuffix("es")):
        if spelling in _SAME:
            return _SAME[spelling]
    if len(word) > 4 and word.endswith("ies"):
        return word.removesuffix("ies") + "y"
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word
