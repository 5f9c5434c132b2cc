"""Overall scale, anisotropic correction and flat bulk solvent.

F_model = k exp(-s'Bs/4) (F_c + k_sol exp(-B_sol s^2/4) F_mask).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import gemmi
import numpy as np
from scipy.optimize import least_squares

EIGHT_PI2 = 8 * np.pi**2
K_SOL, B_SOL = (0.0, 0.8), (10.0, 300.0)  # bounds: e/Å^3, Å^2


@dataclass(frozen=True)
class Scale:
    """Scale factors of one data set: overall k, traceless anisotropic B (6,) Å^2 Cartesian 11 22 33 12 13 23, solvent.

    `b_overall` Å^2 is the isotropic part that the fit wants; it belongs into the atomic B, not here.
    """

    k: float
    b_aniso: np.ndarray
    k_sol: float
    b_sol: float
    b_overall: float = 0.0

    def overall(self, s_cart: np.ndarray) -> np.ndarray:
        """k exp(-s'Bs/4), (m,), for scattering vectors s (m, 3) in Å^-1 (isotropic part included)."""
        return self.k * np.exp(-_quadratic(s_cart) @ (self.b_aniso + self.b_overall * _ISO) / 4)

    def solvent(self, inv_d2: np.ndarray) -> np.ndarray:
        """k_sol exp(-B_sol s^2/4), (m,)."""
        return self.k_sol * np.exp(-self.b_sol * inv_d2 / 4)

    def without_isotropic(self) -> Scale:
        return replace(self, b_overall=0.0)

    def as_dict(self) -> dict[str, float]:
        return {"k_overall": self.k, "k_sol": self.k_sol, "b_sol": self.b_sol}


_ISO = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])


def scattering_vectors(hkl: np.ndarray, cell: gemmi.UnitCell) -> np.ndarray:
    """(m, 3) reciprocal vectors in the Cartesian frame, Å^-1."""
    return np.asarray(hkl, float) @ np.array(cell.frac.mat.tolist())


def _quadratic(s: np.ndarray) -> np.ndarray:
    x, y, z = s.T
    return np.stack([x * x, y * y, z * z, 2 * x * y, 2 * x * z, 2 * y * z], 1)


def invariant_tensors(sg: gemmi.SpaceGroup, cell: gemmi.UnitCell) -> np.ndarray:
    """(k, 6) orthonormal basis of the traceless symmetric tensors that the crystal's point group leaves unchanged."""
    orth, frac = np.array(cell.orth.mat.tolist()), np.array(cell.frac.mat.tolist())
    pick = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    average = np.zeros((6, 6))
    ops = list(sg.operations().sym_ops)
    for op in ops:
        r = orth @ (np.array(op.rot) / op.DEN) @ frac
        for c, (i, j) in enumerate(pick):
            e = np.zeros((3, 3))
            e[i, j] = e[j, i] = 1.0
            moved = r @ e @ r.T
            average[:, c] += [moved[p] for p in pick]
    average /= len(ops)
    traceless = np.eye(6)
    traceless[:3, :3] -= 1 / 3
    u, size, _ = np.linalg.svd(average @ traceless)
    return u[:, size > 1e-6].T


def fit_scale(
    f_obs: np.ndarray,
    sigma: np.ndarray,
    f_calc: np.ndarray,
    f_mask: np.ndarray,
    hkl: np.ndarray,
    cell: gemmi.UnitCell,
    sg: gemmi.SpaceGroup,
    start: Scale | None = None,
) -> Scale:
    """Least-squares fit (robust loss) of all scale parameters to amplitudes (m,) with their sigmas.

    f_calc, f_mask complex (m,). Pass work reflections only. The anisotropic part obeys the crystal's point group and is
    traceless.
    """
    s = scattering_vectors(hkl, cell)
    quad = _quadratic(s)
    inv_d2 = np.sum(s * s, axis=1)
    basis = quad @ invariant_tensors(sg, cell).T  # (m, k)
    weight = 1.0 / np.sqrt(sigma**2 + (0.05 * f_obs) ** 2 + np.mean(sigma) ** 2)
    has_solvent = bool(np.any(f_mask))

    def model(p):
        solvent = p[2] * np.exp(-p[3] * inv_d2 / 4)
        total = f_calc + solvent * f_mask
        outer = np.exp(p[0] - p[1] * inv_d2 / 4 - basis @ p[4:] / 4)
        return outer, solvent, total

    def residual(p):
        outer, _, total = model(p)
        return weight * (f_obs - outer * np.abs(total))

    def jacobian(p):
        outer, solvent, total = model(p)
        size = np.abs(total)
        y = outer * size
        along = np.real(np.conj(total) * f_mask) / np.maximum(size, 1e-9)  # d|total| / d(solvent factor)
        columns = [
            y,
            -y * inv_d2 / 4,
            outer * along * np.exp(-p[3] * inv_d2 / 4),
            -outer * along * solvent * inv_d2 / 4,
        ]
        columns += [-y * b / 4 for b in basis.T]
        j = -weight[:, None] * np.stack(columns, 1)
        if not has_solvent:
            j[:, 2:4] = 0.0
        return j

    def log_k(k_sol, b_sol):
        y = np.abs(f_calc + k_sol * np.exp(-b_sol * inv_d2 / 4) * f_mask)
        return np.log(max((f_obs * y).sum() / max((y * y).sum(), 1e-300), 1e-300))

    if start is None:
        trials = [(0.35, 50.0), (0.25, 90.0), (0.1, 50.0)] if has_solvent else [(0.0, 50.0)]
        starts = [np.r_[log_k(*t), 0.0, t, np.zeros(basis.shape[1])] for t in trials]
    else:
        tensor = invariant_tensors(sg, cell)
        starts = [np.r_[np.log(start.k), 0.0, start.k_sol, start.b_sol, tensor @ start.b_aniso]]
    low = np.r_[-30, -100, K_SOL[0], B_SOL[0], np.full(basis.shape[1], -150.0)]
    high = np.r_[30, 300, K_SOL[1], B_SOL[1], np.full(basis.shape[1], 150.0)]
    scale = np.r_[0.1, 2.0, 0.1, 20.0, np.full(basis.shape[1], 2.0)]
    best = None
    for p0 in starts:
        p0 = np.clip(p0, low + 1e-6, high - 1e-6)
        fit = least_squares(residual, p0, jacobian, (low, high), x_scale=scale, loss="soft_l1", max_nfev=30)  # type: ignore[arg-type]
        if best is None or fit.cost < best.cost:
            best = fit
    assert best is not None
    p = best.x
    aniso = invariant_tensors(sg, cell).T @ p[4:]
    return Scale(float(np.exp(p[0])), aniso, float(p[2]) if has_solvent else 0.0, float(p[3]), float(p[1]))
