"""What counts as the same answer: honest rewritings, near misses, and properties of both."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vold.adapters.judges.equivalence import EquivalenceJudge
from vold.base.types import Ruling
from vold.core.readings import number_of, read, read_both
from vold.core.sameness import same

REWRITTEN = r"""
0.5 ~ \frac{1}{2}
.5 ~ \tfrac12
\dfrac12 ~ 0.50
\frac{2}{4} ~ \frac{1}{2}
3/4 ~ \frac{3}{4}
-\frac{1}{2} ~ \frac{-1}{2}
\frac{1}{-2} ~ -\frac{1}{2}
7\frac34 ~ 7.75
7 3/4 ~ \frac{31}{4}
-7\frac{3}{4} ~ -7.75
0.\overline{3} ~ \frac{1}{3}
1.1\overline{6} ~ \frac{7}{6}
1,000 ~ 1000
1{,}234{,}567 ~ 1234567
1\,000 ~ 1000
10 000 ~ 10000
−5 ~ -5
$5$ ~ 5
\(5\) ~ 5
\[ 5 \] ~ 5
**5** ~ 5
5. ~ 5
{5} ~ 5
(5) ~ 5
1.2e3 ~ 1200
1.2\times10^3 ~ 1200
1.2 \cdot 10^{3} ~ 1200
10^{-3} ~ 0.001
2^{10} ~ 1024
\sqrt[3]{8} ~ 2
5! ~ 120
\binom{5}{2} ~ 10
50\% ~ 50
50\% ~ 0.5
50% ~ \frac{1}{2}
50\text{ percent} ~ 50\%
100\% ~ 1
12.5\% ~ 12.5
33\frac{1}{3}\% ~ \frac{1}{3}
5\text{ cm} ~ 5
5 cm ~ 5\text{ centimeters}
5\mathrm{~cm} ~ 5 \text{cm}
5 m ~ 5\text{ meters}
12\pi\text{ cm}^2 ~ 12\pi
5\text{ cm}^2 ~ 5\text{ square centimeters}
18 students ~ 18
18\text{ students} ~ 18
30^\circ ~ 30
30^{\circ} ~ 30\text{ degrees}
30° ~ 30^\circ
\$5 ~ 5
\$1,250.50 ~ 1250.5
5\text{ dollars} ~ \$5
x=5 ~ 5
x = 5 ~ 5
x = \frac{10}{2} = 5 ~ 5
\frac{10}{4} = 2.5 ~ 2.5
\text{Area} = 5 ~ 5
f(x)=x+1 ~ x+1
y = 2x+3 ~ 2x-y+3=0
y = 2x+3 ~ 2x+3
x+y=3 ~ y=3-x
\frac{22}{7} \approx 3.14 ~ \frac{22}{7}
x>5 ~ 5<x
x>5 ~ (5,\infty)
x \ge 5 ~ [5, +\infty)
-x<-5 ~ x>5
1<x<2 ~ (1,2)
2>x>1 ~ 1<x<2
1 \leq x \leq 2 ~ [1,2]
x\in[1,2] ~ [1,2]
x \in (1,2) ~ 1<x<2
x\neq 3 ~ (-\infty,3)\cup(3,\infty)
(-\infty,1)\cup(1,\infty) ~ (1,\infty)\cup(-\infty,1)
]0,1[ ~ (0,1)
1,2 ~ 2,1
1 and 2 ~ 1, 2
1\text{ or }2 ~ 2, 1
\{1,2\} ~ \{2,1\}
\{1,2,2\} ~ \{1,2\}
1,2 ~ \{1,2\}
\{5\} ~ 5
\pm 2 ~ 2,-2
1\pm\sqrt{2} ~ 1-\sqrt{2}, 1+\sqrt{2}
x=1, x=2 ~ 1,2
x = 1\text{ or }2 ~ 1,2
x=1,y=2 ~ y=2,x=1
(x,y)=(1,2) ~ (1,2)
(x,y)=(1,2) ~ x=1,y=2
\left(3,\frac{\pi}{2}\right) ~ (3, 0.5\pi)
(1,2),(3,4) ~ (3,4),(1,2)
\emptyset ~ \{\}
\varnothing ~ \emptyset
+\infty ~ \infty
\begin{pmatrix}1\\2\end{pmatrix} ~ \begin{bmatrix}1\\\frac{2}{1}\end{bmatrix}
2\sqrt{3} ~ \sqrt{12}
2\sqrt3 ~ \sqrt{12}
√12 ~ 2√3
\frac{\sqrt{2}}{2} ~ \frac{1}{\sqrt{2}}
\frac{1}{\sqrt{5}-2} ~ \sqrt{5}+2
(x+1)^2 ~ x^2+2x+1
a^2-b^2 ~ (a-b)(a+b)
x(x+1) ~ x^2+x
\frac{x^2-1}{x-1} ~ x+1
\frac{1}{2}x ~ \frac{x}{2}
2x+3 ~ 3+2x
xy ~ yx
2^{n+1} ~ 2\cdot 2^n
\frac{(n+1)!}{n!} ~ n+1
\frac{n(n+1)}{2} ~ \frac{n^2+n}{2}
\sin^2 x+\cos^2 x ~ 1
\sin x\cos x ~ \frac{1}{2}\sin 2x
\sin 30^\circ ~ \frac{1}{2}
\tan 45^\circ ~ 1
\ln 8 ~ 3\ln 2
\log_2 8 ~ 3
e^{i\pi} ~ -1
1-i ~ -i+1
|x-1| ~ \left|1-x\right|
\sqrt{x^2} ~ |x|
2(3) ~ 6
\text{No} ~ no
Tuesday ~ \text{tuesday}
\text{even} ~ even
\textbf{(B)} ~ B
(B) ~ \text{B}
3:4 ~ \frac{3}{4}
6:8 ~ 3:4
1011_2 ~ 1011_{2}
3:05 ~ 3:05
"""

MISSED = r"""
25 ~ 5
-5 ~ 5
7 ~ 8
0.333333 ~ \frac{1}{3}
0.33 ~ \frac{1}{3}
0.3333333333333333 ~ \frac{1}{3}
3.14159 ~ \pi
3.1415927 ~ \pi
3.14159265358979323846264338327950288 ~ \pi
\frac{22}{7} ~ \pi
1.41421356237 ~ \sqrt{2}
1.0000001 ~ 1
10^{-50} ~ 0
e^{-200} ~ 0
1,234 ~ 1.234
1,2 ~ 12
0,5 ~ 0.5
1,5 ~ 1.5
\{1,000\} ~ \{1,0\}
5 6 ~ 56
5 6 ~ 11
2(3) ~ 5
2\frac{1}{2} ~ 1
7\frac{3}{4} ~ \frac{21}{4}
1e3 ~ 100
2e3 ~ 6e
10^3 ~ 100
0.5\% ~ 0.5
1\% ~ 1
50\% ~ 5
50\% ~ 500
\frac{1}{2}\% ~ \frac{1}{2}
5\% ~ 5\text{ cm}
5\text{ cm} ~ 5\text{ m}
50\text{ cm} ~ 0.5\text{ m}
5\text{ cm} ~ 5\text{ cm}^2
5\text{ apples} ~ 5\text{ oranges}
2.5\text{ million} ~ 2.5
5\text{ dozen} ~ 5
5\text{ thousand} ~ 5
5m ~ 5
5x ~ 5
\$5 ~ 5\text{ cents}
\$5 ~ €5
30^\circ ~ 30\text{ radians}
20^\circ C ~ 20^\circ F
(1,2) ~ [1,2]
(1,2] ~ [1,2)
(1,2) ~ (2,1)
\{1,2\} ~ (1,2)
\{1,2\} ~ [1,2]
1,2 ~ (1,2)
1,2 ~ 1
1,2 ~ 1,2,3
2,2 ~ 2
5 or 6 ~ 5
5 or 6 ~ 6
\pm 2 ~ 2
(-\infty,1) ~ (-\infty,1]
(1,2)\cup(3,4) ~ (1,2)\cup(3,5)
(1,2)\cup(3,4) ~ (1,4)
x=5 ~ y=5
x=5 ~ x=-5
2x=10 ~ 10
x+1=5 ~ 5
5=6 ~ 6
x=5=6 ~ 6
x=5, y=6 ~ 5
x=1,y=2 ~ x=2,y=1
(x,y)=(1,2) ~ (y,x)=(1,2)
x \approx 5.1 ~ 5
\pi \approx 3.14 ~ 3.14
x>5 ~ x<5
x>5 ~ x\geq 5
x>5 ~ 5
x>5 ~ y>5
x>5 ~ [5,\infty)
-x>5 ~ x>-5
x<1\text{ or }x>3 ~ x<1\text{ and }x>3
y>2x ~ y=2x
y=2x+3 ~ y=-2x+3
x^2+1=0 ~ x^2+2=0
x^2=4 ~ x=2
\emptyset ~ 0
\emptyset ~ \{0\}
\infty ~ -\infty
\begin{pmatrix}1\\2\end{pmatrix} ~ \begin{pmatrix}1&2\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix} ~ \begin{pmatrix}1&3\\2&4\end{pmatrix}
2\sqrt{3} ~ 3\sqrt{2}
\sqrt{2}+\sqrt{3} ~ \sqrt{5}
x+1 ~ x-1
x^2 ~ 2x
2x ~ 2y
X ~ x
a+b ~ a-b
a-b ~ b-a
\sqrt{x^2} ~ x
|x-1000| ~ 1000-x
\ln x ~ \ln|x|
\ln x ~ \log x
\sin x ~ \cos x
1/2x ~ \frac{1}{2}x
1/2x ~ \frac{1}{2x}
2^3^2 ~ 64
i ~ -i
1+i ~ 1-i
f'(x) ~ f(x)
f(2) ~ 2f
n! ~ n
xy! ~ xy
n! ~ 2n
1\frac{11}{6} ~ \frac{11}{6}
2\frac{5}{2} ~ 5
x_1 ~ x_2
x^2+C ~ x^2+D
1011_2 ~ 1011
1011_2 ~ 11
1011_2 ~ 1011_3
3:00 ~ 3
3:05 ~ 3.05
3:05 ~ \frac{3}{5}
3:4 ~ 4:3
Tuesday ~ Thursday
no ~ on
\text{not even} ~ even
AB ~ ab
AB ~ AC
b ~ B
\text{(A)} ~ B
5 because it is odd ~ 5
5\text{ is wrong} ~ 5
\frac{1 ~ \frac{1}{2}
\frac{1}{2 ~ \frac{1}{2}
99.99\% ~ 100\%
"""


def pairs(table: str) -> list[tuple[str, str]]:
    return [(left, right) for left, _, right in (line.partition(" ~ ") for line in table.strip().splitlines())]


@pytest.fixture(scope="module")
def rulings(judge: EquivalenceJudge) -> dict[tuple[str, str], Ruling]:
    """All pairs of both tables both ways round, judged in one batch."""
    every = [pair for table in (REWRITTEN, MISSED) for a, b in pairs(table) for pair in ((a, b), (b, a))]
    return {pair: verdict.ruling for pair, verdict in zip(every, judge.compare(every), strict=True)}


@pytest.mark.parametrize("pair", pairs(REWRITTEN), ids=" ~ ".join)
def test_honest_rewritings(pair: tuple[str, str], rulings: dict[tuple[str, str], Ruling]) -> None:
    assert rulings[pair] is Ruling.RIGHT
    assert rulings[pair[::-1]] is Ruling.RIGHT


@pytest.mark.parametrize("pair", pairs(MISSED), ids=" ~ ".join)
def test_near_misses(pair: tuple[str, str], rulings: dict[tuple[str, str], Ruling]) -> None:
    assert rulings[pair] is not Ruling.RIGHT
    assert rulings[pair[::-1]] is not Ruling.RIGHT


def test_only_what_cannot_be_read_is_unjudged(rulings: dict[tuple[str, str], Ruling]) -> None:
    unjudged = {gold for (_, gold), ruling in rulings.items() if ruling is Ruling.UNJUDGED}
    assert (
        unjudged == {r"\frac{1", r"\frac{1}{2", "2^3^2", "5 6", "1/2x", "5 because it is odd", r"5\text{ is wrong}", r"2.5\text{ million}"} & unjudged
    )
    assert {r"\frac{1", r"\frac{1}{2"} <= unjudged


NUMBERS = st.fractions(min_value=-1000, max_value=1000, max_denominator=500)


@given(NUMBERS)
def test_numbers_are_read_exactly(number: Fraction) -> None:
    sign, p, q = "-" if number < 0 else "", abs(number.numerator), number.denominator
    for text in (rf"{sign}\frac{{{p}}}{{{q}}}", f"{sign}{p}/{q}", rf"\frac{{{sign}{3 * p}}}{{{3 * q}}}", rf"{sign}\dfrac{{{p}}}{{{q}}}"):
        assert same(read(text), read(f"{number.numerator}/{q}")) is True
        assert same(read(text), read(f"{number.numerator + 1}/{q}")) is False
        assert number == 0 or same(read(text), read(f"{-number.numerator}/{q}")) is False


@given(st.text(max_size=40))
def test_reading_never_raises_and_is_reflexive(text: str) -> None:
    reading = read(text)
    assert same(reading, reading) in (True, None)


@given(st.text(alphabet=r"0123456789.,/\{}()[]+-^_ xyfrac$%=<>|!", max_size=24), st.text(alphabet="0123456789.,/-% ", max_size=8))
def test_the_fast_path_is_symmetric(left: str, right: str) -> None:
    assert same(read(left), read(right)) == same(read(right), read(left))


PIECES = [
    "1",
    "2",
    "120",
    "150",
    "1,234",
    ",",
    ", ",
    "a=",
    "b=",
    "x",
    "=x",
    r"\text{ m}",
    r"\mathrm{i}",
    r"\text{ and }",
    r"\{",
    r"\}",
    "HT",
    "TH",
    " ",
    "(B) ",
    "...",
]
ANSWERS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)


@settings(max_examples=300)
@given(ANSWERS, ANSWERS)
def test_lists_names_and_letters_are_judged_the_same_both_ways(left: str, right: str) -> None:
    assert same(*read_both(left, right)) == same(*read_both(right, left))


@given(st.integers(min_value=-(10**12), max_value=10**12), st.integers(min_value=0, max_value=6))
def test_notations_of_one_number(n: int, places: int) -> None:
    value = Fraction(n, 10**places)
    assert number_of(f"{n}e-{places}") == number_of(rf"{n} \times 10^{{-{places}}}") == value
    assert number_of(f"{n:,}") == n


COEFFICIENTS = st.lists(st.integers(-9, 9).filter(bool), min_size=3, max_size=3)


@settings(max_examples=15)
@given(st.lists(COEFFICIENTS, min_size=3, max_size=3))
def test_factored_and_expanded(judge: EquivalenceJudge, drawn: list[list[int]]) -> None:
    """Drawn polynomials: expanding changes nothing, one coefficient off changes everything."""
    asked = []
    for a, b, c in drawn:
        factored = f"{a}(x+{b})(x-{c})".replace("+-", "-").replace("--", "+")
        asked += [(factored, _polynomial(a, a * (b - c), -a * b * c)), (factored, _polynomial(a, a * (b - c) + 1, -a * b * c))]
    rulings = [verdict.ruling for verdict in judge.compare(asked)]
    assert rulings == [Ruling.RIGHT, Ruling.WRONG] * len(drawn)


def _polynomial(a: int, b: int, c: int) -> str:
    return f"{a}x^2+{b}x+{c}".replace("+-", "-")
