"""Amides in heavy atoms: which atoms of a model frame each N-H, and its direction as a smooth function of them."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from consilience.nmr.data import Residue
from consilience.nmr.vectors import chains_of
from consilience.structure.atoms import Structure


def amide_atoms(structure: Structure, residues: Sequence[Residue]) -> np.ndarray:
    """(n, 3) numbers of C' of the residue before, N and CA in the structure's arrays; rows of -1 where there is none.

    Prolines and residues that begin a chain or follow a gap have none. Chains are matched as in `amide_vectors`, the
    first conformer of each atom is taken.
    """
    chain_of = chains_of(structure, residues)
    found: dict[tuple[str, int], tuple[int, int, int]] = {}
    atom = 0
    for chain in structure.hierarchy[0]:
        before = -1
        for res in chain:
            names: dict[str, int] = {}
            for a in res:
                names.setdefault(a.name.upper(), atom)
                atom += 1
            n, ca = names.get("N", -1), names.get("CA", -1)
            bonded = before >= 0 and n >= 0 and 0.8 < np.linalg.norm(structure.xyz[n] - structure.xyz[before]) < 2.2
            number = res.seqid.num
            if bonded and ca >= 0 and number is not None and res.seqid.icode == " " and res.name not in ("PRO", "HYP"):
                found.setdefault((chain.name, number), (before, n, ca))
            if n >= 0 or ca >= 0:
                before = names.get("C", -1)
    none = (-1, -1, -1)
    return np.array([found.get((chain_of.get(r.chain, ""), r.number), none) for r in residues], int).reshape(-1, 3)


def _unit(v, fallback):
    """v / |v| along the last axis, and `fallback` with zero gradient where v vanishes."""
    square = jnp.sum(v * v, -1, keepdims=True)
    good = square > 1e-12
    return jnp.where(good, v / jnp.sqrt(jnp.where(good, square, 1.0)), fallback)


def amide_frames(places):
    """Unit vectors (n, 3), (n, 3) from C', N, CA at places (n, 3, 3) Å: N to H, and across it in the plane towards C'.

    H lies opposite to the bisector of C'-N-CA. Atoms that coincide or lie in line give fixed directions with zero
    gradient.
    """
    z, x = jnp.array([0.0, 0.0, 1.0], places.dtype), jnp.array([1.0, 0.0, 0.0], places.dtype)
    zero = jnp.zeros(3, places.dtype)
    to_c = _unit(places[:, 0] - places[:, 1], zero)
    to_ca = _unit(places[:, 2] - places[:, 1], zero)
    nh = _unit(-(to_c + to_ca), z)
    side = _unit(to_c - jnp.sum(to_c * nh, -1, keepdims=True) * nh, x)
    return nh, side
