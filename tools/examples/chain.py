"""Builds a polypeptide from internal coordinates: sequence, backbone torsions and side-chain rotamers."""

from __future__ import annotations

import gemmi
import numpy as np

# Bond lengths (Å) and angles (degrees) after Engh & Huber, Acta Cryst. A47 (1991) 392-400.
# Each entry: atom, the three atoms it is placed from (bonded one last), length, angle, torsion; a torsion given as a
# pair (k, offset) is chi_k + offset.
Step = tuple[str, str, str, str, float, float, "float | tuple[int, float]"]

_CG: dict[str, Step] = {
    "CG": ("CG", "N", "CA", "CB", 1.525, 113.8, (1, 0.0)),
    "aromatic": ("CG", "N", "CA", "CB", 1.502, 113.8, (1, 0.0)),
}
_PHENYL: list[Step] = [
    _CG["aromatic"],
    ("CD1", "CA", "CB", "CG", 1.384, 120.7, (2, 0.0)),
    ("CD2", "CA", "CB", "CG", 1.384, 120.7, (2, 180.0)),
    ("CE1", "CB", "CG", "CD1", 1.382, 120.7, 180.0),
    ("CE2", "CB", "CG", "CD2", 1.382, 120.7, 180.0),
    ("CZ", "CG", "CD1", "CE1", 1.382, 120.0, 0.0),
]
SIDE_CHAINS: dict[str, list[Step]] = {
    "GLY": [],
    "ALA": [],
    "SER": [("OG", "N", "CA", "CB", 1.417, 111.1, (1, 0.0))],
    "CYS": [("SG", "N", "CA", "CB", 1.808, 114.4, (1, 0.0))],
    "THR": [
        ("OG1", "N", "CA", "CB", 1.433, 109.6, (1, 0.0)),
        ("CG2", "N", "CA", "CB", 1.521, 110.5, (1, -120.0)),
    ],
    "VAL": [
        ("CG1", "N", "CA", "CB", 1.521, 110.5, (1, 0.0)),
        ("CG2", "N", "CA", "CB", 1.521, 110.5, (1, 122.0)),
    ],
    "ILE": [
        ("CG1", "N", "CA", "CB", 1.530, 110.4, (1, 0.0)),
        ("CG2", "N", "CA", "CB", 1.521, 110.5, (1, -122.0)),
        ("CD1", "CA", "CB", "CG1", 1.513, 113.8, (2, 0.0)),
    ],
    "LEU": [
        ("CG", "N", "CA", "CB", 1.530, 116.3, (1, 0.0)),
        ("CD1", "CA", "CB", "CG", 1.521, 110.7, (2, 0.0)),
        ("CD2", "CA", "CB", "CG", 1.521, 110.7, (2, 122.0)),
    ],
    "PRO": [
        ("CG", "N", "CA", "CB", 1.492, 104.5, (1, 0.0)),
        ("CD", "CA", "CB", "CG", 1.503, 106.1, (2, 0.0)),
    ],
    "ASP": [
        _CG["CG"],
        ("OD1", "CA", "CB", "CG", 1.249, 118.4, (2, 0.0)),
        ("OD2", "CA", "CB", "CG", 1.249, 118.4, (2, 180.0)),
    ],
    "ASN": [
        _CG["CG"],
        ("OD1", "CA", "CB", "CG", 1.231, 120.8, (2, 0.0)),
        ("ND2", "CA", "CB", "CG", 1.328, 116.4, (2, 180.0)),
    ],
    "GLU": [
        _CG["CG"],
        ("CD", "CA", "CB", "CG", 1.516, 112.6, (2, 0.0)),
        ("OE1", "CB", "CG", "CD", 1.249, 118.4, (3, 0.0)),
        ("OE2", "CB", "CG", "CD", 1.249, 118.4, (3, 180.0)),
    ],
    "GLN": [
        _CG["CG"],
        ("CD", "CA", "CB", "CG", 1.516, 112.6, (2, 0.0)),
        ("OE1", "CB", "CG", "CD", 1.231, 120.8, (3, 0.0)),
        ("NE2", "CB", "CG", "CD", 1.328, 116.4, (3, 180.0)),
    ],
    "LYS": [
        _CG["CG"],
        ("CD", "CA", "CB", "CG", 1.520, 111.3, (2, 0.0)),
        ("CE", "CB", "CG", "CD", 1.520, 111.3, (3, 0.0)),
        ("NZ", "CG", "CD", "CE", 1.489, 111.9, (4, 0.0)),
    ],
    "ARG": [
        _CG["CG"],
        ("CD", "CA", "CB", "CG", 1.520, 111.3, (2, 0.0)),
        ("NE", "CB", "CG", "CD", 1.461, 112.0, (3, 0.0)),
        ("CZ", "CG", "CD", "NE", 1.329, 124.2, (4, 0.0)),
        ("NH1", "CD", "NE", "CZ", 1.326, 120.0, 0.0),
        ("NH2", "CD", "NE", "CZ", 1.326, 120.0, 180.0),
    ],
    "HIS": [
        ("CG", "N", "CA", "CB", 1.497, 113.8, (1, 0.0)),
        ("ND1", "CA", "CB", "CG", 1.378, 122.7, (2, 0.0)),
        ("CD2", "CA", "CB", "CG", 1.354, 131.2, (2, 180.0)),
        ("CE1", "CB", "CG", "ND1", 1.321, 109.0, 180.0),
        ("NE2", "CB", "CG", "CD2", 1.374, 107.2, 180.0),
    ],
    "PHE": _PHENYL,
    "TYR": [*_PHENYL, ("OH", "CD1", "CE1", "CZ", 1.376, 119.9, 180.0)],
    "TRP": [
        ("CG", "N", "CA", "CB", 1.498, 113.6, (1, 0.0)),
        ("CD1", "CA", "CB", "CG", 1.365, 126.9, (2, 0.0)),
        ("CD2", "CA", "CB", "CG", 1.433, 126.8, (2, 180.0)),
        ("NE1", "CB", "CG", "CD1", 1.374, 110.2, 180.0),
        ("CE2", "CB", "CG", "CD2", 1.409, 107.2, 180.0),
        ("CE3", "CB", "CG", "CD2", 1.398, 133.9, 0.0),
        ("CZ2", "CG", "CD2", "CE2", 1.394, 122.4, 180.0),
        ("CZ3", "CG", "CD2", "CE3", 1.382, 118.6, 180.0),
        ("CH2", "CD2", "CE2", "CZ2", 1.368, 117.5, 0.0),
    ],
}
_THIRDS = (-65.0, 180.0, 65.0)
ROTAMERS: dict[str, list[tuple[float, ...]]] = {
    "GLY": [()],
    "ALA": [()],
    "PRO": [(30.0, -38.0), (-27.0, 37.0)],
    "CYS": [(float(x),) for x in range(-180, 180, 10)],
    "SER": [(x,) for x in _THIRDS],
    "THR": [(x,) for x in (-65.0, 62.0)],
    "VAL": [(x,) for x in (175.0, -60.0, 63.0)],
    "ILE": [(-65.0, 170.0), (-57.0, -60.0), (62.0, 170.0), (180.0, 167.0)],
    "LEU": [(-65.0, 175.0), (-177.0, 65.0), (-85.0, 65.0)],
    "ASP": [(x, y) for x in _THIRDS for y in (-15.0, 40.0)],
    "ASN": [(x, y) for x in _THIRDS for y in (-20.0, 30.0, 160.0)],
    "GLU": [(x, y, z) for x in _THIRDS for y in _THIRDS for z in (-30.0, 20.0)],
    "GLN": [(x, y, z) for x in _THIRDS for y in _THIRDS for z in (-30.0, 40.0)],
    "LYS": [(x, y, z, 180.0) for x in _THIRDS for y in _THIRDS for z in _THIRDS],
    "ARG": [(x, y, z, w) for x in _THIRDS for y in _THIRDS for z in (-65.0, 180.0) for w in (-85.0, 85.0, 180.0)],
    "HIS": [(x, y) for x in _THIRDS for y in (-75.0, 80.0, 165.0)],
    "PHE": [(x, y) for x in _THIRDS for y in (-80.0, 10.0, 90.0)],
    "TYR": [(x, y) for x in _THIRDS for y in (-80.0, 10.0, 90.0)],
    "TRP": [(x, y) for x in _THIRDS for y in (-95.0, 5.0, 90.0)],
}


def place(a: np.ndarray, b: np.ndarray, c: np.ndarray, length: float, angle: float, torsion: float) -> np.ndarray:
    """Position (3,) of an atom bonded to c, at `angle` b-c-x and `torsion` a-b-c-x (degrees), Å."""
    bc = (c - b) / np.linalg.norm(c - b)
    n = np.cross(b - a, bc)
    n /= np.linalg.norm(n)
    g, t = np.radians(angle), np.radians(torsion)
    return c + length * (-np.cos(g) * bc + np.sin(g) * (np.cos(t) * np.cross(n, bc) + np.sin(t) * n))


def build_backbone(sequence: list[str], torsions: np.ndarray) -> list[dict[str, np.ndarray]]:
    """N, CA, C, O and CB of every residue; `torsions` (n, 3): phi, psi, and omega to the next residue, degrees."""
    residues: list[dict[str, np.ndarray]] = []
    for i, name in enumerate(sequence):
        phi, psi, _ = torsions[i]
        if not residues:
            n, ca = np.zeros(3), np.array([1.458, 0.0, 0.0])
            c = ca + 1.525 * np.array([-np.cos(np.radians(111.0)), np.sin(np.radians(111.0)), 0.0])
        else:
            p = residues[-1]
            n = place(p["N"], p["CA"], p["C"], 1.329, 116.6, torsions[i - 1, 1])
            ca = place(p["CA"], p["C"], n, 1.458, 121.7, torsions[i - 1, 2])
            c = place(p["C"], n, ca, 1.525, 111.0, phi)
        r = {"N": n, "CA": ca, "C": c, "O": place(n, ca, c, 1.231, 120.4, psi + 180.0)}
        if name != "GLY":
            r["CB"] = place(c, n, ca, 1.530, 110.4, -122.6)
        residues.append(r)
    last = residues[-1]
    last["OXT"] = place(last["N"], last["CA"], last["C"], 1.249, 117.0, torsions[-1, 1])
    return residues


def side_chain(name: str, backbone: dict[str, np.ndarray], chi: tuple[float, ...]) -> dict[str, np.ndarray]:
    """Positions of the side-chain atoms beyond CB for the given chi angles (degrees)."""
    pos = dict(backbone)
    for atom, a, b, c, length, angle, torsion in SIDE_CHAINS[name]:
        t = torsion if isinstance(torsion, float) else chi[torsion[0] - 1] + torsion[1]
        pos[atom] = place(pos[a], pos[b], pos[c], length, angle, t)
    return {s[0]: pos[s[0]] for s in SIDE_CHAINS[name]}


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Soft overlap of two sets of heavy atoms (n, 3) and (m, 3) with a small reward for being in contact."""
    if not len(a) or not len(b):
        return 0.0
    d = np.linalg.norm(a[:, None] - b[None], axis=-1)
    return float(20.0 * np.sum(np.maximum(3.4 - d, 0.0) ** 2) - 0.15 * np.sum((d > 3.4) & (d < 5.5)))


def choose_rotamers(
    sequence: list[str], backbone: list[dict[str, np.ndarray]], bridge: tuple[int, int], seed: int
) -> list[tuple[float, ...]]:
    """Rotamers of least overlap by simulated annealing; the cysteines `bridge` (indices) come to bonding distance."""
    rng = np.random.default_rng(seed)
    atoms = [
        [np.array(list(side_chain(s, b, chi).values())).reshape(-1, 3) for chi in ROTAMERS[s]]
        for s, b in zip(sequence, backbone, strict=True)
    ]
    n = len(sequence)
    single = [np.zeros(len(a)) for a in atoms]
    for i in range(n):
        for j in range(n):
            # within a residue, and to its neighbours' nearest atoms, contacts are covalent
            own = ("N", "CA", "C", "O", "CB", "OXT") if abs(i - j) > 1 else (() if i == j else ("CA", "O", "CB"))
            main = np.array([v for k, v in backbone[j].items() if k in own]).reshape(-1, 3)
            single[i] += [_overlap(a, main) for a in atoms[i]]
    pair = {}
    for i in range(n):
        for j in range(i):
            if np.linalg.norm(backbone[i]["CA"] - backbone[j]["CA"]) < 18.0:
                pair[i, j] = np.array([[_overlap(a, b) for b in atoms[j]] for a in atoms[i]])
    i, j = max(bridge), min(bridge)
    pair[i, j] = np.array([[100.0 * (np.linalg.norm(a[0] - b[0]) - 2.03) ** 2 for b in atoms[j]] for a in atoms[i]])
    state = [int(rng.integers(len(a))) for a in atoms]

    def local(k: int) -> np.ndarray:
        e = single[k].copy()
        for (p, q), m in pair.items():
            if p == k:
                e += m[:, state[q]]
            elif q == k:
                e += m[state[p]]
        return e

    for temperature in np.geomspace(30.0, 0.3, 40):
        for k in rng.permutation(n):
            e = local(k)
            w = np.exp(-(e - e.min()) / temperature)
            state[k] = int(rng.choice(len(w), p=w / w.sum()))
    for _ in range(3):
        for k in range(n):
            state[k] = int(np.argmin(local(k)))
    return [ROTAMERS[s][k] for s, k in zip(sequence, state, strict=True)]


def to_gemmi(
    sequence: list[str], backbone: list[dict[str, np.ndarray]], chis: list[tuple[float, ...]]
) -> gemmi.Structure:
    """Chain A of a gemmi structure, heavy atoms only, B = 20 Å^2."""
    chain = gemmi.Chain("A")
    for i, (name, main, chi) in enumerate(zip(sequence, backbone, chis, strict=True)):
        res = gemmi.Residue()
        res.name, res.seqid, res.entity_type = name, gemmi.SeqId(i + 1, " "), gemmi.EntityType.Polymer
        for atom, xyz in (main | side_chain(name, main, chi)).items():
            res.add_atom(new_atom(atom, atom[0], xyz))
        chain.add_residue(res)
    st = gemmi.Structure()
    model = gemmi.Model(1)
    model.add_chain(chain)
    st.add_model(model)
    return st


def new_atom(name: str, element: str, xyz: np.ndarray, b: float = 20.0, occ: float = 1.0) -> gemmi.Atom:
    """An atom at `xyz` (3,) Å."""
    atom = gemmi.Atom()
    atom.name, atom.element, atom.pos = name, gemmi.Element(element), gemmi.Position(*xyz)
    atom.b_iso, atom.occ = b, occ
    return atom
