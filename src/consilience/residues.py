"""The twenty residues: names that force fields give them, masses, and numbers of types."""

from __future__ import annotations

# average masses of -NH-CHR-CO-, amu (standard atomic weights, IUPAC 2021)
MASSES = {
    "ALA": 71.08, "ARG": 156.19, "ASN": 114.10, "ASP": 115.09, "CYS": 103.14, "GLN": 128.13, "GLU": 129.12,
    "GLY": 57.05, "HIS": 137.14, "ILE": 113.16, "LEU": 113.16, "LYS": 128.17, "MET": 131.20, "PHE": 147.18,
    "PRO": 97.12, "SER": 87.08, "THR": 101.10, "TRP": 186.21, "TYR": 163.18, "VAL": 99.13,
}  # fmt: skip
RESIDUES = tuple(MASSES)  # in alphabetical order: the type of a bead is its place here
LETTERS = dict(zip("ARNDCQEGHILKMFPSTWYV", RESIDUES, strict=True))  # one-letter codes
MEAN_MASS = 110.0  # of a bead whose residue is not known, amu
# protonation states and modified residues that stand for one of the twenty
ALIASES = {
    "HID": "HIS", "HIE": "HIS", "HIP": "HIS", "HSD": "HIS", "HSE": "HIS", "HSP": "HIS", "CYX": "CYS", "CYM": "CYS",
    "CYS2": "CYS", "ASH": "ASP", "ASPP": "ASP", "GLH": "GLU", "GLUP": "GLU", "LYN": "LYS", "LSN": "LYS", "MSE": "MET",
    "ARN": "ARG", "TYM": "TYR", "NLE": "LEU", "HYP": "PRO",
}  # fmt: skip


def standard(name: str) -> str:
    """The name of the residue among the twenty where it is one of them in any spelling, else the name in capitals.

    One-letter codes and names of terminal residues in AMBER ("NALA", "CGLY") are understood.
    """
    word = name.strip().upper()
    if len(word) == 1:
        return LETTERS.get(word, word)
    if word in MASSES:
        return word
    if len(word) == 4 and word[0] in "NC" and (word[1:] in MASSES or word[1:] in ALIASES):
        word = word[1:]
    return ALIASES.get(word, word)


def mass(name: str) -> float:
    """Mass of a residue in a chain, amu; 110 where it is none of the twenty."""
    return MASSES.get(standard(name), MEAN_MASS)
