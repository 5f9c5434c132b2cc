"""Force maps measured: r.m.s. forces of own and transferred maps, and their noise about the mean force of frozen CA.

    python force_maps.py FOLDER [--frozen chignolin --frames 16 --ps 6]

FOLDER holds NAME.npz (pos, frc, constraints, temp, traj) and NAME.pdb of several proteins. Each shared map is fitted
on all proteins but the one it is tested on. --frozen holds the CA of one protein still (OpenMM, ff99SB-ILDN with OBC2,
300 K, 1 fs, no constraints) and compares, between maps, noise and mean forces (blocks of the same frames).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from consilience.coarse.atoms import AtomFrames
from consilience.coarse.beadmap import BeadMap, alpha_map
from consilience.coarse.forcemap import ForceMap, basic_map, check_valid, optimal_map, slice_map
from consilience.coarse.read_atoms import read_atoms
from consilience.coarse.sharedmap import fit_shared
from consilience.units import KCAL_MOL

VALID = 1e-8  # of weights near 1
EQUILIBRATION, EVERY, BLOCKS = 1500, 20, 8  # steps of 1 fs


def maps_of(proteins: list[tuple[AtomFrames, BeadMap]], k: int) -> dict[str, ForceMap]:
    frames, beads = proteins[k]
    made = {"slice": slice_map(beads), "basic": basic_map(beads, frames.groups)}
    made["own"] = optimal_map(frames.group_forces(), beads, frames.groups, frames.temperature, frames.trajectory)
    others = fit_shared(proteins[:k] + proteins[k + 1 :])
    made["shared, unseen"] = others.map_of(frames.topology, beads, frames.groups)
    for name, m in made.items():
        if name != "slice" and (off := check_valid(m.weights, beads, frames.groups)) > VALID:
            raise SystemExit(f"{frames.name}: the map '{name}' changes mean forces: a weight is {off:.2g} off")
    return made


def frozen_forces(pdb: Path, frames: AtomFrames, count: int, ps: float) -> np.ndarray:
    """(configurations, samples, atoms, 3) kcal/mol/Å with CA atoms held where they stand in some frames at 300 K."""
    import openmm as mm
    from openmm import app, unit

    file = app.PDBFile(str(pdb))
    field = app.ForceField("amber99sbildn.xml", "amber99_obc.xml")
    system = field.createSystem(file.topology, nonbondedMethod=app.NoCutoff, constraints=None, removeCMMotion=False)
    for atom in frames.topology.alphas:
        system.setParticleMass(int(atom), 0)
    integrator = mm.LangevinMiddleIntegrator(300, 5, 0.001)
    integrator.setRandomNumberSeed(5)
    context = mm.Context(system, integrator, mm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    pool = np.flatnonzero(np.abs(frames.temperature - 300) < 1)
    out = []
    for k in pool[np.linspace(len(pool) // 20, len(pool) - 1, count).astype(int)]:
        context.setPositions(frames.positions[k].astype(float) / 10)
        context.setVelocitiesToTemperature(300, int(k))
        integrator.step(EQUILIBRATION)
        samples = []
        for _ in range(int(ps * 1000 / EVERY)):
            integrator.step(EVERY)
            f = context.getState(getForces=True).getForces(asNumpy=True)
            samples.append(f.value_in_unit(unit.kilocalorie_per_mole / unit.angstrom).astype(np.float32))
        out.append(samples)
    return np.array(out)


def frozen_table(made: dict[str, ForceMap], forces: np.ndarray) -> str:
    rows = [f"{'map':16s}{'noise':>8s}{'mean - basic':>14s}{'its error':>11s}   kcal/mol/Å"]
    for name, m in made.items():
        y = np.einsum("bn,sfnk->sfbk", m.weights, forces, optimize=True)
        d = np.einsum("bn,sfnk->sfbk", m.weights - made["basic"].weights, forces, optimize=True)
        n = d.shape[1] // BLOCKS
        means = d[:, : n * BLOCKS].reshape(len(d), BLOCKS, n, *d.shape[2:]).mean(2)
        error = np.sqrt(np.mean(means.var(1, ddof=1) / BLOCKS))
        rows.append(f"{name:16s}{np.sqrt(y.var(1, ddof=1).mean()):8.2f}{np.sqrt(np.mean(d.mean(1) ** 2)):14.2f}"
                    f"{error:11.2f}")  # fmt: skip
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frozen", metavar="NAME")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--ps", type=float, default=6.0)
    given = parser.parse_args()
    names = [p.stem for p in sorted(given.folder.glob("*.pdb")) if p.with_suffix(".npz").exists()]
    read = [read_atoms(given.folder / f"{n}.npz", given.folder / f"{n}.pdb") for n in names]
    proteins = [(a, alpha_map(a.topology)) for a in read if len(a.constraints)]
    print(f"{'r.m.s. force at 300 K, kcal/mol/Å':34s}{'slice':>8s}{'basic':>8s}{'own':>8s}{'shared, unseen':>16s}")
    for k, (frames, _) in enumerate(proteins):
        if given.frozen not in (None, frames.name):
            continue
        made = maps_of(proteins, k)
        cold = frames.forces[np.abs(frames.temperature - 300) < 1]
        rms = {name: np.sqrt(np.mean(m(cold) ** 2)) / KCAL_MOL for name, m in made.items()}
        print(f"{frames.name:34s}{rms['slice']:8.2f}{rms['basic']:8.2f}{rms['own']:8.2f}{rms['shared, unseen']:16.2f}")
        if given.frozen:
            forces = frozen_forces(given.folder / f"{frames.name}.pdb", frames, given.frames, given.ps)
            print(frozen_table(made, forces))


if __name__ == "__main__":
    main()
