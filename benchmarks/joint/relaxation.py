"""Does relaxation help diffraction at 3 Å? The built-in crystal cut to 3 Å, alone, with its rates, with shuffled rates.

usage: python benchmarks/joint/relaxation.py -o FOLDER [--d-min Å] [--cycles N] [--seeds N] [--turn DEGREES] [--bodies]

With --turn the second of its two helices starts turned about the hinge, each seed about another axis: two domains whose
places in the frame of an anisotropic tumbling the rates know; with --bodies they first turn as rigid bodies. Prints for
each run the coordinate error against the truth, what is left of the turn, R-free, chi2 of free residues, and what was
decided.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import gemmi
import numpy as np
from scipy.spatial.transform import Rotation

from consilience.examples import example_path
from consilience.jobs.common.options import RefineOptions, RunOptions
from consilience.jobs.refine.job import refine
from consilience.structure.read import read_structure

HINGE, SECOND = 19, range(21, 37)
BODIES = "A:1-19;A:20-42"


def shuffled(source: Path, target: Path, seed: int) -> Path:
    """The same table with the rates of one residue given to another; their numbers stay."""
    rows = list(csv.reader(source.read_text().splitlines()))
    head, body = rows[0], rows[1:]
    named = [i for i, h in enumerate(head) if h.lower() in ("residue", "name", "chain", "resname")]
    order = np.random.default_rng(seed).permutation(len(body))
    mixed = [
        [row[i] if i in named else body[j][i] for i in range(len(head))] for row, j in zip(body, order, strict=True)
    ]
    target.write_text("\n".join(",".join(r) for r in [head, *mixed]) + "\n")
    return target


def turned(source: Path, target: Path, degrees: float, seed: int) -> Path:
    """The model with the second helix and what follows turned about the CA atom of the hinge."""
    st = gemmi.read_structure(str(source))
    rng = np.random.default_rng([seed, 5])
    axis = rng.normal(size=3)
    turn = Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis))
    chain = st[0]["A"]
    hinge = np.array(next(a.pos.tolist() for r in chain if r.seqid.num == HINGE for a in r if a.name == "CA"))
    for residue in chain:
        for atom in residue if residue.seqid.num > HINGE else ():
            atom.pos = gemmi.Position(*(hinge + turn.apply(np.array(atom.pos.tolist()) - hinge)))
    st.write_pdb(str(target))
    return target


def turn_of(found: Path) -> float:
    """Degrees by which the main chain of the second helix is turned against the truth."""
    true, model = (
        np.array([a.pos.tolist() for r in gemmi.read_structure(str(p))[0]["A"] if r.seqid.num in SECOND
                  for a in r if a.name in ("N", "CA", "C")])
        for p in (example_path("crystal/true.pdb"), found)
    )  # fmt: skip
    rotation, _ = Rotation.align_vectors(model - model.mean(0), true - true.mean(0))
    return float(np.degrees(rotation.magnitude()))


def error_of(found: Path) -> tuple[float, float]:
    """R.m.s. error in Å of all heavy protein atoms, and of main-chain N, CA, C."""
    true, model = (
        {(c.name, str(r.seqid), a.name): np.array(a.pos.tolist()) for c in s.hierarchy[0] for r in c for a in r}
        for s in (read_structure(example_path("crystal/true.pdb")), read_structure(found))
    )
    keys = [k for k in model if k in true and k[0] == "A"]
    d = {k: float(np.sum((model[k] - true[k]) ** 2)) for k in keys}
    main = [v for k, v in d.items() if k[2] in ("N", "CA", "C")]
    return float(np.sqrt(np.mean(list(d.values())))), float(np.sqrt(np.mean(main)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--d-min", type=float, default=3.0)
    parser.add_argument("--cycles", type=int, default=9)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--turn", type=float, default=0.0, help="degrees")
    parser.add_argument("--bodies", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    start, data = example_path("crystal/start.pdb"), example_path("crystal/data.mtz")
    rates = example_path("relaxation/rates.csv")
    rows = []
    for seed in range(args.seeds):
        model = turned(start, args.out / f"start-{seed}.pdb", args.turn, seed) if args.turn else start
        wrong = shuffled(rates, args.out / f"shuffled-{seed}.csv", seed)
        for name, more in (("alone", []), ("rates", [rates]), ("shuffled", [wrong])):
            place = args.out / f"{name}-{seed}"
            run = RunOptions(output=place, seed=seed, overwrite=True)
            options = RefineOptions(
                d_min=args.d_min, cycles=args.cycles, adp="iso", domains=BODIES if args.bodies else None
            )
            s = refine([model, data, *more], options=options, run=run).summary
            everything, main_chain = error_of(place / "refined.pdb")
            row = {"seed": seed, "run": name, "error_A": everything, "main_chain_error_A": main_chain}
            row["turn_deg"] = turn_of(place / "refined.pdb")
            row |= {k: s[k] for k in ("r_work", "r_free")} | {"bond_z": s["rmsz"]["bond"]}
            nmr = s["scores"].get("nmr")
            row["chi2_free"] = None if nmr is None else nmr["free"]["chi2"] / max(nmr["free"]["n"], 1)
            row["decision"] = s.get("evidence", {}).get("nmr", {}).get("reason")
            row["words"] = [r["words"] for r in s.get("leave_one_out", {}).values() if "words" in r]
            rows.append(row)
            print(json.dumps(row, ensure_ascii=False), flush=True)
    (args.out / "relaxation.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
