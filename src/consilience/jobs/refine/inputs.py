"""Read and check everything a refinement starts from: model, reflections, dictionaries; refuse what cannot be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gemmi

from consilience.core.errors import Finding, InputError, raise_errors
from consilience.jobs.common.options import RefineOptions
from consilience.kinds import recognise
from consilience.nmr.read import KINDS as RELAXATION
from consilience.structure.atoms import Structure
from consilience.structure.library import load_library
from consilience.structure.read import read_structure
from consilience.structure.topology import Topology, build_topology
from consilience.xray.consistency import adopt_cell, compare
from consilience.xray.read import read_reflections
from consilience.xray.reflections import Reflections

if TYPE_CHECKING:
    from consilience.jobs.joint.relaxation import Rates

NOT_YET = {
    "twin": "--twin",
    "ncs": "--ncs",
}


@dataclass(frozen=True)
class RefineInputs:
    """What was read: the model as given and without hydrogens, its topology, the data, and all findings."""

    given: Structure
    structure: Structure
    topology: Topology
    reflections: Reflections
    rates: Rates | None  # relaxation data of its amides
    findings: tuple[Finding, ...]
    paths: tuple[Path, ...]


def load_inputs(files: Sequence[Path], options: RefineOptions, seed: int) -> RefineInputs:
    """Recognise files by content, read them, and match the model to restraints and data.

    Raises InputError for anything that must stop a refinement, before any work.
    """
    refuse_unavailable(options)
    by_kind: dict[str, list[Path]] = {"model": [], "data": [], "dictionary": [], "rates": []}
    for path in map(Path, files):
        kind = recognise(path)
        place = {"pdb": "model", "mmcif": "model", "mtz": "data", "sf-mmcif": "data", "unmerged": "data"}.get(
            kind, "rates" if kind in RELAXATION else kind
        )
        if place not in by_kind:
            expected = (
                "a model (PDB, mmCIF), reflections (MTZ, SF-mmCIF), relaxation data or a restraint dictionary (CIF)"
            )
            raise InputError("a refinement cannot use this file", str(path), kind, expected)
        by_kind[place].append(path)
    for place, what in (("model", "model (PDB or mmCIF)"), ("data", "reflection file (MTZ or SF-mmCIF)")):
        if len(by_kind[place]) != 1:
            found = ", ".join(map(str, by_kind[place])) or "none"
            raise InputError(f"a refinement takes exactly one {what}", found=found)
    given = read_structure(by_kind["model"][0])
    reflections = read_reflections(
        by_kind["data"][0],
        labels=options.labels,
        free_value=options.free_value,
        make_free=options.make_free,
        d_min=options.d_min,
        d_max=options.d_max,
        seed=seed,
    )
    findings = [*given.findings, *reflections.findings, *compare(given, reflections)]
    raise_errors(findings)
    given = adopt_cell(given, reflections)
    structure = given.without_hydrogens()
    topology, found = restraints_of(structure, [*options.ligands, *by_kind["dictionary"]], options.monlib)
    findings += found
    rates = None
    if by_kind["rates"]:
        from consilience.jobs.joint.relaxation import read_rates

        rates = read_rates(by_kind["rates"], structure, options)
        findings += rates.findings
    return RefineInputs(given, structure, topology, reflections, rates, tuple(findings), tuple(map(Path, files)))


def relaxation_alone(files: Sequence[str | Path]) -> bool:
    """Whether relaxation data are among the files and diffraction data are not."""
    kinds = {recognise(Path(f)) for f in files}
    return bool(kinds & set(RELAXATION)) and not kinds & {"mtz", "sf-mmcif", "unmerged"}


def restraints_of(
    structure: Structure, dictionaries: Sequence[Path], monlib: Path | None
) -> tuple[Topology, list[Finding]]:
    """Restraints of a structure without hydrogens, and warnings. Raises InputError for a residue nobody describes."""
    names = {r.name for chain in structure.hierarchy[0] for r in chain}
    library, found, missing = load_library(sorted(names), ligands=list(dictionaries), monlib=monlib)
    if missing:
        raise InputError(_undescribed(structure, missing))
    return build_topology(structure, library), [f for f in found if f.level != "note"]


def refuse_unavailable(options: RefineOptions) -> None:
    """Options of the contract that are not built yet are refused by name, never ignored."""
    for field, option in NOT_YET.items():
        if getattr(options, field):
            raise InputError(f"{option} is not available in this version", fix=f"run without {option}")
    if options.source == "neutron":
        what = (
            "--source neutron is not available in this version: hydrogen and deuterium must scatter on their own there"
        )
        raise InputError(what, fix="refine against X-ray or electron data")
    known = {"xray", "geometry", "adp", "jelly", "nmr", "potential"}
    for name in options.weights or {}:
        if name not in known:
            raise InputError(f"--weight names an unknown term {name}", found=name, expected=", ".join(sorted(known)))


def _undescribed(structure: Structure, missing: Sequence[str]) -> Finding:
    places = []
    for chain in structure.hierarchy[0]:
        places += [f"{r.name} {chain.name} {r.seqid}" for r in chain if r.name in missing]
    return Finding(
        "error",
        f"no restraint dictionary describes {', '.join(missing)} (unknown ligand or monomer)",
        f"{structure.source}: {', '.join(places[:8])}{', ...' if len(places) > 8 else ''}",
        fix=f"give a dictionary (--ligand {missing[0]}.cif), a monomer library (--monlib DIR, $CLIBD_MON), "
        "or install the CCD: pip install 'consilience[ccd]'",
    )


def composition(structure: Structure) -> str:
    """One line on what the model holds."""
    chains = structure.hierarchy[0]
    waters = sum(1 for c in chains for r in c if r.is_water())
    residues = sum(1 for c in chains for r in c) - waters
    return f"{len(structure)} atoms, {residues} residues, {waters} waters, {len(list(chains))} chains"


def resolution_range(cell: gemmi.UnitCell, reflections: Reflections) -> tuple[float, float]:
    """(d_max, d_min) in Å."""
    d = reflections.d
    return float(d.max()), float(d.min())
