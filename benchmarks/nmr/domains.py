"""Two rigid domains oriented by relaxation data of known truth: ten starts, with and without eta, and controls.

Run from the root of the clone: python -m benchmarks.nmr.domains [--noise 0.01 0.02] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from consilience.jobs.common.runtime import prepare_jax
from consilience.jobs.orient.domains import find_bodies
from consilience.jobs.orient.orientation import Orientation, angle_of, orient
from consilience.jobs.orient.problem import Domains, Split
from consilience.nmr.amides import amide_atoms
from consilience.nmr.data import KINDS, RelaxationData
from consilience.nmr.tumbling import Shape
from consilience.structure.atoms import Structure
from tests.nmr.two_domains import AXIAL, ISOTROPIC, RHOMBIC, molecule, relaxation, tensor

STARTS, CONTROLS = 10, {"isotropic": 5, "shuffled": 12, "axial": 5}
WITHOUT = ("R1", "R2", "NOE")
GUESS = (1.0, 1.2, 1.8)


def turned(structure: Structure, degrees: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates with chain B turned about its centre by an angle about a random axis, and the turn."""
    w = np.random.default_rng([seed, 11]).normal(size=3)
    turn = Rotation.from_rotvec(np.radians(degrees) * w / np.linalg.norm(w)).as_matrix()
    own, xyz = find_bodies(structure).body == 1, structure.xyz.copy()
    xyz[own] = (xyz[own] - xyz[own].mean(0)) @ turn.T + xyz[own].mean(0)
    return xyz, turn


def run(
    structure: Structure,
    data: RelaxationData,
    degrees: float,
    seed: int,
    kinds=KINDS,
    guess=None,
    shape: Shape = "rhombic",
) -> tuple[Orientation, np.ndarray]:
    """The result from one start, and the rotation (3, 3) by which chain B is still off."""
    xyz, turn = turned(structure, degrees, seed)
    bodies, atoms = find_bodies(structure.with_atoms(xyz=xyz)), amide_atoms(structure, data.residues)
    split = Split.of(np.ones(len(atoms), bool), bodies.body[atoms[:, 1]], seed)
    problem = Domains(xyz, bodies, atoms, data, split, kinds)
    found = orient(problem, tensor(GUESS, 11.0) if guess is None else guess, shape, starts=2, seed=seed)
    return found, found.turns[0].matrix @ turn


def free(found: Orientation) -> tuple[float, float]:
    """chi2 per datum of the free residues, at the start (with its own best tensor) and now."""
    b, a = found.before, found.after
    return b["chi2_free"] / b["n_free"], a["chi2_free"] / a["n_free"]


def recovery(noise: float) -> list[dict]:
    """Ten starts of 2 to 20 degrees, each with noise of its own."""
    structure, rows = molecule(), []
    for k in range(STARTS):
        degrees = 2.0 * (k + 1)
        data = relaxation(structure, tensor(RHOMBIC), noise=noise, seed=k)
        row: dict = {"noise": noise, "start": degrees}
        for label, kinds in (("eta", KINDS), ("no_eta", WITHOUT)):
            found, off = run(structure, data, degrees, k, kinds)
            before, after = free(found)
            sigma = float(np.degrees(np.linalg.norm(found.turns[0].sigma)))
            row[label] = {"error": float(np.degrees(angle_of(off))), "sigma": sigma, "free_start": before,
                          "free": after, "turned": found.accepted}  # fmt: skip
        rows.append(row)
        print(f"{degrees:5.0f}  " + "   ".join(
            f"{row[c]['error']:5.2f} {row[c]['sigma']:5.2f} {row[c]['free_start']:6.2f} {row[c]['free']:5.2f} "
            f"{'yes' if row[c]['turned'] else 'no ':3s}" for c in ("eta", "no_eta")), flush=True)  # fmt: skip
    for c in ("eta", "no_eta"):
        errors = [r[c]["error"] for r in rows]
        print(f"  {c}: median {np.median(errors):.2f}, largest {max(errors):.2f} degrees; "
              f"within 2 degrees {sum(e < 2 for e in errors)} of {len(errors)}")  # fmt: skip
    return rows


def controls(noise: float) -> list[dict]:
    """Isotropic tumbling and shuffled residues (10 degrees off), fitted with a rhombic tensor all the same; axial."""
    structure, rows = molecule(), []
    for name, count in CONTROLS.items():
        for k in range(count):
            values = {"isotropic": ISOTROPIC, "shuffled": RHOMBIC, "axial": AXIAL}[name]
            data = relaxation(structure, tensor(values), noise=noise, seed=k)
            if name == "shuffled":
                order = np.random.default_rng(k).permutation(len(data.residues))
                data = replace(data, value=data.value[order], sigma=data.sigma[order])
            axial = name == "axial"
            guess, shape = (tensor(AXIAL, 11.0), "prolate") if axial else (None, "rhombic")
            found, off = run(structure, data, 10.0, k, guess=guess, shape=shape)
            axis = np.linalg.eigh(tensor(AXIAL))[1][:, 2]
            turn, (before, after) = found.turns[0], free(found)
            row: dict = {
                "control": name,
                "turned": found.accepted,
                "p": found.p,
                "undetermined": len(turn.undetermined),
            }
            row |= {"free_start": before, "free": after}
            if axial:
                row["axis_error"] = float(np.degrees(np.arccos(min(1.0, abs(axis @ off @ axis)))))
            rows.append(row)
            print(
                "  " + "  ".join(f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()),
                flush=True,
            )
    return rows


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.01, 0.02])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    prepare_jax()
    print("2 x 40 amides, Dx:Dy:Dz 1:1.4:2.2, tau_c 12 ns, 600 and 800 MHz; angles in degrees, chi2 per datum")
    out: dict[str, list[dict]] = {"recovery": [], "controls": []}
    for noise in given.noise:
        print(
            f"noise {100 * noise:g} %\nstart  with eta: error, s.e., free before, after, turned;  without eta: the same"
        )
        out["recovery"] += recovery(noise)
    print("controls")
    out["controls"] = controls(given.noise[0])
    if given.json:
        given.json.write_text(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
