"""Drawn expressions, equations, sets, intervals and words, with other notations and near misses."""

import random

from vold.adapters.judges.trial_values import Made


def _signed(n: int) -> str:
    return f"+{n}" if n > 0 else f"-{-n}" if n < 0 else ""


def quadratic(draw: random.Random) -> Made:
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


def line(draw: random.Random) -> Made:
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


def half_line(draw: random.Random) -> Made:
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


def interval(draw: random.Random) -> Made:
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


def finite_set(draw: random.Random) -> Made:
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


def pair(draw: random.Random) -> Made:
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


def roots_of(draw: random.Random) -> Made:
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


def matrix(draw: random.Random) -> Made:
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


def word(draw: random.Random) -> Made:
    right, wrong = draw.choice(list(_WORDS.items()))
    same = [right, rf"\text{{{right}}}", right.upper(), right.capitalize(), rf"\textbf{{{right}}}", rf"\text{{ {right} }}", rf"\mathrm{{{right}}}"]
    return (
        rf"\text{{{right}}}",
        same,
        [wrong, rf"\text{{{wrong}}}", f"not {right}", right[:-1], f"{right} {wrong}", "5", right[0], f"un{right}", f"{right} or {wrong}"],
    )


def letter(draw: random.Random) -> Made:
    letter, other = draw.sample("ABCDEFGH", 2)
    same = [letter, f"({letter})", rf"\text{{{letter}}}", rf"\text{{({letter})}}", rf"\textbf{{({letter})}}"]
    return letter, same, [other, f"({other})", rf"\text{{{other}}}", letter.lower(), f"{letter}, {other}", f"{letter}{other}", f"{letter} or {other}"]


def union(draw: random.Random) -> Made:
    a = draw.randint(-20, 10)
    b = a + draw.randint(1, 9)
    same = [
        rf"({b},\infty)\cup(-\infty,{a}]",
        rf"\left(-\infty, {a}\right] \cup \left({b}, +\infty\right)",
        rf"x \in (-\infty,{a}] \cup ({b},\infty)",
        rf"x \le {a} \text{{ or }} x > {b}",
    ]
    missed = [
        rf"(-\infty,{a})\cup({b},\infty)",
        rf"(-\infty,{a}]\cup[{b},\infty)",
        rf"(-\infty,{b}]\cup({a},\infty)",
        rf"(-\infty,{a}]",
        rf"({a},{b}]",
        rf"(-\infty,{a}]\cap({b},\infty)",
    ]
    return (
        rf"(-\infty,{a}]\cup({b},\infty)",
        same,
        [*missed, rf"(-\infty,{a + 1}]\cup({b + 1},\infty)", rf"x \le {a} \text{{ and }} x > {b}", r"(-\infty,\infty)"],
    )


def system(draw: random.Random) -> Made:
    a, b = draw.sample(range(-9, 20), 2)
    same = [
        f"y={b}, x={a}",
        f"x = {a}, y = {b}",
        rf"x={a} \text{{ and }} y={b}",
        f"(x,y)=({a},{b})",
        f"x={a}.0; y={b}",
        rf"x=\frac{{{2 * a}}}{{2}}, y={b}",
    ]
    missed = [
        f"x={b}, y={a}",
        f"x={a}",
        f"y={b}",
        f"x={a}, y={b + 1}",
        f"x={a}, z={b}",
        f"(x,y)=({b},{a})",
        f"x={a}, y={b}, z=0",
        f"{a}",
        f"x={a}, x={b}",
    ]
    return f"x={a}, y={b}", same, missed


def two_variables(draw: random.Random) -> Made:
    a, b = draw.randint(2, 9), draw.randint(2, 9)
    square, cross, last = a * a, 2 * a * b, b * b
    first = "" if square == 1 else square
    same = [
        f"({a}x+{b}y)^2",
        f"({b}y+{a}x)^{{2}}",
        f"({a}x+{b}y)({a}x+{b}y)",
        rf"{last}y^2+{first}x^2+{cross}xy",
        f"{first}x^2+{last}y^2+{cross}yx",
        f"(-{a}x-{b}y)^2",
    ]
    missed = [
        f"({a}x-{b}y)^2",
        f"({b}x+{a}y)^2" if a != b else "x",
        f"{first}x^2+{last}y^2",
        f"{first}x^2+{cross + 1}xy+{last}y^2",
        f"({a}x+{b}z)^2",
        f"({a}x+{b}y)^3",
        f"({a}x+{b})^2",
    ]
    return f"{first}x^2+{cross}xy+{last}y^2", same, missed


def trigonometric(draw: random.Random) -> Made:
    n, m = draw.randint(2, 9), draw.randint(2, 7)
    same = [
        rf"{n}\sin({m}x)",
        rf"{2 * n}\sin\left(\frac{{{m}x}}{{2}}\right)\cos\left(\frac{{{m}x}}{{2}}\right)",
        rf"\sin({m}x)\cdot {n}",
        rf"-{n}\sin(-{m}x)",
    ]
    same += [rf"{n}\cos\left({m}x-\frac{{\pi}}{{2}}\right)", rf"f(x) = {n}\sin {m}x"]
    missed = [
        rf"{n}\cos({m}x)",
        rf"{n}\sin({m + 1}x)",
        rf"{m * n}\sin(x)",
        rf"-{n}\sin({m}x)",
        rf"\sin^{{{n}}}({m}x)",
        rf"{n}\sin({m}y)",
        rf"{n}\sin({m})",
        rf"{n}\sinh({m}x)",
    ]
    return rf"{n}\sin({m}x)", same, missed


def exponential(draw: random.Random) -> Made:
    n, m = draw.randint(2, 9), draw.randint(2, 5)
    same = [
        rf"e^{{{m}x}} \cdot {n}",
        rf"{n}\left(e^x\right)^{{{m}}}",
        rf"\frac{{{n}}}{{e^{{-{m}x}}}}",
        rf"{n}\exp({m}x)",
        rf"y = {n}e^{{{m}x}}",
        rf"{n}e^{{x}}e^{{{m - 1}x}}",
    ]
    missed = [
        rf"{n}e^{{-{m}x}}",
        rf"{n}e^{{{m}}}x",
        rf"{n + 1}e^{{{m}x}}",
        rf"{n}e^{{{m}y}}",
        rf"{n}e^{{{m + 1}x}}",
        rf"{n}x^{{{m}}}",
        rf"({n}e)^{{{m}x}}",
        rf"{n}e^{m}",
        rf"{n}+e^{{{m}x}}",
    ]
    return rf"{n}e^{{{m}x}}", same, missed
