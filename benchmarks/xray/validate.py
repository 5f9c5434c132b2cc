"""The one validator for all engines: servalcat with 0 cycles scores a model against the data, isotropic B."""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path

from cases import MONLIB, Case, measure, peer

GROUPS = {
    "bond": ("Bond distances, non H",),
    "angle": ("Bond angles, non H",),
    "torsion": ("Torsion angles",),
    "chiral": ("Chiral centres",),
    "plane": ("Planar groups",),
    "vdw": ("VDW",),
}


def servalcat_arguments(case: Case, model: Path, prefix: Path, cycles: int) -> list[str]:
    """Command line of servalcat: its defaults, but isotropic B and the columns and dictionaries of the case."""
    command = [str(peer("servalcat", "servalcat")), "refine_xtal_norefmac", "--hklin", str(case.data)]
    command += ["--labin", ",".join(case.labels), "--free", str(case.free_value), "--model", str(model)]
    command += ["--monlib", str(MONLIB), "--ncycle", str(cycles), "--adp", "iso", "-s", "xray", "-o", str(prefix)]
    if case.ligands:
        command += ["--ligand", *map(str, case.ligands)]
    return command


def rms_z(summary: dict) -> dict[str, float | None]:
    """Root mean square Z per kind of restraint, kinds of one group pooled by their numbers of restraints."""
    counts, values = summary["N restraints"], summary["r.m.s.Z"]
    pooled = {}
    for group, starts in GROUPS.items():
        own = [k for k in values if k.startswith(starts)]
        n = sum(counts[k] for k in own)
        pooled[group] = math.sqrt(sum(counts[k] * values[k] ** 2 for k in own) / n) if n else None
    return pooled


def validate(case: Case, model: Path) -> dict:
    """R factors, r.m.s.Z and r.m.s. deviations of a model (.pdb or .cif) by servalcat."""
    with tempfile.TemporaryDirectory() as folder:
        prefix, log = Path(folder) / "val", Path(folder) / "log"
        arguments = servalcat_arguments(case, model.resolve(), prefix, 0)
        used = measure([*arguments, "--allow_unusual_occupancies"], log, cwd=Path(folder))
        if used.status:
            raise RuntimeError(f"servalcat refused {model}:\n" + log.read_text()[-2000:])
        last = json.loads(Path(f"{prefix}_stats.json").read_text())[-1]
    data, geometry = last["data"]["summary"], last["geom"]["summary"]
    return {
        "r_work": data["Rwork"],
        "r_free": data["Rfree"],
        "cc_work": data.get("CCFworkavg"),
        "cc_free": data.get("CCFfreeavg"),
        "rmsz": rms_z(geometry),
        "rmsd_bond": geometry["r.m.s.d."]["Bond distances, non H"],
        "rmsd_angle": geometry["r.m.s.d."]["Bond angles, non H"],
        "outliers": {k: len(v) for k, v in last["geom"]["outliers"].items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", help="name of the crystal")
    parser.add_argument("model", type=Path, nargs="+", help="models of any engine, .pdb or .cif")
    args = parser.parse_args()
    case = Case.load(args.case)
    for model in args.model:
        print(json.dumps({"case": case.name, "model": str(model), **validate(case, model)}, indent=1))


if __name__ == "__main__":
    main()
