"""CPU time and accuracy of structure factors and their gradient (xyz, B): cctbx, torchref and consil in one run."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import gemmi
import numpy as np
from cases import NAMES, Case, measure, peer

ENGINES = Path(__file__).resolve().parent / "engines"
CPU_BARS = {"cctbx": 1.5, "torchref": 0.3}  # consil's F + gradient as a multiple of theirs


def write_problem(case: Case, folder: Path, sample: int) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """Isotropic model without hydrogens, all reflections to its d_min, and exact F of a random sample of them."""
    structure = gemmi.read_structure(str(case.folder / "model.pdb"))
    structure.remove_hydrogens()
    for place in structure[0].all():
        place.atom.aniso = gemmi.SMat33f(0, 0, 0, 0, 0, 0)
        place.atom.occ = min(place.atom.occ, 1.0)
    model = folder / "model.pdb"
    structure.write_pdb(str(model))
    structure = gemmi.read_structure(str(model))
    d_min = json.loads((case.folder / "info.json").read_text())["dmin"]
    group = structure.find_spacegroup()
    hkl = gemmi.make_miller_array(structure.cell, group, d_min)
    random = np.random.default_rng(0)
    weights = random.uniform(0.5, 1.5, len(hkl)) / len(hkl)
    problem = folder / "problem.npz"
    np.savez(problem, hkl=hkl, weights=weights, d_min=d_min)
    chosen = random.choice(len(hkl), min(sample, len(hkl)), replace=False)
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    exact = [calculator.calculate_sf_from_model(structure[0], [int(i) for i in hkl[k]]) for k in chosen]
    return model, problem, chosen, np.array(exact)


def run(engine: str, model: Path, problem: Path, folder: Path, repeats: int) -> dict:
    """One engine in its own process and environment."""
    name, _, accuracy = engine.partition(" ")
    python = sys.executable if name == "consil" else str(peer(name, "python"))
    out, log = folder / f"{name}{accuracy}.npz", folder / f"{name}{accuracy}.log"
    command = [python, str(ENGINES / f"sf_{name}.py"), str(model), str(problem), str(out), str(repeats)]
    used = measure(command + ([accuracy] if accuracy else []), log, cwd=folder)
    if used.status:
        raise SystemExit(f"{engine} failed:\n" + log.read_text()[-3000:])
    return {"peak_mb": used.peak_mb, **np.load(out)}


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="?", default="5a3h", choices=NAMES)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--sample", type=int, default=2000, help="reflections summed directly")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, problem, chosen, exact = write_problem(Case.load(args.case), folder, args.sample)
        engines = ("cctbx", "torchref", "consil default", "consil fine")
        results = {engine: run(engine, model, problem, folder, args.repeats) for engine in engines}
    finest = results["consil fine"]
    for engine, result in results.items():
        rows[engine] = {
            "f_ms": 1000 * float(np.median(result["f_s"])),
            "f_gradient_ms": 1000 * float(np.median(result["fg_s"])),
            "error": float(np.abs(result["f"][chosen] - exact).sum() / np.abs(exact).sum()),
            "gradient_xyz": difference(result["xyz"], finest["xyz"]) if "xyz" in result else None,
            "gradient_b": difference(result["b"], finest["b"]) if "b" in result else None,
            "peak_mb": result["peak_mb"],
            "compile_s": float(result["compile_s"]) if "compile_s" in result else None,
        }
    print(f"{args.case}: CPU ms (median of {args.repeats}), sum|dF|/sum|F| against direct summation,")
    print("gradients as |g - g_fine| / |g_fine| against consil fine")
    print(f"{'engine':15} {'F':>7} {'F+grad':>7} {'error':>8} {'d xyz':>8} {'d B':>8} {'MB':>6} {'compile s':>9}")
    for engine, row in rows.items():
        cells = [f"{engine:15} {row['f_ms']:7.1f} {row['f_gradient_ms']:7.1f} {row['error']:8.1e}"]
        cells += [f"{row[k]:8.1e}" if row[k] is not None else f"{'-':>8}" for k in ("gradient_xyz", "gradient_b")]
        cells += [f"{row['peak_mb']:6.0f}", f"{row['compile_s']:9.1f}" if row["compile_s"] else f"{'-':>9}"]
        print(" ".join(cells))
    ours = rows["consil default"]["f_gradient_ms"]
    for engine, bar in CPU_BARS.items():
        ratio = ours / rows[engine]["f_gradient_ms"]
        print(f"consil / {engine}: {ratio:.2f} (bar {bar}){'' if ratio <= bar else '  not met'}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
