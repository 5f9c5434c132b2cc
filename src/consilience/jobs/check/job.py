"""`consil check`: read every file, name every defect, compare the files with one another, change nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from consilience.core.checks import Check
from consilience.core.errors import Finding, InputError
from consilience.files import archive_findings, read_bytes
from consilience.frames.npz import arrays_of
from consilience.jobs.check.beads import BeadData, boxes_and_cutoff, coarse_kind, read_coarse_data
from consilience.jobs.check.between import (
    compare_relaxation,
    compare_with_data,
    compare_with_dictionaries,
    for_directions,
)
from consilience.jobs.check.file_report import KIND_NAMES, FileReport
from consilience.jobs.check.recipe import Recipe, check_recipe, is_recipe
from consilience.jobs.common.config import load_config
from consilience.jobs.common.html_table import check_table
from consilience.jobs.common.provenance import peak_rss_mb
from consilience.kinds import Kind, recognise
from consilience.nmr.data import RelaxationData
from consilience.structure.atoms import Structure
from consilience.xray.reflections import Reflections

EXPECTED = "a model, reflections, relaxation data, restraints, frames, beads or a configuration"


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
            "peak_rss_mb": peak_rss_mb(),
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
                r.findings += compare_with_data(r, other)
            restraints = compare_with_dictionaries(r, dictionaries, monlib, is_refinement)
            if relaxation and not is_refinement:  # the model is there for its N-H directions
                r.findings = [for_directions(f) for f in r.findings]
                restraints = [replace(f, level="note") for f in restraints]
            r.findings += restraints
    if relaxation:
        compare_relaxation(relaxation, [r for r in reports if isinstance(r.content, Structure)])
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
    return [Finding("error", f"unknown or unsupported format ({kind})", path, expected=EXPECTED)]


def _unsupported(path: str, kind: Kind) -> Finding:
    what = f"{KIND_NAMES.get(kind, kind)}: this kind of file is not supported yet by this version"
    return Finding("error", what, path, expected=EXPECTED)


def _is_molecular(path: str) -> bool:
    """Whether an npz file is one of molecules; raises InputError where it is damaged or hostile."""
    from consilience.frames.npz import is_molecular

    return is_molecular(arrays_of(read_bytes(path), path))
