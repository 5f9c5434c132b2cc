"""Internal units are Å, eV, amu, e and K; everything else is converted where files are read and written.

Constants: CODATA 2022 (NIST). Time in MD is Å sqrt(amu/eV), here called the natural time.
"""

from __future__ import annotations

import math

BOHR = 0.529177210544  # Å
HARTREE = 27.211386245981  # eV
BOLTZMANN = 8.617333262e-5  # eV/K
COULOMB = HARTREE * BOHR  # e²/(4 pi eps0), eV Å / e²
AMU = 1.66053906892e-27  # kg
ELECTRON_VOLT = 1.602176634e-19  # J
LIGHT = 2.99792458e10  # cm/s
AVOGADRO = 6.02214076e23
KJ_MOL = 1000.0 / (AVOGADRO * ELECTRON_VOLT)  # eV
KCAL_MOL = 4.184 * KJ_MOL
QUANTUM = 1.239841984e-4  # eV for 1 cm^-1, h c
DEBYE = 0.208194346  # e Å
EV_PER_A3_IN_GPA = 160.2176634

FS = 1e-15 / (1e-10 * math.sqrt(AMU / ELECTRON_VOLT))  # one femtosecond in natural time, about 0.0982
CM1 = 1e15 * FS / (2 * math.pi * LIGHT)  # wavenumber (cm^-1) of the angular frequency 1 / natural time, about 521.47

# IR intensity of |d mu / d Q|² in e²/amu, km/mol: N_A / (12 eps0 c²), double harmonic (Wilson, Decius & Cross 1955)
KM_MOL = AVOGADRO * ELECTRON_VOLT**2 / AMU / (12 * 8.8541878188e-12 * 299792458.0**2) * 1e-3

ENERGY = {
    "eV": 1.0,
    "meV": 1e-3,
    "kcal/mol": KCAL_MOL,
    "kJ/mol": KJ_MOL,
    "hartree": HARTREE,
}
LENGTH = {"Å": 1.0, "bohr": BOHR, "nm": 10.0}
