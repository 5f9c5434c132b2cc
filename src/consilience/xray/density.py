"""Electron density of atoms on a periodic grid: truncated Gaussians in boxes, and the exact adjoint.

An atom is a sum of Gaussians. On the grid a Gaussian factorises into tables over pairs of axes, so that a box of W^3
points costs W^2 exponentials: rho = exp(-t'Qt), with t the grid offset and Q the 3 x 3 form in grid units. Boxes are
added to a grid with margins, which is folded periodically at the end; the adjoint gathers the same boxes and pulls them
back through the same function, so value and gradient belong to each other exactly.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from consilience.precision import full_products

EXPONENT_MAX = 40.0
CHUNK = 64  # atoms per vectorised step: a chunk of boxes stays in the second-level cache


class Boxes(NamedTuple):
    """Static shape of the boxes: half widths in grid points of each size class, for each axis."""

    shape: tuple[int, int, int]
    half: tuple[tuple[int, int, int], ...]
    coupled: tuple[bool, bool, bool] = (True, True, True)  # whether Q has entries 01, 02, 12

    @property
    def margin(self) -> tuple[int, int, int]:
        return tuple(max(h[i] for h in self.half) for i in range(3))  # type: ignore[return-value]

    @property
    def padded(self) -> tuple[int, int, int]:
        return tuple(n + 2 * m for n, m in zip(self.shape, self.margin, strict=True))  # type: ignore[return-value]


class Gaussians(NamedTuple):
    """Atoms as Gaussians in grid units, sorted by box class and padded to whole chunks.

    `offset` (n, 3): box centre minus atom, in grid points; `form` (n, g, 6): Q as 00 11 22 01 02 12;
    `amplitude` (n, g) in electrons per Å^3.
    """

    offset: jax.Array
    form: jax.Array
    amplitude: jax.Array


@full_products
def box_density(
    atoms: Gaussians, half: tuple[int, int, int], coupled: tuple[bool, bool, bool], as_dot: bool = False
) -> jax.Array:
    """Density of a chunk of atoms in their own boxes, (c, W0, W1, W2).

    `as_dot` writes the sum over Gaussians as a matrix product where it can: slower forwards, faster to pull back.
    """
    t = [atoms.offset[:, None, i, None] + jnp.arange(-half[i], half[i] + 1) for i in range(3)]  # (c, 1, W)
    q = [atoms.form[..., i, None] for i in range(6)]  # (c, g, 1)
    e = [-q[i] * t[i] ** 2 for i in range(3)]  # (c, g, W)
    pairs = ((0, 1), (0, 2), (1, 2))

    def cross(k: int) -> jax.Array:
        i, j = pairs[k]
        return -2.0 * q[3 + k][..., None] * t[i][..., :, None] * t[j][..., None, :]

    amp = atoms.amplitude[..., None, None]
    if not (coupled[1] or coupled[2]):  # plane x line
        xy = e[0][..., :, None] + e[1][..., None, :] + cross(0) if coupled[0] else None
        if xy is None:
            plane = jnp.exp(e[0])[..., :, None] * jnp.exp(e[1])[..., None, :]
        else:
            plane = jnp.exp(xy)
        plane, line = amp * plane, jnp.exp(e[2])
        if as_dot:
            return jnp.einsum("cgxy,cgz->cxyz", plane, line)
        terms = [plane[:, g, :, :, None] * line[:, g, None, None, :] for g in range(plane.shape[1])]
        return sum(terms[1:], terms[0])
    if not (coupled[0] or coupled[2]):  # the plane is (0, 2): monoclinic, unique axis b
        plane, line = amp * jnp.exp(e[0][..., :, None] + e[2][..., None, :] + cross(1)), jnp.exp(e[1])
        if as_dot:
            return jnp.einsum("cgxz,cgy->cxyz", plane, line)
        terms = [plane[:, g, :, None, :] * line[:, g, None, :, None] for g in range(plane.shape[1])]
        return sum(terms[1:], terms[0])
    # Three tables, each with half of the diagonal of its two axes. One exponent may be positive, their sum is not: with
    # the bound no product overflows, and what it changes is nil (the other two exponents are far below zero there).
    table = [
        jnp.exp(jnp.minimum(0.5 * (e[i][..., :, None] + e[j][..., None, :]) + cross(k), EXPONENT_MAX))
        for k, (i, j) in enumerate(pairs)
    ]
    xy, xz, yz = amp * table[0], table[1], table[2]
    terms = [
        xy[:, g, :, :, None] * xz[:, g, :, None, :] * yz[:, g, None, :, :]  # one Gaussian at a time: fused loops
        for g in range(xy.shape[1])
    ]
    return sum(terms[1:], terms[0])


def _take(tree: Gaussians, start: jax.Array) -> Gaussians:
    return jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, start, CHUNK), tree)


def _corner(centre: jax.Array, boxes: Boxes, half: tuple[int, int, int]) -> jax.Array:
    """Lower corners of boxes in the padded grid."""
    return centre + jnp.array([m - h for m, h in zip(boxes.margin, half, strict=True)], centre.dtype)


def _fold(rho: jax.Array, boxes: Boxes) -> jax.Array:
    """Periodic sum of the margins into the cell."""
    for axis, (n, m) in enumerate(zip(boxes.shape, boxes.margin, strict=True)):
        part = partial(jax.lax.slice_in_dim, rho, axis=axis)
        if 2 * m <= n:
            low = part(m, 2 * m) + part(n + m, n + 2 * m)
            high = part(n, n + m) + part(0, m)
            rho = jax.lax.concatenate([low, part(2 * m, n), high], axis)
        else:  # a box wider than the cell wraps several times
            target = jnp.asarray(np.arange(-m, n + m) % n)
            moved = jnp.moveaxis(rho, axis, 0)
            rho = jnp.moveaxis(jnp.zeros((n, *moved.shape[1:]), rho.dtype).at[target].add(moved), 0, axis)
    return rho


def _unfold(field: jax.Array, boxes: Boxes) -> jax.Array:
    for axis, (n, m) in enumerate(zip(boxes.shape, boxes.margin, strict=True)):
        field = jnp.take(field, jnp.asarray((np.arange(-m, n + m)) % n), axis=axis)
    return field


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def splat(boxes: Boxes, atoms: Gaussians, centre: jax.Array, chunks: jax.Array) -> jax.Array:
    """Density on the periodic grid, shape `boxes.shape`.

    centre (n, 3) int32: box centres in [0, N); chunks (classes + 1,) int32: first chunk of each class. Differentiable
    in `atoms`; `centre` and `chunks` are constants.
    """
    rho = jnp.zeros(boxes.padded, atoms.offset.dtype)
    serial = jax.default_backend() == "cpu"
    for k, half in enumerate(boxes.half):
        width = tuple(2 * h + 1 for h in half)

        def chunk(i, rho, half=half, width=width):
            box = box_density(_take(atoms, i * CHUNK), half, boxes.coupled)
            corner = _corner(jax.lax.dynamic_slice_in_dim(centre, i * CHUNK, CHUNK), boxes, half)
            if not serial:
                return jax.lax.scatter_add(rho, corner, box, _SCATTER, mode="promise_in_bounds")

            def one(j, rho):
                at = (corner[j, 0], corner[j, 1], corner[j, 2])
                return jax.lax.dynamic_update_slice(rho, jax.lax.dynamic_slice(rho, at, width) + box[j], at)

            return jax.lax.fori_loop(0, CHUNK, one, rho)

        rho = jax.lax.fori_loop(chunks[k], chunks[k + 1], chunk, rho)
    return _fold(rho, boxes)


_SCATTER = jax.lax.ScatterDimensionNumbers((1, 2, 3), (), (0, 1, 2))
_GATHER = jax.lax.GatherDimensionNumbers((1, 2, 3), (), (0, 1, 2))


def _splat_fwd(boxes, atoms, centre, chunks):
    return splat(boxes, atoms, centre, chunks), (atoms, centre, chunks)


def _splat_bwd(boxes, residuals, cotangent):
    atoms, centre, chunks = residuals
    field = _unfold(cotangent, boxes)
    serial = jax.default_backend() == "cpu"
    grad = jax.tree.map(jnp.zeros_like, atoms)
    for k, half in enumerate(boxes.half):
        width = tuple(2 * h + 1 for h in half)

        def chunk(i, grad, half=half, width=width):
            part = _take(atoms, i * CHUNK)
            corner = _corner(jax.lax.dynamic_slice_in_dim(centre, i * CHUNK, CHUNK), boxes, half)
            if serial:

                def one(j, acc):
                    box = jax.lax.dynamic_slice(field, (corner[j, 0], corner[j, 1], corner[j, 2]), width)
                    return jax.lax.dynamic_update_slice(acc, box[None], (j, 0, 0, 0))

                values = jax.lax.fori_loop(0, CHUNK, one, jnp.zeros((CHUNK, *width), field.dtype))
            else:
                values = jax.lax.gather(field, corner, _GATHER, (*width,), mode="promise_in_bounds")
            _, pull = jax.vjp(lambda a: box_density(a, half, boxes.coupled, as_dot=True), part)
            (g,) = pull(values)
            return jax.tree.map(lambda acc, new: jax.lax.dynamic_update_slice_in_dim(acc, new, i * CHUNK, 0), grad, g)

        grad = jax.lax.fori_loop(chunks[k], chunks[k + 1], chunk, grad)
    return grad, None, None


splat.defvjp(_splat_fwd, _splat_bwd)
