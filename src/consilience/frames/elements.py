"""Elements as the frames need them: symbols, covalent and van-der-Waals radii, rough energies of the free atoms."""

from __future__ import annotations

import numpy as np

SYMBOLS = (
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb "
    "Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au "
    "Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts "
    "Og"
).split()
NUMBER_OF = {symbol: z for z, symbol in enumerate(SYMBOLS) if z} | {"D": 1, "T": 1}
NOBLE = (2, 10, 18, 36, 54, 86)

# Cordero et al., Dalton Trans. (2008) 2832, Å; low-spin where there are two, sp3 for carbon; 1.7 beyond curium
_COVALENT = (
    0.31, 0.28, 1.28, 0.96, 0.84, 0.76, 0.71, 0.66, 0.57, 0.58, 1.66, 1.41, 1.21, 1.11, 1.07, 1.05, 1.02, 1.06, 2.03,
    1.76, 1.70, 1.60, 1.53, 1.39, 1.39, 1.32, 1.26, 1.24, 1.32, 1.22, 1.22, 1.20, 1.19, 1.20, 1.20, 1.16, 2.20, 1.95,
    1.90, 1.75, 1.64, 1.54, 1.47, 1.46, 1.42, 1.39, 1.45, 1.44, 1.42, 1.39, 1.39, 1.38, 1.39, 1.40, 2.44, 2.15, 2.07,
    2.04, 2.03, 2.01, 1.99, 1.98, 1.98, 1.96, 1.94, 1.92, 1.92, 1.89, 1.90, 1.87, 1.87, 1.75, 1.70, 1.62, 1.51, 1.44,
    1.41, 1.36, 1.36, 1.32, 1.45, 1.46, 1.48, 1.40, 1.50, 1.50, 2.60, 2.21, 2.15, 2.06, 2.00, 1.96, 1.90, 1.87, 1.80,
    1.69,
)  # fmt: skip
COVALENT = np.array([0.0, *_COVALENT, *[1.7] * (len(SYMBOLS) - 1 - len(_COVALENT))])

_BONDI = {1: 1.20, 6: 1.70, 7: 1.55, 8: 1.52, 9: 1.47, 14: 2.10, 15: 1.80, 16: 1.80, 17: 1.75, 35: 1.85, 53: 1.98}
VAN_DER_WAALS = np.array([0.0, *(_BONDI.get(z, 2.0) for z in range(1, len(SYMBOLS)))])  # Bondi (1964), Å; else 2.0

# Hartree-Fock energies of free atoms, hartree, rounded (Clementi & Roetti 1974): they tell units apart, no more
_ATOMS = {
    1: -0.5, 2: -2.862, 3: -7.433, 4: -14.573, 5: -24.529, 6: -37.689, 7: -54.401, 8: -74.809, 9: -99.409, 10: -128.547,
    11: -161.859, 12: -199.615, 13: -241.877, 14: -288.854, 15: -340.719, 16: -397.505, 17: -459.482, 18: -526.817,
    19: -599.165, 20: -676.758, 35: -2572.44, 36: -2752.05,
}  # fmt: skip
ATOM_ENERGY = np.array([0.0, *(_ATOMS.get(z, np.nan) for z in range(1, len(SYMBOLS)))])


def symbol(z: int) -> str:
    """Symbol of an atomic number, "?" outside the table."""
    return SYMBOLS[z] if 0 < z < len(SYMBOLS) else "?"


def number_of(text: str) -> int:
    """Atomic number of "O", "CL", "8" or "C12" (a label: symbol and digits); 0 where there is no such element."""
    t = text.strip()
    if t.isdigit():
        return int(t) if 0 < int(t[:4]) < len(SYMBOLS) else 0
    letters = t.rstrip("0123456789")
    return NUMBER_OF.get(letters[:1].upper() + letters[1:].lower(), 0) if letters.isalpha() and letters.isascii() else 0


def formula(numbers: np.ndarray) -> str:
    """Sum formula of a row of atomic numbers (zeros are padding), Hill order."""
    counts = {symbol(int(z)): int(c) for z, c in zip(*np.unique(numbers[numbers > 0], return_counts=True), strict=True)}
    first = [s for s in ("C", "H") if s in counts] if "C" in counts else []
    order = [*first, *sorted(set(counts) - set(first))]
    return "".join(s + (str(counts[s]) if counts[s] > 1 else "") for s in order)
