"""Reflections mapped to the asymmetric unit of reciprocal space, and the phase change that goes with the mapping."""

from __future__ import annotations

import gemmi
import numpy as np


def map_to_asu(hkl: np.ndarray, spacegroup: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray]:
    """Equivalent indices in the CCP4 asymmetric unit.

    `hkl` (n, 3) int. Returns (n, 3) int32 and `isym` (n,): odd 2k+1 where h_asu = h R_k, even 2k+2 where
    h_asu = -h R_k (k counts the symmetry operations), as in the M/ISYM column of MTZ files.
    """
    asu, ops = gemmi.ReciprocalAsu(spacegroup), spacegroup.operations()
    out = np.array(hkl, np.int32)
    isym = np.ones(len(out), int)
    for i, h in enumerate(out.tolist()):
        if not asu.is_in(h):
            out[i], isym[i] = asu.to_asu(h, ops)
    return out, isym


def phases_from_asu(phase: np.ndarray, hkl: np.ndarray, isym: np.ndarray, spacegroup: gemmi.SpaceGroup) -> np.ndarray:
    """Phases (degrees) at `hkl` from those at its asymmetric-unit equivalents.

    F(h R) = F(h) exp(-2 pi i h.t), so phi(h) = phi(h R) + 2 pi h.t; for the Friedel mate phi(h R) changes its sign.
    """
    ops = spacegroup.operations().sym_ops
    out = np.array(phase, float)
    for i in np.flatnonzero(isym != 1):
        op = ops[(int(isym[i]) - 1) // 2]
        shift = np.degrees(op.phase_shift([int(v) for v in hkl[i]]))
        out[i] = (out[i] if isym[i] % 2 else -out[i]) - shift
    return (out + 180.0) % 360.0 - 180.0


def hkl_keys(hkl: np.ndarray) -> np.ndarray:
    """(n,) int64, one number per index triple (|h|, |k|, |l| < 2^20), for grouping and look-up."""
    h = np.asarray(hkl, np.int64) + (1 << 20)
    return (h[:, 0] << 42) | (h[:, 1] << 21) | h[:, 2]
