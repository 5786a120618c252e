"""Units behind a value: which words are one, and when two are the same."""

import re

_NAMES = {
    "millimeter": "mm millimetre", "centimeter": "cm centimetre", "meter": "m metre", "kilometer": "km kilometre", "inch": "in inches",
    "foot": "ft feet", "yard": "yd yds", "mile": "mi", "gram": "g gm", "kilogram": "kg kgs kilo", "milligram": "mg", "pound": "lb lbs", "ounce": "oz",
    "second": "s sec secs", "minute": "min mins", "hour": "h hr hrs", "day": "", "week": "", "month": "", "year": "yr yrs", "liter": "l litre",
    "milliliter": "ml millilitre", "dollar": "usd", "cent": "", "euro": "eur", "degree": "deg", "radian": "rad", "unit": "", "person": "people",
    "child": "children", "man": "men", "woman": "women", "mph": "", "km/h": "kmh kph km/hr", "m/s": "mps", "foot/s": "", "pm": "p.m", "am": "a.m",
    "newton": "", "joule": "", "watt": "", "volt": "", "meter/second": "", "hectare": "ha", "acre": "", "ton": "tonne", "gallon": "gal",
}  # fmt: skip
_SAME = {spelling: name for name, others in _NAMES.items() for spelling in [name, *others.split()]}
_SHORT = frozenset(s for s in _SAME if len(s) > 1) - {"in", "min", "sec", "am", "pm", "rad", "man", "men", "unit"} | {"units", "min", "sec"}
_CHANGES_MEANING = frozenset(
    """
    hundred thousand million billion trillion dozen pair pairs score half halves third thirds quarter quarters fourth fifth tenth tenths
    hundredth hundredths thousandth squared cubed times plus minus over divided root pi or and not no to more less fewer than least most about
    around approximately roughly nearly almost between below above under negative mod modulo base if when where for with without except but is
    are was be the a an from into of each choose factorial percent percentage point points log ln sin cos tan sqrt exp infinity undefined none
    incorrect wrong false true alpha beta gamma delta theta lambda sigma omega
    """.split()
)
"""Words behind a number that say more than what it counts."""
_TEXT_END = re.compile(r"^(.*?[\d})\]!a-zA-Z.|])\s*\\text\s*\{([^{}]*)\}\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*\.?$", re.DOTALL)
_PLAIN_END = re.compile(r"^(.*?[\d})\]!.])(\s*)([a-zA-Z][a-zA-Z./ ]*?)\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\s*\.?$", re.DOTALL)
_LETTER_END = re.compile(r"^([+-]?[\d.,]+) ([mgshLl])(?:\s*\^\s*\{?\s*(\d)\s*\}?)?$")
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
        return (found[1].strip(), _unit(found[2], found[3])) if _is_unit(found[2], marked=True, after="") else (text, "")
    found = _LETTER_END.match(text)
    if found is not None:
        return found[1], _unit(found[2], found[3])
    found = _PLAIN_END.match(text)
    if found is not None and _is_unit(found[3], marked=False, after=found[2]):
        return found[1].strip(), _unit(found[3], found[4])
    return text, ""


def _words(text: str) -> list[str]:
    return text.lower().replace(".", " ").replace("-", " ").split()


def _is_unit(text: str, *, marked: bool, after: str) -> bool:
    """`marked` words stand in \\text{…}; others must be known, or long words with a blank before them."""
    words = _words(text)
    if (
        not words
        or len(words) > 4
        or any(word in _CHANGES_MEANING for word in words)
        or not re.fullmatch(r"[a-zA-Z./ -]+(?:\^\d)?[a-zA-Z./ -]*", text)
    ):
        return False
    if marked:
        return True
    return all(
        word in _SHORT or (bool(after) and len(word) > 3 and text == text.lower() and word.isalpha()) or (word == "per" and len(words) > 2)
        for word in words
    )


def _unit(text: str, power: str | None) -> str:
    words = [_one(word) for word in _words(text.replace("/", " per "))]
    power = power or ""
    if words and words[0] in ("sq", "square"):
        words, power = words[1:], "2"
    elif words and words[0] in ("cu", "cubic"):
        words, power = words[1:], "3"
    return " ".join(words) + (f"^{power}" if power and power != "1" else "")


def _one(word: str) -> str:
    for spelling in (word, word.removesuffix("s"), word.removesuffix("es")):
        if spelling in _SAME:
            return _SAME[spelling]
    if len(word) > 4 and word.endswith("ies"):
        return word.removesuffix("ies") + "y"
    return word.removesuffix("s") if len(word) > 3 and not word.endswith("ss") else word
