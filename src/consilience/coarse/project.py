"""All-atom frames to beads with their forces: the maps of positions and forces applied, compared and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from consilience.coarse.atoms import AtomFrames
from consilience.coarse.beadmap import BeadMap
from consilience.coarse.beads import Beads, runs
from consilience.coarse.forcemap import ForceMap, basic_map, check_valid, optimal_map, slice_map
from consilience.coarse.inversion import most_frequent
from consilience.coarse.noise import residual_noise
from consilience.coarse.sharedmap import SharedMap, fit_shared
from consilience.core.errors import InputError
from consilience.units import KCAL_MOL

_BLOCKS = 20
_MOST_GROUPS = 1500  # of a map of one protein's own; beyond, no trajectory is long enough for it


@dataclass(frozen=True)
class Coarsened:
    """One protein as beads: its maps, the beads with the forces of the chosen one, and figures in kcal/mol/Å.

    `rms`: r.m.s. force by map at the most frequent temperature. `deviation`: of the chosen map from validity.
    `mean_force_z`: r.m.s. of the difference between the mean forces of the chosen and the basic map in units of its
    standard error, about 1 where they agree. `noise`: see `noise.residual_noise`. `coverage`: share of atoms that a
    shared map knew.
    """

    frames: AtomFrames
    map: BeadMap
    chosen: ForceMap
    beads: Beads
    rms: dict[str, float]
    deviation: float
    mean_force_z: float | None
    noise: float | None
    coverage: float | None = None


def merge(parts: Sequence[AtomFrames]) -> list[AtomFrames]:
    """Trajectories of one molecule joined into one; each stays a trajectory of its own."""
    out: list[AtomFrames] = []
    for part in parts:
        twin = next((k for k, a in enumerate(out) if _same(a, part)), None)
        if twin is None:
            out.append(part)
            continue
        a = out[twin]
        if not np.array_equal(a.groups, part.groups):
            where = f"{a.path}, {part.path}"
            raise InputError("trajectories of one molecule have different constraints", where, fix="--constraints none")
        shift = int(a.trajectory.max()) + 1
        both: dict[str, np.ndarray] = {
            k: np.concatenate([getattr(a, k), getattr(part, k)]) for k in ("positions", "forces", "temperature")
        }
        trajectory = np.concatenate([a.trajectory, part.trajectory - part.trajectory.min() + shift])
        out[twin] = replace(a, **both, trajectory=trajectory, box=None, findings=(*a.findings, *part.findings))
    names = [a.name for a in out]
    return [replace(a, name=f"{a.name}-{k + 1}") if names.count(a.name) > 1 else a for k, a in enumerate(out)]


def _same(a: AtomFrames, b: AtomFrames) -> bool:
    return np.array_equal(a.topology.names, b.topology.names) and np.array_equal(
        a.topology.residue_names[a.topology.residue], b.topology.residue_names[b.topology.residue]
    )


def choose_maps(
    proteins: Sequence[tuple[AtomFrames, BeadMap]], kind: str, given: SharedMap | None
) -> tuple[list[ForceMap], SharedMap | None]:
    """The force map of each protein, and the shared map where the beads are CA.

    "optimal": the map shared by residue type of several proteins; of a single one its own, unless the shared
    parameters fitted to it do better on trajectories left out (few frames of a large protein). `given` is used as it
    is.
    """
    alike = all(b.is_ca for _, b in proteins)
    if given is not None:
        if not alike:
            raise InputError("a force map learned elsewhere is for CA beads", fix="leave out --force-map or --map")
        return [given.map_of(a.topology, b, a.groups) for a, b in proteins], given
    if kind == "slice":
        return [slice_map(b) for _, b in proteins], None
    if kind == "basic":
        return [basic_map(b, a.groups) for a, b in proteins], None
    shared = fit_shared(proteins) if alike else None
    large = max(int(a.groups.max()) + 1 for a, _ in proteins) > _MOST_GROUPS
    if shared is not None and (len(proteins) > 1 or large):
        return [shared.map_of(a.topology, b, a.groups) for a, b in proteins], shared
    made = [optimal_map(a.group_forces(), b, a.groups, a.temperature, a.trajectory) for a, b in proteins]
    if shared is not None and shared.validated:
        a, b = proteins[0]
        own = min((made[0].validated or {0.0: 0.0}).values()) / KCAL_MOL**2
        if float(np.mean(list(shared.validated.values()))) < own:
            made = [shared.map_of(a.topology, b, a.groups)]
    return made, shared


def coarsen_one(frames: AtomFrames, beads: BeadMap, chosen: ForceMap, shared: SharedMap | None = None) -> Coarsened:
    """The beads of one protein, and every figure about its maps."""
    basic = basic_map(beads, frames.groups)
    maps: Mapping[str, ForceMap] = {"slice": slice_map(beads), "basic": basic, chosen.kind: chosen}
    x = beads.positions(frames.positions)
    forces = {k: m(frames.forces) for k, m in maps.items()}
    rows = np.abs(frames.temperature - most_frequent([frames.temperature])) < 0.51
    rms = {k: float(np.sqrt(np.mean(f[rows] ** 2))) / KCAL_MOL for k, f in forces.items()}
    made = Beads(
        name=frames.name,
        residues=beads.names,
        chain=beads.chain,
        number=beads.number,
        positions=x,
        forces=forces[chosen.kind],
        temperature=frames.temperature,
        trajectory=frames.trajectory,
        path=frames.path,
        weights=None if beads.is_ca else _bead_masses(frames, beads),
    )
    noise = residual_noise(made)
    return Coarsened(
        frames=frames,
        map=beads,
        chosen=chosen,
        beads=made,
        rms=rms,
        deviation=check_valid(chosen.weights, beads, frames.groups),
        mean_force_z=mean_force_z(made, forces[chosen.kind] - forces["basic"]) if chosen.kind != "basic" else None,
        noise=None if noise is None else noise / KCAL_MOL,
        coverage=shared.coverage(frames.topology, beads, frames.groups) if shared and chosen.kind == "shared" else None,
    )


def _bead_masses(frames: AtomFrames, beads: BeadMap) -> np.ndarray:
    """(b,) amu: of the atoms of each bead and the hydrogens and others that are rigidly tied to them."""
    inside = np.stack([np.bincount(frames.groups, w > 0, frames.groups.max() + 1) > 0 for w in beads.weights])
    return (inside[:, frames.groups] * frames.masses).sum(1)


@np.errstate(all="ignore")
def mean_force_z(beads: Beads, difference: np.ndarray) -> float | None:
    """R.m.s. of the mean of a difference of two force maps (f, b, 3) over its standard error, from blocks in time.

    The difference of two valid maps is noise without a mean at any configuration: its projections on bonds and next
    bonds, and their products with how far these are stretched, all average to zero.
    """
    pairs = np.concatenate([beads.bonds, runs(beads.chain, beads.number, 3)[:, [0, 2]]])
    if not len(pairs) or len(beads) < 2 * _BLOCKS:
        return None
    d = beads.positions[:, pairs[:, 1]] - beads.positions[:, pairs[:, 0]]
    r = np.linalg.norm(d, axis=-1)
    along = np.einsum("fpk,fpk->fp", difference[:, pairs[:, 1]] - difference[:, pairs[:, 0]], d / r[..., None])
    stretch = (r - r.mean(0)) / r.std(0)
    values = np.concatenate([along, along * stretch], axis=1)
    blocks = np.stack([b.mean(0) for b in np.array_split(values, _BLOCKS)])
    z = blocks.mean(0) / (blocks.std(0, ddof=1) / np.sqrt(_BLOCKS))
    z = z[np.isfinite(z)]
    return float(np.sqrt(np.mean(z**2))) if len(z) else None
