"""consil coarsen: all-atom trajectories with forces to beads with mean forces, starting terms of a prior, and a map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from consilience.core.errors import Finding, InputError, clean
from consilience.jobs.coarsen.options import CoarsenOptions, pairs_of
from consilience.jobs.common.config import load_config
from consilience.jobs.common.html_table import Shown
from consilience.jobs.common.interrupt import interruptible
from consilience.jobs.common.open_folder import open_folder
from consilience.jobs.common.options import RunOptions
from consilience.jobs.common.output import OutputFolder

if TYPE_CHECKING:
    from consilience.coarse.atoms import AtomFrames
    from consilience.coarse.beadmap import BeadMap
    from consilience.coarse.beads import Beads
    from consilience.coarse.inversion import Inversion
    from consilience.coarse.project import Coarsened
    from consilience.coarse.sharedmap import SharedMap

SURE = 2.5  # r.m.s. of z: above it the mean forces of two maps differ
KNOWN = 0.9  # share of atoms that a shared map should know


@dataclass(frozen=True, repr=False)
class CoarsenResult(Shown):
    """What `coarsen` returns: the summary as written, the folder, the beads of each protein, and the inversions."""

    summary: dict[str, Any]
    folder: Path
    proteins: tuple[Beads, ...]
    prior: tuple[Inversion, ...]


def coarsen(
    inputs: Sequence[str | Path], *, options: CoarsenOptions | None = None, run: RunOptions | None = None
) -> CoarsenResult:
    """Map trajectories to beads; the command `consil coarsen`. `inputs`: TRAJ:TOP, or TRAJ with options.topology.

    Raises InputError for bad input before anything is written.
    """
    from consilience.coarse.map_json import shared_of_file
    from consilience.coarse.project import merge
    from consilience.coarse.read_atoms import read_atoms

    options, run = (options or CoarsenOptions()).checked(), run or RunOptions()
    if not inputs:
        raise InputError("no trajectories were given")
    pairs = pairs_of(tuple(map(str, inputs)), options.topology)
    own_map = None if options.map == "ca" else Path(options.map)
    said = None if own_map is None else load_config(own_map)
    shared = None if options.force_map is None else shared_of_file(json_map(options.force_map), str(options.force_map))
    read = []
    for trajectory, topology in pairs:
        run.say(f"reading {trajectory.name}")
        read.append(
            read_atoms(
                trajectory, topology, constraints=options.constraints, stride=options.stride,
                temperature=options.temperature, units=options.units,
            )
        )  # fmt: skip
    proteins = [(frames, _beads_of(frames, said, own_map)) for frames in merge(read)]
    files = [*dict.fromkeys(p for pair in pairs for p in pair)]
    files += [p for p in (own_map, options.force_map) if p is not None]
    folder = open_folder("coarsen", pairs[0][0].name.split(".")[0], run, files)
    with interruptible(folder):
        config = {f.name: getattr(options, f.name) for f in fields(options)}
        folder.write_manifest(files, config)
        folder.write_job(config, [f"{a}:{b}" for a, b in pairs])
        for frames, _ in proteins:
            folder.tell(frames.findings)
        return _coarsen(folder, proteins, options, shared)


def _coarsen(
    folder: OutputFolder, proteins: list[tuple[AtomFrames, BeadMap]], options: CoarsenOptions, given: SharedMap | None
) -> CoarsenResult:
    from consilience.coarse.inversion import invert, write_prior
    from consilience.coarse.map_json import map_as_dict
    from consilience.coarse.project import choose_maps, coarsen_one
    from consilience.coarse.write import write_beads
    from consilience.jobs.coarsen.report import histogram_rows, write_report

    maps, shared = choose_maps(proteins, options.forces, given)
    made = []
    for (frames, beads), chosen in zip(proteins, maps, strict=True):
        one = coarsen_one(frames, beads, chosen, shared)
        made.append(one)
        rms = ", ".join(f"{k} {v:.2f}" for k, v in one.rms.items())
        noise = "" if one.noise is None else f"; noise at most {one.noise:.2f}"
        folder.log(f"{frames.name}: {len(frames)} frames, {len(beads.names)} beads; r.m.s. force by map: {rms}{noise}"
                   " kcal/mol/Å")  # fmt: skip
        for finding in _doubts(one, options):
            folder.warn(finding)
    write_beads(folder / "beads.npz", [m.beads for m in made])
    folder.write("map.json", json.dumps(map_as_dict(made, shared)) + "\n")
    prior = invert([m.beads for m in made])
    write_prior(folder / "prior.json", prior)
    folder.write_csv("histograms.csv", histogram_rows(prior))
    summary = _summary(made, options, given, shared)
    full = {**summary, "warnings": list(folder.warnings), "seed": folder.run.seed, **folder.timings()}
    write_report(folder.path, full, made, prior)
    written = folder.write_summary(summary)
    folder.log(f"beads: {folder / 'beads.npz'}")
    return CoarsenResult(written, folder.path, tuple(m.beads for m in made), tuple(prior))


def _summary(
    made: Sequence[Coarsened], options: CoarsenOptions, given: SharedMap | None, shared: SharedMap | None
) -> dict[str, Any]:
    counts = np.array([m.beads.positions.shape[0] * m.beads.positions.shape[1] for m in made], float)

    def mean(values: Sequence[float | None]) -> float | None:
        known = [(c, v) for c, v in zip(counts, values, strict=True) if v is not None]
        return float(np.sqrt(sum(c * v**2 for c, v in known) / sum(c for c, _ in known))) if known else None

    kinds = list(dict.fromkeys(k for m in made for k in m.rms))
    validated = dict(shared.validated or {}) if shared is not None and given is None else {}
    return {
        "status": "ok",
        "n_frames": int(sum(len(m.beads) for m in made)),
        "n_beads": int(sum(len(m.map.names) for m in made)),
        "unit": "kcal/mol/Å",
        "force_rms": mean([m.rms[m.chosen.kind] for m in made]),
        "force_rms_by_map": {k: mean([m.rms.get(k) for m in made]) for k in kinds},
        "noise_floor_kcal_A": mean([m.noise for m in made]),
        "mapping": {
            "beads": options.map if options.map == "ca" else Path(options.map).name,
            "forces": made[0].chosen.kind,
            "force_map": None if given is None else clean(options.force_map),
            "fitted_on": list(given.fitted) if given is not None else [m.frames.name for m in made],
            "validity": max(m.deviation for m in made),
            "mean_force_z": max((m.mean_force_z for m in made if m.mean_force_z is not None), default=None),
            "left_out_rms": {k: v**0.5 for k, v in validated.items()},
        },
        "proteins": [
            {
                "name": m.frames.name,
                "n_frames": len(m.beads),
                "n_beads": len(m.map.names),
                "n_atoms": len(m.frames.topology),
                "n_constraints": len(m.frames.constraints),
                "temperatures_k": sorted({round(float(t), 1) for t in m.beads.temperature}),
                "trajectories": len(np.unique(m.beads.trajectory)),
                "force_rms": m.rms,
                "noise_floor_kcal_A": m.noise,
                "ridge": m.chosen.ridge,
                "validity": m.deviation,
                "mean_force_z": m.mean_force_z,
                "coverage": m.coverage,
            }
            for m in made
        ],
    }


def _doubts(m: Coarsened, options: CoarsenOptions) -> list[Finding]:
    """What a user must know of the chosen force map."""
    where = str(m.frames.path)
    out = []
    if m.deviation > 1e-5:
        what = "the force map is not valid: its mean forces are not those of the beads, because constraints act on them"
        found = f"{len(m.frames.constraints)} constraints; a deviation of {m.deviation:.2g}"
        out.append(Finding("warn", what, where, found, fix="use --forces optimal or basic"))
    elif m.mean_force_z is not None and m.mean_force_z > SURE:
        what = "mean forces of the map differ from those of the basic map: constraints that the file does not name?"
        found = f"{m.mean_force_z:.2g} standard errors (r.m.s.)"
        out.append(Finding("warn", what, where, found, "about 1", "--constraints auto finds what never changes"))
    if m.coverage is not None and m.coverage < KNOWN:
        what = "the force map was not fitted to some atoms or residues of this protein: general weights are used there"
        found = f"{100 * m.coverage:.0f} % of the pairs of bead and atom are known"
        out.append(Finding("warn", what, where, found, fix="fit the map to proteins with all residues"))
    if options.forces == "optimal" and m.chosen.kind == "optimal" and len(m.beads) < 2 * m.chosen.weights.shape[1]:
        what = "few frames for a force map of this protein's own: it may follow their noise"
        found = f"{len(m.beads)} frames of {m.chosen.weights.shape[1]} atoms"
        fix = "use a map learned on more data (--force-map), or more frames"
        out.append(Finding("warn", what, where, found, fix=fix))
    return out


def _beads_of(frames: AtomFrames, said: dict[str, Any] | None, path: Path | None) -> BeadMap:
    from consilience.coarse.beadmap import alpha_map
    from consilience.coarse.mapfile import bead_map_of

    if said is None:
        return alpha_map(frames.topology)
    return bead_map_of(said, frames.topology, frames.masses, str(path))


def json_map(path: Path) -> dict[str, Any]:
    """A JSON object that may be large."""
    from consilience.files import read_text

    try:
        said = json.loads(read_text(path, max_bytes=1 << 28))
    except (ValueError, RecursionError) as err:
        raise InputError("invalid JSON: it cannot be parsed", str(path), clean(err)[:80]) from None
    if not isinstance(said, dict):
        raise InputError("this is no map.json", str(path), type(said).__name__, "what consil coarsen writes")
    return said
