"""Finds restraints for every component of a model: user's dictionaries, a monomer library, our own tables, the CCD."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import gemmi

from consilience.core.errors import Finding, InputError
from consilience.structure import ccd
from consilience.structure.derived import restraints_block

OWN_LIBRARY = Path(__file__).parent / "monlib"
# a residue name becomes part of a path
_NAME = re.compile(r"[A-Za-z0-9_+\-]{1,10}")


def load_library(
    residue_names: Iterable[str], *, ligands: Sequence[Path] = (), monlib: Path | None = None
) -> tuple[gemmi.MonLib, tuple[Finding, ...], tuple[str, ...]]:
    """Restraints for the named components, the links between them and the energy types they use.

    Each component comes from the first source that has it: the user's dictionaries `ligands`; the library in CCP4
    layout `monlib` (default: $CLIBD_MON), whose links and energy types then precede ours; our own tables; ideal
    coordinates of the CCD where the package biotite is installed. A dictionary with coordinates and bonds but without
    ideal values gets its restraints from the coordinates.

    Returns the library, what is worth telling the user, and the names that no source knows.
    Raises InputError where a dictionary defines no component, cannot be read, or `monlib` is not a library.
    """
    library = gemmi.MonLib()
    findings: list[Finding] = []
    for path in ligands:
        findings += _read_dictionary(library, Path(path))
    wanted = [n for n in dict.fromkeys(residue_names) if n not in library.monomers]
    if monlib is None and os.environ.get("CLIBD_MON"):
        monlib = Path(os.environ["CLIBD_MON"])
    if monlib is not None:
        findings += _read_library(library, Path(monlib), wanted)
        wanted = [n for n in wanted if n not in library.monomers]
    if monlib is None or any(_component_file(OWN_LIBRARY, n) for n in wanted):
        findings += _read_library(library, OWN_LIBRARY, wanted)
        wanted = [n for n in wanted if n not in library.monomers]
    for name in wanted:
        component = ccd.from_biotite(name) if _NAME.fullmatch(name) else None
        if component is not None:
            _add_block(library, restraints_block(component))
            findings.append(_derived(name, "the Chemical Component Dictionary"))
    missing = tuple(n for n in wanted if n not in library.monomers)
    return library, tuple(findings), missing


def _derived(name: str, source: str) -> Finding:
    return Finding(
        "warn",
        f"restraints of {name} were derived from ideal coordinates (0.02 Å, 3 degrees)",
        where=source,
        fix=f"for better ones give a dictionary of {name} (AceDRG, Grade, eLBOW) with --ligand",
    )


def _add_block(library: gemmi.MonLib, block: gemmi.cif.Block) -> None:
    document = gemmi.cif.Document()
    document.add_copied_block(block)
    library.read_monomer_doc(document)


def _read_dictionary(library: gemmi.MonLib, path: Path) -> list[Finding]:
    """Add the components, links and modifications of one user's file; components already known are left as they are."""
    expected = "a component dictionary: a CIF file with _chem_comp_atom and _chem_comp_bond"
    try:
        document = gemmi.cif.read(str(path))
    except (OSError, RuntimeError, ValueError, UnicodeError) as e:
        raise InputError(
            "the component dictionary cannot be read", where=str(path), found=str(e), expected=expected
        ) from e
    findings: list[Finding] = []
    known = set(library.monomers)
    components = [b for b in document if len(b.find_values("_chem_comp_atom.atom_id"))]
    others = any(b.name.startswith(("link_", "mod_")) and not b.name.endswith("_list") for b in document)
    if not components and not others:
        names = ", ".join(b.name for b in document)
        raise InputError(
            "the file defines no component", where=str(path), found=f"data blocks: {names or 'none'}", expected=expected
        )
    plain = gemmi.cif.Document()
    for block in document:
        if block not in components or ccd.has_restraints(block):
            plain.add_copied_block(block)
            continue
        component = ccd.from_block(block)
        if component is None:
            raise InputError(
                f"{block.name} has neither ideal bond lengths nor complete coordinates with bonds",
                where=str(path),
                expected=expected,
                fix="make a dictionary with AceDRG, Grade or eLBOW, or download the CCD file of the component",
            )
        plain.add_copied_block(restraints_block(component))
        findings.append(_derived(component.name, str(path)))
    try:
        library.read_monomer_doc(plain)
    except (RuntimeError, ValueError, IndexError) as e:
        raise InputError("the component dictionary cannot be used", where=str(path), found=str(e)) from e
    for block in components:
        name = block.name.removeprefix("comp_")
        _check_component(library.monomers[name], path)
        if name in known:
            findings.append(Finding("warn", f"{name} is defined twice; the first definition is used", where=str(path)))
    return findings


def _check_component(component: gemmi.ChemComp, path: Path) -> None:
    """Raise InputError where a restraint names an absent atom or has no ideal value."""
    atoms = {a.id for a in component.atoms}
    rt = component.rt
    tables = [("bond", rt.bonds, ("id1", "id2"), 0.3, 5.0), ("angle", rt.angles, ("id1", "id2", "id3"), 1.0, 180.1)]
    for kind, restraints, places, low, high in tables:
        for r in restraints:
            ids = [getattr(r, p).atom for p in places]
            where = f"{path}, {component.name} {kind} {'-'.join(ids)}"
            absent = [a for a in ids if a not in atoms]
            if absent:
                raise InputError(f"a {kind} names atom {absent[0]}, which the component does not have", where=where)
            if not (low < r.value < high and r.esd >= 0):
                expected = f"a value between {low:g} and {high:g} and an esd"
                found = f"value {r.value:g}, esd {r.esd:g}"
                raise InputError(f"a {kind} has no usable ideal value", where=where, found=found, expected=expected)


def _component_file(folder: Path, name: str) -> Path | None:
    """The file of a component in a library of CCP4 layout, or None."""
    if not _NAME.fullmatch(name):
        return None
    probe = gemmi.MonLib()
    probe.monomer_dir = f"{folder}/"
    path = Path(probe.path(name))
    return path if path.is_file() else None


def _read_library(library: gemmi.MonLib, folder: Path, wanted: Sequence[str]) -> list[Finding]:
    """Add links, energy types and those of the wanted components that the folder holds; what is known already stays."""
    lists = ("links_and_mods.cif", "list/mon_lib_list.cif")
    if not any((folder / f).is_file() for f in lists) or not (folder / "ener_lib.cif").is_file():
        raise InputError(
            "the folder is not a monomer library",
            where=str(folder),
            expected="a folder in CCP4 layout: ener_lib.cif, list/mon_lib_list.cif and a/ALA.cif",
            fix="correct --monlib or $CLIBD_MON, or leave both out to use the built-in restraints",
        )
    present = [n for n in wanted if _component_file(folder, n)]
    try:
        library.read_monomer_lib(str(folder), present)
    except (OSError, RuntimeError, ValueError, IndexError) as e:
        raise InputError("the monomer library cannot be read", where=str(folder), found=str(e)) from e
    return [
        Finding("warn", f"the library's file of {n} cannot be used; another source is tried", where=str(folder))
        for n in present
        if n not in library.monomers
    ]
