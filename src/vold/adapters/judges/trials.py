"""Answers whose truth is known by how they were made: what a judge is tried on.

`trials(count, seed)` draws a gold and writes it again, either in another notation (the same answer) or with one small mistake (another answer).
No judge and no algebra has a say in which is which. What must not hang, crash or be executed is in `hostile.py`.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Trial:
    kind: str
    answer: str
    gold: str
    same: bool


Made = tuple[str, list[str], list[str]]
"""A gold, other ways to write it, and near misses."""


def trials(count: int, seed: int = 0) -> Iterator[Trial]:
    """`count` trials, the same for the same seed; half of them near misses."""
    draw = random.Random(seed)
    kinds = list(KINDS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        gold, rewritten, missed = KINDS[kind](draw)
        same = draw.random() < 0.5
        answer = draw.choice(rewritten if same else missed)
        yield Trial(kind, _dressed(answer, draw), gold, same)


def _dressed(answer: str, draw: random.Random) -> str:
    """What people put around an answer without meaning anything by it."""
    return draw.choice([answer, answer, answer, f"${answer}$", f" {answer} ", f"{answer}.", rf"\({answer}\)", f"{{{answer}}}"])


def _whole(draw: random.Random) -> Made:
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


def _fraction(draw: random.Random) -> Made:
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


def _decimal(draw: random.Random) -> Made:
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


def _percent(draw: random.Random) -> Made:
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


def _unit(draw: random.Random) -> Made:
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


def _root(draw: random.Random) -> Made:
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


def _pi(draw: random.Random) -> Made:
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


def _signed(n: int) -> str:
    return f"+{n}" if n > 0 else f"-{-n}" if n < 0 else ""


def _quadratic(draw: random.Random) -> Made:
    a, b, x = draw.choice([-7, -5, -3, -2, 2, 3, 5]), draw.choice([-9, -6, -4, 4, 6, 8, 9]), draw.choice("xyntk")
    s, p = a + b, a * b
    middle = "" if s == 0 else f"{'+' if s > 0 else '-'}{'' if abs(s) == 1 else abs(s)}{x}"
    gold = f"{x}^2{middle}{_signed(p)}"
    same = [
        f"({x}{_signed(a)})({x}{_signed(b)})",
        f"({x}{_signed(b)})({x}{_signed(a)})",
        f"{x}({x}{_signed(s)}){_signed(p)}",
        f"{p}{middle or '+0'}+{x}^{{2}}",
    ]
    same += [
        rf"\frac{{2{x}^2{_signed(2 * s)}{x}{_signed(2 * p)}}}{{2}}" if s else gold,
        gold.replace("^2", "^{2}"),
        f"f({x}) = {gold}",
        f"{gold}+{x}-{x}",
    ]
    other = "z" if x != "z" else "w"
    missed = [
        f"({x}{_signed(-a)})({x}{_signed(b)})",
        f"{x}^2{middle}{_signed(p + 1)}",
        gold.replace(x, other),
        f"{x}^3{middle}{_signed(p)}",
        f"-({gold})",
    ]
    return gold, same, [*missed, f"2{gold}", f"{gold}=0", f"{x}^2{_signed(s + 1)}{x}{_signed(p)}", gold.replace(x, x.upper())]


def _interval(draw: random.Random) -> Made:
    a = draw.randint(-20, 20)
    b = a + draw.randint(1, 30)
    left, right = draw.choice("(["), draw.choice(")]")
    low, high = (r"<" if left == "(" else r"\leq"), ("<" if right == ")" else r"\le")
    same = [
        f"{left}{a},{b}{right}",
        rf"\left{left} {a}, {b} \right{right}",
        rf"{left}{a}.0,\,\frac{{{2 * b}}}{{2}}{right}",
        rf"x \in {left}{a},{b}{right}",
        f"{a} {low} x {high} {b}",
    ]
    flip = {"(": "[", "[": "(", ")": "]", "]": ")"}
    missed = [
        f"{flip[left]}{a},{b}{right}",
        f"{left}{a},{b}{flip[right]}",
        f"{left}{b},{a}{right}",
        f"{left}{a},{b + 1}{right}",
        f"{left}{a - 1},{b}{right}",
        rf"\{{{a},{b}\}}",
    ]
    return f"{left}{a},{b}{right}", same, [*missed, f"{left}{a},{b}{right} \\cup \\{{{b + 5}\\}}", rf"{left}-\infty,{b}{right}", f"{a}", f"{a},{b}"]


def _half_line(draw: random.Random) -> Made:
    a = draw.randint(-30, 30)
    sign, close, flipped = draw.choice([(">", "(", "<"), (r"\geq", "[", r"\leq")])
    same = [
        f"x {sign} {a}",
        f"{a} {flipped} x",
        rf"{close}{a}, \infty)",
        rf"x \in {close}{a},+\infty)",
        f"-x {flipped} {-a}",
        f"2x {sign} {2 * a}",
        f"x - 1 {sign} {a - 1}",
    ]
    other = r"\geq" if sign == ">" else ">"
    missed = [
        f"x {other} {a}",
        f"x {flipped} {a}",
        f"x {sign} {a + 1}",
        f"y {sign} {a}",
        f"x = {a}",
        f"{a}",
        f"-x {sign} {-a}" if a else f"x {flipped} 0",
    ]
    return f"x {sign} {a}", same, [*missed, rf"{'[' if close == '(' else '('}{a}, \infty)", rf"(-\infty, {a})"]


def _set(draw: random.Random) -> Made:
    items = draw.sample(range(-20, 40), draw.randint(2, 5))
    turned = items[1:] + items[:1]
    joined, again = ",".join(map(str, items)), ", ".join(map(str, turned))
    same = [
        rf"\{{{again}\}}",
        rf"\left\{{ {joined} \right\}}",
        again,
        rf"\{{{joined},{items[0]}\}}",
        ", ".join(rf"\frac{{{2 * i}}}{{2}}" for i in items),
        rf"\lbrace {joined} \rbrace",
    ]
    off = [items[0] + 100, *items[1:]]
    missed = [
        rf"\{{{','.join(map(str, off))}\}}",
        rf"\{{{','.join(map(str, items[1:]))}\}}",
        f"({joined})",
        f"[{joined}]",
        f"{items[0]}",
        rf"\{{{joined},99\}}",
    ]
    return (
        rf"\{{{joined}\}}",
        same,
        [*missed, rf"\{{{','.join(str(-i) for i in items)}\}}" if set(items) != {-i for i in items} else "0", r"\emptyset"],
    )


def _tuple(draw: random.Random) -> Made:
    items = draw.sample(range(-20, 40), draw.choice([2, 3, 3]))
    joined, back = ", ".join(map(str, items)), ",".join(map(str, reversed(items)))
    halves = ",".join(rf"\tfrac{{{2 * i}}}{{2}}" for i in items)
    names = ",".join("xyz"[: len(items)])
    same = [f"({joined})", rf"\left({joined}\right)", f"({halves})", f"({','.join(f'{i}.0' for i in items)})", f"({names}) = ({joined})"]
    missed = [
        f"({back})",
        f"[{joined}]",
        rf"\{{{joined}\}}",
        f"({joined}, 0)",
        f"({','.join(str(i + 1) for i in items)})",
        rf"({joined.replace(', ', '.', 1)})",
        f"{items[0]}",
    ]
    return f"({joined})", same, missed


def _roots_of(draw: random.Random) -> Made:
    a, b = draw.randint(1, 9), draw.choice([2, 3, 5, 7])
    gold = rf"{a}+\sqrt{{{b}}}, {a}-\sqrt{{{b}}}"
    same = [
        rf"{a} \pm \sqrt{{{b}}}",
        rf"{a}-\sqrt{{{b}}},\ {a}+\sqrt{{{b}}}",
        rf"x = {a} \pm \sqrt{{{b}}}",
        rf"x={a}+\sqrt{{{b}}} \text{{ or }} x={a}-\sqrt{{{b}}}",
    ]
    same += [
        rf"\{{{a}-\sqrt{{{b}}}, {a}+\sqrt{{{b}}}\}}",
        rf"\frac{{{2 * a} \pm \sqrt{{{4 * b}}}}}{{2}}",
        rf"{a}-\sqrt{{{b}}} \text{{ and }} {a}+\sqrt{{{b}}}",
    ]
    missed = [
        rf"{a}+\sqrt{{{b}}}",
        rf"{a} \pm \sqrt{{{b + 1}}}",
        rf"-{a} \pm \sqrt{{{b}}}",
        rf"{a + 1} \pm \sqrt{{{b}}}",
        rf"({a}+\sqrt{{{b}}}, {a}-\sqrt{{{b}}})",
        rf"{2 * a}",
    ]
    return gold, same, missed


def _complex(draw: random.Random) -> Made:
    a, b = draw.randint(1, 15), draw.randint(2, 12)
    same = [f"{b}i+{a}", rf"{a}+{b} i", rf"\frac{{{2 * a}+{2 * b}i}}{{2}}", rf"{a} + i\cdot {b}", rf"{a}-(-{b}i)", rf"z = {a}+{b}i"]
    return f"{a}+{b}i", same, [f"{a}-{b}i", f"{b}+{a}i" if a != b else f"-{a}+{b}i", f"{a}+{b}", f"-{a}-{b}i", f"{a}+{b + 1}i", f"{a}+{b}j", f"{a}"]


def _matrix(draw: random.Random) -> Made:
    a, b, c, d = draw.sample(range(1, 30), 4)

    def write(name: str, rows: list[list[object]]) -> str:
        return rf"\begin{{{name}}}" + r"\\".join("&".join(map(str, row)) for row in rows) + rf"\end{{{name}}}"

    rows: list[list[object]] = [[a, b], [c, d]]
    same = [
        write("bmatrix", rows),
        rf"\left({write('matrix', rows)}\right)",
        write("pmatrix", [[rf"\frac{{{2 * a}}}{{2}}", f" {b} "], [c, f"{d}.0"]]),
    ]
    missed = [
        write("pmatrix", [[a, c], [b, d]]),
        write("pmatrix", [[a, b], [c, d + 1]]),
        write("pmatrix", [[a, b, c, d]]),
        write("pmatrix", [[-d, b], [c, -a]]),
        f"({a},{b},{c},{d})",
    ]
    return write("pmatrix", rows), same, missed


def _line(draw: random.Random) -> Made:
    m, c = draw.choice([-5, -3, -2, 2, 3, 4, 7]), draw.choice([-9, -4, 1, 2, 6, 8])
    same = [
        f"y={m}x{_signed(c)}",
        f"{m}x{_signed(c)} = y",
        f"{m}x - y {_signed(c)} = 0",
        f"y{_signed(-c)}={m}x",
        f"2y = {2 * m}x {_signed(2 * c)}",
        f"{m}x{_signed(c)}",
    ]
    missed = [
        f"y={-m}x{_signed(c)}",
        f"y={m}x{_signed(-c)}",
        f"x={m}y{_signed(c)}",
        f"y={m}x",
        f"{m}x + y {_signed(c)} = 0",
        f"y={m}x^2{_signed(c)}",
        f"y > {m}x{_signed(c)}",
    ]
    return f"y = {m}x {_signed(c)}", same, missed


_WORDS = {
    "Tuesday": "Thursday",
    "even": "odd",
    "yes": "no",
    "parallel": "perpendicular",
    "Alice": "Alicia",
    "isosceles": "scalene",
    "hexagon": "pentagon",
    "true": "false",
}


def _word(draw: random.Random) -> Made:
    right, wrong = draw.choice(list(_WORDS.items()))
    same = [right, rf"\text{{{right}}}", right.upper(), right.capitalize(), rf"\textbf{{{right}}}", rf"\text{{ {right} }}", rf"\mathrm{{{right}}}"]
    return (
        rf"\text{{{right}}}",
        same,
        [wrong, rf"\text{{{wrong}}}", f"not {right}", right[:-1], f"{right} {wrong}", "5", right[0], f"un{right}", f"{right} or {wrong}"],
    )


def _power(draw: random.Random) -> Made:
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


def _logarithm(draw: random.Random) -> Made:
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


def _letter(draw: random.Random) -> Made:
    letter, other = draw.sample("ABCDEFGH", 2)
    same = [letter, f"({letter})", rf"\text{{{letter}}}", rf"\text{{({letter})}}", rf"\textbf{{({letter})}}"]
    return letter, same, [other, f"({other})", rf"\text{{{other}}}", letter.lower(), f"{letter}, {other}", f"{letter}{other}", f"{letter} or {other}"]


KINDS: dict[str, Callable[[random.Random], Made]] = {
    "whole": _whole,
    "fraction": _fraction,
    "decimal": _decimal,
    "percent": _percent,
    "unit": _unit,
    "root": _root,
    "pi": _pi,
    "polynomial": _quadratic,
    "interval": _interval,
    "inequality": _half_line,
    "set": _set,
    "tuple": _tuple,
    "roots": _roots_of,
    "complex": _complex,
    "matrix": _matrix,
    "line": _line,
    "word": _word,
    "power": _power,
    "logarithm": _logarithm,
    "letter": _letter,
}
