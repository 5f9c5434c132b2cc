"""Do the fields agree? Quantities that do not depend on the field, computed from each field on its own.

J(0), F_R2 and F_eta (Fushman, Tjandra & Cowburn, J. Am. Chem. Soc. 120 (1998) 7109; Morin & Gagne, J. Biomol. NMR 45
(2009) 361): where their ratio between fields is not 1 within error, a joint fit puts the disagreement into Rex or order
parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from consilience.core.errors import Finding
from consilience.nmr.amide_constants import CSA, R_NH
from consilience.nmr.constants import Constants, frequencies
from consilience.nmr.data import RelaxationData

TOLERANCE = 0.05  # of the median ratio: temperature or calibration, not noise


@dataclass(frozen=True)
class Consistency:
    """One comparison: a quantity at two data sets, the median ratio and its error over `n` residues."""

    quantity: str
    first: str
    second: str
    ratio: float
    error: float
    n: int

    @property
    def agrees(self) -> bool:
        """Within three errors of 1, or closer than 5 %."""
        return abs(self.ratio - 1) <= max(3 * self.error, TOLERANCE)


@dataclass(frozen=True)
class FieldSet:
    """R1, R2, NOE and etaxy (n,) of one field and source, NaN where absent."""

    name: str
    field: float
    r1: np.ndarray
    r2: np.ndarray
    noe: np.ndarray
    etaxy: np.ndarray


def field_sets(data: RelaxationData) -> list[FieldSet]:
    """Each field's rates; data sets of the same field and kind stay apart, in the order of their columns."""
    out = []
    for f in data.fields:
        columns = {
            k: [i for i, c in enumerate(data.columns) if c.field == f and c.kind == k]
            for k in ("R1", "R2", "NOE", "etaxy")
        }
        for number in range(max(len(c) for c in columns.values())):
            picked = [c[number] if number < len(c) else None for c in columns.values()]
            values = [np.full(len(data.residues), np.nan) if i is None else data.value[:, i] for i in picked]
            source = next((data.columns[i].source for i in picked if i is not None), "")
            several = any(len(c) > 1 for c in columns.values())
            out.append(FieldSet(f"{f:g} MHz" + (f" ({source})" if several and source else ""), float(f), *values))
    return out


def reduced_densities(s: FieldSet, constants: Constants, r: float = R_NH, csa: float = CSA) -> np.ndarray:
    """J(0), J(wN), J(0.87 wH) in ns (n, 3) by reduced spectral density mapping.

    Farrow et al., J. Biomol. NMR 6 (1995) 153; Lefevre et al., Biochemistry 35 (1996) 2674. NaN where a rate is absent.
    """
    w_n = frequencies(np.array([s.field]), constants)[0, 1]
    d2 = 1e9 * (constants.dipolar / r**3) ** 2
    c2 = 1e-3 * (w_n * csa) ** 2 / 3
    sigma = (s.noe - 1) * s.r1 * constants.ratio
    high = 4 * sigma / (5 * d2)
    middle = (s.r1 - 7 * d2 / 4 * high) / (3 * d2 / 4 + c2)
    zero = (s.r2 - (3 * d2 / 8 + c2 / 2) * middle - 13 * d2 / 8 * high) / (d2 / 2 + 2 * c2 / 3)
    return np.stack([zero, middle, high], 1)


def _quantities(s: FieldSet, constants: Constants, tau_c: float) -> dict[str, np.ndarray]:
    j = reduced_densities(s, constants)
    d = constants.dipolar / R_NH**3
    w_n = frequencies(np.array([s.field]), constants)[0, 1]
    shape = 4 + 3 / (1 + (w_n * tau_c) ** 2)
    scale = 1e9 * d * d / 8 + 1e-3 * (w_n * CSA) ** 2 / 18
    return {
        "J(0)": j[:, 0],
        "F_R2": (s.r2 - 13 / 8 * 1e9 * d * d * j[:, 2]) / (scale * shape),
        "F_eta": s.etaxy / (1e3 * d * w_n * CSA / 6 * shape),
    }


def compare_fields(data: RelaxationData, constants: Constants, tau_c: float) -> tuple[list[Consistency], list[Finding]]:
    """All comparisons between data sets, and warnings for those that disagree; tau_c (ns) may be rough.

    J(0) and F_R2 need R1, R2 and NOE at both, F_eta needs etaxy; of data sets at one field R1 and R2 must agree too.
    """
    sets = field_sets(data)
    found: list[Consistency] = []
    for a, b in combinations(sets, 2):
        qa, qb = _quantities(a, constants, tau_c), _quantities(b, constants, tau_c)
        pairs = {name: (qa[name], qb[name]) for name in qa}
        if a.field == b.field:
            pairs |= {"R1": (a.r1, b.r1), "R2": (a.r2, b.r2)}
        for name, (x, y) in pairs.items():
            both = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
            if both.sum() < 5:
                continue
            ratio = y[both] / x[both]
            middle = float(np.median(ratio))
            spread = 1.4826 * float(np.median(np.abs(ratio - middle)))
            found.append(
                Consistency(name, a.name, b.name, middle, 1.2533 * spread / np.sqrt(both.sum()), int(both.sum()))
            )
    warnings = []
    for a, b in dict.fromkeys((c.first, c.second) for c in found):
        bad = [c for c in found if (c.first, c.second) == (a, b) and not c.agrees]
        if bad:
            said = ", ".join(f"{c.quantity} ratio {c.ratio:.3f} +- {c.error:.3f}" for c in bad)
            warnings.append(
                Finding(
                    "warn",
                    f"the data at {a} and {b} are inconsistent: a joint fit will put the difference into the dynamics",
                    found=said,
                    expected="ratios of 1 (these quantities do not depend on the field)",
                    fix="check temperatures and field tags, or fit each data set alone",
                )
            )
    return found, warnings
