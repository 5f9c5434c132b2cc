"""Statistics of a refined model for its report: geometry outliers, table of residues, Wilson plot, completeness."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gemmi
import numpy as np

from consilience.structure.atoms import Structure
from consilience.structure.restraints import residuals
from consilience.structure.topology import Topology
from consilience.structure.validation import backbone_torsions, residue_b
from consilience.xray.experiment import Crystal

RSCC_RADIUS = 1.5  # Å around atoms, for the real-space correlation
UNITS = {"bond": "Å", "angle": "°", "torsion": "°", "chiral": "Å³", "plane": "Å"}


def geometry_outliers(topology: Topology, xyz: np.ndarray, limit: float = 4.0) -> list[dict[str, Any]]:
    """Restraints with |z| > limit, worst first: kind, atoms, chain, resi, icode, value, ideal, z.

    xyz (n, 3) Å. Values in Å (bond, plane), degrees (angle, torsion), Å^3 (chiral volume); for a plane the distance of
    its worst atom. `chain`, `resi`, `icode` are those of the middle of the restraint, where a reader should look.
    """
    names = list(_labels(topology.structure))
    out = []
    for kind, z_all in residuals(topology.restraints, xyz).items():
        target = topology.restraints.target[kind]
        if len(target) == 0:
            continue
        worst = np.argmax(np.abs(z_all), axis=1)
        for i in np.flatnonzero(np.abs(z_all).max(axis=1) > limit):
            z, members = float(z_all[i, worst[i]]), topology.restraints.index[kind][i]
            if kind == "plane":
                members = members[target[i, 1:] > 0]
                ideal, sigma, middle = 0.0, target[i, 0], members[min(worst[i], len(members) - 1)]
            else:
                ideal, sigma, middle = target[i, 0], target[i, 1], members[0 if kind == "chiral" else 1]
            value = ideal + z * sigma
            if kind in ("angle", "torsion"):
                ideal, value = np.degrees(ideal), np.degrees(value)
            if kind == "torsion":
                value = (value + 180.0) % 360.0 - 180.0
            chain, seqid, _ = names[middle]
            out.append(
                {
                    "kind": kind,
                    "atoms": ["/".join(names[m]) for m in members],
                    **_place(chain, seqid),
                    "value": float(value),
                    "ideal": float(ideal),
                    "z": z,
                }
            )
    return sorted(out, key=lambda o: -abs(o["z"]))


def residue_table(
    structure: Structure, density: gemmi.FloatGrid, model_density: gemmi.FloatGrid | None = None
) -> list[dict[str, Any]]:
    """One record per residue in file order: chain, resi, icode, name, b_main, b_side, rscc, phi, psi, rama_class, rama.

    B in Å^2, torsions in degrees. `rscc`: correlation of `density` (2mFo-DFc) with `model_density` (F_model; same
    grid, whole cell) over grid points within 1.5 Å of the residue's atoms; None without it. Raises ValueError for
    grids of different shape.
    """
    torsions = {(t.chain, t.seqid, t.name): t for t in backbone_torsions(structure)}
    correlations = residue_correlations(structure, density, model_density) if model_density is not None else []
    out = []
    for i, r in enumerate(residue_b(structure)):
        t = torsions.get((r.chain, r.seqid, r.name))
        out.append(
            {
                **_place(r.chain, r.seqid),
                "name": r.name,
                "b_main": r.main,
                "b_side": r.side,
                "rscc": correlations[i] if correlations else None,
                "phi": t.phi if t else None,
                "psi": t.psi if t else None,
                "rama_class": t.kind if t and t.region else None,
                "rama": t.region if t else None,
            }
        )
    return out


def residue_correlations(
    structure: Structure, density: gemmi.FloatGrid, model_density: gemmi.FloatGrid
) -> list[float | None]:
    """Real-space correlation of each residue of the hierarchy, in file order; None where the density is constant."""
    sizes = density.shape
    if sizes != model_density.shape:
        raise ValueError(f"the maps have different grids: {sizes} and {model_density.shape}")
    first, second = (np.ravel(np.ascontiguousarray(m.array)) for m in (density, model_density))
    shape = np.array(sizes)
    cell = structure.cell
    frac, orth = np.array(cell.frac.mat.tolist()), np.array(cell.orth.mat.tolist())
    reach = np.ceil(RSCC_RADIUS * np.linalg.norm(frac, axis=1) * shape).astype(int) + 1
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, 3)
    at = structure.xyz @ frac.T * shape
    nearest = np.rint(at).astype(int)
    out: list[float | None] = []
    start = 0
    for chain in structure.hierarchy[0]:
        for res in chain:
            rows = np.arange(start, start + len(res))
            start += len(res)
            points = nearest[rows][:, None] + offsets
            apart = ((points - at[rows][:, None]) / shape) @ orth.T
            inside = points[np.sum(apart**2, axis=-1) < RSCC_RADIUS**2] % shape
            index = np.unique(np.ravel_multi_index(tuple(inside.T), sizes))
            a, b = first[index].astype(float), second[index].astype(float)
            constant = len(index) < 4 or np.ptp(a) == 0 or np.ptp(b) == 0
            out.append(None if constant else float(np.corrcoef(a, b)[0, 1]))
    return out


def ramachandran_counts(residues: list[dict[str, Any]]) -> dict[str, int]:
    """How many residues of a table are favoured, allowed and outliers."""
    found = [r["rama"] for r in residues]
    return {name: found.count(name) for name in ("favoured", "allowed", "outlier")}


def completeness(crystal: Crystal) -> float:
    """Share of the possible unique reflections within the resolution limits that were observed."""
    r = crystal.reflections
    d = r.d
    possible = gemmi.make_miller_array(r.cell, r.spacegroup, float(d.min()) - 1e-6, float(d.max()) + 1e-6)
    return min(1.0, len(r) / max(1, len(possible)))


def wilson(crystal: Crystal, f_model: np.ndarray, structure: Structure, per_shell: int = 200) -> dict[str, Any]:
    """Mean F^2/epsilon in shells of 1/d^2, observed and model, and the B that its fall beyond 4 Å tells.

    Returns `inv_d2`, `observed`, `model` (arrays) and `b` (Å^2, or None without enough data beyond 4 Å): slope of
    ln(<F^2>/sum f^2) against 1/d^2 is -B/2 (Wilson, Nature 150 (1942) 152).
    """
    count = int(np.clip(len(crystal.inv_d2) // per_shell, 8, 50))
    parts = np.array_split(np.argsort(crystal.inv_d2, kind="stable"), count)
    x = np.array([crystal.inv_d2[p].mean() for p in parts])
    observed, model = (
        np.array([np.mean(f[p] ** 2 / crystal.epsilon[p]) for p in parts]) for f in (crystal.amplitude, np.abs(f_model))
    )
    names, counts = np.unique(structure.element, return_counts=True)
    expected = np.zeros(count)
    for name, n in zip(names, counts, strict=True):
        scattering = gemmi.Element(str(name)).it92
        if scattering is not None:
            expected += n * np.array([scattering.calculate_sf(s / 4) ** 2 for s in x])
    chosen = (x > 1 / 16) & (expected > 0) & (observed > 0)
    b = None
    if chosen.sum() > 3:
        b = -2.0 * float(np.polyfit(x[chosen], np.log(observed[chosen] / expected[chosen]), 1)[0])
    return {"inv_d2": x, "observed": observed, "model": model, "b": b}


def _labels(structure: Structure) -> Iterator[tuple[str, str, str]]:
    """Chain, residue number with insertion code, and atom name (with its conformer) of every atom."""
    for chain in structure.hierarchy[0]:
        for res in chain:
            for a in res:
                yield chain.name, str(res.seqid), a.name + (f".{a.altloc}" if a.has_altloc() else "")


def _place(chain: str, seqid: str) -> dict[str, Any]:
    number = gemmi.SeqId(seqid)
    return {"chain": chain, "resi": number.num, "icode": number.icode.strip()}
