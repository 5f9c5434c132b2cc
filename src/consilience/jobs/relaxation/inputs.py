"""Read everything a relaxation analysis starts from: data, model, a tensor to hold; match, hold out, refuse."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from consilience.core.errors import Finding, InputError, raise_errors
from consilience.files import read_text
from consilience.jobs.common.options import RelaxationOptions
from consilience.kinds import recognise
from consilience.nmr.data import KINDS, RelaxationData
from consilience.nmr.quality import count_data
from consilience.nmr.read import KINDS as FILE_KINDS
from consilience.nmr.read import read_relaxation
from consilience.nmr.vectors import AmideVectors, amide_vectors
from consilience.structure.atoms import Structure
from consilience.structure.read import read_structure


@dataclass(frozen=True)
class RelaxationInputs:
    """What was read. `work` holds the columns that are fitted, `free` bool (m,) marks those of `data` held out."""

    data: RelaxationData
    work: RelaxationData
    free: np.ndarray
    structure: Structure | None
    amides: AmideVectors | None
    tensor: np.ndarray | None
    findings: tuple[Finding, ...]
    paths: tuple[Path, ...]


def load_relaxation(files: Sequence[str | Path], options: RelaxationOptions) -> RelaxationInputs:
    """Recognise files by content and read them. Raises InputError for anything that must stop the analysis."""
    tables, models = [], []
    for path in map(Path, files):
        kind = recognise(path)
        if kind in FILE_KINDS:
            tables.append(path)
        elif kind in ("pdb", "mmcif", "cif"):
            models.append(path)
        else:
            expected = "relaxation data (NMR-STAR, CSV, columns) and at most one model (PDB, mmCIF)"
            raise InputError("a relaxation analysis cannot use this file", str(path), kind, expected)
    if not tables or len(models) > 1:
        found = f"{len(tables)} data file(s), {len(models)} model(s)"
        raise InputError("a relaxation analysis takes relaxation data and at most one model", found=found)
    data = read_relaxation(tables, field_mhz=options.field, strict=False)
    if options.exclude:
        keep = np.array([r.number not in options.exclude for r in data.residues])
        data = data.select(rows=keep)
    structure = read_structure(models[0], strict=False) if models else None
    amides = amide_vectors(structure, data.residues) if structure is not None else None
    free = np.array([c.kind in options.without for c in data.columns], bool)
    work = data.select(columns=~free)
    some = np.array([bool(row.any()) for row in work.measured], bool)
    data, work = data.select(rows=some), work.select(rows=some)
    if amides is not None:
        amides = replace(amides, vectors=amides.vectors[some], tilt=amides.tilt[some], placed=amides.placed[some])
    findings = [*data.findings, *(amides.findings if amides else ()), *_without(options, data)]
    if not len(work.residues):
        raise_errors(findings)
        raise InputError("nothing is left to fit", found="no residue has a value", fix="see --without and --exclude")
    findings += [f for f in count_data(work) if f not in findings]
    raise_errors(findings)
    tensor = read_tensor(options.tensor) if options.tensor is not None else None
    return RelaxationInputs(data, work, free, structure, amides, tensor, tuple(findings), tuple(map(Path, files)))


def _without(options: RelaxationOptions, data: RelaxationData) -> list[Finding]:
    for name in options.without:
        if name not in KINDS:
            raise InputError("--without names no kind of rate", found=name, expected=", ".join(KINDS))
    absent = [name for name in options.without if name not in {c.kind for c in data.columns}]
    return [Finding("note", f"--without {name}: the data hold none") for name in absent]


def read_tensor(path: Path) -> np.ndarray:
    """A diffusion tensor (3, 3) in rad^2/ns: a summary.json of ours, or six (xx yy zz xy xz yz) or nine numbers.

    Numbers above 1e3 are taken as rad^2/s. Raises InputError for anything else, and for a tensor that is not positive
    definite.
    """
    text = read_text(path)
    try:
        known = json.loads(text)
    except ValueError:
        known = None
    if isinstance(known, dict):
        known = known.get("diffusion", known)
        known = known.get("tensor") if isinstance(known, dict) else None
    try:
        if known is not None:
            values = np.array(known, float).ravel()
        else:
            lines = [line.split("#")[0] for line in text.splitlines()]
            values = np.array([float(t) for t in re.split(r"[\s,;]+", " ".join(lines)) if t])
    except (TypeError, ValueError):
        values = np.zeros(0)
    expected = "six numbers (xx yy zz xy xz yz) or nine, rad^2/ns, or a summary.json of consil relaxation"
    if values.size not in (6, 9) or not np.all(np.isfinite(values)):
        raise InputError("the file holds no diffusion tensor", str(path), f"{values.size} numbers", expected)
    if values.size == 6:
        xx, yy, zz, xy, xz, yz = values
        values = np.array([xx, xy, xz, xy, yy, yz, xz, yz, zz])
    d = values.reshape(3, 3)
    if np.abs(d).max() > 1e3:
        d = d * 1e-9
    if not np.allclose(d, d.T, rtol=1e-6, atol=1e-12) or np.linalg.eigvalsh(d)[0] <= 0:
        raise InputError("the diffusion tensor is not symmetric and positive definite", str(path), expected=expected)
    return 0.5 * (d + d.T)
