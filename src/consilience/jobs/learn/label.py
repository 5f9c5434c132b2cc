"""Mean forces of bead frames from all-atom dynamics: atoms are led to a frame, the CA frozen there, forces averaged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from consilience.coarse.atoms import AtomFrames
from consilience.coarse.beadmap import BeadMap
from consilience.coarse.beads import Beads
from consilience.coarse.forcemap import ForceMap
from consilience.coarse.internal import dihedrals, rmsd
from consilience.coarse.topology import Topology, read_topology
from consilience.core.errors import InputError
from consilience.files import read_text
from consilience.frames.geometry import superpose
from consilience.jobs.train_beads.sets import LEARNED
from consilience.kinds import recognise
from consilience.units import KCAL_MOL

REACHED = 0.3  # Å: a CA farther from its place was not led there
STRAIN = 10.0 * KCAL_MOL  # eV for each residue above the atoms at the start: beyond, no molecule is like this
BLOCKS = 8  # of which the standard error is made
_CENTRES = {"": ("N", "CA", "C", "CB"), "ILE": ("CA", "CB", "CG1", "CG2"), "THR": ("CA", "CB", "OG1", "CG2")}


@dataclass(frozen=True)
class Labelled:
    """k frames of one protein: `beads` with their mean forces, `error` (k, b, 3) eV/Å its standard error, `noise` (k,)
    eV/Å of the instantaneous force, `frame` (k,) the frames of the targets; `dropped`: why the others are not there.
    """

    beads: Beads
    error: np.ndarray
    noise: np.ndarray
    frame: np.ndarray
    dropped: dict[int, str] = field(default_factory=dict)


def label(
    targets: Beads,
    frames: AtomFrames,
    beads: BeadMap,
    force_map: ForceMap,
    *,
    temperature: float,
    ps: float,
    force_field: tuple[str, ...],
    platform: str = "CPU",
    seed: int = 0,
) -> Labelled:
    """Mean forces of the CA frames `targets`, each from the all-atom frame whose CA are nearest.

    A frame is dropped where the atoms cannot be led to it, where they would be strained beyond reason, or where
    chirality or a peptide bond would change on the way. Raises InputError where OpenMM is not installed, or does not
    know the molecule.
    """
    atoms = _atoms(frames, beads, force_field, platform, seed)
    ca = beads.weights.argmax(1)
    known = frames.positions[:, ca].astype(float)
    handed = Handedness(frames.topology)
    kept: list[int] = []
    mean, error, noise, dropped = [], [], [], {}
    for k, target in enumerate(targets.positions):
        nearest = int(rmsd(known, target).argmin())
        start = _turned(frames.positions[nearest].astype(float), ca, target)
        before = handed(start)
        _, relaxed = atoms.hold(start, start[ca])
        own = seed * 100_003 + k
        led, off = atoms.pull(start, target, temperature, own)
        if not off <= REACHED:  # also where it is not a number
            dropped[k] = f"a CA is {off:.2f} Å from its place"
            continue
        held, energy = atoms.hold(led, target)
        strain = (energy - relaxed) / len(ca)
        if not strain <= STRAIN:
            dropped[k] = f"strained by {strain / KCAL_MOL:.3g} kcal/mol for each residue"
            continue
        if not np.array_equal(handed(held), before):
            dropped[k] = "chirality or a peptide bond changed on the way"
            continue
        forces, last = atoms.sample(held, temperature, ps, own + 1, lambda f: force_map.weights @ f)
        if not (np.isfinite(forces).all() and np.isfinite(last).all()):
            dropped[k] = "the dynamics of the atoms broke"
            continue
        kept.append(k)
        mean.append(forces.mean(0))
        error.append(standard_error(forces))
        noise.append(float(np.sqrt(forces.var(0, ddof=1).mean())))
    b = len(ca)
    made = replace(
        targets.select(np.array(kept, int)),
        forces=np.array(mean).reshape(-1, b, 3),
        temperature=np.full(len(kept), temperature),
        trajectory=np.arange(len(kept)),
        source=(LEARNED,) * len(kept),
    )
    return Labelled(made, np.array(error).reshape(-1, b, 3), np.array(noise), np.array(kept, int), dropped)


def openmm_engine() -> Any:
    """The module of atoms in OpenMM. Raises InputError where that is not installed."""
    try:
        from consilience.engines import frozen_atoms
    except ImportError:
        fix = "pip install 'consilience[openmm]'"
        raise InputError("frames are labelled by OpenMM, which is not installed", fix=fix) from None
    return frozen_atoms


def standard_error(values: np.ndarray) -> np.ndarray:
    """Standard error of the mean of a series (s, ...), from the means of up to 8 blocks in time."""
    blocks = int(np.clip(len(values) // 2, 2, BLOCKS))
    means = np.stack([p.mean(0) for p in np.array_split(values, blocks)])
    return means.std(0, ddof=1) / np.sqrt(blocks)


class Handedness:
    """What no dynamics at 300 K changes: chirality of centres, and cis or trans of peptide bonds."""

    def __init__(self, topology: Topology):
        place = {(int(r), str(n)): i for i, (r, n) in enumerate(zip(topology.residue, topology.names, strict=True))}
        centres, peptides = [], []
        for r, name in enumerate(topology.residue_names):
            for only, four in _CENTRES.items():
                found = [place.get((r, n), -1) for n in four]
                if only in ("", name) and min(found) >= 0:
                    centres.append(found)
            s = r + 1
            bonded = s < len(topology.chain) and topology.chain[s] == topology.chain[r]
            if bonded and topology.number[s] - topology.number[r] == 1:
                found = [place.get(p, -1) for p in ((r, "CA"), (r, "C"), (s, "N"), (s, "CA"))]
                if min(found) >= 0:
                    peptides.append(found)
        self.centres = np.array(centres, int).reshape(-1, 4)
        self.peptides = np.array(peptides, int).reshape(-1, 4)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Signs of volumes at the centres and of cosines of peptide torsions, of positions (n, 3)."""
        a, middle, b, c = (x[self.centres[:, k]] for k in range(4))
        volumes = np.einsum("ck,ck->c", a - middle, np.cross(b - middle, c - middle))
        return np.sign(np.concatenate([volumes, np.cos(dihedrals(x[None], self.peptides)[0])]))


def _turned(x: np.ndarray, ca: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Positions (n, 3) with their CA laid on the target."""
    middle, onto = x[ca].mean(0), target.mean(0)
    return (x - middle) @ superpose((x[ca] - middle)[None], (target - onto)[None])[0] + onto


def _atoms(frames: AtomFrames, beads: BeadMap, force_field: tuple[str, ...], platform: str, seed: int) -> Any:
    engine = openmm_engine()
    path: Path = frames.topology.path
    form = "pdb" if recognise(path) == "pdb" else "cif"
    kept = read_topology(path).solute
    ca = beads.weights.argmax(1)
    made = engine.FrozenAtoms(read_text(path), form, kept, ca, force_field, platform=platform, seed=seed,
                              where=str(path))  # fmt: skip
    if [e.upper() for e in made.elements] != [str(e).upper() for e in frames.topology.elements]:
        raise InputError("OpenMM orders the atoms of the topology differently", str(path),
                         fix="keep the atoms of a residue together, and chains one after another")  # fmt: skip
    return made
