"""Drawn values with other notations and near misses: numbers, fractions, units, roots, powers."""

import random
from fractions import Fraction

Made = tuple[str, list[str], list[str]]
"""A gold, other ways to write it, and near misses."""


def whole(draw: random.Random) -> Made:
    n = draw.choice([draw.randint(2, 99), draw.randint(1000, 10**7), -draw.randint(2, 5000)])
    same = [
        str(n),
        f"{n:,}",
        f"{n}.0",
        f"{n}.00",
        rf"\frac{{{3 * n}}}{{3}}",
        f"x = {n}",
        f"{n:,}".replace(",", r"{,}"),
        rf"\text{{{n}}}",
        f"+{n}".replace("+-", "-"),
    ]
    same += [rf"{n}\text{{ apples}}", rf"{2 * n}/2", rf"\mathbf{{{n}}}", f"{n:,}".replace(",", r"\,"), f"N = {n - 1} + 1" if n > 1 else f"{n}"]
    digits = str(abs(n))
    missed = [
        str(n + 1),
        str(n - 1),
        str(-n),
        f"{n}0",
        f"{n}.5",
        f"{n}.000001",
        f"1/{n}",
        f"{n}, {n + 1}",
        f"{n} or {n + 2}",
        rf"{n}x",
        rf"{n}^2",
        rf"{n}_7",
    ]
    missed += [f"0.{digits}", digits[0] + "." + (digits[1:] or "5"), rf"{n}\text{{ million}}", f"{n} {n}", f"{n}:00", rf"\sqrt{{{n * n + 1}}}"]
    return str(n), same, missed


def quotient(draw: random.Random) -> Made:
    q = draw.choice([3, 7, 9, 11, 13, 8, 5, 16, 40])
    value = Fraction(draw.randint(1, 60), q) * draw.choice([1, 1, -1])
    if value.denominator == 1:
        value += Fraction(1, q)
    p, q, sign = abs(value.numerator), value.denominator, "-" if value < 0 else ""
    k = draw.randint(2, 9)
    same = [
        rf"{sign}\frac{{{k * p}}}{{{k * q}}}",
        f"{sign}{p}/{q}",
        rf"{sign}\dfrac{{{p}}}{{{q}}}",
        rf"\tfrac{{{sign}{p}}}{{{q}}}",
        rf"{sign}{p} / {q}",
    ]
    same += [
        rf"x=\frac{{{sign}{p}}}{{{q}}}",
        rf"{sign}\frac{{{p}}}{{{q}}}\text{{ km}}",
        rf"{sign}{p}\cdot\frac{{1}}{{{q}}}",
        rf"{sign}\left(\frac{{{p}}}{{{q}}}\right)",
    ]
    if p > q:
        same.append(rf"{sign}{p // q}\frac{{{p % q}}}{{{q}}}")
    exact = 10**10 % q == 0
    decimals = f"{float(value):.10f}".rstrip("0")
    missed = [
        rf"{sign}\frac{{{q}}}{{{p}}}",
        rf"{sign}\frac{{{p + 1}}}{{{q}}}",
        rf"{sign}\frac{{{p}}}{{{q + 1}}}",
        rf"{'' if sign else '-'}\frac{{{p}}}{{{q}}}",
    ]
    missed += [
        f"{float(value):.4f}1",
        f"{float(value):.6f}2",
        f"{sign}{p}{q}",
        rf"{sign}\frac{{{p}}}{{{q}}}x",
        rf"{sign}\sqrt{{\frac{{{p}}}{{{q}}}}}" if p != q else "0",
    ]
    (same if exact else missed).append(decimals)
    return rf"{sign}\frac{{{p}}}{{{q}}}", same, missed


def decimal(draw: random.Random) -> Made:
    n, places = draw.randint(101, 99999) * 10 + draw.randint(1, 9), draw.randint(1, 3)
    value = Fraction(n, 10**places)
    text = f"{n // 10**places}.{n % 10**places:0{places}d}"
    same = [
        text,
        text + "0",
        rf"\frac{{{value.numerator}}}{{{value.denominator}}}",
        rf"{n} \times 10^{{-{places}}}",
        f"{n}e-{places}",
        rf"\${text}",
        f"+{text}",
    ]
    missed = [
        f"{n}",
        "-" + text,
        text + "1",
        f"{n + 1}e-{places}",
        f"{n}e{places}",
        text.replace(".", ","),
        text.replace(".", ""),
        rf"{n}\times 10^{{{places}}}",
    ]
    return text, same, missed


def percent(draw: random.Random) -> Made:
    n = draw.randint(2, 99)
    same = [rf"{n}\%", f"{n}%", f"{n}", f"0.{n:02d}", rf"\frac{{{n}}}{{100}}", rf"{n}\text{{ percent}}", f"{n} percent", rf"{n}.0\%"]
    return rf"{n}\%", same, [rf"{n + 1}\%", f"{n * 10}", f"0.0{n:02d}", rf"0.{n:02d}\%", rf"-{n}\%", rf"{n}.5\%", rf"\frac{{{n}}}{{10}}\%", f"{n} cm"]


_UNITS = {
    "cm": "centimeters",
    "m": "meters",
    "kg": "kilograms",
    "hours": "hr",
    "minutes": "min",
    "miles": "mi",
    "dollars": "dollar",
    "degrees": "degree",
}


def unit(draw: random.Random) -> Made:
    n, (unit, other) = draw.randint(2, 400), draw.choice(list(_UNITS.items()))
    wrong = draw.choice([u for u in _UNITS if u != unit])
    same = [
        f"{n}",
        rf"{n} \text{{ {unit}}}",
        rf"{n}\text{{ {other}}}",
        rf"{n}\mathrm{{~{unit}}}",
        rf"{n}.0\text{{ {unit}}}",
        rf"x = {n}\text{{ {unit}}}",
    ]
    missed = [
        rf"{n}\text{{ {wrong}}}",
        rf"{n + 1}\text{{ {unit}}}",
        rf"{n}\text{{ {unit}}}^2",
        rf"-{n}\text{{ {unit}}}",
        rf"{n}\%",
        rf"{n}\text{{ hundred {unit}}}",
    ]
    return rf"{n}\text{{ {unit}}}", same, missed


def root(draw: random.Random) -> Made:
    a, b = draw.randint(2, 12), draw.choice([2, 3, 5, 6, 7, 10, 11])
    same = [
        rf"\sqrt{{{a * a * b}}}",
        rf"{a} \sqrt {b}" if b < 10 else rf"{a}\sqrt{{{b}}}",
        rf"{a}\cdot\sqrt{{{b}}}",
        rf"\frac{{{a * b}}}{{\sqrt{{{b}}}}}",
        rf"\sqrt{{{b}}}\cdot {a}",
    ]
    same += [
        rf"{a}\cdot {b}^{{1/2}}",
        rf"{a}({b})^{{\frac{{1}}{{2}}}}",
        rf"{a + 1}\sqrt{{{b}}}-\sqrt{{{b}}}",
        rf"{a}\sqrt{{{b}}}\text{{ cm}}",
        rf"x = {a}\sqrt{{{b}}}",
    ]
    missed = [
        rf"{a + 1}\sqrt{{{b}}}",
        rf"{a}\sqrt{{{b + 1}}}",
        rf"\sqrt{{{a * b}}}",
        f"{a * b**0.5:.6f}",
        f"{a * b**0.5:.12f}",
        rf"-{a}\sqrt{{{b}}}",
        rf"{a}+\sqrt{{{b}}}",
        f"{a * b}",
    ]
    return rf"{a}\sqrt{{{b}}}", same, [*missed, rf"{a}\sqrt[3]{{{b}}}", rf"\pm {a}\sqrt{{{b}}}"]


def pi(draw: random.Random) -> Made:
    n, d = draw.randint(1, 30) * 2 + 1, draw.choice([2, 4, 8])
    same = [
        rf"{n}\pi/{d}",
        rf"\frac{{{n}}}{{{d}}}\pi",
        rf"\frac{{{2 * n}\pi}}{{{2 * d}}}",
        rf"{n / d}\pi",
        rf"\pi\cdot\frac{{{n}}}{{{d}}}",
        f"{n}π/{d}",
        rf"{n - 1}\pi/{d} + \pi/{d}",
    ]
    missed = [
        f"{n / d * 3.141592653589793:.6f}",
        f"{n / d * 3.141592653589793:.12f}",
        rf"\frac{{{n + 1}\pi}}{{{d}}}",
        rf"\frac{{{n}}}{{{d}}}",
        rf"\frac{{{n}}}{{{d}\pi}}",
    ]
    return rf"\frac{{{n}\pi}}{{{d}}}", same, [*missed, rf"-\frac{{{n}\pi}}{{{d}}}", rf"\frac{{{n}\pi^2}}{{{d}}}", rf"\frac{{{n * 22}}}{{{d * 7}}}"]


def power(draw: random.Random) -> Made:
    base, n = draw.choice([2, 3, 5, 7]), draw.randint(3, 12)
    same = [
        f"{base**n}",
        f"{base**n:,}",
        rf"{base}^{{{n}}}",
        rf"{base}\cdot {base}^{{{n - 1}}}",
        rf"\frac{{{base}^{{{n + 1}}}}}{{{base}}}",
        rf"\left(\frac{{1}}{{{base}}}\right)^{{-{n}}}",
    ]
    missed = [
        rf"{base}^{{{n + 1}}}",
        rf"{base + 1}^{{{n}}}",
        f"{base**n + 1}",
        f"{base * n}",
        rf"{n}^{{{base}}}" if n**base != base**n else "1",
        rf"{base}^{{-{n}}}",
        f"{base}{n}",
    ]
    return rf"{base}^{{{n}}}", same, missed


def logarithm(draw: random.Random) -> Made:
    a, n = draw.choice([2, 3, 5, 7]), draw.randint(2, 5)
    same = [rf"{n}\ln({a})", rf"\ln {a**n}", rf"\ln({a**n})", rf"\frac{{{2 * n}\ln {a}}}{{2}}", rf"{n} \ln {a}", rf"-\ln\frac{{1}}{{{a**n}}}"]
    return (
        rf"{n}\ln {a}",
        same,
        [
            rf"{n}\log {a}",
            rf"\ln {a * n}" if a * n != a**n else r"\ln 99",
            rf"{n + 1}\ln {a}",
            rf"(\ln {a})^{{{n}}}",
            f"{a**n}",
            rf"-{n}\ln {a}",
            rf"{n}\ln {a + 1}",
        ],
    )


def complex_number(draw: random.Random) -> Made:
    a, b = draw.randint(1, 15), draw.randint(2, 12)
    same = [f"{b}i+{a}", rf"{a}+{b} i", rf"\frac{{{2 * a}+{2 * b}i}}{{2}}", rf"{a} + i\cdot {b}", rf"{a}-(-{b}i)", rf"z = {a}+{b}i"]
    return f"{a}+{b}i", same, [f"{a}-{b}i", f"{b}+{a}i" if a != b else f"-{a}+{b}i", f"{a}+{b}", f"-{a}-{b}i", f"{a}+{b + 1}i", f"{a}+{b}j", f"{a}"]


def money(draw: random.Random) -> Made:
    whole, cents = draw.randint(1000, 99_999), draw.randint(11, 99)
    text, plain = f"{whole:,}.{cents}", f"{whole}.{cents}"
    same = [plain, text, rf"\${text}", f"${plain}", rf"{plain}\text{{ dollars}}", f"{text} dollars", f"x = {plain}", rf"\${plain}\text{{ dollars}}"]
    missed = [
        rf"\${whole}",
        rf"{text}\text{{ cents}}",
        rf"\${whole + 1:,}.{cents}",
        f"€{plain}",
        rf"-\${plain}",
        rf"\${whole},{cents}",
        rf"{plain}\%",
    ]
    return rf"\${text}", same, [*missed, rf"\${plain}\text{{ million}}", rf"\${whole // 1000}.{cents}", f"{whole}{cents}"]


def mixed(draw: random.Random) -> Made:
    whole, q = draw.randint(2, 20), draw.choice([3, 4, 5, 7, 8, 11])
    p = draw.choice([n for n in range(1, q) if Fraction(n, q).denominator == q])
    same = [
        rf"\frac{{{whole * q + p}}}{{{q}}}",
        f"{whole} {p}/{q}",
        rf"{whole} + \frac{{{p}}}{{{q}}}",
        rf"{whole}\dfrac{{{p}}}{{{q}}}",
        f"{whole * q + p}/{q}",
    ]
    same += [rf"{whole}\tfrac{{{p}}}{{{q}}}\text{{ cups}}", rf"x = {whole}\frac{{{p}}}{{{q}}}", rf"\frac{{{2 * (whole * q + p)}}}{{{2 * q}}}"]
    missed = [
        rf"\frac{{{whole * p}}}{{{q}}}",
        rf"{whole}\cdot\frac{{{p}}}{{{q}}}",
        rf"-{whole}\frac{{{p}}}{{{q}}}",
        rf"{whole}\frac{{{q}}}{{{p}}}",
        f"{whole}{p}/{q}",
    ]
    return (
        rf"{whole}\frac{{{p}}}{{{q}}}",
        same,
        [*missed, f"{whole}", rf"{whole + 1}\frac{{{p}}}{{{q}}}", rf"{whole}, \frac{{{p}}}{{{q}}}", f"{whole + p / q:.5f}1"],
    )


def ratio(draw: random.Random) -> Made:
    a, b = draw.choice([(3, 4), (2, 7), (5, 3), (9, 2), (7, 8), (4, 9)])
    same = [f"{a} : {b}", f"{a}:{b}", rf"\frac{{{a}}}{{{b}}}", rf"{a}{{:}}{b}", rf"\text{{{a}:{b}}}"]
    return f"{a}:{b}", same, [f"{b}:{a}", f"{a + 1}:{b}", f"{a}", f"{a}.{b}", f"({a}, {b})", f"{a}, {b}", f"{a}:{b}:1", f"{a}-{b}", f"{a}:0{b}"]


def in_base(draw: random.Random) -> Made:
    digits, base = draw.choice(["1011", "1101", "110", "2102", "1202"]), draw.choice([3, 5, 7])
    words = {3: "three", 5: "five", 7: "seven"}
    same = [f"{digits}_{base}", rf"{digits}_{{{base}}}", rf"{digits}_{{\text{{{words[base]}}}}}", f"{digits} _ {base}"]
    missed = [
        digits,
        f"{digits}_{base + 1}",
        f"{digits[::-1]}_{base}" if digits != digits[::-1] else f"1_{base}",
        f"{digits}{base}",
        rf"{digits}\cdot {base}",
        f"{digits}^{base}",
    ]
    return f"{digits}_{base}", same, [*missed, f"-{digits}_{base}", f"{digits}0_{base}", f"{int(digits, base)}"]


def repeating(draw: random.Random) -> Made:
    period = draw.choice([n for n in range(1, 99) if n % 11])
    value, text = Fraction(period, 99), f"{period:02d}"
    same = [rf"0.\overline{{{text}}}", rf"\frac{{{period}}}{{99}}", f"{value.numerator}/{value.denominator}", rf"0.{text}\overline{{{text}}}"]
    missed = [
        f"0.{text}",
        f"0.{text * 4}",
        f"0.{text * 12}",
        rf"0.\overline{{{text}1}}",
        rf"\frac{{{period}}}{{100}}",
        rf"0.0\overline{{{text}}}",
        rf"1.\overline{{{text}}}",
    ]
    return rf"0.\overline{{{text}}}", same, [*missed, rf"-0.\overline{{{text}}}"]
