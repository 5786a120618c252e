"""Notations that a judge is easily wrong about: upright letters, letters in a row, words that multiply, names, commas, colours, options."""

import random

from vold.adapters.judges.trial_values import Made


def upright(draw: random.Random) -> Made:
    n, letter = draw.randint(2, 60), draw.choice("ixeRkyab")
    other = draw.choice([one for one in "zcwp" if one != letter])
    face = draw.choice(["mathrm", "text", "mathbf", "textbf", "mathit", "operatorname"])
    same = [
        f"{n}{letter}",
        rf"{n}\mathrm{{{letter}}}",
        rf"\mathrm{{{letter}}}\cdot {n}",
        rf"\frac{{{2 * n}\text{{{letter}}}}}{{2}}",
        rf"{n + 1}\mathbf{{{letter}}}-\mathrm{{{letter}}}",
    ]
    missed = [f"{n}", rf"-{n}\mathrm{{{letter}}}", rf"{n + 1}\mathrm{{{letter}}}", rf"{n}\mathrm{{{other}}}", rf"{n}+\mathrm{{{letter}}}", letter]
    return rf"{n}\{face}{{{letter}}}", same, [*missed, rf"{n}\text{{ cm}}", rf"{n}\mathrm{{{letter}}}^{{3}}", rf"{n}\%"]


def vector(draw: random.Random) -> Made:
    a, b = draw.sample(range(2, 30), 2)
    same = [rf"{b}\mathbf{{j}}+{a}\mathbf{{i}}", f"{a}i+{b}j", rf"{a}\mathrm{{i}}+{b}\mathrm{{j}}", rf"{a}\boldsymbol{{i}} + {b}\boldsymbol{{j}}"]
    missed = [f"{a}i+{b}", f"{a}+{b}j", f"{a + b}", rf"{b}\mathbf{{i}}+{a}\mathbf{{j}}", rf"{a}\mathbf{{i}}-{b}\mathbf{{j}}", rf"{a}\mathbf{{i}}"]
    return rf"{a}\mathbf{{i}}+{b}\mathbf{{j}}", same, [*missed, rf"{a}\mathbf{{i}}+{b}\mathbf{{k}}", f"({a},{b})"]


def letters_in_a_row(draw: random.Random) -> Made:
    gold = draw.choice(["HT", "HHT", "THH", "IX", "XI", "IV", "VI", "XL", "CAB", "BCA", "WL", "WWL", "ACDB", "MOM", "BD"])
    turned = sorted({"".join(draw.sample(gold, len(gold))) for _ in range(9)} | {gold[::-1], gold[1:] + gold[0]})
    same = [gold, rf"\text{{{gold}}}", rf"\mathrm{{{gold}}}", rf"\textbf{{{gold}}}"]
    missed = [one for one in turned if one != gold] + [gold + gold[0], gold[:-1], f"2{gold}", rf"\text{{{gold} or {gold[0]}}}"]
    return gold, same, [*missed, gold.lower()] if len(gold) < 4 else missed


_MULTIPLIERS = """
    million millions billion trillions thousand thousands hundred hundreds dozen dozens tens gross score lakh lakhs crore halves halfs thirds fifths
    sevenths eighths tenths hundredths thousandths mn bn k M K twos recurring excluded otherwise squared
""".split()
_COUNTED = ["cars", "boxes", "red pens", "students", "ways", "square units", "bees", "women", "cups", "books per shelf"]


def multiplier(draw: random.Random) -> Made:
    n, word = draw.randint(2, 300), draw.choice(_MULTIPLIERS)
    counted = draw.choice(_COUNTED)
    same = [rf"{n}\text{{ {counted}}}", f"{n}", rf"{n}\;\text{{{draw.choice(['cars', 'boxes', 'ways'])}}}", rf"N = {n}\text{{ {counted}}}"]
    missed = [rf"{n}\text{{ {word}}}", rf"{n}\text{{{word}}}", f"{n} {word}", rf"{n}\mathrm{{~{word}}}", rf"\${n}\text{{ {word}}}"]
    return str(n), same, [*missed, rf"{n}\text{{ {word} {counted}}}", rf"{n}\text{{ given even}}"]


def named(draw: random.Random) -> Made:
    names = draw.sample(["a", "b", "m", "n", "x", "y", r"\alpha", "p_1", "q"], draw.choice([2, 2, 3]))
    values = draw.sample(range(-9, 30), len(names))
    turned = values[1:] + values[:1]

    def lined(with_names: list[str], with_values: list[int], joint: str = ", ") -> str:
        return joint.join(f"{name}={value}" for name, value in zip(with_names, with_values, strict=True))

    bare, back = ", ".join(map(str, values)), ", ".join(map(str, turned))
    same = [
        bare,
        lined(names[::-1], values[::-1]),
        rf"({', '.join(names)}) = ({bare})",
        lined(names, values, r"\text{ and }"),
        bare.replace(", ", r"\text{ and }"),
    ]
    missed = [back, lined(names, turned), rf"\{{{bare}\}}", f"{values[0]}", f"({bare})", f"{bare}, 0", lined(names, [v + 1 for v in values])]
    return lined(names, values), same, [*missed, ", ".join(map(str, reversed(values)))]


def grouped(draw: random.Random) -> Made:
    items = [str(draw.randint(2, 99)), *map(str, draw.sample(range(101, 999), draw.choice([1, 1, 2])))]
    if draw.random() < 0.7:
        items[0] = str(draw.randint(100, 999))
    if len(set(items)) < len(items):
        return grouped(draw)
    turned = items[1:] + items[:1]
    off = [str(int(items[0]) + 1), *items[1:]]
    same = [",".join(items), ", ".join(turned), rf"\{{{','.join(items)}\}}", r"\text{ and }".join(turned), " , ".join(items)]
    if len(turned[-1]) == 3:
        same.append(",".join(turned))
    missed = ["".join(items), ",".join(off), ", ".join(off), "{,}".join(items), r"\,".join(items), items[-1], f"({','.join(items)})", ".".join(items)]
    return ", ".join(items), same, [*missed, ",".join(items[:-1]) + ",1" + items[-1][1:] if items[-1][0] != "1" else "0"]


_SPEEDS = {
    "mph": ["miles per hour", "mi/h"],
    "km/h": ["kph", "kilometers per hour", "km per hour"],
    "m/s": ["meters per second", "metres/second"],
    "ft/s": ["feet per second", "feet/second"],
}


def speed(draw: random.Random) -> Made:
    n, unit = draw.randint(2, 300), draw.choice(list(_SPEEDS))
    other = draw.choice([one for one in _SPEEDS if one != unit])
    same = [rf"{n}\text{{ {one}}}" for one in _SPEEDS[unit]] + [f"{n}", rf"{n}\;\mathrm{{{unit}}}", f"{n} {_SPEEDS[unit][0]}"]
    missed = [rf"{n}\text{{ {one}}}" for one in [other, *_SPEEDS[other], "m", "seconds"]] + [rf"{n + 1}\text{{ {unit}}}", rf"{n}\text{{ {unit}}}^2"]
    return rf"{n}\text{{ {unit}}}", same, missed


_PASCAL = {(5, 2): 10, (7, 3): 35, (9, 4): 126, (6, 2): 15, (8, 3): 56, (9, 2): 36}


def binomial(draw: random.Random) -> Made:
    (n, k), value = draw.choice(list(_PASCAL.items()))
    same = [
        rf"\binom{n}{k}",
        rf"\dbinom{{{n}}}{k}",
        rf"{{{n} \choose {k}}}",
        rf"{n} \choose {k}",
        str(value),
        rf"\binom{{{n}}}{{{n - k}}}",
        rf"\frac{{{n}!}}{{{k}!\cdot{n - k}!}}",
    ]
    missed = [rf"\binom{k}{n}", rf"\frac{n}{k}", f"{n}{k}", rf"\binom{{{n + 1}}}{{{k}}}", str(value + 1), rf"{{{k} \choose {n}}}", f"{n + k}"]
    return rf"\binom{{{n}}}{{{k}}}", same, missed


def decorated(draw: random.Random) -> Made:
    n = draw.choice([draw.randint(2, 9999), -draw.randint(2, 99)])
    wide = str(n).translate({ord(sign): ord(sign) + 0xFEE0 for sign in "0123456789"})
    half = rf"\frac{{{2 * n}}}{{2}}"
    made = [r"\underline{{{}}}", r"\textcolor{{red}}{{{}}}", r"{{\color{{blue}}{}}}", r"\approx {}", "= {}", r"x=\underline{{{}}}", "{}=x", "{},"]
    same = [wide, *(shape.format(text) for shape in made for text in (n, half))]
    return str(n), same, [shape.format(text) for shape in made for text in (n + 1, -n, rf"\frac{{{n}}}{{2}}", f"{n}x")]


def dotted(draw: random.Random) -> Made:
    before, digits = draw.choice(["", "1", "04"]), draw.choice(["3", "7", "12", "45", "142", "857"])
    first = rf"\dot{{{digits[0]}}}" + (rf"{digits[1:-1]}\dot{{{digits[-1]}}}" if len(digits) > 1 else "")
    shift, period = 10 ** len(before), 10 ** len(digits) - 1
    above = int(before or 0) * period + int(digits)
    same = [rf"0.{before}{first}", f"0.{before}{digits * 4}...", rf"0.{before}{digits * 3}\ldots", rf"0.{before}\bar{{{digits}}}"]
    same += [rf"\frac{{{above}}}{{{period * shift}}}", f"0.{before}{digits * 5}…"]
    missed = [f"0.{before}{digits}", f"0.{before}{digits * 4}", f"0.{before}{digits}...", rf"1.{before}{first}", rf"-0.{before}{first}", first]
    return rf"0.{before}\overline{{{digits}}}", same, [*missed, rf"\frac{{{above + 1}}}{{{period * shift}}}", rf"0.0{before}{first}"]


def based_logarithm(draw: random.Random) -> Made:
    base, n = draw.choice([2, 3, 5, 7]), draw.randint(2, 4)
    power = base**n
    same = [
        rf"\log_{base}{power}",
        rf"\log_{{{base}}}{power}",
        rf"\log_{base} {power}",
        rf"\log_{base}({power})",
        rf"\log_{base}{power * base}-1",
        str(n),
    ]
    missed = [rf"\log_{base}{power * base}", rf"\log_{{{base}{power}}}", rf"{base}\log {power}", f"{power}", rf"\log_{base + 1}{power}", f"{n + 1}"]
    return rf"\log_{{{base}}}({power})", same, [*missed, rf"\log {base}{power}"]


def scaled_matrix(draw: random.Random) -> Made:
    k, (a, b, c, d) = draw.choice([2, 3, 5, -2, -1]), draw.sample(range(1, 20), 4)

    def write(*items: object, name: str = "pmatrix") -> str:
        return rf"\begin{{{name}}}{items[0]}&{items[1]}\\{items[2]}&{items[3]}\end{{{name}}}"

    factor = {-1: "-"}.get(k, str(k))
    whole = [k * one for one in (a, b, c, d)]
    same = [
        write(*whole),
        rf"{factor}{write(a, b, c, d, name='bmatrix')}",
        rf"{k}\cdot{write(a, b, c, d)}",
        rf"\frac{{1}}{{2}}{write(*(2 * one for one in whole))}",
        rf"{factor}\left({write(a, b, c, d, name='matrix')}\right)",
    ]
    missed = [
        write(a, b, c, d),
        write(k * a, b, c, k * d),
        f"{k + 7}{write(a, b, c, d)}",
        f"{factor}{write(a, c, b, d)}",
        rf"{k}+{write(a, b, c, d)}",
    ]
    return (
        rf"{factor}{write(a, b, c, d)}",
        same,
        [*missed, rf"{k}{write(a, b, c, d, name='vmatrix')}", f"{factor}{write(*whole)}" if k != -1 else "-1"],
    )


def between(draw: random.Random) -> Made:
    a = draw.randint(-20, 20)
    b = a + draw.randint(1, 30)
    left, right = draw.choice(["<", r"\leq"]), draw.choice(["<", r"\le"])
    flip = {"<": ">", r"\leq": r"\geq", r"\le": r"\ge"}
    opens, closes = "(" if left == "<" else "[", ")" if right == "<" else "]"
    same = [
        rf"x {flip[left]} {a} \text{{ and }} x {right} {b}",
        rf"x {right} {b}\text{{ and }}x {flip[left]} {a}",
        rf"{a} {left} x \land x {right} {b}",
        f"{opens}{a}, {b}{closes}",
        f"{a} {left} x and {b} {flip[right]} x",
    ]
    missed = [
        rf"x {flip[left]} {a} \text{{ or }} x {right} {b}",
        rf"x {flip[left]} {a} \text{{ and }} y {right} {b}",
        rf"x {flip[left]} {b} \text{{ and }} x {right} {a}",
        rf"x {flip[left]} {a} \text{{ and }} x {right} {b + 1}",
        rf"x {'>=' if left == '<' else '>'} {a} \text{{ and }} x {right} {b}".replace(">=", r"\geq"),
        f"x {flip[left]} {a}",
        rf"x = {a} \text{{ and }} x = {b}",
    ]
    return f"{a} {left} x {right} {b}", same, missed


def option(draw: random.Random) -> Made:
    letter, other = draw.sample("ABCDE", 2)
    n = draw.randint(2, 200)
    value = draw.choice([f"{n}", rf"\frac{{{n}}}{{7}}", rf"{n}\sqrt{{2}}", f"-{n}"])
    gold = draw.choice([letter, f"({letter})", value, rf"\textbf{{({letter})}}\ {value}"])
    same = [rf"\textbf{{({letter})}}\ {value}", rf"\text{{({letter})}} {value}", rf"\mathrm{{({letter}) }}{value}"]
    missed = [rf"\textbf{{({other})}}\ {value}", other, rf"\text{{({other})}}", rf"\textbf{{({letter})}}, \textbf{{({other})}}", f"{n + 1}"]
    if gold == value:
        missed[0] = rf"\textbf{{({letter})}}\ {n + 1}"
    return gold, same, [*missed, rf"\text{{({letter}) or ({other})}}", rf"\textbf{{({other})}}\ {n + 1}"]
