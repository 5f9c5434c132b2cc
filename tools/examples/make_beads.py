"""Makes the built-in example of beads: dynamics of a designed peptide with forces, and its mean forces with CA frozen.

usage: python tools/examples/make_beads.py [-o FOLDER]        (OpenMM; some five minutes of one core)

ff99SB-ILDN with OBC2 implicit solvent, bonds to hydrogen rigid, Langevin dynamics at 300 K from snapshots of a run at
500 K. Then, for some frames, CA are held where they are and all else moves: averages of the forces are the truth.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from chain import ROTAMERS, build_backbone, to_gemmi
from openmm import app, unit

HERE = Path(__file__).resolve().parents[2] / "src" / "consilience" / "examples" / "beads"
SEQUENCE = ["GLY", "TYR", "LYS", "PRO", "ASP", "GLY", "THR", "GLU", "VAL"]
# phi, psi: two strands about a turn of type I at PRO ASP, which GLY follows with the left-handed angles it allows
TORSIONS = {1: (-120, 130), 2: (-115, 130), 3: (-110, 130), 4: (-60, -30), 5: (-90, 0), 6: (85, 10)}
KELVIN, HOT = 300.0, 500.0
TRAJECTORIES, FRAMES, EVERY, STEP = 4, 150, 300, 0.003  # steps between frames; ps
HEAVY_HYDROGEN = 3.0  # amu: for longer steps; configurations do not depend on masses
FROZEN, FROZEN_STEPS, FROZEN_EVERY, FROZEN_STEP, BLOCKS = 16, 3000, 5, 0.002, 10
SEED = 17
FIELD = app.ForceField("amber99sbildn.xml", "amber99_obc.xml")
KCAL = unit.kilocalorie_per_mole / unit.angstrom


def peptide() -> app.Modeller:
    """The peptide from ideal geometry, with hydrogens."""
    torsions = np.array([(*TORSIONS.get(i + 1, (-120, 130)), 180.0) for i in range(len(SEQUENCE))], float)
    rotamers = [ROTAMERS[name][0] for name in SEQUENCE]
    heavy = to_gemmi(SEQUENCE, build_backbone(SEQUENCE, torsions), rotamers)
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "heavy.pdb"
        heavy.write_pdb(str(path))
        found = app.PDBFile(str(path))
    found.topology.setPeriodicBoxVectors(None)
    made = app.Modeller(found.topology, found.positions)
    made.addHydrogens(FIELD, pH=7.0)
    return made


def simulation(topology: Any, step: float, frozen: tuple[int, ...] = ()) -> app.Simulation:
    """A run of the peptide on one thread; `frozen` atoms do not move, and their hydrogens are not tied to them."""
    system = FIELD.createSystem(topology, nonbondedMethod=app.NoCutoff, constraints=app.HBonds,
                                hydrogenMass=HEAVY_HYDROGEN * unit.amu, removeCMMotion=not frozen)  # fmt: skip
    bond = next(f for f in system.getForces() if isinstance(f, openmm.HarmonicBondForce))
    for k in reversed(range(system.getNumConstraints())):
        i, j, length = system.getConstraintParameters(k)
        if i in frozen or j in frozen:
            system.removeConstraint(k)
            bond.addBond(i, j, length, 2 * 340.0 * 4.184 * 100)  # C-H of the force field, kJ/mol/nm²
    for i in frozen:
        system.setParticleMass(i, 0.0)
    move = openmm.LangevinMiddleIntegrator(KELVIN, 1.0 if not frozen else 5.0, step)
    move.setRandomNumberSeed(SEED)
    return app.Simulation(topology, system, move, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"})


def frame(run: app.Simulation) -> tuple[np.ndarray, np.ndarray]:
    """Positions, Å, and forces, kcal/mol/Å."""
    state = run.context.getState(getPositions=True, getForces=True)
    x = state.getPositions(asNumpy=True).value_in_unit(unit.angstrom)
    return x, state.getForces(asNumpy=True).value_in_unit(KCAL)


def trajectories(made: app.Modeller) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions, forces, trajectory numbers of all frames, and the constraints."""
    run = simulation(made.topology, STEP)
    run.context.setPositions(made.positions)
    run.minimizeEnergy()
    starts = [run.context.getState(getPositions=True).getPositions()]
    run.integrator.setTemperature(HOT)
    run.context.setVelocitiesToTemperature(HOT, SEED)
    for _ in range(TRAJECTORIES - 1):
        run.step(5000)
        starts.append(run.context.getState(getPositions=True).getPositions())
    run.integrator.setTemperature(KELVIN)
    x, f, number = [], [], []
    for k, start in enumerate(starts):
        run.context.setPositions(start)
        run.context.setVelocitiesToTemperature(KELVIN, SEED + k)
        run.step(3000)
        for _ in range(FRAMES):
            run.step(EVERY)
            now, force = frame(run)
            x.append(now - now.mean(0))
            f.append(force)
            number.append(k)
    system = run.system
    tied = [system.getConstraintParameters(k)[:2] for k in range(system.getNumConstraints())]
    return np.array(x), np.array(f), np.array(number, np.int16), np.array(tied, np.int16)


def mean_forces(made: app.Modeller, x: np.ndarray, weights: np.ndarray, ca: np.ndarray) -> dict[str, np.ndarray]:
    """Mean forces of beads at frames x (k, n, 3), by a valid force map `weights` (beads, n), kcal/mol/Å."""
    run = simulation(made.topology, FROZEN_STEP, tuple(int(i) for i in ca))
    mean, error, noise = [], [], []
    for one in x:
        run.context.setPositions(0.1 * one)
        run.context.setVelocitiesToTemperature(KELVIN, SEED)
        run.step(500)
        found = []
        for _ in range(FROZEN_STEPS // FROZEN_EVERY):
            run.step(FROZEN_EVERY)
            found.append(weights @ frame(run)[1])
        found = np.array(found)
        blocks = found.reshape(BLOCKS, -1, *found.shape[1:]).mean(1)
        mean.append(found.mean(0))
        error.append(blocks.std(0, ddof=1) / np.sqrt(BLOCKS))
        noise.append(np.sqrt(found.var(0).mean()))
    return {"R": x[:, ca], "F_mean": np.array(mean), "F_sem": np.array(error), "noise_rms": np.array(noise),
            "temp": np.array(KELVIN)}  # fmt: skip


def rounded(a: np.ndarray, bits: int) -> np.ndarray:
    """Multiples of 2^-bits, which compress well."""
    return (np.round(a * 2**bits) / 2**bits).astype(np.float32)


def force_map(folder: Path) -> np.ndarray:
    """The optimal map (beads, atoms) that `consil coarsen` fits to the trajectories."""
    from consilience.jobs.coarsen.job import coarsen
    from consilience.jobs.common.options import RunOptions

    inputs = [f"{folder / 'trajectory.npz'}:{folder / 'topology.pdb'}"]
    with tempfile.TemporaryDirectory() as place:
        coarsen(inputs, run=RunOptions(output=Path(place) / "out"))
        said = json.loads((Path(place) / "out" / "map.json").read_text())
    rows = said["proteins"][0]["forces"]
    out = np.zeros((len(rows), len(said["proteins"][0]["atoms"])))
    for bead, weights in enumerate(rows):
        for atom, weight in weights.items():
            out[bead, int(atom)] = weight
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=HERE)
    parser.add_argument("--frozen-only", action="store_true", help="keep the trajectories that are there")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    if args.frozen_only:
        found = app.PDBFile(str(args.out / "topology.pdb"))
        made = app.Modeller(found.topology, found.positions)
        with np.load(args.out / "trajectory.npz") as d:
            x = d["pos"].astype(float)
    else:
        made = peptide()
        x, f, number, tied = trajectories(made)
        masses = [a.element.mass.value_in_unit(unit.dalton) for a in made.topology.atoms()]
        arrays = {"pos": rounded(x, 11), "frc": rounded(f, 5), "masses": np.array(masses, np.float32),
                  "constraints": tied, "temp": np.full(len(x), KELVIN, np.float32), "traj": number,
                  "units": np.array(json.dumps({"pos": "Å", "frc": "kcal/mol/Å"}))}  # fmt: skip
        np.savez_compressed(args.out / "trajectory.npz", **arrays)
        with open(args.out / "topology.pdb", "w") as out:
            app.PDBFile.writeFile(made.topology, x[0] * unit.angstrom, out)
    ca = np.array([a.index for a in made.topology.atoms() if a.name == "CA"])
    chosen = np.linspace(0, len(x) - 1, FROZEN).astype(int)
    truth = mean_forces(made, x[chosen], force_map(args.out), ca)
    np.savez_compressed(args.out / "mean_forces.npz", frame=chosen, **truth)


if __name__ == "__main__":
    main()
