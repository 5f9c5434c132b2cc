"""Write a Structure as mmCIF or PDB with the statistics of its refinement; a file appears whole or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import gemmi

from consilience.files import write_atomic
from consilience.structure.atoms import Structure

_METHOD = "X-RAY DIFFRACTION"
_BEFORE_REMARK_3 = re.compile(
    r"(HEADER|OBSLTE|TITLE |SPLIT |CAVEAT|COMPND|SOURCE|KEYWDS|EXPDTA|NUMMDL|MDLTYP|AUTHOR|REVDAT|SPRSDE|"
    r"JRNL  |REMARK   [12] )"
)


def write_mmcif(structure: Structure, path: str | Path, refinement: Mapping[str, Any] | None = None) -> None:
    """Write mmCIF; with `refinement` also _refine, _refine_ls_shell, _refine_ls_restr and _software.

    `refinement` uses the keys of summary.json: r_work, r_free, n_work, n_free, d_min, d_max (Å), b_mean (Å^2),
    rmsd_bond (Å), rmsd_angle (degrees), k_sol, b_sol, shells
    [{d_min, d_max, n, r_work, r_free}]; absent ones are left out.
    Raises RunError where the file cannot be written.
    """
    st = _prepared(structure, refinement)
    doc = st.make_mmcif_document()
    block = doc.sole_block()
    loop = block.find_loop("_refine.entry_id").get_loop()
    for key, tag in (("k_sol", "ksol"), ("b_sol", "bsol")):
        if refinement is not None and loop is not None and refinement.get(key) is not None:
            loop.add_columns(["_refine.solvent_model_param_" + tag], f"{float(refinement[key]):.3f}")
    write_atomic(path, doc.as_string())


def write_pdb(structure: Structure, path: str | Path, refinement: Mapping[str, Any] | None = None) -> None:
    """Write PDB; with `refinement` (see `write_mmcif`) also REMARK 3. Names too long for the format are shortened."""
    st = _prepared(structure, refinement)
    st.shorten_ccd_codes()
    st.shorten_chain_names()
    text = st.make_pdb_string()
    if refinement is not None:
        lines = text.split("\n")
        at = next((i for i, line in enumerate(lines) if not _BEFORE_REMARK_3.match(line)), 0)
        text = "\n".join([*lines[:at], *_remark_3(refinement), *lines[at:]])
    write_atomic(path, text)


def _prepared(structure: Structure, refinement: Mapping[str, Any] | None) -> gemmi.Structure:
    st = structure.hierarchy.clone()
    st.name = re.sub(r"[^\w.-]+", "_", st.name) or "model"
    st.raw_remarks = []
    st.setup_entities()
    st.assign_label_seq_id()
    st.assign_serial_numbers()
    if refinement is None:
        return st
    get = refinement.get
    info = gemmi.RefinementInfo()
    info.id = _METHOD
    _fill(info, refinement)
    info.cross_validation_method = "THROUGHOUT"
    if get("b_mean") is not None:
        info.mean_b = float(refinement["b_mean"])
    bins = []
    for shell in get("shells") or ():
        b = gemmi.BasicRefinementInfo()
        _fill(b, shell)
        bins.append(b)
    info.bins, info.bin_count = bins, len(bins)
    restraints = []
    for key, name in (("rmsd_bond", "f_bond_d"), ("rmsd_angle", "f_angle_d")):
        if get(key) is not None:
            restraint = gemmi.RefinementInfo.Restr(name)
            restraint.dev_ideal = round(float(refinement[key]), 4)
            restraints.append(restraint)
    info.restr_stats = restraints
    st.meta.refinement = [info]
    software = gemmi.SoftwareItem()
    software.name, software.version = "consilience", metadata.version("consilience")
    software.classification = gemmi.SoftwareItem.Classification.Refinement
    other = [s for s in st.meta.software if s.classification != gemmi.SoftwareItem.Classification.Refinement]
    st.meta.software = [*other, software]
    if get("d_min") is not None:
        st.resolution = float(refinement["d_min"])
    return st


def _fill(info: gemmi.BasicRefinementInfo, values: Mapping[str, Any]) -> None:
    for key, name in (
        ("d_min", "resolution_high"),
        ("d_max", "resolution_low"),
        ("r_work", "r_work"),
        ("r_free", "r_free"),
    ):
        if values.get(key) is not None:
            setattr(info, name, round(float(values[key]), 4))
    if values.get("n_work") is not None:
        info.work_set_count = int(values["n_work"])
    if values.get("n_free") is not None:
        info.rfree_set_count = int(values["n_free"])
    total = values.get("n")
    if total is None and values.get("n_work") is not None:
        total = values["n_work"] + (values.get("n_free") or 0)
    if total is not None:
        info.reflection_count = int(total)


def _remark_3(values: Mapping[str, Any]) -> list[str]:
    """Refinement remarks in the layout of the PDB format description, section REMARK 3."""

    def number(key: str, digits: int) -> str:
        value = values.get(key)
        return "NULL" if value is None else f"{float(value):.{digits}f}"

    def count(key: str) -> str:
        value = values.get(key)
        return "NULL" if value is None else str(int(value))

    n_work, n_free = values.get("n_work"), values.get("n_free")
    known = n_work is not None and n_free is not None and n_work + n_free > 0
    share = f"{100.0 * n_free / (n_work + n_free):.1f}" if known else "NULL"  # type: ignore[operator]
    lines = [
        "",
        "REFINEMENT.",
        f"  PROGRAM     : CONSILIENCE {metadata.version('consilience')}",
        "",
        " DATA USED IN REFINEMENT.",
        f"  RESOLUTION RANGE HIGH (ANGSTROMS) : {number('d_min', 2)}",
        f"  RESOLUTION RANGE LOW  (ANGSTROMS) : {number('d_max', 2)}",
        f"  NUMBER OF REFLECTIONS             : {n_work + n_free if known else 'NULL'}",  # type: ignore[operator]
        "",
        " FIT TO DATA USED IN REFINEMENT.",
        "  CROSS-VALIDATION METHOD          : THROUGHOUT",
        f"  R VALUE            (WORKING SET) : {number('r_work', 4)}",
        f"  FREE R VALUE                     : {number('r_free', 4)}",
        f"  FREE R VALUE TEST SET SIZE   (%) : {share}",
        f"  FREE R VALUE TEST SET COUNT      : {count('n_free')}",
        "",
        " B VALUES.",
        f"  MEAN B VALUE      (OVERALL, A**2) : {number('b_mean', 2)}",
        "",
        " BULK SOLVENT MODELING.",
        f"  KSOL        : {number('k_sol', 3)}",
        f"  BSOL        : {number('b_sol', 2)}",
        "",
        " RMS DEVIATIONS FROM IDEAL VALUES.",
        f"  BOND LENGTHS                 (A) : {number('rmsd_bond', 4)}",
        f"  BOND ANGLES            (DEGREES) : {number('rmsd_angle', 3)}",
    ]
    return [f"REMARK   3 {line}".ljust(80)[:80] for line in lines]
