"""Structure factors of atoms by FFT, in every space group, differentiable in coordinates, B, U and occupancy.

One asymmetric unit is put on a P1 grid (density.py) and transformed; symmetry enters late, on the reflections:
F(h) = sum over operators (R, t) of exp(2 pi i h.t) F1(hR). Boxes are sized by each atom's own width, and sharp atoms
are blurred by an extra B that is taken off again in reciprocal space (Ten Eyck 1977; Navaza 2002).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import equinox as eqx
import gemmi
import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import erfc

from consilience.precision import full_products
from consilience.xray.density import CHUNK, Boxes, Gaussians, splat

EIGHT_PI2 = 8.0 * float(np.pi**2)
ISOTROPIC = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
B_CLASSES = (25.0, 60.0, 200.0)  # upper bounds of B of the box classes, Å^2
B_TOP = 500.0  # of the last class, where a model has atoms beyond


class Accuracy(NamedTuple):
    """rate: grid points per half d_min; tail: electrons outside an atom's box; blur: share of the full anti-alias B."""

    rate: float
    tail: float
    blur: float


ACCURACY = {"default": Accuracy(1.5, 2e-2, 0.5), "fine": Accuracy(1.7, 2e-5, 1.2)}


class ReflectionIndex(eqx.Module):
    """Where the reflections of a crystal lie in the half grid of a P1 transform.

    `index` (ops, m) flat position, `friedel` (ops, m) whether to conjugate, `phase` (ops, m), `inv_d2` (m,) Å^-2.
    """

    index: np.ndarray
    friedel: np.ndarray
    phase: np.ndarray
    inv_d2: np.ndarray

    @classmethod
    def build(cls, hkl: np.ndarray, shape: tuple[int, int, int], cell: gemmi.UnitCell, sg: gemmi.SpaceGroup):
        """From Miller indices (m, 3) of any asymmetric unit, grid shape, unit cell and space group."""
        ops = sg.operations()
        centring = len(list(ops.cen_ops))
        hkl = np.asarray(hkl, np.int64)
        index, friedel, phase = [], [], []
        for op in ops.sym_ops:
            h = np.rint(hkl @ (np.array(op.rot) / op.DEN)).astype(np.int64)
            negative = h[:, 2] < 0
            h[negative] *= -1
            n0, n1, n2 = shape
            index.append(((h[:, 0] % n0) * n1 + h[:, 1] % n1) * (n2 // 2 + 1) + h[:, 2])
            friedel.append(negative)
            phase.append(centring * np.exp(2j * np.pi * (hkl @ (np.array(op.tran) / op.DEN))))
        absent = np.zeros(len(hkl), bool)
        for tran in ops.cen_ops:  # a centring makes a reflection either unaffected or extinct
            absent |= np.abs((hkl @ (np.array(tran) / 24)) % 1.0 - 0.5) < 0.49
        factor = np.where(absent, 0.0, 1.0)
        inv_d2 = cell.calculate_1_d2_array(hkl.astype(np.int32))
        return cls(np.array(index, np.int32), np.array(friedel), np.array(phase) * factor, inv_d2)

    def gather(self, half: np.ndarray) -> np.ndarray:
        """Structure factors (m,) from the flat half grid; numpy in, numpy out."""
        f = half[self.index]
        return np.sum(np.where(self.friedel, np.conj(f), f) * self.phase, axis=0)


class AtomBoxes(eqx.Module):
    """Which atoms go to boxes of which class: `index` (n_pad,) atom numbers, `live` (n_pad,) 0 for padding."""

    boxes: Boxes = eqx.field(static=True)
    index: np.ndarray
    live: np.ndarray
    chunks: np.ndarray

    @classmethod
    def sort(cls, boxes: Boxes, members: np.ndarray, size_class: np.ndarray) -> AtomBoxes:
        """Members (m,) atom numbers, size_class (m,) their box classes. The padded length depends on m alone."""
        total = (-(-len(members) // CHUNK) + len(boxes.half)) * CHUNK
        fill = members[0] if len(members) else 0  # one of its own kind: an isotropic atom has no tensor to invert
        index, live, chunks = np.full(total, fill, np.int32), np.zeros(total), [0]
        for k in range(len(boxes.half)):
            own = members[size_class == k]
            start = chunks[-1] * CHUNK
            index[start : start + len(own)] = own
            live[start : start + len(own)] = 1.0
            chunks.append(chunks[-1] + -(-len(own) // CHUNK))
        return cls(boxes, index, live, np.array(chunks, np.int32))


class StructureFactors(eqx.Module):
    """A plan that turns atoms into structure factors: grid, boxes and form factors of a fixed list of atoms.

    Call with xyz (n, 3) Å, b (n,) Å^2, occ (n,), u (n, 6) Å^2 (Cartesian 11 22 33 12 13 23, read for the atoms that the
    plan holds as anisotropic) and a ReflectionIndex -> complex (m,).
    """

    precision: Literal["float32", "float64"] = eqx.field(static=True)
    iso: AtomBoxes
    aniso: AtomBoxes | None
    frac: np.ndarray  # (3, 3) Å to fractional
    orth: np.ndarray  # (3, 3) fractional to Å
    a5: np.ndarray  # (n, 5)
    b5: np.ndarray
    blur: np.ndarray  # () Å^2
    blur_max: np.ndarray  # () as an array, so that other displacement parameters need no other program
    b_floor: np.ndarray  # () B that needs no blur
    pinned: np.ndarray | None = None  # (n, 3) box centres held still, for finite differences

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.iso.boxes.shape

    @full_products
    def density(self, xyz: jax.Array, b: jax.Array, occ: jax.Array, u: jax.Array | None = None) -> jax.Array:
        """Blurred density of one asymmetric unit in P1, e/Å^3, on the grid of the plan."""
        grid = xyz @ self.frac.T * np.array(self.shape)
        centre = jnp.round(jax.lax.stop_gradient(grid)) if self.pinned is None else self.pinned
        rho = self._splat(self.iso, grid, centre, occ, self._isotropic(b))
        if self.aniso is not None:
            rho = rho + self._splat(self.aniso, grid, centre, occ, self._anisotropic(u))
        return rho

    def _splat(self, part: AtomBoxes, grid, centre, occ, gaussians) -> jax.Array:
        i = part.index
        form, height = gaussians(i)
        amplitude = (part.live * occ[i])[:, None] * self.a5[i] * height
        atoms = jax.tree.map(lambda a: a.astype(self.precision), Gaussians((centre - grid)[i], form, amplitude))
        corner = (centre[i] % np.array(self.shape)).astype(jnp.int32)
        return splat(part.boxes, atoms, corner, jnp.asarray(part.chunks))

    def _isotropic(self, b):
        step = self.orth / np.array(self.shape)  # grid offset to Å
        metric = _six(step.T @ step)

        def gaussians(i):
            total = self.b5[i] + (b[i] + self.blur)[:, None]
            return (EIGHT_PI2 / 2 / total)[..., None] * metric, (EIGHT_PI2 / 2 / jnp.pi / total) ** 1.5

        return gaussians

    def _anisotropic(self, u):
        step = self.orth / np.array(self.shape)

        def gaussians(i):
            total = u[i][:, None, :] + ((self.b5[i] + self.blur) / EIGHT_PI2)[..., None] * ISOTROPIC
            inverse, det = _inverse(total)
            form = 0.5 * jnp.einsum("ki,...kl,lj->...ij", step, inverse, step)
            return _six(form), 1.0 / jnp.sqrt((2 * jnp.pi) ** 3 * det)

        return gaussians

    def half_grid(self, xyz, b, occ, u=None) -> jax.Array:
        """Flat half grid of P1 structure factors (blurred), complex."""
        rho = self.density(xyz, b, occ, u)
        volume = jnp.abs(jnp.linalg.det(self.orth)).astype(rho.dtype)
        return jnp.conj(jnp.fft.rfftn(rho)).reshape(-1) * (volume / rho.size)

    def unblur(self, inv_d2):
        return jnp.exp(self.blur * inv_d2 / 4)

    def __call__(self, xyz, b, occ, at: ReflectionIndex, u=None) -> jax.Array:
        half = self.half_grid(xyz, b, occ, u)
        f = half[at.index]
        f = jnp.where(at.friedel, jnp.conj(f), f)
        return jnp.sum(f * at.phase.astype(f.dtype), axis=0) * self.unblur(at.inv_d2).astype(self.precision)

    def resort(self, b: np.ndarray, u: np.ndarray | None = None) -> StructureFactors:
        """The same plan with box classes and blur for new displacement parameters; same shapes, no recompilation."""
        large = np.array(b, float)
        small = large.copy()
        members = np.arange(len(large))
        is_aniso = np.zeros(len(large), bool)
        if self.aniso is not None:
            is_aniso[self.aniso.index[self.aniso.live > 0]] = True
            eigenvalues = np.linalg.eigvalsh(matrix(np.asarray(u)[is_aniso])) * EIGHT_PI2
            large[is_aniso], small[is_aniso] = eigenvalues[:, -1], eigenvalues[:, 0]
        blur = np.asarray(np.clip(self.b_floor - small.min(), 0.0, self.blur_max))
        size = np.minimum(np.searchsorted(B_CLASSES, large * 1.05), len(B_CLASSES) - 1)
        iso = AtomBoxes.sort(self.iso.boxes, members[~is_aniso], size[~is_aniso])
        aniso = self.aniso and AtomBoxes.sort(self.aniso.boxes, members[is_aniso], size[is_aniso])
        return eqx.tree_at(lambda p: (p.iso, p.aniso, p.blur), self, (iso, aniso, blur), is_leaf=lambda x: x is None)

    def pin(self, xyz: np.ndarray) -> StructureFactors:
        """The same plan with box centres held where these coordinates put them, in float64: smooth to the end."""
        centre = np.round(np.asarray(xyz) @ self.frac.T * np.array(self.shape))
        pinned = eqx.tree_at(lambda p: p.pinned, self, centre, is_leaf=lambda x: x is None)
        return _with_precision(pinned, "float64")


def _with_precision(plan: StructureFactors, precision) -> StructureFactors:
    fields = {f: getattr(plan, f) for f in plan.__dataclass_fields__}
    return StructureFactors(**{**fields, "precision": precision})


def plan_structure_factors(
    cell: gemmi.UnitCell,
    d_min: float,
    a5: np.ndarray,
    b5: np.ndarray,
    b: np.ndarray,
    u: np.ndarray | None = None,
    is_aniso: np.ndarray | None = None,
    accuracy: str = "default",
    precision: Literal["float32", "float64"] = "float32",
) -> StructureFactors:
    """Choose grid, blur and boxes for form factors a5, b5 (n, 5) and displacement parameters near b (n,) or u.

    "default" is good to about 3e-3 of sum|dF| / sum|F|, "fine" to 1e-4.
    """
    level = ACCURACY[accuracy]
    frac = np.array(cell.frac.mat.tolist())
    orth = np.array(cell.orth.mat.tolist())
    reciprocal = np.linalg.norm(frac, axis=1)
    shape = tuple(good_size(max(8.0, 2 * level.rate / (d_min * r))) for r in reciprocal)
    spacing = 1 / (reciprocal * np.array(shape))
    b_floor = level.blur * EIGHT_PI2 / 1.1 * (d_min / (2 * level.rate)) ** 2
    is_aniso = np.zeros(len(b), bool) if is_aniso is None else np.asarray(is_aniso)
    smallest = (
        float(np.min(b)) if u is None else float(min(np.min(b), np.min(u[is_aniso, :3], initial=1e9) * EIGHT_PI2))
    )
    blur_max = max(0.0, b_floor - max(1.0, 0.4 * smallest))
    half = []
    largest = float(np.max(b, initial=0.0))
    if u is not None:
        largest = max(largest, float(np.max(u[is_aniso, :3], initial=0.0)) * EIGHT_PI2)
    for bound in (*B_CLASSES[:-1], B_CLASSES[-1] if largest <= B_CLASSES[-1] else B_TOP):
        radius = box_radius(bound + blur_max, a5.mean(0), b5.mean(0), level.tail)
        half.append(tuple(int(np.ceil(radius / s - 0.5)) for s in spacing))
    metric = orth.T @ orth
    coupled = tuple(bool(abs(metric[i, j]) > 1e-9 * metric[i, i]) for i, j in ((0, 1), (0, 2), (1, 2)))
    boxes = Boxes(shape, tuple(half), coupled)  # type: ignore[arg-type]
    everyone = np.arange(len(b))
    zero = np.zeros(len(b), int)
    iso = AtomBoxes.sort(boxes, everyone[~is_aniso], zero[~is_aniso])
    aniso = None
    if is_aniso.any():
        aniso = AtomBoxes.sort(boxes._replace(coupled=(True, True, True)), everyone[is_aniso], zero[is_aniso])
    plan = StructureFactors(precision, iso, aniso, frac, orth, a5, b5, *map(np.array, (0.0, blur_max, b_floor)))
    return plan.resort(b, u)


def good_size(n: float) -> int:
    """Smallest even number >= n whose prime factors are 2, 3 and 5."""
    m = 2 * int(np.ceil(n / 2))
    while True:
        rest = m
        for p in (2, 3, 5):
            while rest % p == 0:
                rest //= p
        if rest == 1:
            return m
        m += 2


def box_radius(b: float, a: np.ndarray, b5: np.ndarray, tail: float) -> float:
    """Radius in Å outside of which an atom with displacement parameter b has less than `tail` of its electrons."""
    r = np.linspace(0.5, 15.0, 600)
    z = r / np.sqrt((b5 + b) / EIGHT_PI2 * 2)[:, None]
    outside = np.abs(a) @ (erfc(z) + 2 / np.sqrt(np.pi) * z * np.exp(-z * z)) / np.abs(a).sum()
    return float(r[np.argmax(outside < tail)])


def matrix(six):
    """(..., 6) as 11 22 33 12 13 23 to symmetric (..., 3, 3)."""
    return six[..., np.array([[0, 3, 4], [3, 1, 5], [4, 5, 2]])]


def _six(m):
    return jnp.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2], m[..., 0, 1], m[..., 0, 2], m[..., 1, 2]], -1)


def _inverse(six):
    """Inverse (..., 3, 3) and determinant of symmetric 3 x 3 tensors given as (..., 6)."""
    cofactors, det = _adjugate(six)
    return matrix(cofactors) / det[..., None, None], det


def inverse(six):
    """Inverse (..., 6) of symmetric 3 x 3 tensors (..., 6)."""
    cofactors, det = _adjugate(six)
    return cofactors / det[..., None]


def _adjugate(six):
    a, b, c, d, e, f = (six[..., i] for i in range(6))
    co = (b * c - f * f, a * c - e * e, a * b - d * d, e * f - c * d, d * f - b * e, d * e - a * f)
    return jnp.stack(co, -1), a * co[0] + d * co[3] + e * co[4]
