"""Cells of N-acetyl-(alanine)n-N-methylamides that lie on one another: frames for training, and truth of crystals.

usage: python benchmarks/joint/peptide_cells.py -o FOLDER [--frames N] [--pool N] [--residues N] [--copies N] [--edge Å]
(needs OpenMM, tblite and SciPy)

Molecules at random places in a cubic cell are packed by Amber ff14SB (Maier et al., J. Chem. Theory Comput. 11 (2015)
3696) at 700, 500 and 300 K, then quenched. GFN1-xTB (Grimme, Bannwarth, Shushkov, J. Chem. Theory Comput. 13 (2017)
1989) of the periodic cell gives frames.npz (R Å, Z, E eV, F eV/Å, cell, pbc): snapshots of N packs and steps from the
quench towards the minimum of GFN1; and pool.npz (R, Z, names, cell): N other packs, relaxed by GFN1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import openmm as mm
from openmm import app, unit
from peptide import Peptide, peptide
from peptide_frames import Level, clear, relaxed
from scipy.spatial.transform import Rotation

HEAT = ((700, 20000, 4), (500, 10000, 3), (300, 20000, 4), (150, 10000, 0))  # K, steps of 0.5 fs, snapshots
APART = 1.5  # Å, any two atoms of molecules at the start
TOWARDS, TRUTH = (0, 8, 8), 60  # steps from a quench to each frame, and to a truth


def residue_of(name: str, n: int) -> int:
    """Number of the residue of an atom: 0 is acetyl, n + 1 N-methylamide; n below ten."""
    if name in ("CH3", "CM") or name.startswith("HM"):
        return 0 if name == "CH3" else n + 1
    return int(name.lstrip("ABCHNO")[0])


def topology(molecule: Peptide, copies: int) -> tuple[app.Topology, np.ndarray]:
    """Amber's residues, and the number in our order (copies * atoms,) of each of its atoms."""
    top, order, n = app.Topology(), [], molecule.n
    names = molecule.names
    mine = sorted(range(len(names)), key=lambda i: (residue_of(names[i], n), i))
    for copy in range(copies):
        chain = top.addChain()
        residues = [top.addResidue(name, chain) for name in ("ACE", *("ALA",) * n, "NME")]
        atoms = {
            i: top.addAtom(names[i], app.Element.getBySymbol(names[i][0]), residues[residue_of(names[i], n)])
            for i in mine
        }
        for i, j in molecule.bonds:
            top.addBond(atoms[i], atoms[j])
        order += [copy * len(names) + i for i in mine]
    return top, np.array(order)


def placed(molecule: Peptide, copies: int, edge: float, rng: np.random.Generator) -> np.ndarray:
    """(copies * atoms, 3) Å: conformers at random places, no two molecules closer than APART."""
    owner = np.repeat(np.arange(copies), len(molecule.names))
    while True:
        found = [clear(molecule, rng, 0.1) for _ in range(copies)]
        turned = [(x - x.mean(0)) @ Rotation.random(rng=rng).as_matrix() + rng.uniform(0, edge, 3) for x in found]
        x = np.concatenate(turned)
        d = x[:, None] - x[None]
        d -= edge * np.round(d / edge)
        if np.min(np.linalg.norm(d, axis=-1)[owner[:, None] != owner]) > APART:
            return x


def packs(molecule: Peptide, copies: int, edge: float, seed: int):
    """Snapshots (k, copies * atoms, 3) Å of a run that cools down, and the quenched end."""
    top, order = topology(molecule, copies)
    top.setPeriodicBoxVectors(np.eye(3) * edge / 10 * unit.nanometer)
    field = app.ForceField("amber14/protein.ff14SB.xml")
    system = field.createSystem(top, nonbondedMethod=app.PME, nonbondedCutoff=min(0.9, 0.049 * edge))
    integrator = mm.LangevinMiddleIntegrator(700, 5, 0.0005)
    integrator.setRandomNumberSeed(seed + 1)
    run = app.Simulation(top, system, integrator, mm.Platform.getPlatformByName("CPU"), {"Threads": "1"})
    run.context.setPositions(placed(molecule, copies, edge, np.random.default_rng([seed, 77]))[order] / 10)
    run.minimizeEnergy(maxIterations=500)
    run.context.setVelocitiesToTemperature(700, seed)

    def now() -> np.ndarray:
        x = run.context.getState(getPositions=True).getPositions(asNumpy=True).value_in_unit(unit.angstrom)
        return np.asarray(x)[np.argsort(order)]

    shots = []
    for kelvin, steps, kept in HEAT:
        integrator.setTemperature(kelvin)
        for _ in range(max(kept, 1)):
            run.step(steps // max(kept, 1))
            shots += [now()] if kept else []
    run.minimizeEnergy(maxIterations=2000)
    return np.array(shots), now()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--residues", type=int, default=3)
    parser.add_argument("--copies", type=int, default=2)
    parser.add_argument("--edge", type=float, default=12.6)
    parser.add_argument("--frames", type=int, default=20, help="packs that frames come from")
    parser.add_argument("--pool", type=int, default=28, help="packs that are truth of crystals")
    parser.add_argument("--first", type=int, default=1000, help="seed of the first pack that is truth; frames: from 0")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    molecule = peptide(args.residues)
    numbers, cell = np.tile(molecule.numbers, args.copies), np.eye(3) * args.edge
    rows: list[tuple[np.ndarray, float, np.ndarray]] = []
    for seed in range(args.frames):
        shots, quenched = packs(molecule, args.copies, args.edge, seed)
        level = Level(numbers, "GFN1-xTB", cell)
        rows += [(x, *level(x)) for x in shots]
        x = quenched
        for steps in TOWARDS:
            x = relaxed(level, x, steps)
            rows.append((x, *level(x)))
        print(f"frames of pack {seed}: {len(rows)}, largest force {np.abs(rows[-1][2]).max():.2f} eV/Å", flush=True)
        positions, energy, forces = (np.array([r[k] for r in rows]) for k in range(3))
        cells, periodic = np.tile(cell, (len(rows), 1, 1)), np.ones((len(rows), 3), bool)
        np.savez(args.out / "frames.npz", R=positions, Z=numbers, E=energy, F=forces, cell=cells, pbc=periodic)
    pool: list[np.ndarray] = []
    for seed in range(args.first, args.first + args.pool):
        level = Level(numbers, "GFN1-xTB", cell)
        start = packs(molecule, args.copies, args.edge, seed)[1]
        pool.append(relaxed(level, start, TRUTH))
        moved = np.sqrt(np.mean(np.sum((pool[-1] - start) ** 2, 1)))
        left = np.abs(level(pool[-1])[1]).max()
        print(f"truth {seed}: moved {moved:.2f} Å, largest force {left:.2f} eV/Å", flush=True)
        np.savez(args.out / "pool.npz", R=np.array(pool), Z=molecule.numbers, names=np.array(molecule.names), cell=cell)


if __name__ == "__main__":
    main()
