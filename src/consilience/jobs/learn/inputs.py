"""Inputs of consil learn, in any order: a bead model with several networks, all-atom frames, and bead files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from consilience.beads import LoadedBeads
from consilience.coarse.atoms import AtomFrames
from consilience.coarse.beadmap import BeadMap, alpha_map
from consilience.coarse.beads import Beads
from consilience.coarse.forcemap import ForceMap, basic_map
from consilience.coarse.map_json import shared_of_file
from consilience.coarse.project import coarsen_one, merge
from consilience.coarse.read import read_beads
from consilience.coarse.read_atoms import read_atoms
from consilience.coarse.topology import read_topology
from consilience.core.errors import Finding, InputError
from consilience.files import read_bytes
from consilience.frames.npz import arrays_of
from consilience.jobs.check.beads import coarse_kind
from consilience.jobs.coarsen.job import json_map
from consilience.jobs.coarsen.options import pairs_of
from consilience.jobs.learn.label import openmm_engine
from consilience.jobs.learn.options import LearnOptions
from consilience.kinds import recognise
from consilience.model import load_model
from consilience.potentials.beads.model import BeadModel


@dataclass(frozen=True)
class Molecule:
    """One protein as atoms: its frames, the CA map, the force map, and its frames as beads with their forces."""

    frames: AtomFrames
    map: BeadMap
    forces: ForceMap
    beads: Beads


@dataclass(frozen=True)
class LearnInputs:
    """`model`: two networks or more; `files`: bead files that it was trained on, as `proteins`; `names` as given."""

    model: LoadedBeads
    molecules: tuple[Molecule, ...]
    files: tuple[Path, ...]
    proteins: tuple[Beads, ...]
    findings: tuple[Finding, ...]
    paths: tuple[Path, ...]
    names: tuple[str, ...]

    @property
    def bundle(self) -> BeadModel:
        return self.model.bundle


def read_learn_inputs(inputs: Sequence[str | Path], options: LearnOptions) -> LearnInputs:
    """Read everything. Raises InputError for models without an ensemble, and molecules that cannot be labelled."""
    folders = [Path(i) for i in inputs if Path(i).is_dir()]
    if len(folders) != 1:
        expected = "one model folder, all-atom frames (FRAMES:TOPOLOGY), and the bead files it was trained on"
        raise InputError("consil learn wants a model", found=f"{len(folders)} folder(s)", expected=expected)
    model = _ensemble(folders[0])
    openmm_engine()
    bead_files = [Path(i) for i in map(str, inputs) if Path(i) not in folders and _holds_beads(i)]
    given = [str(i) for i in inputs if Path(i) not in [*folders, *bead_files]]
    if not given:
        fix = "give the trajectory that the beads were made of, as FRAMES:TOPOLOGY"
        raise InputError("there are no all-atom frames to label with", ", ".join(map(str, inputs)), fix=fix)
    pairs = pairs_of(tuple(given), None)
    shared = None if options.force_map is None else shared_of_file(json_map(options.force_map), str(options.force_map))
    findings: list[Finding] = []
    molecules = []
    for frames in merge([read_atoms(a, b) for a, b in pairs]):
        findings += frames.findings
        beads = alpha_map(frames.topology)
        chosen = (
            basic_map(beads, frames.groups) if shared is None else shared.map_of(frames.topology, beads, frames.groups)
        )
        made = coarsen_one(frames, beads, chosen, shared)
        molecules.append(Molecule(frames, beads, chosen, made.beads))
        if not read_topology(frames.topology.path).solute.all():
            what = "solvent is left out: frames are labelled by the force field's implicit solvent"
            findings.append(Finding("warn", what, str(frames.topology.path)))
    proteins: list[Beads] = []
    for file in bead_files:
        found, noticed = read_beads(file)
        proteins += found
        findings += noticed
    findings += _leaks(molecules, proteins, options)
    extra = [p for p in (options.force_map, options.config) if p is not None]
    model_files = [model.path / name for name in ("model.json", "model.safetensors")]
    paths = [*model_files, *dict.fromkeys(p for pair in pairs for p in pair), *bead_files, *extra]
    names = [str(folders[0]), *(f"{a}:{b}" for a, b in pairs), *map(str, bead_files)]
    return LearnInputs(model, tuple(molecules), tuple(bead_files), tuple(proteins), tuple(findings), tuple(paths),
                       tuple(names))  # fmt: skip


def _leaks(molecules: Sequence[Molecule], proteins: Sequence[Beads], options: LearnOptions) -> list[Finding]:
    """Raises InputError where a free protein would be learned; a warning for a temperature that the data lack."""
    free = {w.strip() for w in (options.free or "").split(",")}
    learned = {m.beads.residues: m.beads.name for m in molecules}
    for b in proteins:
        if b.name in free and b.residues in learned:
            what = "--free names a protein whose frames would be labelled and trained on"
            fix = f"leave out the atoms of {learned[b.residues]}, or set another protein aside"
            raise InputError(what, str(b.path), b.name, fix=fix)
    heats = np.unique(np.concatenate([b.temperature for b in [*proteins, *(m.beads for m in molecules)]]))
    if np.abs(heats - options.temperature).min() < 1.0:
        return []
    expected = ", ".join(f"{t:g} K" for t in heats[:8])
    what = "the frames would be labelled at a temperature that the data do not have: mean forces depend on it"
    return [Finding("warn", what, "--temperature", f"{options.temperature:g} K", expected)]


def _ensemble(folder: Path) -> LoadedBeads:
    model = load_model(folder)
    if not isinstance(model, LoadedBeads):
        raise InputError("this is a model of atoms: consil learn is for beads", str(folder), expected="a bead model")
    count = len(model.bundle.networks)
    if count < 2:
        found = f"{count} network(s)"
        fix = "train it with --ensemble 3: where members disagree, frames are wanted"
        raise InputError("the model has no ensemble", str(folder), found, "two networks or more", fix)
    return model


def _holds_beads(given: str) -> bool:
    path = Path(given)
    if not path.is_file() or recognise(path) != "npz":
        return False
    return coarse_kind(arrays_of(read_bytes(path), given)) == "beads"


def noise_of(proteins: Sequence[Beads]) -> float | None:
    """Noise of the forces of beads, eV/Å, or None where it cannot be told."""
    from consilience.coarse.noise import residual_noise

    known = [(n, b.positions.size) for b in proteins if (n := residual_noise(b)) is not None]
    return float(np.sqrt(sum(n * n * c for n, c in known) / sum(c for _, c in known))) if known else None
