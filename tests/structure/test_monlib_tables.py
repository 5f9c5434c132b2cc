"""The restraint tables: files are what the generator writes, and the values of each component fit one geometry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import gemmi
import numpy as np
import pytest

from consilience.structure.library import OWN_LIBRARY, load_library

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(p.stem for p in OWN_LIBRARY.glob("?/*.cif"))
AMINO_ACIDS = "ALA ARG ASN ASP CYS GLN GLU GLY HIS ILE LEU LYS MET PHE PRO SER THR TRP TYR VAL MSE".split()
NUCLEOTIDES = "A C G U DA DC DG DT".split()
IONS = "NA K MG CA ZN CL BR IOD MN FE FE2 CU NI CO CD".split()


@pytest.fixture(scope="module")
def library() -> gemmi.MonLib:
    ml, findings, missing = load_library(NAMES)
    assert not findings and not missing
    return ml


def test_files_are_what_the_generator_writes(tmp_path):
    subprocess.run([sys.executable, str(ROOT / "tools/monlib/make.py"), str(tmp_path)], check=True)
    made = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*.cif")}
    committed = {p.relative_to(OWN_LIBRARY): p.read_bytes() for p in OWN_LIBRARY.rglob("*.cif")}
    assert made.keys() == committed.keys()
    assert [n for n in made if made[n] != committed[n]] == []


def test_promised_components_are_there():
    assert {
        *AMINO_ACIDS,
        *NUCLEOTIDES,
        *IONS,
        "HOH",
        "DOD",
        "WAT",
        "SO4",
        "PO4",
        "GOL",
        "EDO",
        "ACT",
        "DMS",
        "MPD",
    } <= set(NAMES)


def test_energy_types_have_radii(library):
    for name in NAMES:
        for atom in library.monomers[name].atoms:
            entry = library.ener_lib.atoms[atom.chem_type]
            assert entry.element == atom.el
            assert 1.0 < entry.vdw_radius < 3.5


@pytest.mark.parametrize(
    "link", ["TRANS", "CIS", "PTRANS", "PCIS", "NMTRANS", "NMCIS", "SS", "disulf", "p", "BETA1-4", "pyr-ASN", "gap"]
)
def test_link_modifications_exist(library, link):
    found = library.get_link(link)
    for side in (found.side1, found.side2):
        assert not side.mod or library.get_mod(side.mod) is not None
    assert link == "gap" or len(found.rt.bonds) == 1


@pytest.mark.parametrize(
    ("name", "ring"),
    [
        ("PHE", "CG CD1 CE1 CZ CE2 CD2"),
        ("TYR", "CG CD1 CE1 CZ CE2 CD2"),
        ("HIS", "CG ND1 CE1 NE2 CD2"),
        ("TRP", "CG CD1 NE1 CE2 CD2"),
        ("TRP", "CD2 CE2 CZ2 CH2 CZ3 CE3"),
        *((n, "N1 C2 N3 C4 C5 C6") for n in NUCLEOTIDES),
        *((n, "N7 C8 N9 C4 C5") for n in ("A", "G", "DA", "DG")),
    ],
)
def test_angles_of_flat_rings_sum_up(library, name, ring):
    atoms = ring.split()
    angles = {(frozenset((a.id1.atom, a.id3.atom)), a.id2.atom): a.value for a in library.monomers[name].rt.angles}
    n = len(atoms)
    total = sum(angles[frozenset((atoms[i - 1], atoms[(i + 1) % n])), atoms[i]] for i in range(n))
    assert total == pytest.approx(180.0 * (n - 2), abs=0.7)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in IONS])
def test_bonds_and_angles_fit_one_geometry(name):
    """Some conformation meets all bonds, angles, planes and chiral signs; hydrogens included where they are few."""
    component = load_library([name])[0].monomers[name]
    system = System(component if len(component.atoms) < 25 else component.remove_hydrogens())
    found = (system.embed(seed) for seed in range(8))
    assert any(bond < 0.7 and angle < 0.7 and other < 1.0 for bond, angle, other in found)


class System:
    """Residuals of one component in units of esd, and a Levenberg-Marquardt search from random coordinates."""

    def __init__(self, cc: gemmi.ChemComp):
        num = {a.id: i for i, a in enumerate(cc.atoms)}
        self.n = len(num)
        self.bond = np.array([[num[b.id1.atom], num[b.id2.atom]] for b in cc.rt.bonds]).reshape(-1, 2)
        self.angle = np.array([[num[i.atom] for i in (a.id1, a.id2, a.id3)] for a in cc.rt.angles], int).reshape(-1, 3)
        self.b0, self.bs = np.array([[b.value, b.esd] for b in cc.rt.bonds]).T
        self.a0, self.as_ = np.radians(np.array([[a.value, a.esd] for a in cc.rt.angles]).reshape(-1, 2)).T
        self.chir = [
            (
                [num[i.atom] for i in (c.id_ctr, c.id1, c.id2, c.id3)],
                1 if c.sign == gemmi.ChiralityType.Positive else -1,
            )
            for c in cc.rt.chirs
            if c.sign != gemmi.ChiralityType.Both
        ]
        self.plane = [[num[i.atom] for i in p.ids] for p in cc.rt.planes]
        near = {tuple(sorted(p)) for p in [*self.bond.tolist(), *self.angle[:, [0, 2]].tolist()]}
        far = [(i, j) for i in range(self.n) for j in range(i + 1, self.n) if (i, j) not in near]
        self.far = np.array(far, int).reshape(-1, 2)

    def residuals(self, x: np.ndarray, w: float, rep: float) -> tuple[np.ndarray, np.ndarray]:
        x, rows, jac = x.reshape(-1, 3), [], []

        def add(r, atoms, grads):
            k, block = np.arange(len(r)), np.zeros((len(r), self.n, 3))
            for a, g in zip(atoms, grads, strict=True):
                np.add.at(block, (k, a), g)
            rows.append(r)
            jac.append(block)

        i, j = self.bond.T
        u = x[i] - x[j]
        d = np.linalg.norm(u, axis=1)
        g = u / (d * self.bs)[:, None] * w
        add((d - self.b0) / self.bs * w, (i, j), (g, -g))
        i, j, k = self.angle.T
        u, v = x[i] - x[j], x[k] - x[j]
        lu, lv = (np.linalg.norm(q, axis=1)[:, None] for q in (u, v))
        u, v = u / lu, v / lv
        c = (u * v).sum(1)
        f = w / (np.maximum(np.sqrt(np.maximum(1 - c * c, 0)), 1e-3) * self.as_)
        gu, gv = (((c[:, None] * p - q) / length) * f[:, None] for p, q, length in ((u, v, lu), (v, u, lv)))
        add((np.arccos(np.clip(c, -1, 1)) - self.a0) / self.as_ * w, (i, k, j), (gu, gv, -gu - gv))
        for (centre, *ends), sign in self.chir:
            p = [x[e] - x[centre] for e in ends]
            volume = p[0] @ np.cross(p[1], p[2]) * sign
            on = 3.0 * sign * (volume < 1.5)
            grads = [np.cross(p[1], p[2]) * on, np.cross(p[2], p[0]) * on, np.cross(p[0], p[1]) * on]
            add(np.array([min(volume - 1.5, 0.0) * 3]), (*ends, centre), (*grads, -sum(grads)))
        for p in self.plane:
            y = x[p] - x[p].mean(0)
            normal = np.linalg.svd(y)[2][2] / 0.02 * w
            m = len(p)
            add(y @ normal, p, [np.where(np.arange(m)[:, None] == t, normal, 0) - normal / m for t in range(m)])
        i, j = self.far.T
        u = x[i] - x[j]
        d = np.linalg.norm(u, axis=1)
        g = np.where(d < 2.4, rep / d, 0)[:, None] * u
        add(np.minimum(d - 2.4, 0) * rep, (i, j), (g, -g))
        return np.concatenate(rows), np.concatenate(jac).reshape(-1, 3 * self.n)

    def embed(self, seed: int) -> tuple[float, float, float]:
        """R.m.s. Z of bonds, of angles, and the largest other residual of the geometry found."""
        x = np.random.default_rng(seed).normal(size=3 * self.n) * 3
        r = np.zeros(0)
        for w, rep, steps in ((0.02, 1.0, 60), (0.1, 1.0, 60), (1.0, 1.0, 100), (1.0, 0.0, 60)):
            damp, (r, jac) = 1e-2, self.residuals(x, w, rep)
            for _ in range(steps):
                h = jac.T @ jac
                dx = -np.linalg.solve(h + damp * np.diag(np.diag(h) + 1e-3), jac.T @ r)
                rn, jn = self.residuals(x + dx, w, rep)
                gain = r @ r - rn @ rn
                damp = max(damp / 5, 1e-9) if gain > 0 else damp * 4
                if gain > 0:
                    x, small = x + dx, gain < 1e-4 * (r @ r)
                    r, jac = rn, jn
                    if small:
                        break
                elif damp > 1e9:
                    break
        nb, na = len(self.bond), len(self.angle)
        rms = [float(np.sqrt(np.mean(q**2))) if len(q) else 0.0 for q in (r[:nb], r[nb : nb + na])]
        return rms[0], rms[1], float(np.abs(r[nb + na :]).max(initial=0.0))
