"""Which folder a job writes: a new one, one to be overwritten, or that of an unfinished run to be resumed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from consilience.core.errors import InputError, clean
from consilience.files import TEMPORARY
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import CHECKPOINT, JOB, LOG, MANIFEST, SCHEMA, SUMMARY, OutputFolder

OURS = (MANIFEST, SUMMARY, LOG, JOB, CHECKPOINT, "report.html", "history.csv", "coot.py")
FINISHED = ("ok", "checks_failed")


def open_folder(verb: str, stem: str, run: RunOptions, inputs: Sequence[str | Path] = ()) -> OutputFolder:
    """The folder of a new or resumed run, made and found writable before any work.

    Without `run.output`: VERB-STEM, then VERB-STEM-2, ... in the current folder. `run.overwrite` removes what an
    earlier run of ours wrote there, no other file. `run.resume` continues the run in `run.output`, or the latest
    unfinished one of that name; a given folder that is not there yet is begun.
    Raises InputError for a folder that exists, cannot be written, holds one of the `inputs` that would be replaced, or
    has nothing to resume.
    """
    stem = re.sub(r"[^\w.+-]+", "_", clean(stem)).strip("._-") or "run"
    foreign: set[str] = set()
    previous: dict[str, Any] = {}
    if run.resume:
        path = Path(run.output) if run.output else _unfinished(verb, stem)
        if path.is_dir():
            previous = _previous(path, verb)
            foreign = set(previous.get("found_in_folder", ()))
    elif run.output is not None or run.overwrite:
        path = Path(run.output or f"{verb}-{stem}")
        if path.exists():
            foreign = _cleared(path, run, inputs)
    else:
        path = _new_name(f"{verb}-{stem}")
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as err:
        fix = "name another folder with -o"
        raise InputError("the output folder cannot be written", str(path), err.strerror or str(err), fix=fix) from None
    return OutputFolder(path, verb, run, foreign, previous)


def _new_name(base: str) -> Path:
    number = 1
    while (path := Path(base if number == 1 else f"{base}-{number}")).exists() or path.is_symlink():
        number += 1
    return path


def _unfinished(verb: str, stem: str) -> Path:
    """The latest folder VERB-STEM[-N] of the current folder whose run has not finished."""
    base = f"{verb}-{stem}"
    numbered = [
        (int(m[1] or 1), p) for p in Path().iterdir() if (m := re.fullmatch(re.escape(base) + r"(?:-(\d+))?", p.name))
    ]
    for _, path in sorted(numbered, reverse=True):
        manifest = _read_manifest(path)
        if manifest.get("verb") == verb and manifest.get("status") not in FINISHED:
            return path
    found = f"{len(numbered)} folder(s) {base}, none of them unfinished" if numbered else f"no folder {base}"
    raise InputError(
        "there is nothing to resume", str(Path.cwd()), found, fix="name the folder with -o, or leave out --resume"
    )


def _previous(path: Path, verb: str) -> dict[str, Any]:
    manifest = _read_manifest(path)
    others = [p.name for p in path.iterdir() if p.name not in OURS and not TEMPORARY.match(p.name)]
    if not manifest and others:
        fix = "name the folder of an interrupted run"
        raise InputError("there is nothing to resume: this is not a folder of ours", str(path), fix=fix)
    if manifest and manifest.get("verb") != verb:
        found = f"a run of '{clean(manifest.get('verb'))}'"
        raise InputError("the run cannot be resumed: it was another command", str(path), found, f"'{verb}'")
    return manifest


def _cleared(path: Path, run: RunOptions, inputs: Sequence[str | Path]) -> set[str]:
    """Remove what our runs wrote in this folder; returns the names of all files that stay."""
    if not path.is_dir():
        raise InputError("the output exists and is not a folder", str(path), fix="name another folder with -o")
    if not run.overwrite:
        fix = "choose another name with -o, or add --overwrite (or --resume to continue an interrupted run)"
        raise InputError("the output folder exists", str(path), fix=fix)
    kept = {Path(os.path.realpath(p)) for p in inputs}
    written = {*OURS, *_read_manifest(path).get("outputs", {})}
    entries = list(path.iterdir())
    ours = [p for p in entries if p.name in written or TEMPORARY.fullmatch(p.name)]
    for p in ours:
        if Path(os.path.realpath(p)) in kept:
            fix = "name another folder with -o"
            raise InputError("an input file lies in the folder to be overwritten", str(p), fix=fix)
    try:
        for p in ours:
            if p.is_symlink() or not p.is_dir():
                p.unlink()
    except OSError as err:
        raise InputError("the output folder cannot be overwritten", str(path), err.strerror or str(err)) from None
    return {p.name for p in path.iterdir()}


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of one of our runs, or an empty mapping."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    known = (
        isinstance(manifest, dict)
        and manifest.get("schema_version") == SCHEMA
        and isinstance(manifest.get("outputs"), dict)
    )
    return manifest if known else {}
