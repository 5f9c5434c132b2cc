"""`consil check`: read every file, name every defect, compare the files with one another, change nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from consilience.core.checks import Check
from consilience.core.errors import Finding, InputError
from consilience.files import Kind, archive_findings, read_bytes, recognise
from consilience.frames.frames import Frames
from consilience.frames.npz import arrays_of
from consilience.jobs.check.beads import BeadData, boxes_and_cutoff, coarse_kind, read_coarse_data
from consilience.jobs.check.recipe import Recipe, check_recipe, is_recipe
from consilience.jobs.common.config import load_config
from consilience.jobs.common.html_table import check_table
from consilience.nmr.data import RelaxationData
from consilience.structure.atoms import Structure
from consilience.xray.reflections import Reflections

_ORDER = {"ok": 0, "note": 1, "warn": 2, "error": 3}
_NAMES: dict[Kind, str] = {
    "pdb": "model (PDB)",
    "mmcif": "model (mmCIF)",
    "mtz": "reflections (MTZ)",
    "sf-mmcif": "reflections (SF-mmCIF)",
    "dictionary": "restraint dictionary",
    "nmr-star": "NMR-STAR",
    "npz": "arrays (npz)",
    "extxyz": "molecules (extxyz)",
    "yaml": "configuration (YAML)",
    "json": "configuration (JSON)",
    "csv": "table (CSV)",
    "table": "table",
    "pickle": "Python pickle",
    "safetensors": "weights (safetensors)",
    "model": "model folder",
    "unmerged": "unmerged reflections",
}


@dataclass
class FileReport:
    """One input: what it is and what was found; `content` is what was read, where that is of use to other checks."""

    file: str
    kind: Kind
    findings: list[Finding] = field(default_factory=list)
    content: Structure | Reflections | RelaxationData | Frames | BeadData | Recipe | None = None

    @property
    def level(self) -> Literal["ok", "note", "warn", "error"]:
        """The worst level among the findings."""
        worst: Literal["ok", "note", "warn", "error"] = "ok"
        for f in self.findings:
            worst = f.level if _ORDER[f.level] > _ORDER[worst] else worst
        return worst

    @property
    def kind_name(self) -> str:
        """The kind in words."""
        if isinstance(self.content, BeadData):
            return self.content.label
        return _NAMES.get(self.kind, self.kind)

    def as_dict(self) -> dict[str, Any]:
        """The entry in summary.json["files"]."""
        messages = [f"{f.level}: {f}" for f in self.findings]
        return {"file": self.file, "kind": self.kind, "level": self.level, "messages": messages}


@dataclass(frozen=True, repr=False)
class CheckResult:
    """Reports per file; `exit_status` is 2 where a run must not start."""

    files: tuple[FileReport, ...]
    wall_s: float
    checks: tuple[Check, ...] = ()  # of models

    @property
    def exit_status(self) -> int:
        """0, 2 where any file has an error, 3 where a law does not hold for a model."""
        if any(r.level == "error" for r in self.files):
            return 2
        return 0 if all(c.passed for c in self.checks) else 3

    def __repr__(self) -> str:
        return "CheckResult\n  " + "\n  ".join(f"{r.file}: {r.kind_name}, {r.level}" for r in self.files)

    def _repr_html_(self) -> str:
        return check_table(self)

    @property
    def summary(self) -> dict[str, Any]:
        """The content of summary.json."""
        return {
            "schema": 1,
            "verb": "check",
            "status": {0: "ok", 2: "failed", 3: "checks_failed"}[self.exit_status],
            "warnings": [str(f) for r in self.files for f in r.findings if f.level == "warn"],
            "seed": 0,
            "wall_s": self.wall_s,
            "compile_s": 0.0,
            "peak_rss_mb": _peak_rss_mb(),
            "gradients": None,
            "scores": {},
            "files": [r.as_dict() for r in self.files],
            "checks": [c.as_dict() for c in self.checks],
        }


def check(
    files: Sequence[str | Path],
    *,
    ligands: Sequence[str | Path] = (),
    monlib: str | Path | None = None,
    labels: str | None = None,
    free_value: float | None = None,
    make_free: bool | Literal["random", "shells"] | None = None,
    units: str | None = None,
    keys: Mapping[str, str] | None = None,
) -> CheckResult:
    """Read all files and compare them: models with data (cell, space group; residues and N-H directions where the
    data are relaxation) and with restraint dictionaries. `units` and `keys` are for molecular frames (`read_frames`).

    Never raises for bad input: every defect is a finding in the result. Nothing is written.
    """
    start = time.perf_counter()
    molecular = {"units": units, "keys": keys}
    reports = [_report(str(f), labels, free_value, make_free, molecular) for f in [*files, *ligands]]
    dictionaries = [Path(r.file) for r in reports if r.kind == "dictionary" and r.level != "error"]
    data = [r for r in reports if isinstance(r.content, Reflections)]
    is_refinement = any(r.kind in ("mtz", "sf-mmcif") for r in reports)
    relaxation = [r for r in reports if isinstance(r.content, RelaxationData)]
    for r in reports:
        if isinstance(r.content, Structure):
            for other in data:
                r.findings += _compare(r, other)
            restraints = _restraints(r, dictionaries, monlib, is_refinement)
            if relaxation and not is_refinement:  # the model is there for its N-H directions
                r.findings = [_for_directions(f) for f in r.findings]
                restraints = [replace(f, level="note") for f in restraints]
            r.findings += restraints
    if relaxation:
        _relaxation(relaxation, [r for r in reports if isinstance(r.content, Structure)])
    recipes = [r.content for r in reports if isinstance(r.content, Recipe)]
    for r in reports:
        if isinstance(r.content, BeadData):
            r.findings += [f for made in recipes for f in boxes_and_cutoff(r.file, r.content, made)]
    checks = [c for r in reports if r.kind == "model" and r.level != "error" for c in _prove(r)]
    return CheckResult(tuple(reports), round(time.perf_counter() - start, 3), tuple(checks))


def _prove(model: FileReport) -> list[Check]:
    """Every law on every member of a model; what cannot be loaded is a finding."""
    from consilience.beads import LoadedBeads
    from consilience.jobs.check.beads_model import prove_model
    from consilience.jobs.check.model import card_of, molecule_of
    from consilience.jobs.common.runtime import prepare_jax
    from consilience.model import load_model

    prepare_jax()
    try:
        found = load_model(model.file)
        if isinstance(found, LoadedBeads):
            return prove_model(found.bundle)
        loaded = found.bundle
        molecule = molecule_of(dict(loaded.info))
    except InputError as err:
        model.findings.append(err.finding)
        return []
    if molecule is None:
        fix = "train the model again"
        model.findings.append(Finding("warn", "the model keeps no molecule to be tested on", model.file, fix=fix))
        return []
    return card_of(loaded, molecule)[0]


def _report(
    path: str,
    labels: str | None,
    free_value: float | None,
    make_free: bool | Literal["random", "shells"] | None,
    molecular: Mapping[str, Any],
) -> FileReport:
    kind: Kind = "unknown"
    try:
        kind = recognise(path)
        report = FileReport(path, kind)
        if kind in ("pdb", "mmcif", "cif", "empty"):
            from consilience.structure.read import read_structure

            report.content = read_structure(path, strict=False)
        elif kind in ("mtz", "sf-mmcif", "unmerged"):
            from consilience.xray.read import read_reflections

            report.content = read_reflections(
                path, labels=labels, free_value=free_value, make_free=make_free, strict=False
            )
        elif kind in ("nmr-star", "csv", "table"):
            from consilience.nmr.read import read_relaxation

            report.content = read_relaxation(path, strict=False)
        elif kind == "npz" and (what := coarse_kind(arrays_of(read_bytes(path), path))):
            report.content = read_coarse_data(path, what, molecular["units"], molecular["keys"])
        elif kind in ("yaml", "json") and is_recipe(said := load_config(path)):
            report.content = check_recipe(said, path)
        elif kind == "extxyz" or (kind == "npz" and _is_molecular(path)):
            from consilience.frames.read import read_frames

            report.content = read_frames(path, strict=False, **molecular)
        else:
            report.findings = _other(path, kind)
    except InputError as err:
        return FileReport(path, kind, [err.finding])
    except (MemoryError, RecursionError) as err:
        finding = Finding("error", "the file cannot be read: it is too large or too deeply nested", path, repr(err))
        return FileReport(path, kind, [finding])
    if report.content is not None:
        report.findings = list(report.content.findings)
    return report


def _other(path: str, kind: Kind) -> list[Finding]:
    """Findings on files that are neither models nor reflections; the safe part of reading is done for all of them."""
    if kind == "model":
        from consilience.jobs.check.weights import inspect_safetensors

        weights = sorted(Path(path).glob("*.safetensors"))
        return [f for w in weights for f in inspect_safetensors(read_bytes(w), str(w))]
    if kind in ("yaml", "json"):
        load_config(path)
        return [_unsupported(path, kind)]
    data = read_bytes(path)
    if kind == "dictionary":
        from consilience.structure.library import load_library

        return list(load_library((), ligands=(Path(path),))[1])
    if kind == "pickle":
        what = "a Python pickle: this format is unsupported because loading it can run any program"
        fix = "convert the weights to safetensors where you trust them"
        return [Finding("error", what, path, expected="model weights in the safetensors format", fix=fix)]
    if kind == "safetensors":
        from consilience.jobs.check.weights import inspect_safetensors

        return inspect_safetensors(data, path) or [_unsupported(path, kind)]
    if kind in ("tar", "zip"):
        bad = archive_findings(data, kind)
        if bad:
            return [Finding("error", "unsafe or corrupt archive: " + b, path, fix="do not unpack it") for b in bad[:5]]
        return [Finding("error", "unsupported format: an archive", path, fix="unpack it and give the files inside")]
    if kind == "npz":
        return [_unsupported(path, kind)]
    expected = "a model, reflections or a restraint dictionary"
    return [Finding("error", f"unknown or unsupported format ({kind})", path, expected=expected)]


def _unsupported(path: str, kind: Kind) -> Finding:
    what = f"{_NAMES.get(kind, kind)}: this kind of file is not supported yet by this version"
    return Finding("error", what, path, expected="a model, reflections or a restraint dictionary")


def _is_molecular(path: str) -> bool:
    """Whether an npz file is one of molecules; raises InputError where it is damaged or hostile."""
    from consilience.frames.npz import is_molecular

    return is_molecular(arrays_of(read_bytes(path), path))


def _compare(model: FileReport, data: FileReport) -> list[Finding]:
    from consilience.xray.consistency import compare

    assert isinstance(model.content, Structure) and isinstance(data.content, Reflections)
    found = compare(model.content, data.content)
    if not model.content.cell.is_crystal():  # said better here than by the reader, which did not know the data
        model.findings = [f for f in model.findings if not f.what.startswith("the model has no unit cell")]
    return found


def _for_directions(finding: Finding) -> Finding:
    """Defects of a model that matter to a refinement, not to the directions of its N-H bonds, become notes."""
    harmless = ("two atoms at the same position", "missing main-chain atoms")
    return replace(finding, level="note") if finding.what.startswith(harmless) else finding


def _relaxation(reports: Sequence[FileReport], models: Sequence[FileReport]) -> None:
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


def _restraints(
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


def _peak_rss_mb() -> float:
    try:
        import resource
    except ImportError:  # not on Windows
        return 0.0
    scale = 1.0 / (1 << 20) if os.uname().sysname == "Darwin" else 1.0 / 1024.0
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale, 1)
