"""A peptide whose energy is quadratic: it is sampled exactly, and its mean forces on any beads are known.

Rigid groups (N and its H, CA and its HA, CB and its HB, C, O) are joined by isotropic springs along and across the
chain. With the matrix H of the groups, the mean force on the CA at displacements d is -(Hcc - Hcf Hff^-1 Hfc) d, and
the map W = (1, -Hcf Hff^-1) gives it without any noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consilience.units import BOLTZMANN, KCAL_MOL


@dataclass(frozen=True)
class Peptide:
    names: list[str]
    residues: list[str]
    residue: np.ndarray
    xyz: np.ndarray
    group: np.ndarray
    constraints: np.ndarray
    hessian: np.ndarray  # of the groups, eV/Å²
    ca: np.ndarray  # atoms

    @property
    def free(self) -> np.ndarray:
        return np.setdiff1d(np.arange(len(self.hessian)), self.group[self.ca])

    def mean_force_matrix(self) -> np.ndarray:
        """(b, b): mean forces are minus this times the displacements of the CA."""
        c, f, h = self.group[self.ca], self.free, self.hessian
        return h[np.ix_(c, c)] - h[np.ix_(c, f)] @ np.linalg.solve(h[np.ix_(f, f)], h[np.ix_(f, c)])

    def sample(self, frames: int, seed: int = 0, temperature: float = 300.0, frozen: np.ndarray | None = None):
        """Positions and forces (f, n, 3) in Å, eV/Å; `frozen` (b, 3): displacements at which the CA are held.

        How the force on a group is shared among its atoms is random: constraint forces do not appear in it.
        """
        rng = np.random.default_rng(seed)
        h, c, free = self.hessian, self.group[self.ca], self.free
        d = np.zeros((frames, len(h), 3))
        kt = BOLTZMANN * temperature
        if frozen is None:
            root = np.linalg.cholesky(np.linalg.inv(h) * kt)
            d = np.einsum("gh,fhk->fgk", root, rng.standard_normal(d.shape))
        else:
            hff = h[np.ix_(free, free)]
            root = np.linalg.cholesky(np.linalg.inv(hff) * kt)
            middle = -np.linalg.solve(hff, h[np.ix_(free, c)]) @ frozen
            d[:, c] = frozen
            d[:, free] = middle + np.einsum("gh,fhk->fgk", root, rng.standard_normal((frames, len(free), 3)))
        force = -np.einsum("gh,fhk->fgk", h, d)
        share = rng.standard_normal((frames, len(self.names), 3))
        for g in range(len(h)):
            atoms = np.flatnonzero(self.group == g)
            share[:, atoms] += (force[:, g] - share[:, atoms].sum(1))[:, None] / len(atoms)
        return self.xyz + d[:, self.group], share

    def pdb(self) -> str:
        lines = []
        for i, (name, res, k, x) in enumerate(zip(self.names, self.residues, self.residue, self.xyz, strict=True)):
            xyz = "".join(f"{v:8.3f}" for v in x)
            lines.append(f"ATOM  {i + 1:5d}  {name:<3s} {res} A{k + 1:4d}    {xyz}  1.00  0.00          {name[0]:>2s}")
        return "\n".join([*lines, "END"]) + "\n"

    def write(self, folder: Path, frames: int = 300, seed: int = 0, name: str = "pep", **more: np.ndarray):
        """(npz, pdb) as a simulation would leave them."""
        x, f = self.sample(frames, seed)
        arrays = {"pos": x, "frc": f / KCAL_MOL, "constraints": self.constraints, "temp": np.full(frames, 300.0)}
        arrays |= {"traj": np.arange(frames) * 4 // frames}
        np.savez(folder / f"{name}.npz", **{k: v for k, v in (arrays | more).items() if v is not None})
        (folder / f"{name}.pdb").write_text(self.pdb())
        return folder / f"{name}.npz", folder / f"{name}.pdb"


def peptide(sequence: tuple[str, ...] = ("ALA", "GLY", "ALA", "SER", "ALA"), seed: int = 1) -> Peptide:
    rng = np.random.default_rng(seed)
    names, residues, residue, xyz, group, constraints = [], [], [], [], [], []
    springs: list[tuple[int, int, float]] = []
    at, groups, last = np.zeros(3), 0, None
    for k, res in enumerate(sequence):
        place: dict[str, int] = {}

        def add(name: str, x: np.ndarray, tied: str = "", k: int = k, res: str = res, place: dict = place) -> None:
            nonlocal groups
            names.append(name)
            residues.append(res)
            residue.append(k)
            xyz.append(x)
            if tied:
                other = max(i for i in range(len(names) - 1) if names[i] == tied)
                group.append(group[other])
                constraints.append((other, len(names) - 1))
            else:
                group.append(groups)
                place[name] = groups
                groups += 1

        up = np.array([0.0, 1.0, 0.0]) * (-1) ** k
        start = at + np.array([1.33, 0.0, 0.0]) if k else at
        add("N", start)
        add("H", start - 1.01 * up, "N")
        ca = start + 1.46 * np.array([0.83, 0.56, 0.0]) * np.array([1, (-1) ** k, 1])
        add("CA", ca)
        add("HA", ca + np.array([0.0, 0.0, 1.09]), "CA")
        if res != "GLY":
            add("CB", ca + 1.53 * np.array([0.0, 0.5, -0.87]) * np.array([1, (-1) ** k, 1]))
            add("HB", ca + np.array([0.0, 1.0, -2.2]) * np.array([1, (-1) ** k, 1]), "CB")
            springs.append((place["CA"], place["CB"], 12.0))
        at = ca + 1.52 * np.array([0.83, -0.56, 0.0]) * np.array([1, (-1) ** k, 1])
        add("C", at)
        add("O", at + 1.23 * up)
        springs += [(place["N"], place["CA"], 14.0), (place["CA"], place["C"], 13.0), (place["C"], place["O"], 30.0)]
        if last is not None:
            springs += [(last["C"], place["N"], 20.0), (last["CA"], place["N"], 6.0), (last["O"], place["N"], 4.0)]
        last = place
    h = 0.4 * np.eye(groups)
    for i in range(groups):
        for j in range(i):
            if rng.random() < 0.1:
                springs.append((i, j, 0.3))
    for i, j, s in springs:
        h[i, i] += s
        h[j, j] += s
        h[i, j] -= s
        h[j, i] -= s
    return Peptide(
        names, residues, np.array(residue), np.array(xyz), np.array(group), np.array(constraints), h,
        np.array([i for i, n in enumerate(names) if n == "CA"]),
    )  # fmt: skip
