"""Forms of energies: a formula in C++ with named numbers, from which the plug-in of LAMMPS gets its derivative as well.

Form("repulsion", "r", ("strength", "sigma"), "strength * power<12>(sigma / r)")
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

VARIABLES = {"r": "a distance, Å", "c": "the cosine of an angle"}


@dataclass(frozen=True)
class Form:
    """A form by name. variable: of `VARIABLES`; parameters: names of the numbers; expression: C++, kcal/mol.

    The expression may use + - * /, exp, cos, sin, sqrt, power<N>(x), positive(x) (zero where x is negative), and
    multiple<K>(c), which is cos(K theta).
    """

    name: str
    variable: str
    parameters: tuple[str, ...]
    expression: str

    def __post_init__(self) -> None:
        names = (self.name, *self.parameters)
        if self.variable not in VARIABLES or not all(re.fullmatch(r"[a-z]\w*", n) for n in names):
            raise ValueError(f"the form {self.name} of {self.variable} has a name that cannot be one")

    def cpp(self) -> str:
        """A function template of the form's name, of the variable and an array of numbers."""
        numbers = "".join(f"  const double {n} = p[{i}];\n" for i, n in enumerate(self.parameters))
        head = f"template <class T> inline T {self.name}(const T &{self.variable}, const double *p)"
        return f"{head}\n{{\n{numbers}  return {self.expression};\n}}\n"


def forms_text(forms: Sequence[Form]) -> str:
    """forms.h: a function template of each form, and a table of them."""
    rows = []
    for f in forms:
        call = f"[](const Dual &x, const double *p) {{ return {f.name}<Dual>(x, p); }}"
        rows.append(f'    {{"{f.name}", {len(f.parameters)}, {call}}},')
    return "\n".join(
        [
            "// Generated: the forms of this model's terms.",
            "// SPDX-License-Identifier: MIT",
            "#ifndef CONSIL_FORMS_H\n#define CONSIL_FORMS_H\n",
            '#include "dual.h"\n',
            "namespace consil {\n",
            *(f.cpp() for f in forms),
            "struct Form {\n  const char *name;\n  int count;\n  Dual (*dual)(const Dual &, const double *);\n};\n",
            "inline const Form all_forms[] = {",
            *rows,
            "    {nullptr, 0, nullptr},\n};\n",
            "}    // namespace consil\n#endif\n",
        ]
    )
