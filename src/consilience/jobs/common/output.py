"""The folder that a job writes: its log and warnings, manifest, job and summary."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from consilience.core.errors import Finding, InputError, Interrupted, RunError, clean
from consilience.files import TEMPORARY, write_atomic
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
            named = [p for p in sorted(self.path.iterdir()) if p.name not in left_out and not TEMPORARY.match(p.name)]
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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
