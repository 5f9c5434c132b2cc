"""The folder that a job writes: its name, its log and warnings, manifest, summary, and what --resume may continue."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from consilience.core.errors import Finding, InputError, RunError, clean
from consilience.files import write_atomic
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.plain import as_csv, as_json, plain
from consilience.jobs.common.provenance import (
    Stopwatch,
    environment,
    fingerprint,
    peak_rss_mb,
    shown_command,
    shown_path,
    versions,
)

SCHEMA = 1
MANIFEST, SUMMARY, LOG, JOB, CHECKPOINT = (
    "manifest.json",
    "summary.json",
    "log.txt",
    "job.yaml",
    "checkpoint.safetensors",
)
OURS = (MANIFEST, SUMMARY, LOG, JOB, CHECKPOINT, "report.html", "history.csv", "coot.py")
FINISHED = ("ok", "checks_failed")
_TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


class Interrupted(KeyboardInterrupt):
    """A signal asked the job to end (exit status 130)."""


class OutputFolder:
    """One run's folder. `path` is there and writable; `resumed` says that an earlier run is being continued."""

    def __init__(self, path: Path, verb: str, run: RunOptions, foreign: Iterable[str], previous: dict[str, Any]):
        self.path, self.verb, self.run = path, verb, run
        self.resumed = bool(previous)
        self.interrupted = False  # a signal has come
        self._previous, self._foreign = previous, sorted(foreign)
        self._warnings: list[str] = []
        self._manifest: dict[str, Any] = {}
        self.summary: dict[str, Any] | None = None  # what write_summary wrote
        self._began, self._started = time.perf_counter(), _now()
        self._watch = Stopwatch().start()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def checkpoint(self) -> Path:
        """Where the state of the run is kept."""
        return self.path / CHECKPOINT

    @property
    def resume_line(self) -> str:
        """What to type to continue this run."""
        command = [c for c in self.run.command if c not in ("--overwrite", "--resume")]
        return shlex.join([*command, "--resume"]) if command else "the same call with resume=True"

    def log(self, text: str) -> None:
        """Append a line to log.txt and show it. Raises Interrupted where a signal came and was lost on its way."""
        text = clean(text)
        self._append(text)
        self.run.say(text)
        if self.interrupted:
            raise Interrupted

    def warn(self, finding: Finding) -> None:
        """Show a warning; it also stands in the log and in summary.json["warnings"]."""
        self._warnings.append(str(finding))
        self._append(f"warning: {finding}")
        self.run.warn(finding)

    def tell(self, findings: Iterable[Finding]) -> None:
        """Warnings as such, the rest as notes in the log."""
        for finding in findings:
            self.warn(finding) if finding.level == "warn" else self.log(f"note: {finding}")

    def begin(
        self,
        paths: Sequence[str | Path],
        config: Mapping[str, Any],
        findings: Iterable[Finding] = (),
        inputs: Sequence[str | Path] = (),
    ) -> None:
        """Manifest and job of a run on `paths`, and what was found in them; `inputs`: as the job names them."""
        self.write_manifest(paths, config)
        self.write_job(config, inputs)
        self.tell(findings)

    def _append(self, text: str) -> None:
        try:
            with open(self.path / LOG, "a", encoding="utf-8") as handle:
                handle.write(text + "\n")
        except OSError as err:
            raise RunError(f"cannot write {self.path / LOG}: {err.strerror}") from None

    def write(self, name: str, text: str) -> None:
        """A whole file of this folder, or none."""
        write_atomic(self.path / name, text)

    def write_csv(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """A table with one column for each key (see plain.as_csv)."""
        self.write(name, as_csv(rows))

    def write_job(self, config: Mapping[str, Any], inputs: Sequence[str | Path] = ()) -> None:
        """job.yaml: the verb, its inputs as seen from this folder (default: the manifest's), every option's value."""
        given = [shown_path(Path(p), self.path) for p in inputs]
        job = {
            "schema_version": SCHEMA,
            "verb": self.verb,
            "inputs": given or [i["file"] for i in self._manifest.get("inputs", ())],
            "seed": self.run.seed,
            "options": self._config(config),
        }
        self.write(JOB, yaml.safe_dump(job, sort_keys=False, allow_unicode=True, width=120))

    def write_manifest(
        self, inputs: Sequence[str | Path], config: Mapping[str, Any], outputs: Sequence[str | Path] | None = None
    ) -> None:
        """manifest.json: what the run was made of; called when the inputs are known, and completed by the summary.

        `config`: every option with its value. `outputs`: the files written (default: all of this folder that the run
        did not find there). In a resumed folder raises InputError where inputs, options or seed are not those
        of the run to be continued; warns where versions or threads differ.
        """
        state = {
            "inputs": [{"file": shown_path(Path(p), self.path), **fingerprint(Path(p))} for p in inputs],
            "configuration": self._config(config),
            "seed": self.run.seed,
            "versions": versions(),
            **environment(),
        }
        if self.resumed and not self._manifest:
            self._same_as_before(state)
        self._manifest = {
            "schema_version": SCHEMA,
            "verb": self.verb,
            "command": shown_command(self.run.command),
            "status": "running",
            **state,
            "started": self._previous.get("started", self._started),
            "stopped": None,
            "outputs": {},
            "found_in_folder": self._foreign,
        }
        self._complete_manifest("running", outputs)

    def write_summary(self, summary: Mapping[str, Any]) -> dict[str, Any]:
        """summary.json with the keys that every summary has, and the end of the manifest; returns what was written.

        Write it after all other files. `status` defaults to "ok"; numbers that are not finite become null.
        """
        self._watch.stop()
        always = {
            "schema": SCHEMA,
            "verb": self.verb,
            "status": "ok",
            "warnings": [],
            "seed": self.run.seed,
            "wall_s": round(time.perf_counter() - self._began, 3),
            "compile_s": round(self._watch.seconds, 3),
            "peak_rss_mb": peak_rss_mb(),
            "gradients": None,
            "scores": {},
        }
        full = plain({**always, **summary})
        full["warnings"] = list(dict.fromkeys([*self._warnings, *full["warnings"]]))
        self.write(SUMMARY, as_json(full))
        self.summary = full
        if self._manifest:
            self._complete_manifest(full["status"], None)
        return full

    def timings(self) -> dict[str, float]:
        """`wall_s`, `compile_s` and `peak_rss_mb` so far, for a report that is written before the summary."""
        wall = round(time.perf_counter() - self._began, 3)
        return {"wall_s": wall, "compile_s": round(self._watch.seconds, 3), "peak_rss_mb": peak_rss_mb()}

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings so far."""
        return tuple(self._warnings)

    def _config(self, config: Mapping[str, Any]) -> dict[str, Any]:
        def shown(value: Any) -> Any:
            if isinstance(value, Path):
                return shown_path(value, self.path)
            if isinstance(value, Mapping):
                return {str(k): shown(v) for k, v in value.items()}
            return [shown(v) for v in value] if isinstance(value, (list, tuple)) else value

        return plain(shown(config))

    def _complete_manifest(self, status: str, outputs: Sequence[str | Path] | None) -> None:
        if outputs is None:
            left_out = {MANIFEST, LOG, CHECKPOINT, *self._foreign}
            named = [p for p in sorted(self.path.iterdir()) if p.name not in left_out and not _TEMPORARY.match(p.name)]
        else:
            named = [self.path / p for p in outputs]
        self._manifest["status"] = status
        self._manifest["stopped"] = None if status == "running" else _now()
        self._manifest["outputs"] = {p.name: fingerprint(p) for p in named if p.is_file() and not p.is_symlink()}
        self.write(MANIFEST, as_json(self._manifest))

    def _same_as_before(self, state: Mapping[str, Any]) -> None:
        before, where = self._previous, str(self.path)
        fix = "give the same inputs and options, or start anew with --overwrite"
        if [i["sha256"] for i in before.get("inputs", ())] != [i["sha256"] for i in state["inputs"]]:
            known = ", ".join(Path(i["file"]).name for i in before.get("inputs", ()))
            raise InputError("the run cannot be resumed: its input files were others", where, expected=known, fix=fix)
        old = {**before.get("configuration", {}), "seed": before.get("seed")}
        new = {**state["configuration"], "seed": state["seed"]}
        changed = [k for k in {**old, **new} if old.get(k) != new.get(k)]
        if changed:
            found = ", ".join(f"{k} {new.get(k)}" for k in changed)
            expected = ", ".join(f"{k} {old.get(k)}" for k in changed)
            raise InputError("the run cannot be resumed: its options were others", where, found, expected, fix)
        others = [k for k in ("versions", "device", "threads", "precision", "XLA_FLAGS") if before.get(k) != state[k]]
        if others:
            what = f"the run was begun with other {' and '.join(others)}: its end may not be bit-identical"
            self.warn(Finding("warn", what, where))


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


@contextmanager
def interruptible(folder: OutputFolder) -> Iterator[None]:
    """SIGINT (Ctrl-C) and SIGTERM end the block with Interrupted: logs the line to resume with, marks the run so.

    An error in the block leaves a summary of status "failed". The block may write a fuller summary itself. A second
    signal ends the process at once. Only the main thread can listen; elsewhere signals are left as they are.
    """

    def stop(number: int, frame: Any) -> None:
        for s in before:
            signal.signal(s, signal.SIG_DFL)
        folder.interrupted = True
        raise Interrupted

    before: dict[signal.Signals, Any] = {}
    try:
        for s in (signal.SIGINT, signal.SIGTERM):
            before[s] = signal.signal(s, stop)
    except ValueError:
        before.clear()  # not the main thread
    try:
        yield
    except Interrupted:
        folder.interrupted = False
        folder.log(f"interrupted; to continue: {folder.resume_line}")
        if folder.summary is None:
            folder.write_summary({"status": "interrupted"})
        raise
    except InputError:
        raise
    except Exception as err:
        if folder.summary is None:
            folder.write_summary({"status": "failed", "error": clean(err)})
        raise
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


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
    others = [p.name for p in path.iterdir() if p.name not in OURS and not _TEMPORARY.match(p.name)]
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
    ours = [p for p in entries if p.name in written or _TEMPORARY.fullmatch(p.name)]
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
