"""Checks of all-atom frames as they are loaded: damaged and repeated frames, covalent lengths, units of forces."""

from __future__ import annotations

import numpy as np

from consilience.coarse.atoms import AtomFrames
from consilience.core.errors import Finding
from consilience.units import BOHR, BOLTZMANN, ENERGY, KCAL_MOL

ABSURD = 1e5  # Å
_COVALENT = (1.05, 1.85)  # Å: N-CA, CA-C and C-O in any frame; medians lie in 1.2 to 1.55
_MOST_BAD = 0.2  # share of damaged frames from which the whole file is refused
_UNITS = {"nm": 10.0, "bohr": BOHR}
_FORCES = {
    "kcal/mol/Å": KCAL_MOL, "kJ/mol/nm": ENERGY["kJ/mol"] / 10, "kJ/mol/Å": ENERGY["kJ/mol"], "eV/Å": 1.0,
    "kcal/mol/nm": KCAL_MOL / 10, "hartree/bohr": ENERGY["hartree"] / BOHR,
}  # fmt: skip
_SURE = 5.0
_WARM = 0.15  # relative deviation of the temperature that is doubted; long time steps cause some per cent


@np.errstate(all="ignore")
def inspect_atoms(frames: AtomFrames, labelled: str, unit: float) -> tuple[AtomFrames, list[Finding]]:
    """The sound frames, in Å and eV/Å, and what was found.

    Lengths are judged by N-CA, CA-C and C-O bonds, forces by the virial theorem of C=O bonds, which carry no hydrogen:
    <F.(r - <r>) u> = -kT <1 + 2 (r - <r>) / r>. `labelled` tells who named the unit of forces ("" where nobody did, and
    then what physics says is used); `unit` is its size in eV/Å.
    """
    frames, out = _lengths(frames)
    if any(f.level == "error" for f in out):
        return frames, out
    frames, found = _repeated(frames)
    out += found
    frames, found = _damaged(frames)
    out += found
    if any(f.level == "error" for f in out) or not len(frames):
        return frames, out
    frames, found = _force_unit(frames, labelled, unit)
    return frames, out + found


def _pairs(frames: AtomFrames) -> np.ndarray:
    top = frames.topology
    named = (("N", "CA", 0), ("CA", "C", 0), ("C", "O", 0), ("C", "N", 1))
    return np.concatenate([top.bonds_of(*pair) for pair in named])


def _distances(frames: AtomFrames, pairs: np.ndarray) -> np.ndarray:
    d = frames.positions[:, pairs[:, 1]] - frames.positions[:, pairs[:, 0]]
    if frames.box is not None:
        s = np.einsum("fbk,fkl->fbl", d, np.linalg.inv(frames.box))
        d = np.einsum("fbk,fkl->fbl", s - np.round(s), frames.box)
    return np.linalg.norm(d, axis=-1)


def _lengths(frames: AtomFrames) -> tuple[AtomFrames, list[Finding]]:
    where = str(frames.path)
    pairs = _pairs(frames)
    if not len(pairs):
        what = "the topology has no protein backbone: units and order of atoms cannot be checked"
        return frames, [Finding("note", what, str(frames.topology.path))]
    r = np.nanmedian(_distances(frames, pairs), axis=0)
    middle = float(np.nanmedian(r))
    if _COVALENT[0] <= middle <= _COVALENT[1] and np.mean((r > _COVALENT[0]) & (r < _COVALENT[1])) > 0.9:
        return frames, []
    found = f"N-CA, CA-C and C-O distances of {middle:.3g} Å in the median"
    expected = "1.2 to 1.55 Å"
    for name, scale in _UNITS.items():
        if 1.15 <= middle * scale <= 1.65 and np.median(np.abs(r * scale - 1.35)) < 0.25:
            box = None if frames.box is None else frames.box * scale
            moved = np.asarray(frames.positions * scale, np.float32)
            changed = AtomFrames(**{**vars(frames), "positions": moved, "box": box})
            what = f"the positions are taken to be in {name}, by their covalent bonds"
            return changed, [Finding("warn", what, where, found, expected, "say the unit (units, --units)")]
    what = "the trajectory does not fit the topology: the atoms are in another order, or molecules are not whole"
    fix = "give the topology that the trajectory was written with"
    return frames, [Finding("error", what, f"{where}, {frames.topology.path}", found, expected, fix)]


def _damaged(frames: AtomFrames) -> tuple[AtomFrames, list[Finding]]:
    """Frames with values that are not finite or absurd, or with broken bonds, are left out."""
    finite = np.asarray(np.isfinite(frames.positions).all((1, 2)) & np.isfinite(frames.forces).all((1, 2)))
    near = np.asarray((np.abs(frames.positions) < ABSURD).all((1, 2)))
    pairs = _pairs(frames)
    r = _distances(frames, pairs) if len(pairs) else np.full((len(frames), 1), 1.3)
    whole = np.asarray(((r > 0.7) & (r < 2.3)).all(1))
    acting = np.asarray(np.any(frames.forces != 0, axis=(1, 2)))
    good = np.asarray(finite & near & whole & acting)
    if good.all():
        return frames, []
    bad = np.flatnonzero(~good)
    k = int(bad[0])
    reasons = (
        (finite, "values that are not finite"),
        (near, "absurd positions"),
        (whole, "broken covalent bonds"),
        (acting, "no forces at all"),
    )
    why = next(words for ok, words in reasons if not ok[k])
    where = f"{frames.path}, frame {k} (counted from 0)"
    if len(bad) > _MOST_BAD * len(frames):
        what = f"{len(bad)} of {len(frames)} frames are damaged: {why}"
        return frames, [Finding("error", what, where, fix="write the trajectory again")]
    what = f"{len(bad)} damaged frame(s) left out: {why}"
    return frames.select(good), [Finding("warn", what, where)]


def _repeated(frames: AtomFrames) -> tuple[AtomFrames, list[Finding]]:
    """Copies of frames are left out: they would stand on both sides of a split."""
    seen: set[bytes] = set()
    keep = np.ones(len(frames), bool)
    for k, x in enumerate(frames.positions):
        key = x.tobytes()
        keep[k] = key not in seen
        seen.add(key)
    if keep.all():
        return frames, []
    k = int(np.flatnonzero(~keep)[0])
    what = f"{int((~keep).sum())} repeated (identical or frozen) frame(s) left out of {len(frames)}"
    return frames.select(keep), [Finding("warn", what, f"{frames.path}, frame {k} (counted from 0)")]


def _force_unit(frames: AtomFrames, labelled: str, unit: float) -> tuple[AtomFrames, list[Finding]]:
    seen = virial_ratio(frames)
    if seen is None or abs(seen[0]) < _SURE * seen[1] or seen[1] > 0.2 * abs(seen[0]):
        return frames, []
    ratio = seen[0]
    where = str(frames.path)
    found = f"a virial ratio of {ratio:.3g} +- {seen[1]:.2g} at C=O bonds"
    expected = "1"
    if ratio < 0:
        what = "the forces have the wrong sign: they are gradients of the energy"
        return frames, [Finding("error", what, where, found, expected, "multiply them by -1")]
    if 0.5 <= ratio <= 2.0:
        if abs(ratio - 1.0) < _WARM or abs(ratio - 1.0) < _SURE * seen[1]:
            return frames, []
        what = "the forces fit another temperature than the one that is said"
        said = ", ".join(f"{t:g}" for t in np.unique(frames.temperature)[:4])
        found += f", so {ratio:.2f} times {said} K"
        return frames, [Finding("warn", what, where, found, expected, "correct the temperature (--temperature)")]
    likely = min(_FORCES, key=lambda u: abs(np.log(ratio * _FORCES[u] / unit)))
    fits = 0.5 <= ratio * _FORCES[likely] / unit <= 2.0
    if not fits:
        what = "the magnitude of the forces does not fit the temperature: check units, temperature and thinning"
        return frames, [Finding("warn", what, where, found, expected)]
    if labelled:
        what = f"the forces are not in the unit that is said: by their scale it is likely {likely}"
        level = "warn" if labelled == "user" else "error"
        return frames, [Finding(level, what, where, found, expected, "correct the label, or use --units")]
    what = f"the forces are taken to be in {likely}, by the virial theorem"
    scaled = np.asarray(frames.forces * (_FORCES[likely] / unit), np.float32)
    changed = AtomFrames(**{**vars(frames), "forces": scaled})
    return changed, [Finding("warn", what, where, found, expected, "say the unit (--units)")]


@np.errstate(all="ignore")
def virial_ratio(frames: AtomFrames) -> tuple[float, float] | None:
    """Virial ratio of the C=O bonds, 1 in a canonical ensemble, and its standard error; None where unknown."""
    pairs = frames.topology.bonds_of("C", "O")
    if not len(pairs) or len(frames) < 20:
        return None
    r = _distances(frames, pairs).astype(float)
    d = (frames.positions[:, pairs[:, 1]] - frames.positions[:, pairs[:, 0]]).astype(float)
    pull = 0.5 * (frames.forces[:, pairs[:, 1]] - frames.forces[:, pairs[:, 0]]).astype(float)
    f = np.einsum("fbk,fbk->fb", pull, d) / r
    top, below = np.zeros(len(r)), np.zeros(len(r))
    for t in np.unique(frames.temperature):
        rows = frames.temperature == t
        q = r[rows] - r[rows].mean(0)
        top[rows] = -(q * f[rows]).sum(1)
        below[rows] = (BOLTZMANN * t * (1 + 2 * q / r[rows])).sum(1)
    if np.std(r, axis=0).mean() < 2e-3:  # held by constraints
        return None
    value = float(top.sum() / below.sum())
    return value, float(np.sqrt(np.sum((top - value * below) ** 2)) / below.sum())
