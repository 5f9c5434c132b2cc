"""What files say of one another: models with data, with relaxation data and with restraint dictionaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from consilience.core.errors import Finding, InputError
from consilience.jobs.check.file_report import FileReport
from consilience.structure.atoms import Structure
from consilience.xray.reflections import Reflections


def compare_with_data(model: FileReport, data: FileReport) -> list[Finding]:
    """Cell and space group of a model against those of reflections."""
    from consilience.xray.consistency import compare

    assert isinstance(model.content, Structure) and isinstance(data.content, Reflections)
    found = compare(model.content, data.content)
    if not model.content.cell.is_crystal():  # said better here than by the reader, which did not know the data
        model.findings = [f for f in model.findings if not f.what.startswith("the model has no unit cell")]
    return found


def for_directions(finding: Finding) -> Finding:
    """Defects of a model that matter to a refinement, not to the directions of its N-H bonds, become notes."""
    harmless = ("two atoms at the same position", "missing main-chain atoms")
    return replace(finding, level="note") if finding.what.startswith(harmless) else finding


def compare_relaxation(reports: Sequence[FileReport], models: Sequence[FileReport]) -> None:
    """Add what all relaxation files say together: enough data, and residues that match those of each model."""
    from consilience.nmr.quality import count_data
    from consilience.nmr.read import read_relaxation
    from consilience.nmr.vectors import amide_vectors

    first = reports[0]
    data = read_relaxation([r.file for r in reports], strict=False)
    known = {f.what for r in reports for f in r.findings}
    found = [f for f in data.findings if f.what not in known] if len(reports) > 1 else []
    counted = count_data(data)
    one_of_many = len(data.columns) == 1 and len(data.residues) > 2 and first.kind != "nmr-star"
    if one_of_many:  # a file for each rate is usual
        counted = [replace(f, level="note") for f in counted]
    first.findings += [*found, *counted]
    for model in models:
        assert isinstance(model.content, Structure)
        measured = [r for r, row in zip(data.residues, data.measured, strict=True) if row.any()]
        first.findings += amide_vectors(model.content, measured).findings


def compare_with_dictionaries(
    model: FileReport, dictionaries: Sequence[Path], monlib: str | Path | None, is_refinement: bool
) -> list[Finding]:
    """Residues without a restraint description: an error where there are reflections to refine against."""
    from consilience.structure.library import load_library

    assert isinstance(model.content, Structure)
    places: dict[str, list[str]] = {}
    atoms: dict[str, dict[str, str]] = {}  # residue name: heavy atom name: first place
    for chain in model.content.hierarchy[0]:
        for res in chain:
            place = f"{chain.name} {res.seqid}"
            places.setdefault(res.name, []).append(place)
            known = atoms.setdefault(res.name, {})
            for atom in res:
                if not atom.is_hydrogen():
                    known.setdefault(atom.name, place)
    try:
        library, found, missing = load_library(places, ligands=dictionaries, monlib=Path(monlib) if monlib else None)
    except InputError as err:
        return [err.finding]
    out = [f for f in found if f.level != "note"]
    for name, names in atoms.items():
        if name not in library.monomers:
            continue
        described = {a.id for a in library.monomers[name].atoms} | {"OXT"}
        odd = [f"{a} ({place})" for a, place in names.items() if a not in described]
        if odd:
            what = (
                f"{len(odd)} atom name(s) of residue {name} are not in its restraint dictionary: no restraints for them"
            )
            shown = ", ".join(odd[:5]) + (", ..." if len(odd) > 5 else "")
            fix = "rename the atoms, or give the dictionary that the model was made with (--ligand)"
            out.append(Finding("warn", what, f"{model.file}, {shown}", fix=fix))
    for name in missing:
        shown = ", ".join(places[name][:5]) + (", ..." if len(places[name]) > 5 else "")
        out.append(
            Finding(
                "error" if is_refinement else "warn",
                f"no restraint dictionary describes residue {name} (unknown ligand or monomer)",
                f"{model.file}, residue {name} {shown}",
                fix=f"give its dictionary (--ligand {name}.cif) or a monomer library (--monlib DIR or $CLIBD_MON)",
            )
        )
    return out
