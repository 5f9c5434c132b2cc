"""Makes the built-in relaxation example: rates of the simulated crystal's protein with known tumbling and dynamics.

usage: python tools/examples/make_relaxation.py [-o FOLDER]

Written on its own, with the closed formulas of an axially symmetric rotor (Woessner, J. Chem. Phys. 37 (1962) 647) and
SI units: it shares no code with what reads the data.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gemmi
import numpy as np

HERE = Path(__file__).resolve().parents[2] / "src" / "consilience" / "examples"
GAMMA_H, GAMMA_N, HBAR, MU0 = 2.6752218708e8, -2.71261804e7, 6.62607015e-34 / (2 * np.pi), 1.25663706127e-6
TAU_C, RATIO, THETA, PHI = 5.2e-9, 1.6, 0.9, 0.6  # s; D_par / D_perp; the axis in the model's frame, rad
R_NH, CSA, CSA_ANGLE = 1.02e-10, -172e-6, np.radians(17.0)
FIELDS = (600.0, 800.0)  # MHz of 1H
ERROR = {"R1": 0.012, "R2": 0.015, "etaxy": 0.025}  # of the value
NOE_ERROR, SEED = 0.02, 7


def amides(path: Path) -> list[tuple[int, str, np.ndarray, np.ndarray]]:
    """Number, name, unit N-H vector and unit CSA axis (17 degrees from it in the peptide plane, towards C')."""
    out, before = [], None
    for res in gemmi.read_structure(str(path))[0][0]:
        atoms = {}
        for a in res:
            atoms.setdefault(a.name, np.array(a.pos.tolist()))
        if before is not None and {"N", "H"} <= atoms.keys() and res.name != "PRO":
            nh = atoms["H"] - atoms["N"]
            nh /= np.linalg.norm(nh)
            side = before - atoms["N"]
            side -= (side @ nh) * nh
            side /= np.linalg.norm(side)
            out.append((res.seqid.num, res.name, nh, np.cos(CSA_ANGLE) * nh + np.sin(CSA_ANGLE) * side))
        before = atoms.get("C", before)
    return out


def dynamics(index: int, count: int, rng: np.random.Generator) -> dict[str, float]:
    """True motion of a residue: rigid middle, mobile ends (extended model), a loop with exchange. Times in s."""
    edge = min(index, count - 1 - index)
    if edge < 3:
        s2f = 0.83
        return {"S2f": s2f, "S2": s2f * (0.45 + 0.12 * edge), "te": 0.9e-9, "Rex": 0.0}
    s2 = float(np.clip(0.86 + 0.03 * rng.standard_normal(), 0.75, 0.94))
    te = float(rng.uniform(20e-12, 60e-12)) if s2 < 0.88 else 0.0
    rex = 1.5 if index in (14, 15, 16) else 0.0  # s^-1 at the lowest field
    return {"S2f": 1.0, "S2": s2, "te": te, "Rex": rex}


def density(w: float, u: np.ndarray, v: np.ndarray, motion: dict[str, float]) -> float:
    """J(w) in s of the pair of unit vectors u, v in the tensor's frame."""
    trace = 1 / (2 * TAU_C)
    across = trace / (2 + RATIO)
    along = RATIO * across
    rates = np.array([6 * across, 5 * across + along, 2 * across + 4 * along])
    (x, y, z), (a, b, c) = u, v
    weights = np.array(
        [
            0.25 * (3 * z * z - 1) * (3 * c * c - 1),
            3 * z * c * (x * a + y * b),
            0.75 * ((x * x - y * y) * (a * a - b * b) + 4 * x * y * a * b),
        ]
    )

    def lorentz(rate: np.ndarray) -> np.ndarray:
        return rate / (rate * rate + w * w)

    total = motion["S2"] * lorentz(rates)
    if motion["te"] > 0:
        total = total + (motion["S2f"] - motion["S2"]) * lorentz(rates + 1 / motion["te"])
    return float(0.4 * weights @ total)


def rates(field: float, nh: np.ndarray, axis: np.ndarray, motion: dict[str, float]) -> dict[str, float]:
    """R1, R2, NOE (CSA autocorrelation along the CSA axis) and eta_xy at a field in MHz."""
    w_h = 2e6 * np.pi * field
    w_n = w_h * GAMMA_N / GAMMA_H
    d = -MU0 / (4 * np.pi) * HBAR * GAMMA_H * GAMMA_N / R_NH**3
    c = w_n * CSA
    j = {name: density(w, nh, nh, motion) for name, w in
         {"0": 0.0, "n": w_n, "-": w_h - w_n, "h": w_h, "+": w_h + w_n}.items()}  # fmt: skip
    c0, cn = density(0.0, axis, axis, motion), density(w_n, axis, axis, motion)
    x0, xn = density(0.0, nh, axis, motion), density(w_n, nh, axis, motion)
    r1 = d * d / 4 * (j["-"] + 3 * j["n"] + 6 * j["+"]) + c * c / 3 * cn
    r2 = d * d / 8 * (4 * j["0"] + j["-"] + 3 * j["n"] + 6 * j["h"] + 6 * j["+"]) + c * c / 18 * (4 * c0 + 3 * cn)
    r2 += motion["Rex"] * (field / FIELDS[0]) ** 2
    noe = 1 + GAMMA_H / GAMMA_N * d * d / 4 * (6 * j["+"] - j["-"]) / r1
    return {"R1": r1, "R2": r2, "NOE": noe, "etaxy": d * c / 6 * (4 * x0 + 3 * xn)}


def frame() -> np.ndarray:
    """Rows: the tensor's axes in the model's frame, z the unique one."""
    z = np.array([np.sin(THETA) * np.cos(PHI), np.sin(THETA) * np.sin(PHI), np.cos(THETA)])
    x = np.cross([0.0, 0.0, 1.0], z)
    x /= np.linalg.norm(x)
    return np.array([x, np.cross(z, x), z])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--out", type=Path, default=HERE / "relaxation")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng, axes = np.random.default_rng(SEED), frame()
    sites = amides(HERE / "crystal" / "true.pdb")
    columns = [(kind, f) for f in FIELDS for kind in ("R1", "R2", "NOE", "etaxy") if kind != "etaxy" or f == FIELDS[0]]
    head = ["residue", "name", *(f"{k}_{f:g}{e}" for k, f in columns for e in ("", "_err"))]
    lines, truth = [",".join(head)], {}
    for i, (number, name, nh, axis) in enumerate(sites):
        motion = dynamics(i, len(sites), rng)
        truth[str(number)] = {"S2": motion["S2"], "S2f": motion["S2f"], "te_ps": motion["te"] * 1e12,
                              "Rex": motion["Rex"]}  # fmt: skip
        cells = [str(number), name]
        for kind, field in columns:
            exact = rates(field, axes @ nh, axes @ axis, motion)[kind]
            error = NOE_ERROR if kind == "NOE" else ERROR[kind] * abs(exact)
            cells += [f"{exact + error * rng.standard_normal():.5f}", f"{error:.5f}"]
        lines.append(",".join(cells))
    (args.out / "rates.csv").write_text("\n".join(lines) + "\n")
    known = {"tau_c_ns": TAU_C * 1e9, "ratio": RATIO, "theta": THETA, "phi": PHI, "csa_ppm": CSA * 1e6,
             "csa_angle_deg": 17.0, "residues": truth}  # fmt: skip
    (args.out / "truth.json").write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
