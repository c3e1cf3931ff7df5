#!/usr/bin/env python3
"""Derives the polynomial coefficients in ir/scalar_*.c.

    python3 -m venv V && V/bin/pip install mpmath && V/bin/python tools/fit_math.py [NAME...]

Each row of FITS is a function on an interval, the weight that turns its error into the relative
error of the final result, a number of coefficients and a format. The fit is minimax in high
precision (Muller, "Elementary Functions", ch. 3). A coefficient is rounded to the format,
lowest degree first, and the rest are fitted again, so that rounding costs no accuracy. It prints
the coefficients as the C tables hold them and log2 of the largest weighted error. The name
two_over_pi prints the words of 2/pi, cubic the exponent of gelu's form by tanh.
"""
import struct
import sys

from mpmath import (asin, atan, atanh, cos, cospi, erf, erfc, exp, expm1, floor, log, log1p, lu_solve,
                    matrix, mp, mpf, pi, sin, sqrt, tanh)

mp.dps = 110


def round_to(fmt, value):
    """The nearest number of the format."""
    if fmt == "f32":
        return mpf(struct.unpack("f", struct.pack("f", float(value)))[0])
    return mpf(float(value))


def spell(fmt, value):
    return "%.9g" % float(value) if fmt == "f32" else "%.17g" % float(value)


def best(f, w, a, b, fixed, n):
    """The n terms above `fixed` that make the largest weighted error small: least squares at
    Chebyshev points, repeated with weights times the error (Lawson's iteration)."""
    k, m = len(fixed), 6 * (len(fixed) + n) + 1
    points = [(a + b) / 2 - (b - a) / 2 * cospi((mpf(i) + mpf(1) / 2) / m) for i in range(m)]
    powers = [[x**(k + j) * w(x) for j in range(n)] for x in points]
    wanted = [w(x) * (f(x) - sum(c * x**i for i, c in enumerate(fixed))) for x in points]
    lawson = [mpf(1)] * m
    least, answer = None, None
    for _ in range(10):
        normal, right = matrix(n, n), matrix(n, 1)
        for row, v, u in zip(powers, wanted, lawson):
            for i in range(n):
                scaled = u * row[i]
                right[i] += scaled * v
                for j in range(i + 1):
                    normal[i, j] += scaled * row[j]
        for i in range(n):
            for j in range(i):
                normal[j, i] = normal[i, j]
        c = list(lu_solve(normal, right))
        errors = [abs(sum(cj * p for cj, p in zip(c, row)) - v) for row, v in zip(powers, wanted)]
        if least is None or max(errors) < least:
            least, answer = max(errors), c
        lawson = [u * (err / max(errors) + mpf("0.01")) for u, err in zip(lawson, errors)]
    return answer


def fit(name, fmt, f, w, a, b, n):
    """Fits and rounds: in f32 one coefficient at a time, in f64 the first three so."""
    a, b = mpf(a), mpf(b)
    fixed = []
    while len(fixed) < n:
        c = best(f, w, a, b, fixed, n - len(fixed))
        take = 1 if fmt == "f32" or len(fixed) < 3 else len(c)
        fixed += [round_to(fmt, v) for v in c[:take]]
    grid = [a + (b - a) * i / 400 for i in range(401)]
    most = max(abs(w(x) * (sum(c * x**i for i, c in enumerate(fixed)) - f(x))) for x in grid)
    print("%s %s: %d coefficients on [%s, %s], error 2^%.1f" %
          (name, fmt, n, mp.nstr(a, 6), mp.nstr(b, 6), float(log(most) / log(2))))
    print("    " + ", ".join(spell(fmt, c) for c in fixed))


def at(f):
    """f with its removable singularity at 0 filled in."""
    return lambda x: f(x if abs(x) > mpf("1e-22") else mpf("1e-22"))


ln2 = log(mpf(2))
third = mpf(1) / 3
E = at(lambda r: (expm1(r) - r) / r**2)
E_weight = lambda r: r**2 / max(exp(r), mpf("1e-3"))
E2 = at(lambda r: expm1(r * ln2) / r)
L = at(lambda f: (log1p(f) - f + f**2 / 2) / f**3)
A = at(lambda z: (2 * atanh(sqrt(abs(z))) / sqrt(abs(z)) - 2) / z)
A2 = at(lambda z: ((2 * atanh(sqrt(abs(z))) / sqrt(abs(z)) - 2) / z - 2 * third) / z)
S = at(lambda z: (sin(sqrt(z)) / sqrt(z) - 1) / z)
C = at(lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2)
T = at(lambda z: (atan(sqrt(z)) / sqrt(z) - 1) / z)
I = at(lambda z: (asin(sqrt(z)) / sqrt(z) - 1) / z)
H = at(lambda z: (tanh(sqrt(z)) / sqrt(z) - 1) / z)
G = at(lambda z: erf(sqrt(z)) / sqrt(z) - 1)
one = lambda x: mpf(1)
times = lambda x: x


def erfc_map(t):
    """(1 + 2x) exp(x^2) erfc(x) at t = (x - 3.8125) / (x + 3.8125) (Shepherd & Laframboise 1981,
    with a constant at which the first coefficient is nearly exact)."""
    if t == 1:
        return 2 / sqrt(pi)
    x = mpf("3.8125") * (1 + t) / (1 - t)
    return (1 + 2 * x) * exp(x * x) * erfc(x)


def mills_map(k, c):
    """(a + k) exp(a^2 / 2) Phi(-a), Phi the normal distribution function, at t = a / (a + k) - c."""
    def f(t):
        a = k / (1 - (t + c)) - k
        return (a + k) * exp(a * a / 2) * erfc(a / sqrt(mpf(2))) / 2
    return f


def relative(f):
    return lambda t: 1 / f(t)


# With these the first coefficient is nearly exact, or the interval is halved.
M32, M64 = mills_map(mpf("3.5"), mpf("0.40625")), mills_map(mpf(5), mpf("0.4375"))

# erf in f32 for x = 1 + u: log2(erfc(x)), weighted by the error it leaves in erf.
Z = lambda u: log(erfc(1 + u)) / ln2

FITS = [
    ("exp", "f32", E, E_weight, "-0.3475", "0.3475", 5),
    ("exp", "f64", E, E_weight, "-0.3475", "0.3475", 10),
    ("exp2", "f32", E2, lambda r: abs(r), "-0.501", "0.501", 6),
    ("exp2", "f64", E2, lambda r: abs(r), "-0.501", "0.501", 11),
    ("tanh", "f32", H, times, "0", "0.305", 5),
    ("tanh", "f64", H, times, "0", "0.305", 10),
    ("log", "f32", L, lambda f: f**2, "-0.293", "0.4145", 8),
    ("log", "f64", A, times, "0", "0.02946", 7),
    ("pow", "f64", A2, lambda z: z**2, "0", "0.02946", 7),
    ("sin", "f32", S, times, "0", "0.6185", 3),
    ("sin", "f64", S, times, "0", "0.64", 6),
    ("cos", "f32", C, lambda z: z**2, "0", "0.6185", 3),
    ("cos", "f64", C, lambda z: z**2, "0", "0.64", 6),
    ("atan", "f64", T, times, "0", "0.1717", 11),
    ("asin", "f64", I, times, "0", "0.25", 13),
    ("erf", "f32", G, one, "0", "1.01", 7),
    ("erf", "f64", G, one, "0", "1.01", 13),
    ("erf_large", "f32", Z, lambda u: erfc(1 + u), "-0.07", "2.95", 7),
    ("erfc", "f64", erfc_map, one, "-1", "0.76", 23),
    ("mills", "f32", M32, relative(M32), "-0.40625", "0.3993", 10),
    ("mills", "f64", M64, relative(M64), "-0.4375", "0.449", 23),
]



def two_over_pi():
    """The table of that name: 2/pi * 2^1210 cut to an integer, in words of 64 bits."""
    mp.prec = 1400
    number = int(floor(2 / pi * mpf(2)**1210))
    words = ["0x%016x" % (number >> (64 * i) & (2**64 - 1)) for i in reversed(range(19))]
    print("two_over_pi\n    " + ", ".join(words))


def cubic():
    """-2 sqrt(2 / pi) log2(e) and 0.044715 times that, each in two parts; the first of all is short."""
    linear = sqrt(8 / pi) / ln2
    for fmt, digits in ("f32", 18), ("f64", 46):
        parts = []
        for value, high in (linear, floor(linear * 2**digits) / 2**digits), (linear * mpf("0.044715"), None):
            high = round_to(fmt, value) if high is None else high
            parts += [high, round_to(fmt, value - high)]
        print("cubic %s\n    %s" % (fmt, ", ".join((-float(part)).hex() for part in parts)))


if __name__ == "__main__":
    for row in FITS:
        if len(sys.argv) == 1 or row[0] in sys.argv[1:]:
            fit(*row)
    if len(sys.argv) == 1 or "two_over_pi" in sys.argv[1:]:
        two_over_pi()
    if len(sys.argv) == 1 or "cubic" in sys.argv[1:]:
        cubic()
