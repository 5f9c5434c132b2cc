"""Makes the built-in example crystal: a designed 42-residue protein in P 31 2 1, and diffraction data of it.

`python tools/examples/make_crystal.py` designs, packs and writes everything (a few minutes);
`--from-true TRUE.pdb -o DIR` only recomputes the data, the start model and the truth from a finished model.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import gemmi
import jax
import numpy as np
import simulate as sim
from chain import build_backbone, choose_rotamers, new_atom, side_chain, to_gemmi
from packing import hexagonal_cell, pack
from relax import atoms_of, coordinates, relax, set_coordinates
from solvent import add_sulfate, add_waters, assign_b, parent, water_sites

from consilience.structure.library import load_library

SEQUENCE = "ASPEELAKQCRELAKRGNVPTDEEVRKLCEHAWKISGVYPFT"
HELICES = ((3, 16), (23, 36))  # residue numbers
BRIDGE = (10, 29)
CIS_AFTER = 39
SPLIT = 9  # GLN 9 has two conformers
SPLIT_CHI = ((-65.0, 180.0, -40.0), (180.0, 65.0, 30.0))
SPACE_GROUP = "P 31 2 1"
MATTHEWS = 2.15  # Å^3/Da: 43 % solvent
N_WATERS, N_UNMODELLED = 34, 30
SEED = 11
LOOP = {17: (50, 40), 18: (-63, -32), 19: (-83, 150), 20: (-58, -41), 21: (-105, 136), 22: (-92, 5)}
TAIL = {37: (72, 10), 38: (-107, 135), 39: (-113, 142), 40: (-75, 155), 41: (-76, 142), 42: (-75, -45)}


def backbone_torsions() -> np.ndarray:
    """(n, 3) phi, psi and following omega of every residue, degrees: two helices, a loop, an extended tail."""
    t = np.tile([-62.0, -42.0, 180.0], (len(SEQUENCE), 1))
    for k, angles in ({1: (-70, 140), 2: (-75, 150)} | LOOP | TAIL).items():
        t[k - 1, :2] = angles
    t[CIS_AFTER - 1, 2] = 0.0
    return t


def _topology(st: gemmi.Structure, monlib: gemmi.MonLib) -> gemmi.Topo:
    """Restraints of the model with riding hydrogens added anew; a hydrogen has an altloc only where its parent has."""
    gemmi.prepare_topology(st, monlib, h_change=gemmi.HydrogenChange.ReAddButWater)
    for res in st[0]["A"]:
        names = set()
        for k in reversed(range(len(res))):
            atom = res[k]
            if not atom.is_hydrogen():
                continue
            carrier = parent(res, atom)
            atom.occ = carrier.occ
            atom.altloc = carrier.altloc
            if (atom.name, atom.altloc) in names:
                del res[k]
            else:
                names.add((atom.name, atom.altloc))
    return gemmi.prepare_topology(st, monlib)


def _index(st: gemmi.Structure, number: int, name: str) -> int:
    return next(
        i
        for i, (r, a) in enumerate((r, a) for c in st[0] for r in c for a in r)
        if r.seqid.num == number and a.name == name
    )


def _helix_bonds(st: gemmi.Structure) -> list[tuple[int, int, float, float]]:
    """Hydrogen bonds O(i)-N(i+4) of the helices as distance restraints."""
    return [
        (_index(st, i, "O"), _index(st, i + 4, "N"), 2.95, 0.1)
        for first, last in HELICES
        for i in range(first, last - 3)
    ]


def _backbone_restraints(st: gemmi.Structure, torsions: np.ndarray) -> list[tuple[list[int], float, float]]:
    """phi and psi at their design values: (four indices, degrees, sigma)."""
    out = []
    for k in range(1, len(SEQUENCE) + 1):
        if k > 1:
            atoms = [(k - 1, "C"), (k, "N"), (k, "CA"), (k, "C")]
            out.append(([_index(st, *a) for a in atoms], torsions[k - 1, 0], 5.0))
        if k < len(SEQUENCE):
            atoms = [(k, "N"), (k, "CA"), (k, "C"), (k + 1, "N")]
            out.append(([_index(st, *a) for a in atoms], torsions[k - 1, 1], 5.0))
    return out


def design(monlib: gemmi.MonLib) -> gemmi.Structure:
    """The molecule alone in a large P 1 box, hydrogens included, relaxed."""
    sequence = gemmi.expand_one_letter_sequence(SEQUENCE, gemmi.ResidueKind.AA)
    torsions = backbone_torsions()
    backbone = build_backbone(sequence, torsions)
    st = to_gemmi(sequence, backbone, choose_rotamers(sequence, backbone, (BRIDGE[0] - 1, BRIDGE[1] - 1), SEED))
    st.name = "EXAMPLE"
    st.cell = gemmi.UnitCell(150, 150, 150, 90, 90, 90)
    st.spacegroup_hm = "P 1"
    st.setup_cell_images()
    st.setup_entities()
    st.entities[0].full_sequence = sequence
    bond = gemmi.Connection()
    bond.type, bond.name = gemmi.ConnectionType.Disulf, "disulf1"
    chain = st[0]["A"]
    first, second = (chain[k - 1] for k in BRIDGE)
    bond.partner1 = gemmi.make_address(chain, first, first["SG"][0])
    bond.partner2 = gemmi.make_address(chain, second, second["SG"][0])
    st.connections.append(bond)
    topo = _topology(st, monlib)
    args = {"distances": _helix_bonds(st), "torsions": _backbone_restraints(st, torsions)}
    relax(st, topo, **args, rounds=6, iterations=250, tether=0.1)
    return st


def crystallise(st: gemmi.Structure) -> None:
    """Puts the molecule into the crystal, in place: orientation, cell and position of least overlap."""
    atoms = atoms_of(st)
    heavy = np.array([not a.is_hydrogen() for a in atoms])
    xyz = coordinates(st)
    coarse = []
    for res in st[0]["A"]:
        coarse.append(res["CA"][0].pos.tolist())
        side = [a.pos.tolist() for a in res if not a.is_hydrogen() and a.name not in ("N", "CA", "C", "O", "OXT")]
        if side:
            coarse.append(list(np.mean(side, axis=0)))
    mass = sum(a.element.weight for a in atoms)
    sg = gemmi.SpaceGroup(SPACE_GROUP)
    volume = MATTHEWS * mass * len(sg.operations())
    moved, a, _ = pack(xyz[heavy], np.array(coarse), sg, volume, SEED, trials=600)
    a = round(a, 2)
    c = round(hexagonal_cell(a, volume).c, 2)
    rotation, shift = _superpose(xyz[heavy], moved)
    set_coordinates(st, xyz @ rotation.T + shift)
    st.cell = gemmi.UnitCell(a, a, c, 90, 90, 120)
    st.spacegroup_hm = SPACE_GROUP
    st.setup_cell_images()


def _superpose(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation and shift that carry a (n, 3) onto b (Kabsch)."""
    u, _, vt = np.linalg.svd((a - a.mean(0)).T @ (b - b.mean(0)))
    d = np.sign(np.linalg.det(u @ vt))
    rotation = (u @ np.diag([1, 1, d]) @ vt).T
    return rotation, b.mean(0) - rotation @ a.mean(0)


def split_residue(st: gemmi.Structure) -> None:
    """Gives one residue two side-chain conformers, A 0.6 and B 0.4, in place; its hydrogens are dropped."""
    res = st[0]["A"][SPLIT - 1]
    main = {a.name: np.array(a.pos.tolist()) for a in res if a.name in ("N", "CA", "C", "O", "CB")}
    for k in reversed(range(len(res))):
        if res[k].name not in ("N", "CA", "C", "O"):
            del res[k]
    for altloc, occ, chi in zip("AB", (0.6, 0.4), SPLIT_CHI, strict=True):
        for name, xyz in ({"CB": main["CB"]} | side_chain(res.name, main, chi)).items():
            atom = new_atom(name, name[0], xyz, occ=occ)
            atom.altloc = altloc
            res.add_atom(atom)


def make_true(monlib: gemmi.MonLib) -> gemmi.Structure:
    """The true crystal: protein, sulfate, waters, hydrogens, B factors."""
    torsions = backbone_torsions()
    st = design(monlib)
    crystallise(st)
    for last in (False, True):
        if last:
            split_residue(st)
            add_sulfate(st, SEED)
            add_waters(st, water_sites(st, N_WATERS))
            st.setup_entities()
        topo = _topology(st, monlib)
        args = {"distances": _helix_bonds(st), "torsions": _backbone_restraints(st, torsions)}
        relax(st, topo, **args, rounds=6, iterations=250, tether=1.0)
    # real bond lengths and angles are not ideal: the last pull is to values drawn about the ideal ones
    relax(st, topo, **args, rounds=1, iterations=80, tether=1.0, spread=0.7, seed=SEED)
    assign_b(st, SEED)
    topo.set_cispeps_in_structure(st)
    for cis in st.cispeps:  # gemmi 0.7 gives radians here, the record wants degrees
        cis.reported_angle = float(np.degrees(cis.reported_angle))
    st.info["_struct.title"] = "SIMULATED CRYSTAL OF A DESIGNED HELICAL HAIRPIN"
    st.resolution = sim.Experiment().d_min
    st.assign_serial_numbers()
    return st


def unmodelled_solvent(true: gemmi.Structure) -> gemmi.Structure:
    """Half-occupied, mobile waters that are in the data but not in the true model: the disorder no model describes."""
    extra = true.clone()
    for name in [c.name for c in extra[0]]:
        extra[0].remove_chain(name)
    add_waters(extra, water_sites(true, N_UNMODELLED, first_shell=False))
    for res in extra[0]["W"]:
        res[0].occ, res[0].b_iso = 0.5, 38.0
    return extra


def make_start(true: gemmi.Structure, seed: int) -> gemmi.Structure:
    """The true model without hydrogens, moved by 0.25 Å r.m.s. at random, all B = 30 Å^2."""
    st = true.clone()
    st.remove_hydrogens()
    rng = np.random.default_rng(seed)
    xyz = coordinates(st)
    shift = rng.normal(size=xyz.shape)
    shift *= 0.25 / np.sqrt(np.mean(np.sum(shift**2, axis=1)))
    set_coordinates(st, xyz + shift)
    for atom in atoms_of(st):
        atom.b_iso = 30.0
    st.assign_serial_numbers()
    return st


def r_factor(f_obs: np.ndarray, f_calc: np.ndarray) -> float:
    """R = sum |F_o - k F_c| / sum F_o with the k of least squares."""
    k = np.sum(f_obs * np.abs(f_calc)) / np.sum(np.abs(f_calc) ** 2)
    return float(np.sum(np.abs(f_obs - k * np.abs(f_calc))) / np.sum(f_obs))


def write_data(true: gemmi.Structure, out: Path) -> dict:
    """Writes data.mtz, intensities.mtz, start.pdb and truth.json for a finished true model; returns the truth."""
    ex = sim.Experiment()
    rng = np.random.default_rng(ex.seed)
    hkl = sim.unique_indices(true, ex.d_min)
    extra = unmodelled_solvent(true)
    f_true = sim.total_structure_factors(true, extra, hkl, ex, with_unmodelled=True)
    f_model = sim.total_structure_factors(true, extra, hkl, ex, with_unmodelled=False)
    sg = true.find_spacegroup()
    ops = sg.operations()
    d = true.cell.calculate_d_array(hkl)
    epsilon = ops.epsilon_factor_without_centering_array(hkl).astype(float)
    intensity, sigma_i, f, sigma_f = sim.measure(f_true, d, epsilon, ops.centric_flag_array(hkl), ex, rng)
    flags = sim.free_flags(hkl, sg, true.cell, ex.free_sets, rng)
    seen = rng.random(len(hkl)) < ex.completeness
    hkl, f_model = hkl[seen], f_model[seen]
    flag = ("FreeR_flag", "I", flags[seen])
    title = "consilience example crystal"
    columns = [("FP", "F", f[seen]), ("SIGFP", "Q", sigma_f[seen]), flag]
    sim.write_mtz(str(out / "data.mtz"), true, hkl, columns, title)
    columns = [("IMEAN", "J", intensity[seen]), ("SIGIMEAN", "Q", sigma_i[seen]), flag]
    sim.write_mtz(str(out / "intensities.mtz"), true, hkl, columns, title)
    start = make_start(true, ex.seed)
    start.write_pdb(str(out / "start.pdb"))
    f_start = sim.total_structure_factors(start, extra, hkl, ex, with_unmodelled=False)
    free = flags[seen] == 0
    atoms = atoms_of(true)
    truth = {
        "scale": ex.scale,
        "k_sol": ex.k_sol,
        "b_sol": ex.b_sol,
        "b_aniso": list(ex.b_aniso),
        "d_min": ex.d_min,
        "space_group": SPACE_GROUP,
        "cell": list(true.cell.parameters),
        "n_reflections": len(hkl),
        "n_free": int(free.sum()),
        "free_value": 0,
        "n_atoms": len(atoms),
        "n_hydrogens": sum(a.is_hydrogen() for a in atoms),
        "n_residues": len(SEQUENCE),
        "n_waters": N_WATERS,
        "n_unmodelled_waters": N_UNMODELLED,
        "sequence": SEQUENCE,
        "disulfide": list(BRIDGE),
        "cis_peptide_after": CIS_AFTER,
        "two_conformers": SPLIT,
        "seed": ex.seed,
        "r_true": round(r_factor(f[seen], f_model), 4),
        "r_free_true": round(r_factor(f[seen][free], f_model[free]), 4),
        "r_start": round(r_factor(f[seen], f_start), 4),
        "sha256_true": hashlib.sha256((out / "true.pdb").read_bytes()).hexdigest(),
    }
    (out / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    return truth


def main() -> None:
    here = Path(__file__).resolve().parents[2] / "src" / "consilience" / "examples" / "crystal"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from-true", type=Path, help="finished true model; nothing is designed")
    parser.add_argument("-o", "--output", type=Path, default=here)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    target = args.output / "true.pdb"
    if args.from_true:
        target.write_bytes(args.from_true.read_bytes())
    else:
        jax.config.update("jax_enable_x64", True)
        names = sorted({*gemmi.expand_one_letter_sequence(SEQUENCE, gemmi.ResidueKind.AA), "HOH", "SO4"})
        library, _, _ = load_library(names)
        make_true(library).write_pdb(str(target))
    # the data are those of the file as written, with its three decimals
    print(json.dumps(write_data(gemmi.read_structure(str(target)), args.output), indent=1))


if __name__ == "__main__":
    main()
