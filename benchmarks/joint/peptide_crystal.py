"""Simulated 3 Å crystals of a peptide: restraints alone against restraints and a potential trained on its chemistry.

usage: python benchmarks/joint/peptide_crystal.py POOL.npz MODEL -o FOLDER [--beside NAME MODEL] [--weight X]
       [--seeds N] [--first SEED] [--copies N]

POOL.npz, and the frames that the models were trained on, come from peptide_frames.py or peptide_cells.py. Each seed is
another P 1 crystal: of conformers (snapshots at 100 K) that do not touch, in a cell of 17 Å, or the cell of that number
in the pool, packed and relaxed. Amplitudes by gemmi's direct sum with 30 % noise, so that R-free is what models of real
crystals have at 3 Å. The start is shaken. Prints coordinate errors, R-free and geometry of each run, then the paired
change with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from peptide import Peptide, dictionary, peptide
from scipy.spatial.transform import Rotation
from scipy.stats import t as student

from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.refine.inputs import load_inputs
from consilience.jobs.refine.job import refine

CELL, SHAKE, NOISE, B_ISO, D_MIN = 17.0, 0.35, 0.30, 60.0, 3.0
APART = 3.2  # Å, heavy atoms of molecules and their images
TRIES = 300  # places for a molecule before all are placed anew
IMAGES = CELL * np.array([s for s in np.ndindex(3, 3, 3) if s != (1, 1, 1)]) - CELL


def packed(pool: np.ndarray, heavy: int, copies: int, rng: np.random.Generator) -> np.ndarray:
    """(copies, atoms, 3) Å: conformers turned at random, no two molecules or images closer than APART."""
    while True:
        placed: list[np.ndarray] = []
        for _ in range(TRIES):
            x = pool[rng.integers(len(pool))]
            x = (x - x.mean(0)) @ Rotation.random(rng=rng).as_matrix().T + rng.uniform(0, CELL, 3)
            own = x[:heavy, None] - x[None, :heavy]
            clear = bool(np.min(np.sum((own + IMAGES[:, None, None]) ** 2, -1)) > APART**2)
            for y in placed:
                d = x[:heavy, None] - y[None, :heavy]
                d -= CELL * np.round(d / CELL)
                clear = clear and bool(np.min(np.sum(d * d, -1)) > APART**2)
            if clear:
                placed.append(x)
            if len(placed) == copies:
                return np.array(placed)


def structure(x: np.ndarray, molecule: Peptide, edge: float) -> gemmi.Structure:
    """Molecules x (copies, n, 3) as residues AAM of chain A in P 1, B of B_ISO."""
    st = gemmi.Structure()
    st.cell, st.spacegroup_hm = gemmi.UnitCell(edge, edge, edge, 90, 90, 90), "P 1"
    model, chain = gemmi.Model(1), gemmi.Chain("A")
    for k, xyz in enumerate(x):
        res = gemmi.Residue()
        res.name, res.seqid, res.het_flag = "AAM", gemmi.SeqId(str(k + 1)), "H"
        for name, z, place in zip(molecule.names, molecule.numbers, xyz, strict=False):
            atom = gemmi.Atom()
            atom.name, atom.element, atom.pos = name, gemmi.Element(int(z)), gemmi.Position(*place)
            atom.b_iso, atom.occ = B_ISO, 1.0
            res.add_atom(atom)
        chain.add_residue(res)
    model.add_chain(chain)
    st.add_model(model)
    st.setup_entities()
    return st


def molecule_of(pool: Any) -> Peptide:
    """What a pool holds. Raises SystemExit for anything else."""
    molecule = peptide(sum(name.startswith("CB") for name in map(str, pool["names"])))
    if molecule.names != list(map(str, pool["names"])):
        raise SystemExit("the pool is of another molecule: make it with peptide_frames.py or peptide_cells.py")
    return molecule


def contents(
    pool: Any, molecule: Peptide, seed: int, copies: int, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """Molecules (copies, atoms, 3) Å and the edge of their cell. Raises SystemExit where a pool has too few cells."""
    if "cell" not in pool:
        return packed(pool["R"], molecule.heavy, copies, rng), CELL
    if seed >= len(pool["R"]):
        raise SystemExit(f"the pool has {len(pool['R'])} cells: seeds from 0 to {len(pool['R']) - 1}")
    return pool["R"][seed].reshape(-1, len(molecule.names), 3), float(pool["cell"][0, 0])


def crystal(folder: Path, pool: Any, seed: int, copies: int) -> tuple[list[Path], np.ndarray]:
    """Files of a shaken start and of data, and the true heavy atoms (n, 3)."""
    rng, molecule = np.random.default_rng([seed, 11]), molecule_of(pool)
    folder.mkdir(parents=True, exist_ok=True)
    true, edge = contents(pool, molecule, seed, copies, rng)
    st = structure(true, molecule, edge)
    hkl = gemmi.make_miller_array(st.cell, gemmi.SpaceGroup("P 1"), D_MIN)
    calculator = gemmi.StructureFactorCalculatorX(st.cell)
    f = np.abs([calculator.calculate_sf_from_model(st[0], h) for h in hkl.tolist()])
    sigma = NOISE * f + 0.01 * f.mean()
    f = np.maximum(f + sigma * rng.normal(size=len(f)), 0.1 * sigma)
    free = np.zeros(len(f))
    free[rng.permutation(len(f))[: len(f) // 10]] = 1
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 1"), st.cell
    mtz.add_dataset("simulated")
    for label, kind in (("FP", "F"), ("SIGFP", "Q"), ("FREE", "I")):
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, f, sigma, free]).astype(np.float32))
    mtz.write_to_file(str(folder / "data.mtz"))
    heavy = true[:, : molecule.heavy]
    start = heavy + SHAKE / np.sqrt(3) * rng.normal(size=heavy.shape)
    structure(start, molecule, edge).write_pdb(str(folder / "start.pdb"))
    return [folder / "start.pdb", folder / "data.mtz"], heavy.reshape(-1, 3)


def error_of(xyz: np.ndarray, true: np.ndarray) -> float:
    """R.m.s. error in Å; the origin of P 1 is free."""
    d = xyz - true
    return float(np.sqrt(np.mean(np.sum((d - d.mean(0)) ** 2, 1))))


def refined(files: list[Path], true: np.ndarray, potential: Path | None, place: Path, args: Any) -> dict[str, Any]:
    """`consil refine` of one crystal, with or without a potential."""
    weights = {} if args.weight is None or potential is None else {"potential": args.weight}
    options = RefineOptions(cycles=args.cycles, adp="iso", potential=potential, weights=weights)
    done = refine(files, options=options, run=RunOptions(output=place, overwrite=True))
    s = done.summary
    told = s.get("evidence", {}).get("potential", {})
    words = s.get("leave_one_out", {}).get("potential", {}).get("words", "")
    return {
        "error_A": error_of(done.refined.structure.xyz, true), "r_work": s["r_work"], "r_free": s["r_free"],
        "bond_z": s["rmsz"]["bond"], "angle_z": s["rmsz"]["angle"], "weight": told.get("weight"),
        "decision": told.get("reason"), "words": words, "wall_s": s["wall_s"],
    }  # fmt: skip


def change(rows: list[dict[str, Any]], name: str, key: str) -> dict[str, float]:
    """Paired relative change of a figure from "restraints" to another run, with its 95 % interval (Student)."""
    a, b = (np.array([r[key] for r in rows if r["run"] == n]) for n in ("restraints", name))
    d = b / a - 1
    half = float(student.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))) if len(d) > 1 else float("nan")
    return {"mean": float(d.mean()), "low": float(d.mean() - half), "high": float(d.mean() + half), "n": len(d)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--beside", nargs=2, action="append", default=[], metavar=("NAME", "MODEL"), help="another one")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="seed of the first crystal")
    parser.add_argument("--copies", type=int, default=5, help="molecules of a cell of 17 Å")
    parser.add_argument("--cycles", type=int, default=20)
    parser.add_argument("--weight", type=float, help="of the potential, (default: judged by steer data)")
    args = parser.parse_args()
    pool, rows = np.load(args.pool), []
    for seed in range(args.first, args.first + args.seeds):
        files, true = crystal(args.out / str(seed), pool, seed, args.copies)
        files.append(dictionary(args.out / "aam.cif", molecule_of(pool)))
        start = error_of(load_inputs(files, RefineOptions(), 0).structure.xyz, true)
        beside = [(name, Path(model)) for name, model in args.beside]
        for name, model in (("restraints", None), ("potential", args.model), *beside):
            place = args.out / str(seed) / name.replace(" ", "-")
            rows.append({"seed": seed, "run": name, "start_A": start, **refined(files, true, model, place, args)})
            print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    names = dict.fromkeys(r["run"] for r in rows if r["run"] != "restraints")
    changes = {n: {k: change(rows, n, k) for k in ("error_A", "r_free", "bond_z")} for n in names}
    print(json.dumps(changes, indent=1))
    (args.out / "peptide.json").write_text(json.dumps({"runs": rows, "change": changes}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
