"""Makes the built-in molecular example: formaldehyde at RMP2/def2-SVP, thermal frames and the harmonic reference.

usage: python tools/examples/make_molecule.py [-o FOLDER] [-n FRAMES]      (needs pyscf; about 3 minutes on one core)

Energies, analytic forces, and dipole and electrostatic potential (ESP) from the relaxed density; classical thermal
samples of the normal modes at 300 to 2000 K, randomly turned. Constants and masses stand here on their own: the script
shares no code with what reads the data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyscf.grad.mp2
from pyscf import gto, lib, mp, scf

HERE = Path(__file__).resolve().parents[2] / "src" / "consilience" / "examples"
HARTREE, BOHR, KB = 27.211386245981, 0.529177210544, 8.617333262e-5  # eV, Å, eV/K
MODE = 521.4708983  # cm^-1 of the angular frequency sqrt(eV/Å²/amu)
IR = 974.880  # km/mol of 1 e²/amu
NUMBERS = np.array([6, 8, 1, 1])
MASSES = np.array([12.0, 15.99491461956, 1.00782503207, 1.00782503207])
START = np.array([[0, 0, -0.53], [0, 0, 0.68], [0, 0.94, -1.11], [0, -0.94, -1.11]], float)
RADII = np.array([1.70, 1.52, 1.20, 1.20])  # van der Waals (Bondi 1964), Å
TEMPERATURES = (300.0, 500.0, 1000.0, 1500.0, 2000.0)
SHELLS = (1.4, 1.7, 2.0, 2.5, 3.0)  # of the points of the ESP, in units of the radii
POINTS, SEED = 60, 5


class Level:
    """RMP2 (all electrons) in def2-SVP; the density of the last molecule starts the next."""

    def __init__(self) -> None:
        lib.num_threads(1)
        self.guess: Any = None
        self.response: Any = None
        original = pyscf.grad.mp2._response_dm1

        def keep(*args: Any, **kwargs: Any) -> Any:
            self.response = original(*args, **kwargs)
            return self.response

        pyscf.grad.mp2._response_dm1 = keep  # the orbital response is computed there and not handed out

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray, Any, np.ndarray]:
        """Energy (eV), forces (eV/Å), the molecule, and its relaxed density in atomic orbitals."""
        atoms = [(int(z), tuple(r)) for z, r in zip(NUMBERS, x, strict=True)]
        molecule = gto.M(atom=atoms, basis="def2-svp", unit="Angstrom", verbose=0)
        field = scf.RHF(molecule)
        field.conv_tol = 1e-11
        field.kernel(dm0=self.guess)
        assert field.converged
        self.guess = field.make_rdm1()
        correlated = mp.MP2(field)
        correlated.kernel()
        gradient = correlated.nuc_grad_method().kernel()
        c = field.mo_coeff
        density = correlated.make_rdm1(ao_repr=True) + c @ self.response @ c.T
        return correlated.e_tot * HARTREE, -gradient * HARTREE / BOHR, molecule, density


def dipole(molecule: Any, density: np.ndarray, x: np.ndarray) -> np.ndarray:
    """e Å, from the origin."""
    with molecule.with_common_orig((0, 0, 0)):
        electrons = np.einsum("xij,ji->x", molecule.intor_symmetric("int1e_r", comp=3), density)
    return NUMBERS @ x - electrons * BOHR


def potential(molecule: Any, density: np.ndarray, x: np.ndarray, points: np.ndarray) -> np.ndarray:
    """ESP at points (p, 3) Å, V."""
    nuclei = (NUMBERS / (np.linalg.norm(points[:, None] - x, axis=-1) / BOHR)).sum(1)
    electrons = np.einsum("pij,ji->p", molecule.intor("int1e_grids", grids=points / BOHR), density)
    return (nuclei - electrons) * HARTREE


def mulliken(molecule: Any, density: np.ndarray) -> np.ndarray:
    """Atomic charges, e."""
    population = np.einsum("ij,ji->i", density, molecule.intor_symmetric("int1e_ovlp"))
    first, last = molecule.aoslice_by_atom()[:, 2], molecule.aoslice_by_atom()[:, 3]
    return NUMBERS - np.array([population[a:b].sum() for a, b in zip(first, last, strict=True)])


def points_around(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(POINTS, 3): random points on scaled van-der-Waals surfaces, outside all smaller ones."""
    out = np.zeros((0, 3))
    while len(out) < POINTS:
        atom, shell = rng.integers(len(x)), rng.choice(SHELLS)
        v = rng.standard_normal(3)
        p = x[atom] + shell * RADII[atom] * v / np.linalg.norm(v)
        if (np.linalg.norm(p - x, axis=1) >= shell * RADII - 1e-9).all():
            out = np.vstack([out, p])
    return out


def esp_charges(x: np.ndarray, points: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Least-squares charges (e) of a neutral molecule."""
    a = HARTREE * BOHR / np.linalg.norm(points[:, None] - x, axis=-1)
    one = np.ones((len(x), 1))
    return np.linalg.solve(np.block([[a.T @ a, one], [one.T, np.zeros((1, 1))]]), np.append(a.T @ v, 0.0))[: len(x)]


def newton(level: Level, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Minimum (n, 3), Hessian (3n, 3n) eV/Å² and dipole derivatives (3n, 3) e there, by central differences."""
    for _ in range(8):
        hessian, slopes = differences(level, x)
        f = level(x)[1].ravel()
        w, v = np.linalg.eigh(hessian)
        keep = np.abs(w) > 0.5  # without rotations and translations
        step = v[:, keep] @ (v[:, keep].T @ f / w[keep])
        if np.abs(f).max() < 1e-5:
            break
        x = x + np.clip(step, -0.1, 0.1).reshape(x.shape)
    return x, hessian, slopes


def differences(level: Level, x: np.ndarray, h: float = 0.004) -> tuple[np.ndarray, np.ndarray]:
    """Hessian and dipole derivatives at x."""
    hessian, slopes = np.zeros((x.size, x.size)), np.zeros((x.size, 3))
    for k in range(x.size):
        for sign in (1, -1):
            moved = x.copy()
            moved.flat[k] += sign * h
            _, f, molecule, density = level(moved)
            hessian[k] -= sign * f.ravel() / (2 * h)
            slopes[k] += sign * dipole(molecule, density, moved) / (2 * h)
    return (hessian + hessian.T) / 2, slopes


def modes(hessian: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Force constants eV/(Å² amu) ascending and mass-weighted vectors (3n, 3n-6), rotations projected out."""
    root = np.sqrt(MASSES)[:, None]
    centred = x - MASSES @ x / MASSES.sum()
    rigid = [root * axis for axis in np.eye(3)] + [root * np.cross(axis, centred) for axis in np.eye(3)]
    q, _ = np.linalg.qr(np.array([r.ravel() for r in rigid]).T)
    p = np.eye(x.size) - q @ q.T
    m = np.repeat(np.sqrt(MASSES), 3)
    w, v = np.linalg.eigh(p @ (hessian / np.outer(m, m)) @ p)
    order = np.argsort(np.abs(w))[6:]
    order = order[np.argsort(w[order])]
    return w[order], v[:, order]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=HERE / "molecule")
    parser.add_argument("-n", type=int, default=300)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    level, rng = Level(), np.random.default_rng(SEED)
    minimum, hessian, slopes = newton(level, START)
    energy, forces, molecule, density = level(minimum)
    w, vectors = modes(hessian, minimum)
    root = np.repeat(np.sqrt(MASSES), 3)
    strength = ((vectors / root[:, None]).T @ slopes) ** 2
    harmonic = {
        "level": "RMP2(full)/def2-SVP",
        "numbers": NUMBERS.tolist(),
        "masses_amu": MASSES.tolist(),
        "positions_A": minimum.tolist(),
        "energy_eV": energy,
        "max_force_eV_A": float(np.abs(forces).max()),
        "dipole_eA": dipole(molecule, density, minimum).tolist(),
        "frequencies_cm1": (np.sign(w) * np.sqrt(np.abs(w)) * MODE).tolist(),
        "ir_km_mol": (IR * strength.sum(1)).tolist(),
        "hessian_eV_A2": hessian.tolist(),
        "dipole_derivatives_e": slopes.tolist(),
    }
    (args.out / "harmonic.json").write_text(json.dumps(harmonic, indent=1) + "\n")
    rows: dict[str, list[Any]] = {}
    for i in range(args.n):
        kelvin = TEMPERATURES[i % len(TEMPERATURES)]
        while True:
            q = rng.standard_normal(len(w)) * np.sqrt(KB * kelvin / w)
            turn, _ = np.linalg.qr(rng.standard_normal((3, 3)))
            turn *= np.linalg.det(turn)
            x = (minimum + (vectors @ q / root).reshape(-1, 3)) @ turn
            x = np.round(x - MASSES @ x / MASSES.sum(), 6)
            if (np.linalg.norm(x[:, None] - x, axis=-1) + 9 * np.eye(len(x))).min() > 0.6:
                break
        e, f, molecule, density = level(x)
        points = points_around(x, rng).astype(np.float32).astype(float)
        v = potential(molecule, density, x, points)
        row = {"R": x, "E": e, "F": f, "D": dipole(molecule, density, x), "Q_mulliken": mulliken(molecule, density),
               "Q_esp": esp_charges(x, points, v), "esp_xyz": points, "esp": v, "T": kelvin}  # fmt: skip
        for key, value in row.items():
            rows.setdefault(key, []).append(value)
    order = rng.permutation(args.n)
    short = {"Q_mulliken", "Q_esp", "esp_xyz", "esp", "T"}
    arrays = {k: np.array(v)[order].astype(np.float32 if k in short else float) for k, v in rows.items()}
    units = json.dumps({"R": "Å", "E": "eV", "F": "eV/Å", "D": "e Å", "esp": "V", "esp_xyz": "Å"})
    np.savez_compressed(args.out / "frames.npz", Z=NUMBERS, **arrays, units=np.array(units))


if __name__ == "__main__":
    main()
