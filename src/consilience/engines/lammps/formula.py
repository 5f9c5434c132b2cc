"""Formulas of one variable that are written once and become C++, an expression of LAMMPS (Lepton), or NumPy.

r, strength, sigma = Name("r"), Name("strength"), Name("sigma")
repulsion = Form("repulsion", "r", ("strength", "sigma"), strength * (sigma / r) ** 12)
repulsion.lepton((0.5, 4.0))           # "((0.5) * (((4.0) / r) ^ 12))"
repulsion.value(5.0, (0.5, 4.0))       # NumPy
repulsion.cpp()                        # a C++ template, which dual numbers also differentiate
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

FUNCTIONS = {"exp": np.exp, "cos": np.cos, "sin": np.sin, "sqrt": np.sqrt}


class Formula:
    """A formula: numbers and names joined by + - * /, powers of whole numbers, `call` and `where_positive`."""

    def __add__(self, other: Any) -> Formula:
        return Binary("+", self, formula(other))

    def __radd__(self, other: Any) -> Formula:
        return Binary("+", formula(other), self)

    def __sub__(self, other: Any) -> Formula:
        return Binary("-", self, formula(other))

    def __rsub__(self, other: Any) -> Formula:
        return Binary("-", formula(other), self)

    def __mul__(self, other: Any) -> Formula:
        return Binary("*", self, formula(other))

    def __rmul__(self, other: Any) -> Formula:
        return Binary("*", formula(other), self)

    def __truediv__(self, other: Any) -> Formula:
        return Binary("/", self, formula(other))

    def __rtruediv__(self, other: Any) -> Formula:
        return Binary("/", formula(other), self)

    def __pow__(self, exponent: int) -> Formula:
        return Power(self, exponent)

    def __neg__(self) -> Formula:
        return Binary("-", Number(0.0), self)

    def lepton(self, names: Mapping[str, str]) -> str:
        """The formula with its names replaced, as Lepton reads it."""
        raise NotImplementedError

    def cpp(self, names: Mapping[str, str]) -> str:
        """The formula with its names replaced, as C++ over numbers or dual numbers."""
        raise NotImplementedError

    def value(self, names: Mapping[str, Any]) -> Any:
        """The formula with numbers or arrays for its names."""
        raise NotImplementedError


def formula(x: Any) -> Formula:
    """A formula, or a number as one."""
    return x if isinstance(x, Formula) else Number(float(x))


@dataclass(frozen=True)
class Number(Formula):
    """A constant."""

    number: float

    def lepton(self, names: Mapping[str, str]) -> str:
        return f"({self.number!r})" if self.number < 0 else repr(self.number)

    def cpp(self, names: Mapping[str, str]) -> str:
        return f"({self.number!r})"

    def value(self, names: Mapping[str, Any]) -> Any:
        return self.number


@dataclass(frozen=True)
class Name(Formula):
    """The variable or a parameter."""

    name: str

    def lepton(self, names: Mapping[str, str]) -> str:
        return names[self.name]

    def cpp(self, names: Mapping[str, str]) -> str:
        return names[self.name]

    def value(self, names: Mapping[str, Any]) -> Any:
        return names[self.name]


@dataclass(frozen=True)
class Binary(Formula):
    """Two formulas joined by + - * or /."""

    sign: str
    left: Formula
    right: Formula

    def lepton(self, names: Mapping[str, str]) -> str:
        return f"({self.left.lepton(names)}{self.sign}{self.right.lepton(names)})"

    def cpp(self, names: Mapping[str, str]) -> str:
        return f"({self.left.cpp(names)} {self.sign} {self.right.cpp(names)})"

    def value(self, names: Mapping[str, Any]) -> Any:
        a, b = self.left.value(names), self.right.value(names)
        return {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}[self.sign](a, b)


@dataclass(frozen=True)
class Power(Formula):
    """A whole power, 1 or more."""

    base: Formula
    exponent: int

    def __post_init__(self) -> None:
        if self.exponent < 1:
            raise ValueError(f"exponent {self.exponent}, expected 1 or more")

    def lepton(self, names: Mapping[str, str]) -> str:
        return f"({self.base.lepton(names)}^{self.exponent})"

    def cpp(self, names: Mapping[str, str]) -> str:
        return f"power<{self.exponent}>({self.base.cpp(names)})"

    def value(self, names: Mapping[str, Any]) -> Any:
        return self.base.value(names) ** self.exponent


@dataclass(frozen=True)
class Call(Formula):
    """A function of `FUNCTIONS`."""

    function: str
    inside: Formula

    def lepton(self, names: Mapping[str, str]) -> str:
        return f"{self.function}({self.inside.lepton(names)})"

    def cpp(self, names: Mapping[str, str]) -> str:
        return f"{self.function}({self.inside.cpp(names)})"

    def value(self, names: Mapping[str, Any]) -> Any:
        return FUNCTIONS[self.function](self.inside.value(names))


@dataclass(frozen=True)
class Where(Formula):
    """A formula where another one is positive, else zero."""

    condition: Formula
    inside: Formula

    def lepton(self, names: Mapping[str, str]) -> str:
        return f"select(step({self.condition.lepton(names)}),{self.inside.lepton(names)},0)"

    def cpp(self, names: Mapping[str, str]) -> str:
        condition, inside = self.condition.cpp(names), self.inside.cpp(names)
        return f"(plain({condition}) > 0.0 ? T({inside}) : T(0.0))"

    def value(self, names: Mapping[str, Any]) -> Any:
        return np.where(self.condition.value(names) > 0, self.inside.value(names), 0.0)


@dataclass(frozen=True)
class Form:
    """A formula with a name, its variable ("r", Å, or "c", the cosine of an angle), and the names of its parameters."""

    name: str
    variable: str
    parameters: tuple[str, ...]
    formula: Formula

    def lepton(self, values: Sequence[float], variable: str | None = None) -> str:
        """The expression for certain parameters; `variable`: what stands for the variable."""
        numbers = {n: f"({float(v)!r})" for n, v in zip(self.parameters, values, strict=True)}
        return self.formula.lepton({self.variable: variable or self.variable, **numbers})

    def value(self, x: Any, values: Sequence[Any]) -> Any:
        """The energy at x; values: one for each parameter."""
        return self.formula.value({self.variable: x, **dict(zip(self.parameters, values, strict=True))})

    def cpp(self) -> str:
        """A function template of the form's name: T x, and an array of parameters."""
        names = {n: f"p[{i}]" for i, n in enumerate(self.parameters)}
        body = self.formula.cpp({self.variable: "x", **names})
        return f"template <class T> inline T {self.name}(const T &x, const double *p)\n{{\n  return {body};\n}}\n"


def positive(x: Formula) -> Formula:
    """x where it is positive, else zero."""
    return Where(x, x)


def call(function: str, x: Any) -> Formula:
    """exp, cos, sin or sqrt of a formula."""
    if function not in FUNCTIONS:
        raise ValueError(f"no function {function}")
    return Call(function, formula(x))


def multiple(cosine: Formula, k: int) -> Formula:
    """cos(k theta), k >= 1, as a polynomial in cos theta."""
    c = np.polynomial.chebyshev.cheb2poly([0.0] * k + [1.0])[k % 2 :: 2]
    if len(c) == 1:
        return cosine
    square = cosine**2
    out = formula(c[-1])
    for a in c[-2::-1]:
        out = out * square + a
    return cosine * out if k % 2 else out
