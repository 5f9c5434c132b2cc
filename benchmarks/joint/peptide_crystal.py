"""Simulated 3 Å crystals of a dipeptide: restraints alone against restraints and a potential trained on its chemistry.

usage: python benchmarks/joint/peptide_crystal.py POOL.npz MODEL -o FOLDER [--wrong MODEL] [--weight X] [--seeds N]

POOL.npz, and the frames that MODEL was trained on, are made by dipeptide.py. Each seed is another P 1 crystal of twelve
conformers (snapshots at 100 K) in a cell of 18 Å; amplitudes by gemmi's direct sum with 15 % noise, which stands for
what models of real crystals lack at 3 Å too. The start is shaken. Prints coordinate errors, R-free and geometry of each
run, then the paired change with its 95 % interval.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation
from scipy.stats import t as student

from consilience.core.fit import fit
from consilience.jobs.common.options import RefineOptions
from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.joint.potential import potential_evidence
from consilience.jobs.joint.trials import on_trial
from consilience.jobs.refine.inputs import load_inputs
from consilience.jobs.refine.joint import Joint, main_stages
from consilience.jobs.refine.problem import Refinement
from consilience.jobs.refine.protocol import refinement_protocol, steered_weights
from consilience.xray.experiment import Crystal
from consilience.xray.french_wilson import amplitudes

NAMES = ["CH3", "C1", "O1", "N1", "CA", "C2", "O2", "CB", "N2", "CM"]
NAMES += ["H31", "H32", "H33", "H1", "HA", "HB1", "HB2", "HB3", "H2", "HM1", "HM2", "HM3"]
BONDS = [(0, 1), (1, 2), (1, 3), (3, 4), (4, 5), (5, 6), (4, 7), (5, 8), (8, 9), (0, 10), (0, 11), (0, 12), (3, 13),
         (4, 14), (7, 15), (7, 16), (7, 17), (8, 18), (9, 19), (9, 20), (9, 21)]  # fmt: skip
# usual values (Engh & Huber 1991): Å, degrees
LENGTH = {(0, 1): 1.516, (1, 2): 1.231, (1, 3): 1.329, (3, 4): 1.458, (4, 5): 1.525, (5, 6): 1.231, (4, 7): 1.521,
          (5, 8): 1.329, (8, 9): 1.458}  # fmt: skip
ANGLE = {(0, 1, 2): 121.0, (0, 1, 3): 116.0, (2, 1, 3): 123.0, (1, 3, 4): 121.7, (3, 4, 5): 111.2, (3, 4, 7): 110.4,
         (5, 4, 7): 110.5, (4, 5, 6): 120.8, (4, 5, 8): 116.2, (6, 5, 8): 123.0, (5, 8, 9): 121.7}  # fmt: skip
PLANES = [(0, 1, 2, 3, 4, 13), (4, 5, 6, 8, 9, 18)]
CELL, COPIES, SHAKE, NOISE, B_ISO, D_MIN = 18.0, 12, 0.35, 0.15, 60.0, 3.0


def dictionary(path: Path, numbers: np.ndarray) -> Path:
    """A restraint dictionary of the molecule, from the tables above."""
    symbol = [gemmi.Element(int(z)).name for z in numbers]
    lines = ["data_comp_list", "loop_", "_chem_comp.id", "_chem_comp.three_letter_code", "_chem_comp.name",
             "_chem_comp.group", "_chem_comp.number_atoms_all", "_chem_comp.number_atoms_nh",
             "AAM AAM dipeptide non-polymer 22 10", "data_comp_AAM", "loop_", "_chem_comp_atom.comp_id",
             "_chem_comp_atom.atom_id", "_chem_comp_atom.type_symbol", "_chem_comp_atom.type_energy",
             "_chem_comp_atom.charge"]  # fmt: skip
    lines += [f"AAM {n} {s} {s} 0" for n, s in zip(NAMES, symbol, strict=True)]
    lines += ["loop_", "_chem_comp_bond.comp_id", "_chem_comp_bond.atom_id_1", "_chem_comp_bond.atom_id_2",
              "_chem_comp_bond.type", "_chem_comp_bond.aromatic", "_chem_comp_bond.value_dist",
              "_chem_comp_bond.value_dist_esd"]  # fmt: skip
    for i, j in BONDS:
        hydrogen = 1.01 if symbol[i] == "N" else 1.09
        order = "double" if (i, j) in ((1, 2), (5, 6)) else "single"
        lines.append(f"AAM {NAMES[i]} {NAMES[j]} {order} n {LENGTH.get((i, j), hydrogen)} 0.018")
    columns = ("comp_id", "atom_id_1", "atom_id_2", "atom_id_3", "value_angle", "value_angle_esd")
    lines += ["loop_", *(f"_chem_comp_angle.{c}" for c in columns)]
    for centre in range(len(NAMES)):
        around = sorted({j for b in BONDS for j in b if centre in b and j != centre})
        for a, i in enumerate(around):
            for k in around[a + 1 :]:
                value = ANGLE.get((i, centre, k), 119.0 if centre in (3, 8) else 109.5)
                lines.append(f"AAM {NAMES[i]} {NAMES[centre]} {NAMES[k]} {value} 1.8")
    columns = ("comp_id", "id", "atom_id_1", "atom_id_2", "atom_id_3", "atom_id_4", "value_angle", "value_angle_esd")
    lines += ["loop_", *(f"_chem_comp_tor.{c}" for c in (*columns, "period"))]
    for k, methyl in enumerate(("O1 C1 CH3 H31 0.0", "N1 CA CB HB1 60.0", "C2 N2 CM HM1 60.0")):
        lines.append(f"AAM methyl_{k} {methyl} 20.0 3")  # where hydrogens go that rotate
    lines += ["loop_", "_chem_comp_chir.comp_id", "_chem_comp_chir.id", "_chem_comp_chir.atom_id_centre",
              "_chem_comp_chir.atom_id_1", "_chem_comp_chir.atom_id_2", "_chem_comp_chir.atom_id_3",
              "_chem_comp_chir.volume_sign", "AAM chir_1 CA N1 C2 CB positive"]  # fmt: skip
    lines += ["loop_", "_chem_comp_plane_atom.comp_id", "_chem_comp_plane_atom.plane_id",
              "_chem_comp_plane_atom.atom_id", "_chem_comp_plane_atom.dist_esd"]  # fmt: skip
    lines += [f"AAM plan-{k + 1} {NAMES[i]} 0.02" for k, plane in enumerate(PLANES) for i in plane]
    path.write_text("\n".join(lines) + "\n")
    return path


def packed(pool: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(copies, 22, 3) Å: conformers turned at random and placed 3.2 Å or more apart, images included."""
    placed: list[np.ndarray] = []
    while len(placed) < COPIES:
        x = pool[rng.integers(len(pool))]
        x = (x - x.mean(0)) @ Rotation.random(rng=rng).as_matrix().T + rng.uniform(0, CELL, 3)
        clear = True
        for y in placed:
            d = x[:10, None] - y[None, :10]
            d -= CELL * np.round(d / CELL)
            clear = clear and bool(np.min(np.sum(d * d, -1)) > 3.2**2)
        if clear:
            placed.append(x)
    return np.array(placed)


def structure(x: np.ndarray, numbers: np.ndarray, b: float) -> gemmi.Structure:
    """Molecules x (copies, n, 3) as residues AAM of chain A in P 1."""
    st = gemmi.Structure()
    st.cell, st.spacegroup_hm = gemmi.UnitCell(CELL, CELL, CELL, 90, 90, 90), "P 1"
    model, chain = gemmi.Model(1), gemmi.Chain("A")
    for k, molecule in enumerate(x):
        res = gemmi.Residue()
        res.name, res.seqid, res.het_flag = "AAM", gemmi.SeqId(str(k + 1)), "H"
        for name, z, place in zip(NAMES, numbers, molecule, strict=False):
            atom = gemmi.Atom()
            atom.name, atom.element, atom.pos = name, gemmi.Element(int(z)), gemmi.Position(*place)
            atom.b_iso, atom.occ = b, 1.0
            res.add_atom(atom)
        chain.add_residue(res)
    model.add_chain(chain)
    st.add_model(model)
    st.setup_entities()
    return st


def crystal(folder: Path, pool: Any, seed: int) -> tuple[list[Path], np.ndarray]:
    """Files of a shaken start and of data, and the true heavy atoms (n, 3)."""
    rng, numbers = np.random.default_rng([seed, 11]), pool["Z"]
    folder.mkdir(parents=True, exist_ok=True)
    true = packed(pool["R"], rng)
    st = structure(true, numbers, B_ISO)
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
    heavy = true[:, :10]
    start = heavy + SHAKE / np.sqrt(3) * rng.normal(size=heavy.shape)
    structure(start, numbers, B_ISO).write_pdb(str(folder / "start.pdb"))
    return [folder / "start.pdb", folder / "data.mtz"], heavy.reshape(-1, 3)


def error_of(xyz: np.ndarray, true: np.ndarray) -> float:
    """R.m.s. error in Å; the origin of P 1 is free."""
    d = xyz - true
    return float(np.sqrt(np.mean(np.sum((d - d.mean(0)) ** 2, 1))))


def refined(problem: Refinement, true: np.ndarray, cycles: int, weights: dict[str, float]) -> dict[str, Any]:
    """One run to its end."""
    more = tuple(name for e in problem.evidence for name in e.blocks())
    stages = refinement_protocol(cycles, "joint", True, True, weights, more=more)
    done = fit(problem.start(), {}, stages, prepare=problem.prepare, controller=steered_weights)
    z = done.state.scores["rmsz"]
    last = next(h["weights"] for h in reversed(done.history) if h["active"])
    return {
        "error_A": error_of(np.asarray(done.model["xyz"]), true), "r_work": done.state.scores["r_work"],
        "r_free": done.state.free["r_free"], "bond_z": z["bond"], "angle_z": z["angle"], "weights": last,
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
    parser.add_argument("--wrong", type=Path, help="a potential of another molecule")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cycles", type=int, default=8)
    parser.add_argument("--weight", type=float, help="of the potential, where it is used (default: with the geometry)")
    args = parser.parse_args()
    prepare_jax()
    pool, rows = np.load(args.pool), []
    for seed in range(args.seeds):
        files, true = crystal(args.out / str(seed), pool, seed)
        options = RefineOptions(ligands=(dictionary(args.out / "aam.cif", pool["Z"]),))
        inputs = load_inputs(files, options, seed)
        f, sigma = amplitudes(inputs.reflections)
        data = Crystal.of(inputs.reflections, f, sigma, 0.08, seed)
        plain = Refinement(inputs.structure, inputs.topology, data)
        runs = [("restraints", None), ("potential", args.model), ("wrong potential", args.wrong)]
        for name, model in runs:
            if model is None and name != "restraints":
                continue
            problem, weights, why = plain, {}, ""
            if model is not None:
                told = potential_evidence(model, inputs.structure, inputs.topology)
                problem = replace(plain, evidence=(told,), fitted=None, _plans={})
                verdict = on_trial(problem, "potential", main_stages(Joint(problem), 3, options), {}, lambda _: None)
                given = {} if args.weight is None else {"potential": args.weight}
                weights, why = given if verdict.used else {"potential": 0.0}, verdict.reason
            row = {"seed": seed, "run": name, "start_A": error_of(inputs.structure.xyz, true), "decision": why}
            rows.append({**row, **refined(problem, true, args.cycles, weights)})
            print(json.dumps(rows[-1], ensure_ascii=False), flush=True)
    names = dict.fromkeys(r["run"] for r in rows if r["run"] != "restraints")
    changes = {n: {k: change(rows, n, k) for k in ("error_A", "r_free", "bond_z")} for n in names}
    print(json.dumps(changes, indent=1))
    (args.out / "peptide.json").write_text(json.dumps({"runs": rows, "change": changes}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
