"""Two domains that tumble as one, with relaxation data of known truth."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import jax.numpy as jnp
import numpy as np
from scipy.spatial.transform import Rotation

from consilience.nmr.amide_constants import CSA_ANGLE
from consilience.nmr.amides import amide_atoms, amide_frames
from consilience.nmr.data import Column, RelaxationData, Residue
from consilience.nmr.predict import predict_rates
from consilience.structure.atoms import Structure

RHOMBIC, AXIAL, ISOTROPIC = (1.0, 1.4, 2.2), (1.0, 1.0, 2.0), (1.0, 1.0, 1.0)
PLANE = np.array([[-0.7, 1.13, 0.0], [0.0, 0.0, 0.0], [-0.75, -1.25, 0.0]])  # Å, C' N CA with H near +x
KINDS = ("R1", "R2", "NOE", "etaxy", "etaz")


def molecule(residues: int = 40, seed: int = 0) -> Structure:
    """Chains A and B of peptide planes (N, CA, C of each residue) whose N-H directions cover the sphere."""
    rng = np.random.default_rng(seed)
    st = gemmi.Structure()
    model = gemmi.Model(1)
    for k, name in enumerate("AB"):
        chain, turns = gemmi.Chain(name), Rotation.random(residues + 1, rng).as_matrix()
        centre = np.array([35.0 * k, 0, 0])
        planes = [turn @ (PLANE.T) for turn in turns]
        at = centre + 8.0 * rng.normal(size=(residues + 1, 3))
        for i in range(residues + 1):
            res = gemmi.Residue()
            res.name, res.seqid = "ALA", gemmi.SeqId(str(i + 1))
            spots = [("N", planes[i].T[1] + at[i]), ("CA", planes[i].T[2] + at[i])]
            if i < residues:  # C' of this residue belongs to the plane of the next amide
                spots.append(("C", planes[i + 1].T[0] + at[i + 1]))
            for atom_name, place in spots:
                atom = gemmi.Atom()
                atom.name, atom.element, atom.pos = atom_name, gemmi.Element(atom_name[0]), gemmi.Position(*place)
                res.add_atom(atom)
            chain.add_residue(res)
        model.add_chain(chain)
    st.add_model(model)
    return Structure.from_hierarchy(st, "two domains")


def residues_of(structure: Structure) -> tuple[Residue, ...]:
    """All amides."""
    return tuple(Residue(int(r.seqid.num or 0), r.name, c.name) for c in structure.hierarchy[0] for r in list(c)[1:])


def as_csv(data: RelaxationData) -> str:
    """The table that the commands read."""
    names = [f"{c.kind}_{c.field:g}" for c in data.columns]
    rows = ["chain,residue,name," + ",".join(f"{n},{n}_err" for n in names)]
    for r, values, errors in zip(data.residues, data.value, data.sigma, strict=True):
        cells = [f"{v:.6g},{e:.3g}" for v, e in zip(values, errors, strict=True)]
        rows.append(",".join([r.chain, str(r.number), r.name, *cells]))
    return "\n".join(rows) + "\n"


def tensor(values: Sequence[float], tau_c: float = 12.0) -> np.ndarray:
    """(3, 3) rad^2/ns in a frame of its own, with eigenvalues in the ratio of `values`."""
    d = np.array(values) / np.sum(values) / (2 * tau_c)
    axes = Rotation.from_rotvec([0.5, -0.8, 0.3]).as_matrix()
    return (axes * d) @ axes.T


def relaxation(
    structure: Structure,
    diffusion: np.ndarray,
    *,
    kinds: Sequence[str] = KINDS,
    fields: Sequence[float] = (600.0, 800.0),
    noise: float = 0.01,
    seed: int = 0,
) -> RelaxationData:
    """Rates of all amides with noise: relative, for the NOE absolute; S2 0.78 to 0.92, te 10 to 60 ps."""
    rng = np.random.default_rng([seed, 7])
    residues = residues_of(structure)
    nh, side = amide_frames(jnp.asarray(structure.xyz)[amide_atoms(structure, residues)])
    angle = np.radians(CSA_ANGLE)
    s2, te = rng.uniform(0.78, 0.92, len(residues)), rng.uniform(0.01, 0.06, len(residues))
    axis = np.cos(angle) * np.asarray(nh) + np.sin(angle) * np.asarray(side)
    found = predict_rates(1.02 * np.asarray(nh), diffusion, fields, s2=s2, te=te, csa_axis=axis)
    columns = [Column(kind, f) for kind in kinds for f in fields]  # type: ignore[arg-type]
    exact = np.concatenate([np.asarray(found[k]) for k in kinds], 1)
    sigma = np.where([c.kind == "NOE" for c in columns], noise, noise * np.abs(exact))
    return RelaxationData(residues, tuple(columns), exact + sigma * rng.normal(size=exact.shape), sigma)
